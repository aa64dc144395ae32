//! The predictor of one lane: contexts, matches, mixers and refinement put together
//! (spec/mix-codec.md §10).

mod learnt;
mod step;
mod stored;
mod work;

use std::sync::Arc;

use super::adaptive::RECIPROCALS;
use super::coder::BitCoder;
use super::contexts::{Contexts, Expected};
use super::history::{History, hash};
use super::kernel::{CONTEXTS, FEW, INPUTS, Kernel, LANES, Lookup, SETS, Sight};
use super::machine::Machine;
use super::matcher::Matcher;
use super::maths::Maths;
use super::memory::{Known, Memory};
use super::state;
use super::transform::detect::Kind;
use crate::entropy::Garbage;

pub(super) use learnt::Learnt;
use work::{CodeByte, CodeEnd, Study};

const MATCHES: usize = 2;
/// Kinds of decisions that a state's meaning depends on.
const PHASES: usize = 2;
/// Hashes of three bytes that what followed is known of.
const FOLLOWED: usize = 1 << 15;
/// No match predicts.
const NOWHERE: usize = MATCHES * PHASES * 64 * 2;

/// What the language model says of the byte that comes next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hint {
    pub(super) node: u32,
    pub(super) depth: u32,
    pub(super) previous: u32,
    pub(super) before: u32,
    pub(super) top: u8,
    /// of 256
    pub(super) top_p: u32,
}

/// What is known of a byte's next bit before it is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    /// The language model's logit, 0 if there is none.
    Logit(i32),
    /// No other bit is possible: neither coded nor learnt.
    Forced(bool),
}

/// Says what is known of each bit of a byte, the uppermost first.
pub(super) trait Guide {
    /// The next bit's, which is bit number `bit` from below.
    fn opinion(&mut self, bit: u32) -> Opinion;

    /// That bit, be it coded or forced.
    fn take(&mut self, one: bool);
}

/// Knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alone;

impl Guide for Alone {
    #[inline(always)]
    fn opinion(&mut self, _: u32) -> Opinion {
        Opinion::Logit(0)
    }

    #[inline(always)]
    fn take(&mut self, _: bool) {}
}

/// Shortest matches that are followed, bytes.
const SHORTEST: [usize; MATCHES] = [5, 16];

/// Learning rates of the sets (spec/mix-codec.md §8), in 2^-21: in the long run, and of the last mixer.
const RATE: i32 = 6291;
const LAST_RATE: i32 = 1048;

/// Decisions after which what sets learn beyond [`RATE`] at first is halved.
const DECAY: u32 = 20_000;

/// Bits that maps count.
const LIMIT: u32 = 255;

/// The mixed probability's share of the final one, of 65536; the refined ones have the rest.
const SHARE: i32 = 19_661;

/// Sets do not learn from decisions whose error, of 65536, is at most this.
const TOLERANCE: i32 = 512;

/// Tables do not grow with chunks longer than this, bytes.
const LARGEST: usize = 1 << 30;

/// Entries and lines of a chunk's memory, as powers of two: four entries and half a line for each
/// byte, so 3 MiB for 64 KiB, and 24 MiB at most.
fn memory_bits(raw_len: usize) -> (u32, u32) {
    let bits = raw_len.clamp(1, LARGEST).next_power_of_two().ilog2();
    ((bits + 2).clamp(8, 21), bits.saturating_sub(1).clamp(8, 18))
}

/// Positions in a matcher's table, as a power of two.
fn match_bits(raw_len: usize) -> u32 {
    raw_len.clamp(1, LARGEST).next_power_of_two().ilog2().saturating_sub(1).clamp(10, 18)
}

#[derive(Clone)]
pub(super) struct Model {
    lm: bool,
    machine: Machine,
    learnt: Learnt,
    contexts: Contexts,
    memory: Memory,
    history: History,
    matchers: [Matcher; MATCHES],
    boundary: Vec<u8>,
    /// The byte that followed the last three, by their hash.
    followed: Vec<u8>,
    maths: Maths,
    lookup: Lookup,
    sight: Sight,
    leads: [Lead; MATCHES],
    /// What points of the maps that refine the mixed logit, and matches, count up to; and those of the
    /// maps that refine the language model's.
    limits: [[u32; FEW]; 2],
    made: Made,
    /// The last byte, if the memory waits for it.
    unfinished: Option<u8>,
    hint: Hint,
    /// The sets' learning rate at present.
    rate: i32,
}

/// Where a match leads.
#[derive(Clone, Copy, Default)]
struct Lead {
    /// The byte expected behind a 1, or 0.
    path: u32,
    /// That of a 0 among the probabilities.
    place: usize,
    selector: usize,
}

/// What a decision was made of, for learning.
#[derive(Clone, Copy, Default)]
struct Made {
    selected: [usize; SETS],
    logits: [i16; SETS],
    last: usize,
    mixed: i32,
    matches: [usize; MATCHES],
}

impl Model {
    /// Takes in a text for others to know: only the memory learns.
    pub(super) fn study(&mut self, text: &[u8]) {
        self.machine.run(Study { model: self, text });
    }

    pub(super) fn new(lm: bool, learnt: Learnt, raw_len: usize) -> Self {
        Self::with(Machine::new(), lm, Kind::Plain, learnt, raw_len, None)
    }

    /// A model of a kind of data without a language model.
    pub(super) fn of_kind(kind: Kind, learnt: Learnt, raw_len: usize, known: Option<Arc<Known>>) -> Self {
        Self::with(Machine::new(), false, kind, learnt, raw_len, known)
    }

    /// What the memory has learnt.
    pub(super) fn into_known(self) -> Known {
        self.memory.into_known()
    }

    /// A model on a machine's kernel.
    pub(super) fn with(
        machine: Machine,
        lm: bool,
        kind: Kind,
        learnt: Learnt,
        raw_len: usize,
        known: Option<Arc<Known>>,
    ) -> Self {
        let (entry_bits, line_bits) = memory_bits(raw_len);
        let rate = step::rate(learnt.decisions);
        let maths = Maths::get();
        let limits = [&learnt.refine, &learnt.lm_refine].map(|maps| {
            let mut limits = [LIMIT; FEW];
            for k in 0..3 {
                limits[2 * k..2 * k + 2].fill(maps[k].limit);
            }
            limits
        });
        Self {
            lm,
            machine,
            learnt,
            contexts: Contexts::new(kind),
            memory: Memory::new(entry_bits, line_bits, known),
            history: History::default(),
            matchers: SHORTEST.map(|minimum| Matcher::new(match_bits(raw_len), minimum)),
            boundary: Vec::new(),
            followed: vec![0; FOLLOWED],
            maths,
            lookup: Lookup { maths: maths.tables, states: &state::ALL, reciprocals: &RECIPROCALS },
            sight: Sight { inputs: [0; INPUTS], classes: [0; LANES] },
            leads: [Lead::default(); MATCHES],
            limits,
            made: Made::default(),
            unfinished: None,
            hint: Hint::default(),
            rate,
        }
    }

    /// The bytes coded so far.
    pub(super) fn raw(&self) -> &[u8] {
        &self.history.raw
    }

    /// The bytes coded.
    pub(super) fn into_raw(self) -> Vec<u8> {
        self.history.raw
    }

    pub(super) fn into_learnt(self) -> Learnt {
        self.learnt
    }

    /// Codes the next byte, `want` if `coder` encodes.
    ///
    /// # Errors
    /// [`Garbage`] where no encoder leads.
    pub(super) fn code_byte<C: BitCoder, G: Guide>(
        &mut self,
        coder: &mut C,
        want: u8,
        hint: Hint,
        guide: &mut G,
    ) -> Result<u8, Garbage> {
        self.machine.run(CodeByte { model: self, coder, want, hint, guide })
    }

    /// Codes whether the token ends behind the last byte, `want` if `coder` encodes; `hint.node` is
    /// where in the token tree that is.
    ///
    /// # Errors
    /// [`Garbage`] where no encoder leads.
    pub(super) fn code_end<C: BitCoder>(
        &mut self,
        coder: &mut C,
        want: bool,
        hint: Hint,
        lm: i32,
    ) -> Result<bool, Garbage> {
        self.machine.run(CodeEnd { model: self, coder, want, hint, lm })
    }

    /// A token ended behind the last byte.
    pub(super) fn boundary(&mut self) {
        if let Some(b) = self.boundary.last_mut() {
            *b = 1;
        }
    }

    #[inline(always)]
    fn begin_byte(&mut self, kernel: impl Kernel, hint: Hint) {
        self.hint = hint;
        let h = &self.history;
        let (c4, c8) = (h.last4, h.before4);
        let expected = self.expected();
        let c: [u32; CONTEXTS] = if self.lm {
            let eb = u32::from(hint.top);
            let q = hint.top_p >> 5;
            // What follows is another thing at the start of a token than within.
            let z = if hint.depth == 0 { 0x5bd1_e995 } else { 0 };
            [
                hash(c4 & 0xffff, 2 ^ z),
                hash(c4, 4 ^ z),
                hash(c4, (c8 & 0xffff) << 8 | 6),
                hash(h.word, hash(7, c4 & 0xff) ^ z),
                hash(h.word, hash(h.previous, 8)),
                hash(hint.node, hash(hint.previous, 9)),
                hash(hint.node, hash(hint.previous.wrapping_mul(8192).wrapping_add(hint.before), 10)),
                hash(hint.node, 14),
                hash(c4 & 0xff_0000 | if c4 & 0xff != 0 { c4 & 0xf0 } else { 0 }, 12),
                hash(hash(h.above(), h.field), hash(c4 & 0xff, 13)),
                hash(eb * 9 + q, hash(hint.depth.min(3), 15)),
                hash(eb, hash(c4 & 0xffff, 16)),
                hash(hash(expected.byte, expected.length), hash(eb, 17)),
            ]
        } else {
            self.contexts.hashes(&self.history, expected)
        };
        self.lead::<false>();
        let mut hashes = [0; LANES];
        for (to, from) in hashes.iter_mut().zip(c) {
            *to = from;
        }
        self.memory.begin(kernel, &hashes, self.unfinished.take());
    }

    /// What matches expect.
    #[inline(always)]
    fn expected(&self) -> Expected {
        let raw = &self.history.raw;
        let byte = match (self.matchers[1].expected(raw), self.matchers[0].expected(raw)) {
            (Some(byte), _) => u32::from(byte) + 1,
            (None, Some(byte)) => u32::from(byte) + 257,
            _ => 0,
        };
        Expected { byte, length: (self.matchers[1].length / 4).min(8) }
    }

    /// Where the byte that followed the last three is noted.
    #[inline(always)]
    fn follower(&self) -> usize {
        hash(self.history.last4 & 0xff_ffff, 99) as usize % FOLLOWED
    }

    /// All eight bits are in.
    #[inline(always)]
    fn end_byte(&mut self, kernel: impl Kernel, byte: u8) {
        self.unfinished = Some(byte);
        let follower = self.follower();
        self.followed[follower] = byte;
        self.history.push(byte);
        let [a, b] = &mut self.matchers;
        let places = [a.place(kernel, &self.history.raw), b.place(kernel, &self.history.raw)];
        self.boundary.push(0);
        a.grow(&self.history.raw, places[0]);
        b.grow(&self.history.raw, places[1]);
    }

    #[inline(always)]
    fn end_hashes(&mut self, hint: Hint) -> [u32; CONTEXTS] {
        self.hint = hint;
        let node = hint.node;
        let followed = u32::from(self.followed[self.follower()]);
        let expected = self.expected();
        let h = &self.history;
        let (c4, c8) = (h.last4, h.before4);
        [
            hash(c4 & 0xffff, 2),
            hash(c4, 4),
            hash(c4, (c8 & 0xffff) << 8 | 6),
            hash(h.word, hash(7, c4 & 0xff)),
            hash(h.word, hash(h.previous, 8)),
            hash(node, hash(hint.previous, 9)),
            hash(node, hash(hint.previous.wrapping_mul(8192).wrapping_add(hint.before), 10)),
            hash(node, 14),
            hash(c4 & 0xff0000 | if c4 & 0xff != 0 { c4 & 0xf0 } else { 0 }, 12),
            hash(hash(h.above(), h.field), hash(c4 & 0xff, 13)),
            hash(300, hash(hint.depth.min(3), 15)),
            hash(node, hash(followed, 16)),
            hash(node, hash(expected.byte, 17)),
        ]
    }
}

#[cfg(test)]
mod tests;
