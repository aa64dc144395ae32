//! Where the mount's chunks come from.

use std::sync::Arc;

use crate::container::ContainerError;
use crate::format::ChunkSlot;
use crate::predict::Audience;

/// What it takes to decode a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Less than a reader notices: nothing is gained by decoding ahead or by serving a part.
    Little,
    /// A processor for as long as it takes.
    Processor,
    /// A lane of a model.
    Model,
}

/// Delivers decoded chunks, checked against their digest.
pub trait ChunkSource: Send + Sync {
    /// The decoded bytes of a chunk. Blocks; may be called from many threads. An `audience` that wants to
    /// know hears of the first bytes early, before the digest is checked.
    ///
    /// # Errors
    /// [`ContainerError`].
    fn decode(&self, number: u64, audience: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError>;

    /// What it takes to decode the chunk.
    fn cost(&self, _number: u64) -> Cost {
        Cost::Little
    }

    /// Whether the chunk was decoded before and is kept outside of memory, as far as is known without asking
    /// the system.
    fn is_stored(&self, _number: u64) -> bool {
        false
    }

    /// The chunk from where it is kept outside of memory, checked as [`ChunkSource::decode`] checks it.
    fn stored(&self, _number: u64) -> Option<Arc<[u8]>> {
        None
    }

    /// What the archive's index says of the chunk.
    fn slot(&self, _number: u64) -> Option<ChunkSlot> {
        None
    }

    /// Keeps a chunk that was decoded; called after all who waited were told.
    fn keep(&self, _number: u64, _bytes: &[u8]) {}
}
