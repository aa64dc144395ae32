//! Weighted least squares in integers: the weights that would have predicted what came of late best
//! (spec/mix-codec.md §4.8).

/// Samples between two solutions.
const BLOCK: u32 = 16;

/// Fraction of the sums, so that what is forgotten of small ones is not all, bits.
const FRACTION: u32 = 8;

/// Bits that the largest sum is brought to.
const TOP: i32 = 44;
/// The fraction of the factors and of weights while they are solved for, bits.
const FINE: u32 = 44;
/// What is added to the diagonal, about 2^-26 of its largest, and the least that pivots may be.
const RIDGE: i64 = 1 << 17;
/// Bounds of what is left of sums, and of factors.
const MOST_LEFT: i128 = 1 << 46;
const MOST_FACTOR: i128 = 1 << 60;

/// Fraction of weights, bits.
pub(super) const ONE: u32 = 20;
/// Bound of weights.
const MOST: i128 = 1 << 54;

/// Predicts a number from `N` others, linearly.
#[derive(Clone)]
pub(super) struct Squares<const N: usize> {
    /// Sums of products: the lower triangle's rows, the last one with what was predicted.
    sums: Vec<[i64; N]>,
    pub(super) weights: [i32; N],
    /// The share of the sums that is forgotten after a block, as a power of two.
    forget: u32,
    /// Samples of the block.
    count: u32,
}

impl<const N: usize> Squares<N> {
    /// Repeats input number `first` until more is known.
    pub(super) fn new(forget: u32, first: usize) -> Self {
        let mut weights = [0; N];
        if let Some(weight) = weights.get_mut(first) {
            *weight = 1 << ONE;
        }
        Self { sums: vec![[0; N]; N + 1], weights, forget, count: 0 }
    }

    /// The prediction from the first `N` of `x`, in 16ths. Inputs have 16 bits.
    pub(super) fn predict(&self, x: &[i32]) -> i64 {
        let sum: i64 = self.weights.iter().zip(x).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
        sum >> (ONE - 4)
    }

    /// `y` is what was to be predicted from `x`.
    pub(super) fn learn(&mut self, x: &[i32], y: i32) {
        let factors = x[..N].iter().chain([&y]);
        for (i, (row, &factor)) in self.sums.iter_mut().zip(factors).enumerate() {
            for (sum, &x) in row[..N.min(i + 1)].iter_mut().zip(x) {
                *sum += (i64::from(factor) * i64::from(x)) << FRACTION;
            }
        }
        self.count += 1;
        if self.count == BLOCK {
            self.count = 0;
            self.solve();
            for sum in self.sums.as_flattened_mut() {
                *sum -= *sum >> self.forget;
            }
        }
    }

    /// Finds the weights of the least squares.
    ///
    /// Factors the matrix of the sums into `L D L'`. The row of what was predicted takes part, so its factors
    /// are `L'` times the weights.
    fn solve(&mut self) {
        let top = (0..N).map(|i| self.sums[i][i]).max().unwrap_or(0);
        if top <= 0 {
            return;
        }
        let shift = TOP - 1 - top.ilog2() as i32;
        let scaled = |sum: i64| {
            let sum = if shift >= 0 { i128::from(sum) << shift } else { i128::from(sum >> -shift) };
            sum.clamp(-MOST_LEFT, MOST_LEFT)
        };
        // What is left of each sum, and that over its column's pivot.
        let mut left = vec![[0i64; N]; N + 1];
        let mut factors = vec![[0i64; N]; N + 1];
        for j in 0..N {
            let mut inverse = 0;
            let mut bits = 0;
            for i in j..=N {
                let done: i128 = (0..j).map(|k| i128::from(factors[i][k]) * i128::from(left[j][k])).sum();
                let ridge = if i == j { RIDGE } else { 0 };
                let rest = (scaled(self.sums[i][j]) + i128::from(ridge) - (done >> FINE)).clamp(-MOST_LEFT, MOST_LEFT);
                if i == j {
                    let pivot = (rest as i64).max(RIDGE);
                    bits = pivot.ilog2() + 1;
                    inverse = ((1u128 << (61 + bits)) / pivot as u128) as i64;
                }
                left[i][j] = rest as i64;
                let factor = (rest * i128::from(inverse)) >> (61 + bits - FINE);
                factors[i][j] = factor.clamp(-MOST_FACTOR, MOST_FACTOR) as i64;
            }
        }
        let mut sums = [0i128; N];
        for i in (0..N).rev() {
            let weight = (i128::from(factors[N][i]) - (sums[i] >> FINE)).clamp(-MOST, MOST);
            for k in 0..i {
                sums[k] += i128::from(factors[i][k]) * weight;
            }
            self.weights[i] = (weight >> (FINE - ONE)) as i32;
        }
    }
}

#[cfg(test)]
mod tests;
