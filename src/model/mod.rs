//! GGUF models: engine, registry, scheduler, numerics profile.

pub mod registry;
