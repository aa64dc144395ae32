//! Rotary position embedding (spec/numerics.md §4.5).
#![allow(unsafe_code)]

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Refusal, Step};
use crate::exact::KernelSet;
use crate::exact::angles::{self, exp2, ln};
use crate::exact::pool::Member;
use crate::exact::vector::{LANES, Vector, per_set};
use crate::exact::view::View;

/// Which two elements of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// 2i and 2i + 1.
    Neighbours,
    /// i and i + dimensions / 2.
    Halves,
}

/// What the angles depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeTerms {
    /// Elements of a head that are rotated, even; the others are copied.
    pub dimensions: usize,
    /// Which are rotated together.
    pub pairing: Pairing,
    /// The angle of pair `i` falls by this to the power of -2i / dimensions.
    pub base: f32,
    /// Angles are multiplied by this: below 1, positions lie closer.
    pub scale: f32,
    /// How much of the unscaled angle the fast pairs take (YaRN); 0 for none.
    pub extrapolation: f32,
    /// The result is multiplied by this.
    pub magnitude: f32,
    /// Turns within the trained context from which a pair is fast (YaRN).
    pub beta_fast: f32,
    /// Turns up to which a pair is slow (YaRN).
    pub beta_slow: f32,
    /// The trained context, tokens (YaRN).
    pub trained: usize,
    /// Each pair's angle is divided by its factor, if there are any.
    pub factors: Option<Vec<f32>>,
}

/// Positions whose rows are made together, at the first use of one of them.
const BLOCK: usize = 64;

/// Rows of late positions that are kept: each is wanted once or twice in every layer, and never again.
const LATE: usize = 256;

/// A late position and its row.
type Late = Option<(usize, Arc<[f32]>)>;

/// Cosines and sines by position. The row of one has `dimensions` multipliers of the element itself, and
/// as many of its partner. Rows are made when they are wanted.
#[derive(Debug)]
pub struct RopeTable {
    terms: RopeTerms,
    /// Angle of each pair for position 1, before scaling.
    steps: Vec<f64>,
    /// The rows of early positions, kept for ever.
    early: Vec<OnceLock<Box<[f32]>>>,
    /// By position modulo [`LATE`].
    late: Mutex<Vec<Late>>,
}

impl RopeTable {
    /// A table that keeps the rows of positions below `positions`, rounded up to 64, and the last few others.
    #[must_use]
    pub fn new(terms: RopeTerms, positions: usize) -> Self {
        let pairs = terms.dimensions / 2;
        let turns_to_pair = -2.0 * (ln(f64::from(terms.base)) / std::f64::consts::LN_2) / terms.dimensions as f64;
        let steps = (0..pairs).map(|i| exp2(turns_to_pair * i as f64)).collect();
        let early = (0..positions.div_ceil(BLOCK)).map(|_| OnceLock::new()).collect();
        Self { terms, steps, early, late: Mutex::new(vec![None; LATE]) }
    }

    /// What the table was made from.
    #[must_use]
    pub fn terms(&self) -> &RopeTerms {
        &self.terms
    }

    /// The multipliers of one position.
    fn fill(&self, position: usize, row: &mut [f32]) {
        let terms = &self.terms;
        let (own, partner) = row.split_at_mut(terms.dimensions);
        let magnitude = f64::from(terms.magnitude)
            * if terms.extrapolation == 0.0 { 1.0 } else { 1.0 + 0.1 * ln(1.0 / f64::from(terms.scale)) };
        for (i, step) in self.steps.iter().enumerate() {
            let factor = terms.factors.as_ref().map_or(1.0, |factors| f64::from(factors[i]));
            let angle = position as f64 * step / factor;
            let scaled = f64::from(terms.scale) * angle;
            let mix = terms.ramp(i);
            let angle = if terms.extrapolation == 0.0 { scaled } else { scaled * (1.0 - mix) + angle * mix };
            let (sin, cos) = angles::sin_cos(angle);
            let (sin, cos) = ((sin * magnitude) as f32, (cos * magnitude) as f32);
            let (first, second) = match terms.pairing {
                Pairing::Neighbours => (2 * i, 2 * i + 1),
                Pairing::Halves => (i, i + terms.dimensions / 2),
            };
            (own[first], own[second]) = (cos, cos);
            (partner[first], partner[second]) = (-sin, sin);
        }
    }

    /// Calls `f` with the multipliers of one position.
    fn with_row(&self, position: usize, f: impl FnOnce(&[f32])) {
        let width = 2 * self.terms.dimensions;
        let made = |first: usize, count: usize| {
            let mut rows = vec![0.0; count * width];
            for (i, row) in rows.chunks_exact_mut(width.max(1)).enumerate() {
                self.fill(first + i, row);
            }
            rows
        };
        if let Some(block) = self.early.get(position / BLOCK) {
            let rows = block.get_or_init(|| made(position / BLOCK * BLOCK, BLOCK).into());
            return f(&rows[position % BLOCK * width..][..width]);
        }
        let kept = || self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept()[position % LATE].as_ref().filter(|late| late.0 == position).map(|late| Arc::clone(&late.1));
        let row = known.unwrap_or_else(|| {
            let row: Arc<[f32]> = made(position, 1).into();
            kept()[position % LATE] = Some((position, Arc::clone(&row)));
            row
        });
        f(&row);
    }
}

impl RopeTerms {
    /// How much of the unscaled angle pair `i` takes.
    fn ramp(&self, i: usize) -> f64 {
        if self.extrapolation == 0.0 {
            return 0.0;
        }
        let dimensions = self.dimensions as f64;
        let pair_of = |turns: f32| {
            let wave = self.trained as f64 / (f64::from(turns) * 2.0 * std::f64::consts::PI);
            dimensions * ln(wave) / (2.0 * ln(f64::from(self.base)))
        };
        let low = pair_of(self.beta_fast).floor().max(0.0);
        let high = pair_of(self.beta_slow).ceil().min(dimensions - 1.0);
        let along = (i as f64 - low) / (high - low).max(0.001);
        (1.0 - along.clamp(0.0, 1.0)) * f64::from(self.extrapolation)
    }
}

/// Rotates heads: binary32, plain rows of at least `dimensions` elements; the positions are those of
/// dimension 2. `out` may be `a`.
pub struct Rope {
    /// Cosines and sines.
    pub table: Arc<RopeTable>,
    /// One 32-bit position for each index of dimension 2, not negative.
    pub positions: View,
    /// The result.
    pub out: View,
    /// The heads, of the same extents.
    pub a: View,
}

impl Step for Rope {
    fn items(&self) -> usize {
        self.out.extents[2] * self.out.extents[3]
    }

    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let (width, rotated) = (self.out.extents[0], self.table.terms.dimensions);
        let [_, heads, tokens, lanes] = self.out.extents;
        for at in member.part(tokens * lanes, 1) {
            let (token, lane) = (at % tokens, at / tokens);
            // SAFETY: an element of `positions`.
            let position = unsafe { self.positions.position(token) }?;
            self.table.with_row(position, |terms| {
                for head in 0..heads {
                    let place = [head, token, lane];
                    let (out, a) = (self.out.row_at(place).cast::<f32>(), self.a.row_at(place).cast::<f32>());
                    // SAFETY: rows of this step's views, this thread's own; `terms` holds two values for
                    // each rotated element.
                    unsafe {
                        match self.table.terms.pairing {
                            Pairing::Neighbours => neighbours(set, out, a, terms.as_ptr(), rotated),
                            Pairing::Halves => halves(set, out, a, terms.as_ptr(), rotated),
                        }
                        if out.cast_const() != a.cast_const() {
                            out.add(rotated).copy_from_nonoverlapping(a.add(rotated), width - rotated);
                        }
                    }
                }
            });
        }
        Ok(())
    }
}

per_set! { unsafe fn neighbours = neighbours_body(out: *mut f32, a: *const f32, terms: *const f32, n: usize) }
per_set! { unsafe fn halves = halves_body(out: *mut f32, a: *const f32, terms: *const f32, n: usize) }

/// `a * own + partner * other`: two products and a sum, each rounded.
#[inline(always)]
fn rotate<V: Vector>(a: V, own: V, partner: V, other: V) -> V {
    a.mul(own).add(partner.mul(other))
}

#[inline(always)]
unsafe fn neighbours_body<V: Vector>(out: *mut f32, a: *const f32, terms: *const f32, n: usize) {
    // SAFETY: below `n`, and twice `n` terms.
    unsafe {
        let mut at = 0;
        while at + LANES <= n {
            let x = V::load(a.add(at));
            rotate(x, V::load(terms.add(at)), x.swap_pairs(), V::load(terms.add(n + at))).store(out.add(at));
            at += LANES;
        }
        if at < n {
            let rest = n - at;
            let x = V::load_part(a.add(at), rest);
            let (own, other) = (V::load_part(terms.add(at), rest), V::load_part(terms.add(n + at), rest));
            rotate(x, own, x.swap_pairs(), other).store_part(out.add(at), rest);
        }
    }
}

#[inline(always)]
unsafe fn halves_body<V: Vector>(out: *mut f32, a: *const f32, terms: *const f32, n: usize) {
    let half = n / 2;
    // SAFETY: below `n`, and twice `n` terms.
    unsafe {
        let mut at = 0;
        while at < half {
            let count = LANES.min(half - at);
            let (x, y) = (part::<V>(a.add(at), count), part::<V>(a.add(half + at), count));
            let first = rotate(x, part(terms.add(at), count), y, part(terms.add(n + at), count));
            let second = rotate(y, part(terms.add(half + at), count), x, part(terms.add(n + half + at), count));
            if count == LANES {
                first.store(out.add(at));
                second.store(out.add(half + at));
            } else {
                first.store_part(out.add(at), count);
                second.store_part(out.add(half + at), count);
            }
            at += LANES;
        }
    }
}

/// The first `count` values, all 16 where there are as many.
#[inline(always)]
unsafe fn part<V: Vector>(from: *const f32, count: usize) -> V {
    // SAFETY: the caller's.
    unsafe { if count == LANES { V::load(from) } else { V::load_part(from, count) } }
}
