//! Attention of one token's query heads over the cells that it sees (spec/numerics.md §6).

use super::KernelSet;
use super::pack::f16_to_f32;
#[cfg(target_arch = "x86_64")]
use super::wide;

/// Partial sums of a dot product, added in a fixed tree at its end.
pub(super) const LANES: usize = 16;

/// Largest head dimension.
pub const MAX_HEAD: usize = 256;

/// The query heads of one token that share a key head, and where its keys and values are.
pub struct Queries<'a> {
    /// Query heads, `head` floats each.
    pub queries: &'a [&'a [f32]],
    /// What a dot product is multiplied by.
    pub scale: f32,
    /// Values in a head: a multiple of 16, at most [`MAX_HEAD`].
    pub head: usize,
}

/// Keys and values in binary16, by cell.
pub trait Cells {
    /// The cells that the token sees, ascending, with what is added to their scores.
    fn visible(&self) -> &[(usize, f32)];
    /// The key of a cell, `head` values.
    fn key(&self, cell: usize) -> &[u16];
    /// The value of a cell, `head` values.
    fn value(&self, cell: usize) -> &[u16];
}

/// Memory that is used again from token to token.
#[derive(Default)]
pub struct Scratch {
    /// Scores, then weights: one row of `visible` floats for each query head.
    weights: Vec<f32>,
    /// Sum of each row.
    totals: Vec<f32>,
}

/// Attends. `out` gets `head` floats for each query head; zeros where no cell is visible.
///
/// # Panics
/// Where a length is not `head`.
pub fn attend(set: KernelSet, queries: &Queries<'_>, cells: &impl Cells, scratch: &mut Scratch, out: &mut [f32]) {
    assert!(queries.head.is_multiple_of(LANES) && queries.head <= MAX_HEAD);
    assert_eq!(out.len(), queries.queries.len() * queries.head);
    match set {
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx512Vnni if set.available() => wide::avx512(queries, cells, scratch, out),
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx2 if set.available() => wide::avx2(queries, cells, scratch, out),
        _ => steps::<[f32; LANES]>(queries, cells, scratch, out),
    }
}

/// 16 lanes of binary32, and the operations that attention takes. All implementations round alike.
pub(super) trait Vector: Copy {
    /// All lanes `x`.
    fn splat(x: f32) -> Self;
    /// The first 16 values of `from`.
    fn load(from: &[f32]) -> Self;
    /// The first 16 values of `from`, widened exactly.
    fn widen(from: &[u16]) -> Self;
    /// Writes the first 16 values of `to`.
    fn store(self, to: &mut [f32]);
    /// `self * b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    /// Adds halves onto halves: lane `l` gets lane `l + n`, for n = 8, 4, 2, 1.
    fn tree(self) -> f32;
}

impl Vector for [f32; LANES] {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        [x; LANES]
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        std::array::from_fn(|l| from[l])
    }

    #[inline(always)]
    fn widen(from: &[u16]) -> Self {
        std::array::from_fn(|l| f16_to_f32(from[l]))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        to[..LANES].copy_from_slice(&self);
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|l| self[l].mul_add(b[l], c[l]))
    }

    #[inline(always)]
    fn tree(mut self) -> f32 {
        let mut n = LANES / 2;
        while n > 0 {
            for l in 0..n {
                self[l] += self[l + n];
            }
            n /= 2;
        }
        self[0]
    }
}

/// The steps of the specification, compiled once for each kernel set.
#[inline(always)]
pub(super) fn steps<V: Vector>(queries: &Queries<'_>, cells: &impl Cells, scratch: &mut Scratch, out: &mut [f32]) {
    let (head, visible) = (queries.head, cells.visible());
    let heads = queries.queries.len();
    // Rows of weights are padded with scores that weigh nothing.
    let stride = visible.len().next_multiple_of(LANES);
    scratch.weights.clear();
    scratch.weights.resize(heads * stride, f32::NEG_INFINITY);
    scratch.totals.clear();
    let mut row = [0f32; MAX_HEAD];
    for (i, &(cell, bias)) in visible.iter().enumerate() {
        widen::<V>(&cells.key(cell)[..head], &mut row);
        for h in 0..heads {
            let query = &queries.queries[h][..head];
            let mut sums = V::splat(0.0);
            let mut at = 0;
            while at < head {
                sums = V::load(&query[at..]).fma(V::load(&row[at..]), sums);
                at += LANES;
            }
            scratch.weights[h * stride + i] = sums.tree() * queries.scale + bias;
        }
    }
    for h in 0..heads {
        let total = weigh(&mut scratch.weights[h * stride..(h + 1) * stride]);
        scratch.totals.push(total.tree());
    }
    out.fill(0.0);
    for (i, &(cell, _)) in visible.iter().enumerate() {
        widen::<V>(&cells.value(cell)[..head], &mut row);
        for h in 0..heads {
            let weight = V::splat(scratch.weights[h * stride + i]);
            let out = &mut out[h * head..(h + 1) * head];
            let mut at = 0;
            while at < head {
                weight.fma(V::load(&row[at..]), V::load(&out[at..])).store(&mut out[at..]);
                at += LANES;
            }
        }
    }
    if !visible.is_empty() {
        for h in 0..heads {
            for x in &mut out[h * head..(h + 1) * head] {
                *x /= scratch.totals[h];
            }
        }
    }
}

#[inline(always)]
fn widen<V: Vector>(from: &[u16], to: &mut [f32; MAX_HEAD]) {
    let mut at = 0;
    while at < from.len() {
        V::widen(&from[at..]).store(&mut to[at..]);
        at += LANES;
    }
}

/// Turns scores, a multiple of 16 of them, into their exponentials relative to the largest; returns 16
/// partial sums.
#[inline(always)]
fn weigh(scores: &mut [f32]) -> [f32; LANES] {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let mut at = 0;
    while at < scores.len() {
        for l in 0..LANES {
            let s = scores[at + l];
            largest[l] = if s > largest[l] { s } else { largest[l] };
        }
        at += LANES;
    }
    let mut most = f32::NEG_INFINITY;
    for lane in largest {
        most = if lane > most { lane } else { most };
    }
    let mut sums = [0f32; LANES];
    let mut at = 0;
    while at < scores.len() {
        let part = &mut scores[at..at + LANES];
        for l in 0..LANES {
            part[l] = exp(part[l] - most);
            sums[l] += part[l];
        }
        at += LANES;
    }
    sums
}

/// e^x for x <= 0, within 3e-7 of it; 0 below -87 and where `x` is no number.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LOG2E: f32 = std::f32::consts::LOG2_E;
    // 1.5 * 2^23: adding it rounds to an integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let inside = x >= -87.0;
    let t = if inside { x } else { 0.0 } * LOG2E;
    let shifted = t + ROUND;
    let f = t - (shifted - ROUND);
    // 2^f on -1/2..=1/2: the Taylor series of e^(f ln 2) up to the sixth power.
    let mut p = 1.540_353_e-4f32;
    p = p * f + 1.333_355_8e-3;
    p = p * f + 9.618_129e-3;
    p = p * f + 5.550_411e-2;
    p = p * f + 2.402_265e-1;
    p = p * f + 6.931_472e-1;
    p = p * f + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if inside { p * scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Plain {
        visible: Vec<(usize, f32)>,
        keys: Vec<u16>,
        values: Vec<u16>,
        head: usize,
    }

    impl Cells for Plain {
        fn visible(&self) -> &[(usize, f32)] {
            &self.visible
        }
        fn key(&self, cell: usize) -> &[u16] {
            &self.keys[cell * self.head..(cell + 1) * self.head]
        }
        fn value(&self, cell: usize) -> &[u16] {
            &self.values[cell * self.head..(cell + 1) * self.head]
        }
    }

    /// Halves of magnitude below 2, denormals included.
    fn half() -> impl Strategy<Value = u16> {
        (0u16..0x4000, any::<bool>()).prop_map(|(bits, sign)| bits | u16::from(sign) << 15)
    }

    fn run(set: KernelSet, queries: &[f32], cells: &Plain) -> Vec<f32> {
        let heads: Vec<&[f32]> = queries.chunks_exact(cells.head).collect();
        let mut out = vec![f32::NAN; queries.len()];
        let queries = Queries { queries: &heads, scale: 0.125, head: cells.head };
        attend(set, &queries, cells, &mut Scratch::default(), &mut out);
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn all_kernel_sets_agree_and_are_near_the_exact_value(
            blocks in 1usize..5, heads in 1usize..6,
            data in (0usize..40).prop_flat_map(|cells| (
                Just(cells),
                prop::collection::vec(half(), cells * 64),
                prop::collection::vec(half(), cells * 64),
                prop::collection::vec(any::<bool>(), cells),
            )),
            raw in prop::collection::vec(-3.0f32..3.0, 5 * 64),
        ) {
            let head = blocks * LANES;
            let (count, keys, values, seen) = data;
            let visible = (0..count).filter(|&i| seen[i]).map(|i| (i, 0.0)).collect();
            let cells = Plain { visible, keys, values, head };
            let queries = &raw[..heads * head];
            let reference = run(KernelSet::Scalar, queries, &cells);
            for set in [KernelSet::Avx2, KernelSet::Avx512Vnni].into_iter().filter(|set| set.available()) {
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&run(set, queries, &cells)), bits(&reference));
            }
            let wide = |halves: &[u16]| halves.iter().map(|&x| f64::from(f16_to_f32(x))).collect::<Vec<_>>();
            for (h, query) in queries.chunks_exact(head).enumerate() {
                let scores: Vec<f64> = cells.visible.iter().map(|&(cell, _)| {
                    0.125 * query.iter().zip(wide(cells.key(cell))).map(|(&q, k)| f64::from(q) * k).sum::<f64>()
                }).collect();
                let total: f64 = scores.iter().map(|s| s.exp()).sum();
                for d in 0..head {
                    let exact: f64 = cells.visible.iter().zip(&scores)
                        .map(|(&(cell, _), s)| s.exp() / total * wide(cells.value(cell))[d]).sum();
                    let found = f64::from(reference[h * head + d]);
                    if !cells.visible.is_empty() {
                        prop_assert!((found - exact).abs() < 1e-4, "{found} {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_exponential_is_near_and_ends_at_zero() {
        for i in 0..87_000 {
            let x = -(i as f32) / 1000.0;
            let (found, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / exact - 1.0).abs() < 3e-7 + f64::from(-x) * 1e-7, "{x}: {found} {exact}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!([exp(-88.0), exp(f32::NEG_INFINITY), exp(f32::NAN)], [0.0; 3]);
    }
}
