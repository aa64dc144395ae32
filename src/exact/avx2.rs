//! AVX2 with FMA: 8 outputs a vector, 4 columns a tile.
#![allow(unsafe_code)]
// A column's number indexes several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::{
    __m256, __m256i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_storeu_ps,
};
use std::ops::Range;

use super::pack::{BLOCK, GROUP};
use super::{Activations, Output, PackedQ8};

/// Columns that share one load of the weights.
const TILE: usize = 4;

/// Outputs in a vector.
const LANES: usize = 8;

pub(super) fn matmul(weights: &PackedQ8, columns: &Activations, groups: Range<usize>, out: &mut Output<'_>) {
    for group in groups {
        let mut column = 0;
        while column < columns.count() {
            let n = TILE.min(columns.count() - column);
            let mut sums = [[0f32; GROUP]; TILE];
            for half in 0..GROUP / LANES {
                // SAFETY: the caller has checked that the processor has AVX2 and FMA.
                unsafe {
                    match n {
                        4 => tile::<4>(weights, columns, group, half, column, &mut sums),
                        3 => tile::<3>(weights, columns, group, half, column, &mut sums),
                        2 => tile::<2>(weights, columns, group, half, column, &mut sums),
                        _ => tile::<1>(weights, columns, group, half, column, &mut sums),
                    }
                }
            }
            for (c, sums) in sums[..n].iter().enumerate() {
                out.store(column + c, group * GROUP, weights.outputs(), sums);
            }
            column += n;
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn tile<const N: usize>(
    weights: &PackedQ8,
    columns: &Activations,
    group: usize,
    half: usize,
    column: usize,
    out: &mut [[f32; GROUP]; TILE],
) {
    let blocks = weights.blocks();
    let cells = group * blocks..(group + 1) * blocks;
    let (quants, scales) = (&weights.quants[cells.clone()], &weights.scales[cells]);
    let a_quants = &columns.quants[column * blocks * BLOCK..(column + N) * blocks * BLOCK];
    let a_scales = &columns.scales[column * blocks..(column + N) * blocks];
    let ones = _mm256_set1_epi16(1);
    let mut sums: [__m256; N] = [_mm256_setzero_ps(); N];
    for b in 0..blocks {
        let mut dots: [__m256i; N] = [_mm256_setzero_si256(); N];
        for quad in 0..BLOCK / 4 {
            let w = load_i8(&quants[b], quad, half);
            let magnitude = _mm256_abs_epi8(w);
            for c in 0..N {
                let at = (c * blocks + b) * BLOCK + quad * 4;
                let bytes: &[u8; 4] = a_quants[at..at + 4].try_into().unwrap_or(&[0x80; 4]);
                // Back to signed: without the offset of 128.
                let a = _mm256_set1_epi32((u32::from_le_bytes(*bytes) ^ 0x8080_8080) as i32);
                // |w| <= 128 and |a| <= 127: a pair's sum is at most 32,512 and does not saturate.
                let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(a, w));
                dots[c] = _mm256_add_epi32(dots[c], _mm256_madd_epi16(pairs, ones));
            }
        }
        // SAFETY: 8 of the 16 floats, `half` being 0 or 1.
        let scale = unsafe { _mm256_loadu_ps(scales[b][half * LANES..].as_ptr()) };
        for c in 0..N {
            let factor = _mm256_mul_ps(scale, _mm256_set1_ps(a_scales[c * blocks + b]));
            sums[c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[c]), factor, sums[c]);
        }
    }
    for (row, sum) in out.iter_mut().zip(sums) {
        let to = &mut row[half * LANES..(half + 1) * LANES];
        // SAFETY: 8 floats.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), sum) }
    }
}

/// The 4 inputs number `quad` of 8 outputs.
#[target_feature(enable = "avx2")]
fn load_i8(from: &[i8; GROUP * BLOCK], quad: usize, half: usize) -> __m256i {
    let from: &[i8] = &from[quad * 4 * GROUP + half * 4 * LANES..][..4 * LANES];
    // SAFETY: 32 bytes.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}
