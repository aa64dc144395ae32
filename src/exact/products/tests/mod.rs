//! The products against each other and against a direct reading of the specification.

mod direct;
mod sets;
mod spec;

use super::{Columns, GROUP, Input, Kind, Output, Packed, Plain, matmul};
use crate::exact::KernelSet;

/// How the bytes of a matrix are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fill {
    /// Anything with finite scales, subnormal ones included.
    Finite,
    /// Anything: scales may be infinite or no numbers.
    Any,
    /// Every bit of the quants and their scales set, the units as large as they get.
    Largest,
    /// Every bit clear but the units: the least quants.
    Least,
}

/// Rows of ggml's format.
fn ggml(kind: Kind, depth: usize, outputs: usize, fill: Fill, seed: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; outputs * depth / kind.unit() * kind.unit_bytes()];
    match fill {
        Fill::Largest => bytes.fill(0xff),
        Fill::Least => {}
        Fill::Finite | Fill::Any => blake3::Hasher::new().update(seed).finalize_xof().fill(&mut bytes),
    }
    let halves: &[usize] = match kind {
        Kind::F32 => &[2],
        Kind::F16 | Kind::Bf16 | Kind::Q4_0 | Kind::Q5_0 | Kind::Q8_0 => &[0],
        Kind::Q4_1 | Kind::Q5_1 | Kind::Q4K | Kind::Q5K => &[0, 2],
        Kind::Q6K => &[208],
    };
    for unit in bytes.chunks_exact_mut(kind.unit_bytes()) {
        for &at in halves {
            match fill {
                // Clears an exponent bit: no infinity, no NaN.
                Fill::Finite => unit[at + 1] &= 0xbf,
                Fill::Largest | Fill::Least => unit[at..at + 2].copy_from_slice(&0x7bffu16.to_le_bytes()),
                Fill::Any => {}
            }
        }
        if kind == Kind::Q8_0 && fill == Fill::Least {
            unit[2..].fill(0x80);
        }
    }
    bytes
}

/// Columns in both forms.
struct Both {
    values: Vec<f32>,
    quantised: Columns,
    depth: usize,
    count: usize,
}

impl Both {
    fn new(set: KernelSet, values: &[f32], depth: usize, kind: Kind) -> Self {
        let count = values.len() / depth;
        let mut quantised = Columns::default();
        if kind.takes_quantised() {
            quantised.reset(depth, count);
            for (column, values) in values.chunks_exact(depth).enumerate() {
                quantised.quantize(set, column, values);
            }
        }
        Self { values: values.to_vec(), quantised, depth, count }
    }

    fn input(&mut self, kind: Kind) -> Input<'_> {
        if kind.takes_quantised() {
            Input::Quantised(self.quantised.view())
        } else {
            Input::Plain(Plain::new(&self.values, self.depth, self.depth, self.count))
        }
    }
}

/// What outputs that are not written hold.
const UNTOUCHED: f32 = 0.123_456_7;

/// The whole product, column after column, as bits; of a NaN the payload is not specified.
fn product(set: KernelSet, weights: &Packed, input: Input<'_>) -> Vec<u32> {
    let stride = weights.outputs() + 3;
    let mut values = vec![UNTOUCHED; input.count() * stride];
    let (columns, groups) = (input.count(), weights.groups());
    // In four parts, as threads would.
    for columns in [0..columns / 3, columns / 3..columns] {
        for groups in [0..groups / 2, groups / 2..groups] {
            matmul(set, weights, input, columns.clone(), groups, &mut Output::new(&mut values, stride));
        }
    }
    for column in values.chunks_exact(stride) {
        assert!(column[weights.outputs()..].iter().all(|&x| x == UNTOUCHED));
    }
    values.chunks_exact(stride).flat_map(|column| column[..weights.outputs()].iter().map(|&x| plain_bits(x))).collect()
}

/// The bits of `x`, one value for all NaNs.
fn plain_bits(x: f32) -> u32 {
    if x.is_nan() { u32::MAX } else { x.to_bits() }
}
