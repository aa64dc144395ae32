//! Quantising a column (spec/numerics.md §5.1).
#![allow(unsafe_code)]

use super::columns::{Column, Field};
use super::kind::BLOCK;
use crate::exact::KernelSet;

/// 1.5 * 2^23: added to a value below 2^22 in magnitude, it leaves `round_half_even` of the value in
/// the low bits of the sum. Unlike a call of a rounding function, this is the same everywhere and
/// stays in vector registers.
const ROUND: f32 = 12_582_912.0;

/// Largest magnitude of a quant.
const MOST: f32 = 127.0;

/// What is done with the 32 values of a block.
///
/// # Safety
/// Methods want the instructions of their set, 32 values at `block` and room for 32 quants at `to`.
trait Block {
    /// The largest magnitude, as bits: found on them it does not depend on order, nor on which NaN it is.
    unsafe fn largest(block: *const f32) -> u32;
    /// Writes `round_half_even(x * inverse)`, at most 127 in magnitude; returns the sums of the first 16 quants
    /// and of all. A product that is no number (zero times infinity) counts as -127.
    unsafe fn quants(block: *const f32, inverse: f32, to: *mut i8) -> (i32, i32);
}

/// Quantises `values` into a column.
///
/// # Safety
/// The processor runs `set`; `to` is a column of as many blocks as `values` has, unshared.
pub(super) unsafe fn quantize(set: KernelSet, values: &[f32], to: Column) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
    unsafe fn avx512(values: &[f32], to: Column) {
        // SAFETY: passed on.
        unsafe { blocks::<x86::Avx512>(values, to) }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2(values: &[f32], to: Column) {
        // SAFETY: passed on.
        unsafe { blocks::<x86::Avx2>(values, to) }
    }
    // SAFETY: the caller's.
    unsafe {
        match set {
            #[cfg(target_arch = "x86_64")]
            KernelSet::Avx512Vnni | KernelSet::Avx512 => avx512(values, to),
            #[cfg(target_arch = "x86_64")]
            KernelSet::Avx2 => avx2(values, to),
            _ => blocks::<Plain>(values, to),
        }
    }
}

/// For each block `scale = amax / 127` and quants `round_half_even(x * (127 / amax))` (the quotient may be
/// infinite). A block of zeros has scale 0; one that is not finite has scale NaN; the quants of both are 0.
#[inline(always)]
unsafe fn blocks<B: Block>(values: &[f32], to: Column) {
    for (b, block) in values.chunks_exact(BLOCK).enumerate() {
        // SAFETY: block `b` of the values and of the column.
        unsafe {
            let amax = f32::from_bits(B::largest(block.as_ptr()));
            let quants = to.quants.add(b * to.stride()).cast::<i8>();
            let (scale, half, sum) = if amax > 0.0 && amax < f32::INFINITY {
                let (half, sum) = B::quants(block.as_ptr(), MOST / amax, quants);
                (amax / MOST, half, sum)
            } else {
                quants.write_bytes(0, BLOCK);
                (if amax == 0.0 { 0.0 } else { f32::NAN }, 0, 0)
            };
            let fields = to.fields.add(b * to.stride());
            fields.add(to.offset(Field::Scale)).cast::<f32>().write(scale);
            fields.add(to.offset(Field::Sum)).cast::<f32>().write(sum as f32 * scale);
            fields.add(to.offset(Field::Negated)).cast::<i32>().write(-sum);
            fields.add(to.offset(Field::NegatedHalf)).cast::<i32>().write(-half);
        }
    }
}

/// The reference.
struct Plain;

impl Block for Plain {
    #[inline(always)]
    unsafe fn largest(block: *const f32) -> u32 {
        // SAFETY: the caller's.
        let block = unsafe { block.cast::<[f32; BLOCK]>().read_unaligned() };
        block.iter().fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff))
    }

    #[inline(always)]
    unsafe fn quants(block: *const f32, inverse: f32, to: *mut i8) -> (i32, i32) {
        // SAFETY: the caller's.
        let block = unsafe { block.cast::<[f32; BLOCK]>().read_unaligned() };
        let mut sums = [0; 2];
        for (i, x) in block.into_iter().enumerate() {
            let scaled = x * inverse;
            let above = if scaled >= -MOST { scaled } else { -MOST };
            let bounded = if above > MOST { MOST } else { above };
            let quant = (bounded + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
            sums[i / 16] += quant;
            // SAFETY: the caller's.
            unsafe { *to.add(i) = quant as i8 }
        }
        (sums[0], sums[0] + sums[1])
    }
}

/// Registers of x86-64. The instructions are enabled in the functions that the methods are inlined into.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Block, MOST, ROUND};

    pub(super) struct Avx512;
    pub(super) struct Avx2;

    const MAGNITUDE: i32 = 0x7fff_ffff;

    /// Sum of 16 signed bytes.
    #[inline(always)]
    unsafe fn sum(bytes: __m128i) -> i32 {
        // SAFETY: SSE2.
        unsafe {
            let sums = _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8(i8::MIN)), _mm_setzero_si128());
            _mm_cvtsi128_si32(sums) + _mm_extract_epi16::<4>(sums) - 16 * 128
        }
    }

    /// 16 quants.
    #[inline(always)]
    unsafe fn half(block: *const f32, inverse: f32) -> __m128i {
        // SAFETY: the caller's.
        unsafe {
            // The second operand is taken where the first is no number.
            let scaled = _mm512_mul_ps(_mm512_loadu_ps(block), _mm512_set1_ps(inverse));
            let above = _mm512_max_ps(scaled, _mm512_set1_ps(-MOST));
            let bounded = _mm512_min_ps(above, _mm512_set1_ps(MOST));
            let rounded = _mm512_castps_si512(_mm512_add_ps(bounded, _mm512_set1_ps(ROUND)));
            _mm512_cvtepi32_epi8(_mm512_sub_epi32(rounded, _mm512_set1_epi32(ROUND.to_bits() as i32)))
        }
    }

    impl Block for Avx512 {
        #[inline(always)]
        unsafe fn largest(block: *const f32) -> u32 {
            // SAFETY: the caller's.
            unsafe {
                let sign = _mm512_set1_epi32(MAGNITUDE);
                let a = _mm512_and_si512(_mm512_loadu_si512(block.cast()), sign);
                let b = _mm512_and_si512(_mm512_loadu_si512(block.add(16).cast()), sign);
                _mm512_reduce_max_epu32(_mm512_max_epu32(a, b))
            }
        }

        #[inline(always)]
        unsafe fn quants(block: *const f32, inverse: f32, to: *mut i8) -> (i32, i32) {
            // SAFETY: the caller's.
            unsafe {
                let (first, second) = (half(block, inverse), half(block.add(16), inverse));
                _mm_storeu_si128(to.cast(), first);
                _mm_storeu_si128(to.add(16).cast(), second);
                (sum(first), sum(first) + sum(second))
            }
        }
    }

    impl Block for Avx2 {
        #[inline(always)]
        unsafe fn largest(block: *const f32) -> u32 {
            // SAFETY: the caller's.
            unsafe {
                let mut most = _mm256_setzero_si256();
                for at in (0..32).step_by(8) {
                    let magnitude =
                        _mm256_and_si256(_mm256_loadu_si256(block.add(at).cast()), _mm256_set1_epi32(MAGNITUDE));
                    most = _mm256_max_epu32(most, magnitude);
                }
                let four = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256::<1>(most));
                let two = _mm_max_epu32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
                let one = _mm_max_epu32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
                _mm_cvtsi128_si32(one) as u32
            }
        }

        #[inline(always)]
        unsafe fn quants(block: *const f32, inverse: f32, to: *mut i8) -> (i32, i32) {
            // SAFETY: the caller's.
            unsafe {
                let mut parts = [_mm256_setzero_si256(); 4];
                let mut at = 0;
                while at < 4 {
                    // The second operand is taken where the first is no number.
                    let scaled = _mm256_mul_ps(_mm256_loadu_ps(block.add(8 * at)), _mm256_set1_ps(inverse));
                    let above = _mm256_max_ps(scaled, _mm256_set1_ps(-MOST));
                    let bounded = _mm256_min_ps(above, _mm256_set1_ps(MOST));
                    let rounded = _mm256_castps_si256(_mm256_add_ps(bounded, _mm256_set1_ps(ROUND)));
                    parts[at] = _mm256_sub_epi32(rounded, _mm256_set1_epi32(ROUND.to_bits() as i32));
                    at += 1;
                }
                let pairs = (_mm256_packs_epi32(parts[0], parts[1]), _mm256_packs_epi32(parts[2], parts[3]));
                let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
                let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(pairs.0, pairs.1), order);
                _mm256_storeu_si256(to.cast(), bytes);
                let first = sum(_mm256_castsi256_si128(bytes));
                (first, first + sum(_mm256_extracti128_si256::<1>(bytes)))
            }
        }
    }
}
