//! The part of the cache that one archive has.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::DiskCache;
use super::directory::ArchiveId;
use super::entry::ChunkKey;

/// The decoded chunks of one archive. `Send + Sync`; a clone is the same cache.
///
/// No method fails: what cannot be read is not there, and what cannot be written is not kept.
#[derive(Clone, Debug)]
pub struct ArchiveCache {
    disk: DiskCache,
    id: ArchiveId,
    /// Numbers of chunks that are probably there.
    held: Arc<Mutex<HashSet<u64>>>,
    saves: bool,
}

impl ArchiveCache {
    /// Lists the archive's directory.
    pub(super) fn new(disk: DiskCache, id: ArchiveId) -> Self {
        let held = disk.numbers(id).unwrap_or_default().into_iter().collect();
        Self { disk, id, held: Arc::new(Mutex::new(held)), saves: true }
    }

    /// The same cache for one who reads everything once: [`ArchiveCache::save`] does nothing, so that nothing is driven
    /// out.
    #[must_use]
    pub fn load_only(self) -> Self {
        Self { saves: false, ..self }
    }

    /// The archive.
    #[must_use]
    pub fn id(&self) -> ArchiveId {
        self.id
    }

    /// Most bytes that the cache keeps, of all archives.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.disk.budget()
    }

    /// Whether the chunk is probably there, without a system call: it was listed, saved or loaded by this process,
    /// and not found missing or damaged since. [`ArchiveCache::load`] decides.
    #[must_use]
    pub fn holds(&self, number: u64) -> bool {
        self.held().contains(&number)
    }

    /// The chunk's decoded bytes, if they are there: exactly `raw_len`, with the key's digest, which is computed
    /// anew each time. Another file under the chunk's number is removed. Blocks for a read of the disk.
    ///
    /// Takes `raw_len` bytes of memory, and for the time of the call as many again at most.
    #[must_use]
    pub fn load(&self, key: &ChunkKey) -> Option<Vec<u8>> {
        let raw = self.disk.load(self.id, key);
        let mut held = self.held();
        match raw {
            Some(_) => held.insert(key.number),
            None => held.remove(&key.number),
        };
        raw
    }

    /// Keeps the chunk's decoded bytes, which must be those that the key tells; others would be refused when they are
    /// loaded. Blocks for the time of packing and writing, and once in a while of a sweep: call it behind the
    /// reader's back.
    pub fn save(&self, key: &ChunkKey, raw: &[u8]) {
        if self.saves && self.disk.save(self.id, key, raw) {
            self.held().insert(key.number);
        }
    }

    fn held(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
