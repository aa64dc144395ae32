//! Logits to [`Cdf`]: the one place where floats become integers (spec/numerics.md §2).
//!
//! Every operation is an IEEE 754 binary32 operation that is correctly rounded everywhere, in a
//! stated order, without fused multiply-adds and without a maths library; so equal logits give
//! equal weights on every machine. The vector versions are this very code, compiled for wider
//! registers.

use crate::entropy::Cdf;

#[cfg(target_arch = "x86_64")]
mod x86;

/// Bits of the weight of the likeliest token: its weight is `2^28 + 1`. A vocabulary of up to
/// 2^20 tokens keeps the total below [`crate::entropy::MAX_TOTAL`] whatever the logits.
pub const SCALE_BITS: u32 = 28;

/// Weight of the escape symbol. Vocabularies that lack a byte pay about 16 bits for it, all others
/// lose 2^-16 of the probability at most.
pub const ESCAPE_WEIGHT: u32 = 1 << 12;

/// 1.5 * 2^23: the last bit of a number near it counts 1.
const ROUND: f32 = 12_582_912.0;

/// log2(e), rounded to binary32: 0x1.715476p+0.
const LOG2_E: f32 = f32::from_bits(0x3fb8_aa3b);

/// Differences from the largest logit below this all give weight 1: `2^28 * exp(-40)` is below 1.
const LOWEST: f32 = -40.0;

/// 2^f on [0, 1] as a polynomial: exactly 1 at 0 and 2 at 1, within 1.8e-7 (relative) between.
/// `POLY[i]` is the coefficient of `f^i`.
const POLY: [f32; 6] = [
    f32::from_bits(0x3f80_0000), // 0x1.000000p+0
    f32::from_bits(0x3f31_7264), // 0x1.62e4c8p-1
    f32::from_bits(0x3e75_ec53), // 0x1.ebd8a6p-3
    f32::from_bits(0x3d64_a1f7), // 0x1.c943eep-5
    f32::from_bits(0x3c13_4fc3), // 0x1.269f86p-7
    f32::from_bits(0x3af6_50cf), // 0x1.eca19ep-10
];

/// Turns logits into a distribution over `logits.len() + 1` symbols: the tokens, then the escape.
/// Tokens that `codable` denies get weight 0; a logit that is NaN counts as minus infinity. Exact on
/// every machine: see spec/numerics.md §2. `out` keeps its memory.
///
/// # Errors
/// The reason, where the logits leave no distribution: the slices differ in length, no codable
/// logit is finite, or one is plus infinity.
pub fn quantize(logits: &[f32], codable: &[bool], out: &mut Cdf) -> Result<(), &'static str> {
    quantize_with(Kernel::best(), logits, codable, out)
}

/// What each version of the loops that this machine runs makes of the logits, with the version's
/// name: all are equal to what [`quantize`] gives. For tests of just that.
#[must_use]
pub fn quantize_by_each(logits: &[f32], codable: &[bool]) -> Vec<(String, Result<Cdf, &'static str>)> {
    let by = |&kernel: &Kernel| {
        let mut cdf = Cdf::default();
        (format!("{kernel:?}"), quantize_with(kernel, logits, codable, &mut cdf).map(|()| cdf))
    };
    Kernel::all().iter().map(by).collect()
}

fn quantize_with(kernel: Kernel, logits: &[f32], codable: &[bool], out: &mut Cdf) -> Result<(), &'static str> {
    if logits.len() != codable.len() {
        return Err("the number of logits is not the vocabulary's size");
    }
    let max = kernel.largest(logits, codable);
    if max == f32::INFINITY {
        return Err("a logit is infinite");
    }
    if max == f32::NEG_INFINITY {
        return Err("no logit of a codable token is finite");
    }
    let filled = out.fill(logits.len() + 1, |weights| {
        let (tokens, escape) = weights.split_at_mut(logits.len());
        kernel.weigh(logits, codable, max, tokens);
        escape[0] = ESCAPE_WEIGHT;
    });
    filled.map_err(|_| "the vocabulary is too large")
}

/// A version of the loops; all give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
}

impl Kernel {
    fn best() -> Self {
        *Self::all().last().unwrap_or(&Self::Portable)
    }

    /// Those that this machine runs, slowest first.
    fn all() -> &'static [Self] {
        static ALL: std::sync::OnceLock<Vec<Kernel>> = std::sync::OnceLock::new();
        ALL.get_or_init(|| {
            #[allow(unused_mut)]
            let mut all = vec![Self::Portable];
            #[cfg(target_arch = "x86_64")]
            {
                all.extend(x86::Avx2::new().map(Self::Avx2));
                all.extend(x86::Avx512::new().map(Self::Avx512));
            }
            all
        })
    }

    fn largest(self, logits: &[f32], codable: &[bool]) -> f32 {
        match self {
            Self::Portable => largest(logits, codable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernel) => kernel.largest(logits, codable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(kernel) => kernel.largest(logits, codable),
        }
    }

    fn weigh(self, logits: &[f32], codable: &[bool], max: f32, out: &mut [u32]) {
        match self {
            Self::Portable => weigh(logits, codable, max, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernel) => kernel.weigh(logits, codable, max, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(kernel) => kernel.weigh(logits, codable, max, out),
        }
    }
}

/// The largest codable logit that is not NaN; minus infinity if there is none. The order of the
/// comparisons does not matter, so they run in 32 lanes.
#[inline(always)]
fn largest(logits: &[f32], codable: &[bool]) -> f32 {
    const LANES: usize = 32;
    let pick = |logit: f32, codable: bool| if codable { logit } else { f32::NEG_INFINITY };
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = logits.as_chunks::<LANES>();
    let (codable_blocks, codable_rest) = codable.as_chunks::<LANES>();
    for (block, codable) in blocks.iter().zip(codable_blocks) {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], pick(block[i], codable[i]));
        }
    }
    let rest = rest.iter().zip(codable_rest).map(|(&logit, &codable)| pick(logit, codable));
    lanes.into_iter().chain(rest).fold(f32::NEG_INFINITY, larger)
}

/// The weights; `max` is finite.
#[inline(always)]
fn weigh(logits: &[f32], codable: &[bool], max: f32, out: &mut [u32]) {
    for ((out, &logit), &codable) in out.iter_mut().zip(logits).zip(codable) {
        *out = weight(logit, max) * u32::from(codable);
    }
}

/// `floor(2^28 * e^(logit - max)) + 1`, within the polynomial's error.
#[inline(always)]
fn weight(logit: f32, max: f32) -> u32 {
    let x = logit - max;
    // False for NaN as well: such a logit counts as minus infinity.
    let x = if x > LOWEST { x } else { LOWEST };
    // Of interest only to tokens that are not codable: all others have x <= 0.
    let x = if x < 0.0 { x } else { 0.0 };
    let t = x * LOG2_E;
    let n = t.floor();
    let f = t - n;
    let mut p = POLY[5];
    for i in (0..5).rev() {
        p *= f;
        p += POLY[i];
    }
    // 1 <= p <= 2: the bits of p less those of 0.5 are p * 2^23, and m is p * 2^28. Adding 1.5 * 2^23
    // to n, -58 <= n <= 0, puts it into the lowest bits. Unlike casts, both run in vectors.
    let m = (p.to_bits() - 0.5f32.to_bits()) << (SCALE_BITS - 23);
    let shift = ROUND.to_bits() - (n + ROUND).to_bits();
    let shift = if shift < 31 { shift } else { 31 };
    (m >> shift) + 1
}

#[cfg(test)]
mod tests;
