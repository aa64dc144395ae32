//! llama.cpp: the only place that names it. Weights, vocabulary, and lanes of context.

mod attention;
mod device;
mod graph;
mod lanes;
mod products;
mod weights;

pub use lanes::LlamaPredictor;
pub use weights::{Device, Weights};

/// Name and version of the arithmetic that this engine computes with (spec/numerics.md §1).
#[must_use]
pub fn numerics(device: Device) -> String {
    let isa = if cfg!(target_arch = "x86_64") { "x86-64-v3" } else { std::env::consts::ARCH };
    match device {
        Device::Cpu => format!("ref-1/{isa}"),
        Device::Gpu => "native".to_owned(),
    }
}
