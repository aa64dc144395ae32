//! The model record (spec/lma-format.md §6): which probabilities the chunks were coded with.

use crate::hash::Digest;

/// How a stream is cut into context windows (spec/lm-codec.md §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContextPolicy {
    /// Tokens fed in one window at most; at least 2.
    pub window: u32,
    /// Tokens of the past fed again at the start of a following window; at least 1, less than `window`.
    pub overlap: u32,
}

/// The arithmetic that turned weights and tokens into probabilities, by name and version
/// (spec/numerics.md), for example `ref-1/x86-64-v3`. Equal names promise equal bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NumericsProfile(pub String);

/// Everything a decoder must match before it decodes a chunk of this model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRecord {
    /// The record's number, counted from 0 in the order of writing.
    pub number: u32,
    /// SHA-256 of the GGUF file.
    pub sha256: Digest,
    /// Size of the GGUF file in bytes.
    pub size: u64,
    /// The model's own name (`general.name`), for messages only.
    pub name: String,
    /// `general.architecture`, for messages only.
    pub architecture: String,
    /// Number of tokens.
    pub vocab_size: u32,
    /// BLAKE3 of the token to bytes table (spec/lm-codec.md §2).
    pub tokens: Digest,
    /// How streams are cut into windows.
    pub context: ContextPolicy,
    /// The arithmetic.
    pub numerics: NumericsProfile,
    /// Digest of the quantised probabilities on the fixed probe (spec/numerics.md).
    pub canary: Digest,
}
