//! Exact inference: operators whose results are specified to the bit (spec/numerics.md): the same on every
//! processor, for every number of threads, and for every batch.
//!
//! * [`products`]: weights of all kinds, and their products with columns.
//! * [`steps`]: all other operators, and the plan that a team of threads goes through.
//! * [`pool`], [`view`]: the team, and arrays in somebody else's memory.
//!
//! Nothing here knows llama.cpp or ggml; `model::engine` turns their graphs into plans.

#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!("without SSE2 this processor rounds results twice");

pub mod angles;
pub mod half;
mod kernel_set;
pub mod pool;
pub mod products;
pub mod steps;
mod vector;
pub mod view;

pub use kernel_set::KernelSet;
