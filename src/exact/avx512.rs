//! AVX-512 with VNNI: 16 outputs a vector, 8 columns a tile.
#![allow(unsafe_code)]
// A column's number indexes several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::{
    __m512, __m512i, _mm512_add_epi32, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_storeu_ps,
};
use std::ops::Range;

use super::pack::{BLOCK, GROUP};
use super::{Activations, Output, PackedQ8};

/// Columns that share one load of the weights.
const TILE: usize = 8;

pub(super) fn matmul(weights: &PackedQ8, columns: &Activations, groups: Range<usize>, out: &mut Output<'_>) {
    for group in groups {
        let mut column = 0;
        while column < columns.count() {
            let n = TILE.min(columns.count() - column);
            let mut sums = [[0f32; GROUP]; TILE];
            // SAFETY: the caller has checked that the processor has AVX-512 F, BW and VNNI.
            unsafe {
                match n {
                    8 => tile::<8>(weights, columns, group, column, &mut sums),
                    7 => tile::<7>(weights, columns, group, column, &mut sums),
                    6 => tile::<6>(weights, columns, group, column, &mut sums),
                    5 => tile::<5>(weights, columns, group, column, &mut sums),
                    4 => tile::<4>(weights, columns, group, column, &mut sums),
                    3 => tile::<3>(weights, columns, group, column, &mut sums),
                    2 => tile::<2>(weights, columns, group, column, &mut sums),
                    _ => tile::<1>(weights, columns, group, column, &mut sums),
                }
            }
            for (c, sums) in sums[..n].iter().enumerate() {
                out.store(column + c, group * GROUP, weights.outputs(), sums);
            }
            column += n;
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn tile<const N: usize>(
    weights: &PackedQ8,
    columns: &Activations,
    group: usize,
    column: usize,
    out: &mut [[f32; GROUP]; TILE],
) {
    let blocks = weights.blocks();
    let cells = group * blocks..(group + 1) * blocks;
    let (quants, scales, offsets) =
        (&weights.quants[cells.clone()], &weights.scales[cells.clone()], &weights.offsets[cells]);
    // Slices of exactly the columns of this tile: the reads below stay inside them.
    let a_quants = &columns.quants[column * blocks * BLOCK..(column + N) * blocks * BLOCK];
    let a_scales = &columns.scales[column * blocks..(column + N) * blocks];
    let mut sums: [__m512; N] = [_mm512_setzero_ps(); N];
    for b in 0..blocks {
        // Two chains of sums: one alone would wait for the latency of each step.
        let mut dots: [__m512i; N] = [load_i32(&offsets[b]); N];
        let mut others: [__m512i; N] = [_mm512_setzero_si512(); N];
        for quad in 0..BLOCK / 8 {
            let w = load_i8(&quants[b], 2 * quad);
            let v = load_i8(&quants[b], 2 * quad + 1);
            for c in 0..N {
                let at = (c * blocks + b) * BLOCK + quad * 8;
                let bytes: &[u8; 8] = a_quants[at..at + 8].try_into().unwrap_or(&[0; 8]);
                let pair = u64::from_le_bytes(*bytes);
                dots[c] = _mm512_dpbusd_epi32(dots[c], _mm512_set1_epi32(pair as i32), w);
                others[c] = _mm512_dpbusd_epi32(others[c], _mm512_set1_epi32((pair >> 32) as i32), v);
            }
        }
        // SAFETY: 16 floats.
        let scale = unsafe { _mm512_loadu_ps(scales[b].as_ptr()) };
        for c in 0..N {
            let dot = _mm512_cvtepi32_ps(_mm512_add_epi32(dots[c], others[c]));
            let factor = _mm512_mul_ps(scale, _mm512_set1_ps(a_scales[c * blocks + b]));
            sums[c] = _mm512_fmadd_ps(dot, factor, sums[c]);
        }
    }
    for (row, sum) in out.iter_mut().zip(sums) {
        // SAFETY: 16 floats.
        unsafe { _mm512_storeu_ps(row.as_mut_ptr(), sum) }
    }
}

#[target_feature(enable = "avx512f")]
fn load_i32(from: &[i32; GROUP]) -> __m512i {
    // SAFETY: 64 bytes.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// The 4 inputs number `quad` of all 16 outputs.
#[target_feature(enable = "avx512f")]
fn load_i8(from: &[i8; GROUP * BLOCK], quad: usize) -> __m512i {
    let from: &[i8] = &from[quad * 4 * GROUP..(quad + 1) * 4 * GROUP];
    // SAFETY: 64 bytes.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}
