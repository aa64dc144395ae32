//! Chunks from the archive, or from the disk cache where they were decoded before; the cache in memory stands in
//! front of them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;

use super::source::{ChunkSource, Cost};
use crate::cache::{ArchiveCache, CachedChunks, DiskCache};
use crate::container::{ContainerError, Reader};
use crate::format::{ChunkSlot, CodecId};
use crate::predict::{Audience, Models};

/// Where decoded chunks are kept between mounts.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The cache's directory.
    pub dir: PathBuf,
    /// Most bytes of its files, of all archives together.
    pub budget: u64,
}

impl DiskOptions {
    /// The archive's part of the cache. `None`: it is done without.
    fn open(&self, reader: &Reader) -> Option<ArchiveCache> {
        match DiskCache::open(&self.dir, self.budget) {
            Ok(cache) => cache.archive_of(reader),
            Err(error) => {
                tracing::info!(%error, "without the disk cache in {}", self.dir.display());
                None
            }
        }
    }
}

/// Decodes chunks of one archive.
pub(super) struct Decoder {
    reader: Arc<Reader>,
    /// Opened on a thread of its own: names are there before it is.
    chunks: Arc<OnceLock<CachedChunks>>,
    models: Arc<dyn Models>,
    offline: bool,
}

impl Decoder {
    /// A decoder; `offline`, it refuses what takes long.
    pub(super) fn new(
        reader: Arc<Reader>,
        models: Arc<dyn Models>,
        disk: Option<&DiskOptions>,
        offline: bool,
    ) -> io::Result<Self> {
        let chunks = Arc::new(OnceLock::new());
        let (opened, behind, disk) = (Arc::clone(&chunks), Arc::clone(&reader), disk.cloned());
        let open = move || {
            // Whatever happens in there, readers wait for this to be set.
            let cache = catch_unwind(AssertUnwindSafe(|| disk.and_then(|disk| disk.open(&behind))));
            drop(opened.set(CachedChunks::new(behind, cache.ok().flatten())));
        };
        thread::Builder::new().name("disk-cache".into()).spawn(open)?;
        Ok(Self { reader, chunks, models, offline })
    }
}

impl ChunkSource for Decoder {
    fn decode(&self, number: u64, audience: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
        if self.offline && self.cost(number) != Cost::Little {
            let source = io::Error::other("the chunk was not decoded before, and the mount is offline");
            return Err(ContainerError::Read { position: 0, source });
        }
        self.reader.decode_for(number, &*self.models, audience)
    }

    fn slot(&self, number: u64) -> Option<ChunkSlot> {
        self.reader.slot(number).copied()
    }

    fn cost(&self, number: u64) -> Cost {
        match self.reader.slot(number).map(|slot| slot.codec) {
            None | Some(CodecId::Store | CodecId::Zstd) => Cost::Little,
            Some(CodecId::Cm) => Cost::Processor,
            Some(CodecId::Lm | CodecId::Mix) => Cost::Model,
        }
    }

    fn is_stored(&self, number: u64) -> bool {
        self.chunks.wait().holds(number)
    }

    fn stored(&self, number: u64) -> Option<Arc<[u8]>> {
        self.chunks.wait().load(number)
    }

    fn keep(&self, number: u64, bytes: &[u8]) {
        self.chunks.wait().save(number, bytes);
    }
}
