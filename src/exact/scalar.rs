//! The reference kernel: the specification in Rust.

use std::ops::Range;

use super::pack::{BLOCK, GROUP};
use super::{Activations, Output, PackedQ8};

pub(super) fn matmul(weights: &PackedQ8, columns: &Activations, groups: Range<usize>, out: &mut Output<'_>) {
    let blocks = weights.blocks();
    for group in groups {
        for column in 0..columns.count() {
            let mut sums = [0f32; GROUP];
            for b in 0..blocks {
                let cell = group * blocks + b;
                let at = column * blocks + b;
                let quants = &columns.quants[at * BLOCK..(at + 1) * BLOCK];
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let products = quants.iter().enumerate().map(|(i, &a)| {
                        let w = weights.quants[cell][i / 4 * (4 * GROUP) + lane * 4 + i % 4];
                        i32::from(w) * (i32::from(a) - 128)
                    });
                    let dot: i32 = products.sum();
                    *sum = (dot as f32).mul_add(weights.scales[cell][lane] * columns.scales[at], *sum);
                }
            }
            out.store(column, group * GROUP, weights.outputs(), &sums);
        }
    }
}
