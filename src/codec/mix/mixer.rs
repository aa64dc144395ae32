//! Mixers: logits in, a logit out, by weights that learn (spec/mix-codec.md §8).
//!
//! A weight has 32 bits, `upper * 2^16 + lower`, both signed: the upper 16 take part in the product,
//! the lower 16 keep what single steps are too small to show. So products and updates both run on
//! 16-bit lanes. 1.0 is 2^13.

/// Bits of a weight's fraction, in its upper half.
pub(super) const ONE_BITS: u32 = 13;

/// One set of weights for `N` inputs.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Weights<const N: usize> {
    pub(super) upper: [i16; N],
    pub(super) lower: [i16; N],
}

impl<const N: usize> Weights<N> {
    pub(super) const ZERO: Self = Self { upper: [0; N], lower: [0; N] };

    /// The weighted sum of the inputs, as a logit. Wraps where no useful weights lead.
    #[inline(always)]
    pub(super) fn dot(&self, inputs: &[i16; N]) -> i32 {
        let mut sum = 0i32;
        for i in 0..N {
            sum = sum.wrapping_add(i32::from(self.upper[i]) * i32::from(inputs[i]));
        }
        sum >> ONE_BITS
    }

    /// Adds `inputs * step` to the 32-bit weights; the upper halves saturate.
    #[inline(always)]
    pub(super) fn learn(&mut self, inputs: &[i16; N], step: i16) {
        for i in 0..N {
            let change = i32::from(inputs[i]) * i32::from(step);
            // The lower half of the change counts as unsigned: the sum is less iff it wrapped.
            let (low, high) = (change as i16, (change >> 16) as i16);
            let lower = self.lower[i].wrapping_add(low);
            let carry = i16::from(lower < self.lower[i]);
            self.upper[i] = self.upper[i].saturating_add(high + carry);
            self.lower[i] = lower;
        }
    }
}

/// The step of a set whose probability was `error` (of 65536) too low, at a rate in 2^-21.
#[inline(always)]
pub(super) fn step(error: i32, rate: i32) -> i16 {
    ((error * rate + (1 << 15)) >> 16).clamp(-32767, 32767) as i16
}

#[cfg(test)]
mod tests;
