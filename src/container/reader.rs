//! Random access to an archive through its index, or through a scan where the index is lost.

use std::sync::Arc;

use super::{ContainerError, Source};
use crate::format::{ChunkSlot, Entry, Index, ModelRecord};
use crate::limits::Limits;
use crate::predict::Models;

/// How an archive was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Through the footer and the index.
    Index,
    /// By scanning the stream, because of this.
    Scan(String),
}

/// An open archive: its tables in memory, its chunks on demand. `Send + Sync`, methods take `&self`.
pub struct Reader {
    _source: Arc<dyn Source>,
}

impl Reader {
    /// Opens through the index: reads the header, the footer, the index and the model records, not the
    /// chunks and not the entries.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn open(_source: Arc<dyn Source>, _limits: Limits) -> Result<Self, ContainerError> {
        unimplemented!()
    }

    /// Opens through the index if it is whole, else rebuilds it by scanning: records after damage are
    /// found again by their marker.
    ///
    /// # Errors
    /// [`ContainerError`] where not even the header is an archive's.
    pub fn open_or_scan(_source: Arc<dyn Source>, _limits: Limits) -> Result<Self, ContainerError> {
        unimplemented!()
    }

    /// How the archive was opened.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        unimplemented!()
    }

    /// The tables.
    #[must_use]
    pub fn index(&self) -> &Index {
        unimplemented!()
    }

    /// The model records, by number (ascending).
    #[must_use]
    pub fn models(&self) -> &[ModelRecord] {
        unimplemented!()
    }

    /// Length of the archive in bytes.
    #[must_use]
    pub fn archive_len(&self) -> u64 {
        unimplemented!()
    }

    /// All entries in stream order. Duplicate paths, extents outside their chunk, hard links to nothing
    /// earlier are refused as corrupt.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn entries(&self) -> Result<Vec<Entry>, ContainerError> {
        unimplemented!()
    }

    /// Entries of all batches that can be read, and what is wrong with the others.
    #[must_use]
    pub fn entries_lossy(&self) -> (Vec<Entry>, Vec<ContainerError>) {
        unimplemented!()
    }

    /// The chunk's slot, by binary search.
    #[must_use]
    pub fn slot(&self, _number: u64) -> Option<&ChunkSlot> {
        unimplemented!()
    }

    /// Reads a chunk's stored bytes; head, CRCs and agreement with the index are checked.
    ///
    /// # Errors
    /// [`ContainerError::MissingChunk`], [`ContainerError::Read`], [`ContainerError::Format`].
    pub fn stored(&self, _number: u64) -> Result<(crate::format::ChunkHead, Vec<u8>), ContainerError> {
        unimplemented!()
    }
}

/// Delivers decoded chunks, checked against their digest. The mount's cache, the extractor's
/// prefetcher and the plain reader are all of this kind.
pub trait ChunkReader: Send + Sync {
    /// The decoded bytes of a chunk. Blocks; may be called from many threads.
    ///
    /// # Errors
    /// [`ContainerError`].
    fn chunk(&self, number: u64) -> Result<Arc<[u8]>, ContainerError>;
}

impl Reader {
    /// Reads, decodes and checks one chunk; no cache.
    ///
    /// # Errors
    /// [`ContainerError::Chunk`] and those of [`Reader::stored`].
    pub fn decode(&self, _number: u64, _models: &dyn Models) -> Result<Arc<[u8]>, ContainerError> {
        unimplemented!()
    }
}
