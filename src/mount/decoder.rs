//! Chunks from the archive, or from the disk cache where they were decoded before; the cache in memory stands in
//! front of them.

use std::io;
use std::sync::Arc;

use super::source::{ChunkSource, Cost};
use crate::cache::CachedChunks;
use crate::container::ContainerError;
use crate::format::{ChunkSlot, CodecId};
use crate::predict::{Audience, Models};

/// Decodes chunks of one archive.
pub(super) struct Decoder {
    chunks: CachedChunks,
    models: Arc<dyn Models>,
    offline: bool,
}

impl Decoder {
    /// A decoder; `offline`, it refuses what takes long.
    pub(super) fn new(chunks: CachedChunks, models: Arc<dyn Models>, offline: bool) -> Self {
        Self { chunks, models, offline }
    }
}

impl ChunkSource for Decoder {
    fn decode(&self, number: u64, audience: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
        if self.offline && self.cost(number) != Cost::Little {
            let source = io::Error::other("the chunk was not decoded before, and the mount is offline");
            return Err(ContainerError::Read { position: 0, source });
        }
        self.chunks.reader().decode_for(number, &*self.models, audience)
    }

    fn slot(&self, number: u64) -> Option<ChunkSlot> {
        self.chunks.reader().slot(number).copied()
    }

    fn cost(&self, number: u64) -> Cost {
        match self.chunks.reader().slot(number).map(|slot| slot.codec) {
            None | Some(CodecId::Store | CodecId::Zstd) => Cost::Little,
            Some(CodecId::Cm) => Cost::Processor,
            Some(CodecId::Lm | CodecId::Mix) => Cost::Model,
        }
    }

    fn is_stored(&self, number: u64) -> bool {
        self.chunks.holds(number)
    }

    fn stored(&self, number: u64) -> Option<Arc<[u8]>> {
        self.chunks.load(number)
    }

    fn keep(&self, number: u64, bytes: &[u8]) {
        self.chunks.save(number, bytes);
    }
}
