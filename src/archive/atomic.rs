//! Files that appear whole or not at all.

use std::fs::File;
use std::path::Path;

use crate::Result;

/// Runs `write` on a temporary file next to `path`, syncs it, and renames it to `path`. Where `write`
/// fails, the temporary file is removed and what stood at `path` stays.
///
/// # Errors
/// Those of `write`, and I/O.
pub fn write_atomically<T>(_path: &Path, _write: impl FnOnce(&mut File) -> Result<T>) -> Result<T> {
    unimplemented!()
}
