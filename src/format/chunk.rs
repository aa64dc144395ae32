//! The head of a chunk record (spec/lma-format.md §5).

use crate::hash::ChunkDigest;

/// How a chunk's raw bytes became its stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CodecId {
    /// The bytes themselves.
    Store = 0,
    /// One zstd frame.
    Zstd = 1,
    /// Tokens under a language model, range coded (spec/lm-codec.md).
    Lm = 2,
}

/// What a chunk record says of its body. The body's length and CRC-32 stand in the record's fixed
/// part and are covered by the same header CRC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// The chunk's number, counted from 0 in the order of writing. Explicit, so that a lost chunk
    /// record does not renumber the ones behind it.
    pub number: u64,
    /// The codec of the body.
    pub codec: CodecId,
    /// The number of the model record that the codec needs, for codecs that need one.
    pub model: Option<u32>,
    /// Length of the decoded bytes.
    pub raw_len: u32,
    /// Digest of the decoded bytes: it also catches a wrong model or drifting numerics.
    pub digest: ChunkDigest,
}
