//! Products of weights with columns (spec/numerics.md §5), the same bits from every kernel set.
//!
//! Weights are [`Packed`] once. Columns are [`Quantised`] for the quantised kinds and [`Plain`] for floats.
//! [`matmul`] computes any range of outputs for any range of columns; threads share one product by taking
//! different groups of outputs, different columns, or both.

mod columns;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod drive;
mod kind;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod output;
mod pack;
mod quantize;
mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;
mod unpack;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

pub use columns::{Columns, Plain, Quantised};
pub use kind::{BLOCK, Kind};
pub use output::Output;
pub use pack::{GROUP, PackError, Packed, Part};

use super::KernelSet;

/// The columns of a product.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// For kinds that [take quantised columns](Kind::takes_quantised).
    Quantised(Quantised<'a>),
    /// For floats.
    Plain(Plain<'a>),
}

impl Input<'_> {
    /// Values in a column.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::Quantised(columns) => columns.depth(),
            Self::Plain(columns) => columns.depth(),
        }
    }

    /// Number of columns.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Quantised(columns) => columns.count(),
            Self::Plain(columns) => columns.count(),
        }
    }
}

/// Multiplies weights with columns: output groups `groups` (of [`GROUP`] outputs) for the columns `columns`.
/// Column `j` of the input goes to column `j` of `out`; what is outside both ranges is not touched.
///
/// # Panics
/// Where the input has another depth than `weights` or is not of the kind that they take, a range is too
/// large, or `out` is too small for all columns up to the last one.
pub fn matmul(
    set: KernelSet,
    weights: &Packed,
    input: Input<'_>,
    columns: Range<usize>,
    groups: Range<usize>,
    out: &mut Output<'_>,
) {
    assert_eq!(weights.depth(), input.depth(), "columns of another depth than the weights");
    assert_eq!(weights.takes_quantised(), matches!(input, Input::Quantised(_)), "columns of the wrong form");
    assert!(columns.end <= input.count() && groups.end <= weights.groups(), "a range beyond the matrix");
    if columns.is_empty() || groups.is_empty() {
        return;
    }
    assert!(out.holds(columns.end, weights.outputs()), "the output is too small");
    match set {
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx512Vnni if set.available() => drive::matmul::<x86::Vnni>(weights, input, columns, groups, out),
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx512 if set.available() => drive::matmul::<x86::Avx512>(weights, input, columns, groups, out),
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx2 if set.available() => drive::matmul::<x86::Avx2>(weights, input, columns, groups, out),
        #[cfg(target_arch = "aarch64")]
        KernelSet::Neon if set.available() => drive::matmul::<neon::Neon>(weights, input, columns, groups, out),
        _ => scalar::matmul(weights, input, columns, groups, out),
    }
}

#[cfg(test)]
mod tests;
