//! What a model learns beside its memory, and takes from chunk to chunk.

use super::super::adaptive::Adaptive;
use super::super::apm::Apm;
use super::super::kernel::{CONTEXTS, INPUTS, LANES, Maps, SETS, Set};
use super::super::mixer::Weights;
use super::super::state::{self, States};
use super::{MATCHES, PHASES};

/// Where inputs that are not of contexts lie: the last lanes of the planes.
const M0: usize = CONTEXTS;
const LM0: usize = LANES + CONTEXTS;

/// What is learnt over many chunks.
#[derive(Clone)]
pub(in super::super) struct Learnt {
    pub(super) maps: [Box<Maps>; PHASES],
    pub(super) matches: Vec<Adaptive>,
    pub(super) sets: [Vec<Set>; SETS],
    pub(super) last: Vec<Weights<SETS>>,
    pub(super) refine: [Apm; 3],
    pub(super) lm_refine: [Apm; 3],
    pub(super) decisions: u32,
}

/// Weight sets of each selector.
pub(in super::super) const SET_SIZES: [usize; SETS] =
    [3 * 10 * 16, 12 * 2 * 4 * 4, 512, 16 * 10, 512, 3 * 12 * 12, 8 * 3 * 4 * 3, 1024];

impl Learnt {
    /// For sound, whose predictors are trusted from the start.
    pub(in super::super) fn sound() -> Self {
        let mut learnt = Self::new(false);
        for set in learnt.sets.iter_mut().flatten() {
            set.upper[..CONTEXTS].fill(512);
            for plane in [1, 2] {
                set.upper[plane * LANES + CONTEXTS..][..LANES - CONTEXTS].fill(1638);
            }
        }
        learnt
    }

    pub(in super::super) fn new(lm: bool) -> Self {
        let states: &States = &state::ALL;
        let maps = |_| {
            let map = std::array::from_fn(|s| {
                let h = states.history[s];
                let (a, b) = (u32::from(h.zeros), u32::from(h.ones));
                Adaptive::new(((10 * b + 4) << 16) / (10 * (a + b) + 8))
            });
            Box::new([map; CONTEXTS])
        };
        let matches = (0..MATCHES * PHASES * 64 * 2)
            .map(|i| Adaptive::new(if i & 1 == 1 { 52428 } else { 13107 }))
            .chain([Adaptive::new(32768)])
            .collect();
        let mut first = Weights::<INPUTS>::ZERO;
        for c in 0..CONTEXTS {
            first.upper[c] = (0.18 * 8192.0) as i16;
        }
        first.upper[M0] = 1638;
        first.upper[M0 + 1] = 1638;
        if lm {
            first.upper[LM0] = 4096;
        }
        let mut last = Weights::<SETS>::ZERO;
        last.upper.fill(8192 / SETS as i16);
        Self {
            maps: std::array::from_fn(maps),
            matches,
            sets: SET_SIZES.map(|n| vec![first; n]),
            last: vec![last; 33],
            refine: [Apm::new(512, 255), Apm::new(4096, 127), Apm::new(512, 255)],
            lm_refine: [Apm::new(640, 255), Apm::new(1024, 127), Apm::new(1024, 255)],
            decisions: 0,
        }
    }
}
