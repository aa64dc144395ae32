//! Kernels whose results are specified to the bit (spec/numerics.md §5): the same on every
//! processor, for every number of threads, and for every batch.
//!
//! A product of quantised activations with quantised weights is an integer sum per block, exact in
//! any order; what is left per block is one fused multiply-add of `f32`, in the order of the blocks.
//! Vector lanes lie across outputs, never along the sum, so the scalar kernel and the wide ones
//! take the same steps.

mod activations;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod output;
mod pack;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod wide;

use std::sync::OnceLock;

pub use activations::Activations;
pub use attention::{Cells, MAX_HEAD, Queries, Scratch, attend};
pub use output::Output;
pub use pack::{BLOCK, GROUP, PackedQ8};

/// A set of kernels. All sets give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelSet {
    /// Plain Rust: the reference.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW and VNNI.
    Avx512Vnni,
}

impl KernelSet {
    /// Whether this processor runs the set.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx2.available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The fastest set of this processor, or the one that the environment variable `LMA_KERNEL`
    /// (`scalar`, `avx2`, `avx512`) names if it runs here. Decided once.
    #[must_use]
    pub fn current() -> Self {
        static CURRENT: OnceLock<KernelSet> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let forced = match std::env::var("LMA_KERNEL").as_deref() {
                Ok("scalar") => Some(Self::Scalar),
                Ok("avx2") => Some(Self::Avx2),
                Ok("avx512") => Some(Self::Avx512Vnni),
                _ => None,
            };
            forced.into_iter().chain([Self::Avx512Vnni, Self::Avx2]).find(|set| set.available()).unwrap_or(Self::Scalar)
        })
    }
}

/// Multiplies weights with quantised columns: output groups `groups` (of [`GROUP`] outputs) for
/// every column of `columns`. Outputs outside the groups are not touched.
///
/// # Panics
/// Where `columns` has another depth than `weights`, or `out` is too small.
pub fn matmul_q8(
    set: KernelSet,
    weights: &PackedQ8,
    columns: &Activations,
    groups: std::ops::Range<usize>,
    out: &mut Output<'_>,
) {
    assert_eq!(weights.depth(), columns.depth(), "columns of another depth than the weights");
    assert!(groups.end <= weights.groups());
    if columns.count() == 0 || groups.is_empty() {
        return;
    }
    assert!(out.holds(columns.count(), weights.outputs()), "the output is too small");
    match set {
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx512Vnni if set.available() => avx512::matmul(weights, columns, groups, out),
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx2 if set.available() => avx2::matmul(weights, columns, groups, out),
        _ => scalar::matmul(weights, columns, groups, out),
    }
}

#[cfg(test)]
mod tests;
