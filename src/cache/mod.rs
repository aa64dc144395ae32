//! Decoded chunks on disk (spec/disk-cache.md): what was decoded once, slowly, is read the next time.
//!
//! A [`DiskCache`] is one directory with a budget, for all archives and all processes of a user;
//! [`DiskCache::archive`] gives the part of one archive, and [`CachedChunks`] puts that in front of a
//! [`Reader`](crate::container::Reader).
//!
//! The cache is never trusted and never needed. What is loaded must have the digest that the archive itself
//! records for the chunk, so whatever stands in the directory, a reader gets the archive's bytes. And
//! nothing but [`DiskCache::open`], [`DiskCache::usage`] and [`DiskCache::clear`] can fail: a cache that cannot be read
//! or written is one that holds nothing.

mod archive;
mod chunks;
mod directory;
mod disk;
mod entry;
mod pause;
mod sweep;
#[cfg(test)]
mod tests;

pub use archive::ArchiveCache;
pub use chunks::{CachedChunks, is_cached};
pub use directory::ArchiveId;
pub use disk::{DEFAULT_BUDGET, DiskCache};
pub use entry::ChunkKey;
pub use sweep::{ArchiveUsage, Usage};
