//! The reference kernel: the specification in Rust.
#![allow(unsafe_code)]

use std::ops::Range;

use super::columns::{Column, Field};
use super::kind::BLOCK;
use super::pack::{GROUP, Layout, Packed};
use super::{Input, Output, Plain, Quantised};

/// Columns for which a block of weights is unpacked once.
const TILE: usize = 16;

pub(super) fn matmul(
    weights: &Packed,
    input: Input<'_>,
    columns: Range<usize>,
    groups: Range<usize>,
    out: &mut Output<'_>,
) {
    for group in groups {
        let used = GROUP.min(weights.outputs() - group * GROUP);
        for first in columns.clone().step_by(TILE) {
            let n = TILE.min(columns.end - first);
            let mut sums = [[0f32; GROUP]; TILE];
            match input {
                Input::Quantised(input) => {
                    quantised(weights.layout(), weights.group(group), input, first, &mut sums[..n]);
                }
                Input::Plain(input) => plain(weights.layout(), weights.group(group), input, first, &mut sums[..n]),
            }
            for (column, sums) in sums[..n].iter().enumerate() {
                out.store(first + column, group * GROUP, &sums[..used]);
            }
        }
    }
}

fn quantised(layout: &Layout, group: &[u8], input: Quantised<'_>, first: usize, sums: &mut [[f32; GROUP]]) {
    let halves = if layout.kind.bits() == 6 { 2 } else { 1 };
    for b in 0..layout.depth / BLOCK {
        let mut quants = [[0i32; BLOCK]; GROUP];
        for (lane, quants) in quants.iter_mut().enumerate() {
            for (i, quant) in quants.iter_mut().enumerate() {
                *quant = layout.quant(group, b, i, lane);
            }
        }
        for (column, sums) in sums.iter_mut().enumerate() {
            let activations = Block::read(input.column(first + column), b);
            for (lane, sum) in sums.iter_mut().enumerate() {
                for half in 0..halves {
                    let run = half * 16..half * 16 + BLOCK / halves;
                    let products = quants[lane][run.clone()].iter().zip(&activations.quants[run]);
                    let dot: i32 = products.map(|(w, &a)| w * i32::from(a)).sum();
                    let (scale, minimum) = layout.scale(group, b, half, lane);
                    *sum = (dot as f32).mul_add(scale * activations.scale, *sum);
                    if let Some(minimum) = minimum {
                        *sum = (-minimum).mul_add(activations.sum, *sum);
                    }
                }
            }
        }
    }
}

fn plain(layout: &Layout, group: &[u8], input: Plain<'_>, first: usize, sums: &mut [[f32; GROUP]]) {
    for k in 0..layout.depth {
        let weights: [f32; GROUP] = std::array::from_fn(|lane| layout.float(group, k, lane));
        for (column, sums) in sums.iter_mut().enumerate() {
            // SAFETY: value `k` of a column of `depth`.
            let x = unsafe { input.column(first + column).add(k).read() };
            for (sum, w) in sums.iter_mut().zip(weights) {
                *sum = w.mul_add(x, *sum);
            }
        }
    }
}

/// One block of a quantised column.
struct Block {
    quants: [i8; BLOCK],
    scale: f32,
    sum: f32,
}

impl Block {
    fn read(column: Column, b: usize) -> Self {
        // SAFETY: block `b` of the column, which holds 32 quants and the fields.
        unsafe {
            let fields = column.fields.add(b * column.stride());
            Self {
                quants: column.quants.add(b * column.stride()).cast::<[i8; BLOCK]>().read(),
                scale: fields.add(column.offset(Field::Scale)).cast::<f32>().read(),
                sum: fields.add(column.offset(Field::Sum)).cast::<f32>().read(),
            }
        }
    }
}
