//! GGUF models: engine, registry, scheduler, numerics profile.
//!
//! [`Engines`] answers an archive's model record with a loaded, checked model; [`registry`] finds
//! its file by digest; [`scheduler`] keeps the lanes of one context busy for many callers.

pub mod builtin;
mod digest_cache;
#[cfg(feature = "llama")]
pub mod engine;
#[cfg(feature = "llama")]
mod engines;
pub mod registry;
pub mod scheduler;

#[cfg(feature = "llama")]
pub use crate::exact::KernelSet;
#[cfg(feature = "llama")]
pub use engine::Arithmetic;
#[cfg(feature = "llama")]
pub use engines::{EngineOptions, Engines};
pub use registry::{Found, Location, Registry, RegistryConfig};
pub use scheduler::Scheduler;
