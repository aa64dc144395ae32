//! Probabilities that learn (spec/mix-codec.md §6).

use std::sync::LazyLock;

/// A probability with 22 bits, above a count of 10: the more bits it has seen, the less it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Adaptive(pub(super) u32);

/// The largest probability.
pub(super) const MOST: i32 = (1 << 22) - 1;

/// Counts that ten bits hold.
pub(super) const COUNTS: usize = 1024;

/// By count: 65536 / (n + 1.5).
pub(super) type Reciprocals = [u16; COUNTS];

pub(super) static RECIPROCALS: LazyLock<Box<Reciprocals>> =
    LazyLock::new(|| Box::new(std::array::from_fn(|n| (131_072 / (2 * n + 3)) as u16)));

impl Adaptive {
    /// A probability of 16 bits that has seen nothing.
    pub(super) fn new(p: u32) -> Self {
        Self(p.min(65535) << 16)
    }

    /// The probability, 16 bits.
    #[inline(always)]
    pub(super) fn p(self) -> i32 {
        (self.0 >> 16) as i32
    }

    /// Moves to `bit` by 1 / (n + 1.5), n being the bits seen up to `limit`.
    #[inline(always)]
    pub(super) fn learn(&mut self, bit: bool, limit: u32, reciprocals: &Reciprocals) {
        let count = self.0 & (COUNTS as u32 - 1);
        let rate = i32::from(reciprocals[count as usize]);
        self.go(bit, rate, count + u32::from(count < limit));
    }

    /// Moves like [`Adaptive::learn`], by `share` of 256 of the way, and counts from 76 on.
    #[inline(always)]
    pub(super) fn learn_share(&mut self, bit: bool, share: i32, limit: u32, reciprocals: &Reciprocals) {
        let count = self.0 & (COUNTS as u32 - 1);
        let rate = (i32::from(reciprocals[count as usize]) * share) >> 8;
        self.go(bit, rate, count + u32::from(count < limit && share > 76));
    }

    /// Goes `rate` of 65536 of the way. The way is taken in 15 bits, so that 32 hold the product.
    #[inline(always)]
    fn go(&mut self, bit: bool, rate: i32, count: u32) {
        let p = (self.0 >> 10) as i32;
        let target = if bit { MOST } else { 0 };
        let moved = (p + ((((target - p + 64) >> 7) * rate) >> 9)).clamp(0, MOST);
        self.0 = (moved as u32) << 10 | count;
    }

    /// The bits that it has seen, as far as it counts.
    pub(super) fn count(self) -> u32 {
        self.0 & (COUNTS as u32 - 1)
    }
}

#[cfg(test)]
mod tests;
