//! GGUF models: engine, registry, scheduler, numerics profile.

pub mod builtin;
mod digest_cache;
pub mod registry;

pub use registry::{Found, Location, Registry, RegistryConfig};
