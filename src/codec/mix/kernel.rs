//! The loops over lanes: what is done alike for all contexts, or for all weights of a set.
//!
//! The methods' own bodies are the reference; a machine's kernel does the same with the same
//! integers. `x86.rs` finds out what the machine has.

use super::adaptive::{Adaptive, Reciprocals};
use super::maths::{STRETCH_BITS, Tables};
use super::memory::{self, Layout, Paths, Row, WAYS};
use super::mixer::Weights;
use super::state::States;

/// Contexts of a decision.
pub(super) const CONTEXTS: usize = 13;
/// Lanes for them; those that no context has take other inputs.
pub(super) const LANES: usize = 16;
/// Inputs of a context: its logit, the same if it is certain, and its fast logit.
pub(super) const PER: usize = 3;
/// Inputs of a mixer: a plane of lanes for each of a context's inputs.
pub(super) const INPUTS: usize = PER * LANES;
/// Sets of weights that take part in a decision.
pub(super) const SETS: usize = 8;
/// Logits that sets give are from `-BOUND` to `BOUND`.
pub(super) const BOUND: i32 = super::maths::LIMIT - 1;

/// By context and state: how likely a 1 is.
pub(super) type Maps = [[Adaptive; 256]; CONTEXTS];
pub(super) type Set = Weights<INPUTS>;

/// The inputs that no context gives: the last lanes of each plane.
pub(super) type Extra = [[i16; LANES - CONTEXTS]; PER];

/// A decision's inputs, and where they came from.
#[derive(Clone)]
#[repr(C, align(64))]
pub(super) struct Sight {
    pub(super) inputs: [i16; INPUTS],
    /// What the states' classes were, where a kernel asks for them.
    pub(super) classes: [u16; LANES],
}

/// The tables that lanes are looked up in.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    pub(super) maths: &'static Tables,
    pub(super) states: &'static States,
    pub(super) reciprocals: &'static Reciprocals,
}

/// Probabilities that learn together.
pub(super) const FEW: usize = 8;

pub(super) trait Kernel: Copy {
    /// `of[at]` will be read or written soon, if it is there.
    #[inline(always)]
    fn prefetch<T>(self, of: &[T], at: usize) {
        let _ = (of, at);
    }

    /// The entry with a check among those of a hash, and true; or the one with the least length, the
    /// lower byte, and false.
    #[inline(always)]
    fn find(self, entries: &[u32; WAYS], check: u32) -> (u32, bool) {
        let mut best = u32::MAX;
        for way in 0..WAYS {
            let rank = if entries[way] >> 16 == check { 0 } else { 1 + (entries[way] & 0xff) };
            best = best.min(rank << 2 | way as u32);
        }
        (best & 3, best < 4)
    }

    /// Fills the rows from the contexts' buckets and runs.
    #[inline(always)]
    fn lay(self, layout: &Layout, paths: &Paths, rows: &mut [Row; 8]) {
        for i in 0..CONTEXTS {
            let [zeros, ones] = &paths[layout.paths[i] as usize % 9];
            let [zero, one] = layout.runs[i];
            for node in 1..8 {
                rows[node].0[i] = layout.buckets[i][node] | zeros[node] & zero | ones[node] & one;
            }
        }
    }

    /// Looks the contexts' slots up. The lanes of `row` that no context has are zero.
    /// Returns which of them have seen anything, the first lowest.
    #[inline(always)]
    fn look(self, t: &Lookup, row: &Row, maps: &Maps, extra: &Extra, sight: &mut Sight) -> u32 {
        let mut known = 0;
        for i in 0..CONTEXTS {
            let slot = row.0[i];
            let state = usize::from(slot & 0xff);
            let look = t.states.look[state];
            let seen = maps[i][state].0;
            let logit = if state == 0 { 0 } else { t.maths.stretch[seen as usize >> (32 - STRETCH_BITS)] };
            let fast = i32::from(t.maths.fast[usize::from(slot >> 8)]);
            sight.inputs[i] = logit;
            sight.inputs[LANES + i] = logit & (look >> 16) as i16;
            sight.inputs[2 * LANES + i] = ((fast * (look & 0xffff) as i32) >> 16) as i16;
            known |= u32::from(state != 0) << i;
        }
        for (plane, extra) in sight.inputs.chunks_exact_mut(LANES).zip(extra) {
            plane[CONTEXTS..].copy_from_slice(extra);
        }
        known
    }

    /// The contexts' slots and maps learn the bit that they were looked up for.
    #[inline(always)]
    fn learn(self, t: &Lookup, row: &mut Row, maps: &mut Maps, _: &Sight, bit: bool, limit: u32) {
        for i in 0..CONTEXTS {
            let slot = row.0[i];
            maps[i][usize::from(slot & 0xff)].learn(bit, limit, t.reciprocals);
            row.0[i] = memory::learn(slot, bit, t.states);
        }
    }

    /// Probabilities learn a bit, by these shares of 256 and up to these limits.
    #[inline(always)]
    fn learn_few(self, t: &Lookup, few: [u32; FEW], shares: [i32; FEW], limits: &[u32; FEW], bit: bool) -> [u32; FEW] {
        let mut few = few.map(Adaptive);
        for i in 0..FEW {
            few[i].learn_share(bit, shares[i], limits[i], t.reciprocals);
        }
        few.map(|p| p.0)
    }

    /// The logits of the sets, within the bound.
    #[inline(always)]
    fn mix(self, sets: [&Set; SETS], inputs: &[i16; INPUTS]) -> [i16; SETS] {
        let mut logits = [0; SETS];
        for k in 0..SETS {
            logits[k] = sets[k].dot(inputs).clamp(-BOUND, BOUND) as i16;
        }
        logits
    }

    /// Adds `inputs * step` to the weights of each set.
    #[inline(always)]
    fn train(self, sets: [&mut Set; SETS], inputs: &[i16; INPUTS], steps: [i16; SETS]) {
        for (set, step) in sets.into_iter().zip(steps) {
            set.learn(inputs, step);
        }
    }

    /// The weighted sum of the sets' logits.
    #[inline(always)]
    fn dot(self, weights: &Weights<SETS>, logits: &[i16; SETS]) -> i32 {
        weights.dot(logits)
    }
}

/// The reference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

impl Kernel for Portable {}

#[cfg(test)]
mod tests;
