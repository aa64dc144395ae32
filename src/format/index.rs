//! The index (spec/lma-format.md §8): where each record stands. A cache of the stream, never the truth.

use super::CodecId;

/// Where a chunk record stands and what its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSlot {
    /// The chunk's number.
    pub number: u64,
    /// Position of the record's marker in the archive.
    pub position: u64,
    /// Length of the stored bytes.
    pub stored_len: u32,
    /// Length of the decoded bytes.
    pub raw_len: u32,
    /// The codec.
    pub codec: CodecId,
    /// The model record's number.
    pub model: Option<u32>,
}

/// Where an entry batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSlot {
    /// Position of the record's marker.
    pub position: u64,
    /// The batch's [`first`](super::EntryBatch::first).
    pub first: u64,
    /// Number of entries in the batch.
    pub count: u64,
}

/// Where a model record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSlot {
    /// Position of the record's marker.
    pub position: u64,
    /// The record's number.
    pub number: u32,
}

/// All records of an archive in stream order, by type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Model records, ascending by position and number.
    pub models: Vec<ModelSlot>,
    /// Chunk records, ascending by position and number.
    pub chunks: Vec<ChunkSlot>,
    /// Entry batches, ascending by position and first.
    pub batches: Vec<BatchSlot>,
}
