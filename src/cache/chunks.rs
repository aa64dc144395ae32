//! An archive's chunks, out of the cache where they are there.

use std::sync::Arc;

use super::{ArchiveCache, ChunkKey};
use crate::container::{ContainerError, Reader};
use crate::format::{ChunkSlot, CodecId};
use crate::predict::Models;

/// Whether chunks of this codec are worth a file: those that take longer to decode than to read from a disk.
#[must_use]
pub fn is_cached(codec: CodecId) -> bool {
    match codec {
        CodecId::Store | CodecId::Zstd => false,
        CodecId::Lm | CodecId::Cm | CodecId::Mix => true,
    }
}

/// A [`Reader`] behind a cache, or behind none. `Send + Sync`.
pub struct CachedChunks {
    reader: Arc<Reader>,
    cache: Option<ArchiveCache>,
}

impl CachedChunks {
    /// The chunks of `reader`; `cache` is the part that its archive has of the cache.
    #[must_use]
    pub fn new(reader: Arc<Reader>, cache: Option<ArchiveCache>) -> Self {
        Self { reader, cache }
    }

    /// The archive.
    #[must_use]
    pub fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Whether the chunk is probably in the cache; no system call.
    #[must_use]
    pub fn holds(&self, number: u64) -> bool {
        self.cache_of(number).is_some_and(|(_, cache)| cache.holds(number))
    }

    /// The chunk out of the cache. Reads the chunk's head in the archive, which has the digest that counts, and not
    /// its body.
    #[must_use]
    pub fn load(&self, number: u64) -> Option<Arc<[u8]>> {
        let (cache, key) = self.key(number)?;
        cache.load(&key).map(Arc::from)
    }

    /// The chunk out of the cache, or else decoded, and then saved in the cache.
    ///
    /// # Errors
    /// Those of [`Reader::decode`].
    pub fn decode(&self, number: u64, models: &dyn Models) -> Result<Arc<[u8]>, ContainerError> {
        // What is wrong with a head is for the decoder to say.
        let Some((cache, key)) = self.key(number) else { return self.reader.decode(number, models) };
        if let Some(raw) = cache.load(&key) {
            return Ok(raw.into());
        }
        let raw = self.reader.decode(number, models)?;
        cache.save(&key, &raw);
        Ok(raw)
    }

    /// Saves a chunk that was decoded by [`Reader`]; never fails.
    pub fn save(&self, number: u64, raw: &[u8]) {
        if let Some((cache, key)) = self.key(number) {
            cache.save(&key, raw);
        }
    }

    fn cache_of(&self, number: u64) -> Option<(&ChunkSlot, &ArchiveCache)> {
        self.reader.slot(number).filter(|slot| is_cached(slot.codec)).zip(self.cache.as_ref())
    }

    fn key(&self, number: u64) -> Option<(&ArchiveCache, ChunkKey)> {
        let (_, cache) = self.cache_of(number)?;
        let head = self.reader.chunk_head(number).ok()?;
        let model = head.model.and_then(|model| self.reader.model(model));
        Some((cache, ChunkKey::new(&head, model)))
    }
}
