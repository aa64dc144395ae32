//! This user's disk cache.

use std::path::PathBuf;

use crate::cache::{ArchiveCache, DiskCache};
use crate::container::Reader;

/// Where it is; `None` where the environment names no place.
pub(super) fn directory() -> Option<PathBuf> {
    DiskCache::default_dir(|name| std::env::var_os(name))
}

/// The archive's part of the cache, whose files take `budget` bytes at most. `None`: the command goes on without.
pub(super) fn open(budget: u64, reader: &Reader) -> Option<ArchiveCache> {
    let dir = directory()?;
    match DiskCache::open(&dir, budget) {
        Ok(cache) => cache.archive_of(reader),
        Err(error) => {
            tracing::info!(%error, "without the disk cache in {}", dir.display());
            None
        }
    }
}
