//! Normalised least mean squares in integers: what a better predictor has left, predicted from what it left
//! before (spec/mix-codec.md §4.9).

/// Fraction of weights, bits.
const ONE: u32 = 20;
/// Bound of weights.
const MOST: i64 = 1 << 23;
/// Bound of numbers and predictions: samples of 16 bits in 16ths.
const LARGEST: i32 = 1 << 19;
/// What is added to the energy of the numbers before, so that silence does not teach.
const QUIET: i64 = 1 << 13;

/// Predicts a number from the `N` before it.
#[derive(Clone)]
pub(super) struct Lms<const N: usize> {
    weights: [i32; N],
    /// The newest first.
    before: [i32; N],
    /// The learning rate, as a power of two.
    rate: u32,
    pub(super) prediction: i32,
}

impl<const N: usize> Lms<N> {
    pub(super) fn new(rate: u32) -> Self {
        Self { weights: [0; N], before: [0; N], rate, prediction: 0 }
    }

    /// Learns what came, and predicts the next one. Gives what it had left of this.
    pub(super) fn next(&mut self, value: i32) -> i32 {
        let value = value.clamp(-LARGEST, LARGEST);
        let error = value - self.prediction;
        let energy: i64 = self.before.iter().map(|&x| i64::from(x) * i64::from(x)).sum();
        let step = (i64::from(error) << self.rate) / (energy + QUIET);
        for (weight, &x) in self.weights.iter_mut().zip(&self.before) {
            *weight = (i64::from(*weight) + ((step * i64::from(x)) >> 12)).clamp(-MOST, MOST) as i32;
        }
        self.before.copy_within(..N - 1, 1);
        self.before[0] = value;
        let sum: i64 = self.weights.iter().zip(&self.before).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
        self.prediction = (sum >> ONE).clamp(-i64::from(LARGEST), i64::from(LARGEST)) as i32;
        error
    }
}

#[cfg(test)]
mod tests;
