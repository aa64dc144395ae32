//! `lma`: an archive format, an archiver and a file-system mount that compress with language
//! models.
//!
//! # Layers
//!
//! Dependencies point downwards only; `tests/layers.rs` checks it.
//!
//! | layer | modules | knows |
//! |---|---|---|
//! | 7 | [`cli`] | everything; the one place that picks the concrete engine |
//! | 6 | [`archive`], [`mount`] | files, paths, metadata |
//! | 5 | [`cache`] | decoded chunks on disk |
//! | 4 | [`container`] | records in order, random access, recovery |
//! | 3 | [`codec`] | raw bytes to stored bytes |
//! | 3 | [`model`] | GGUF weights, llama.cpp, scheduling of streams |
//! | 2 | [`exact`] | kernels specified to the bit; known to [`model`] alone |
//! | 2 | [`predict`] | distributions over tokens; the one float to integer crossing |
//! | 1 | [`format`], [`entropy`] | bytes to structs; integers to bits |
//! | 0 | [`error`], [`limits`], [`wire`], [`hash`], [`progress`], `escape` | nothing of lma |
//!
//! The format and the numerics are specified in `spec/`, one chapter per module.

pub mod archive;
pub mod cache;
#[cfg(feature = "cli")]
pub mod cli;
pub mod codec;
pub mod container;
pub mod entropy;
pub mod error;
mod escape;
pub mod exact;
pub mod format;
pub mod hash;
pub mod limits;
pub mod model;
pub mod mount;
pub mod predict;
pub mod progress;
pub mod wire;

pub use error::{Error, ExitCode, Result};
