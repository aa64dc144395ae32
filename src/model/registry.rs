//! Finds GGUF files by their SHA-256. An archive never names a path.

use std::path::PathBuf;

use crate::hash::Digest;

/// Where a model's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Embedded in this program.
    Builtin(&'static [u8]),
    /// A file.
    File(PathBuf),
}

/// A model that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub location: Location,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// The places that are searched, in order.
#[derive(Debug, Default)]
pub struct Registry {}
