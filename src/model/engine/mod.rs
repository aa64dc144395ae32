//! llama.cpp: the only place that names it. Weights, vocabulary, and lanes of context; and the compute
//! device under it, which runs our own kernels.

mod abi;
mod backend;
mod batch;
mod device;
mod helpers;
mod lanes;
mod packed;
mod translate;
mod weights;

pub use lanes::{Geometry, LlamaPredictor};
pub use weights::Weights;

/// What computes a model's probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// Our own kernels, specified to the bit: the same on every CPU (spec/numerics.md).
    #[default]
    Exact,
    /// ggml's CPU kernels in reference mode: the same bits in every batch geometry, by one build on one kind
    /// of CPU.
    Reference,
    /// ggml's kernels on the first accelerator that llama.cpp was built for.
    Gpu,
    /// ggml's CPU kernels as they come. Not batch invariant, so of no use to archives: for measurements.
    Stock {
        /// Whether attention is fused.
        flash_attention: bool,
    },
}

impl Arithmetic {
    /// Every arithmetic that an archive can name.
    pub const ARCHIVED: [Self; 3] = [Self::Exact, Self::Reference, Self::Gpu];

    /// Its name in archives (spec/numerics.md §1).
    #[must_use]
    pub fn profile(self) -> String {
        let isa = if cfg!(target_arch = "x86_64") { "x86-64-v3" } else { std::env::consts::ARCH };
        match self {
            Self::Exact => "exact-1".to_owned(),
            Self::Reference => format!("native-cpu/{isa}"),
            Self::Gpu => "native-gpu".to_owned(),
            Self::Stock { .. } => "stock".to_owned(),
        }
    }
}
