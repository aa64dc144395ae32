//! Raw bytes to stored bytes and back. A codec knows no path, no record and no llama.cpp.

use crate::error::ExitCode;
use crate::format::{CodecId, ModelRecord};
use crate::predict::{LoadedModel, Models, PredictError};

pub mod choose;
pub mod lm;
mod store;
mod zstd;

/// Why a chunk was not decoded or encoded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CodecError {
    /// The stored bytes are not what the codec writes, or decode to something else than declared.
    #[error("{codec:?} chunk does not decode: {why}")]
    Corrupt {
        /// The codec.
        codec: CodecId,
        /// Expected against actual.
        why: String,
    },
    /// The model.
    #[error(transparent)]
    Predict(#[from] PredictError),
}

impl CodecError {
    /// The exit code that reports this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Corrupt { .. } => ExitCode::Corrupt,
            Self::Predict(_) => ExitCode::Model,
        }
    }
}

/// Decodes `stored` into exactly `raw_len` bytes. Blocks; calls from many threads share the lanes
/// of one model. The caller has charged `raw_len` to its limits and checks the digest.
///
/// # Errors
/// [`CodecError`]; never a panic, whatever the bytes.
pub fn decode(
    codec: CodecId,
    model: Option<&ModelRecord>,
    stored: &[u8],
    raw_len: usize,
    models: &dyn Models,
) -> Result<Vec<u8>, CodecError> {
    match codec {
        CodecId::Store => store::decode(stored, raw_len),
        CodecId::Zstd => zstd::decode(stored, raw_len),
        CodecId::Lm => {
            let record = model.ok_or_else(|| CodecError::Corrupt { codec, why: "the chunk names no model".into() })?;
            let model = models.open(record)?;
            lm::decode(&model, record.context, stored, raw_len)
        }
    }
}

/// A chunk's stored bytes and the codec that made them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The codec.
    pub codec: CodecId,
    /// The stored bytes.
    pub stored: Vec<u8>,
}

/// Which codecs an encoder may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The smallest of all, among those that a cheap probe finds worth trying.
    #[default]
    Auto,
    /// This one, or `store` where it would be larger.
    Only(CodecId),
}

/// Encodes one chunk. The result is never larger than the raw bytes, and depends on the arguments
/// alone, not on lanes, threads or earlier chunks.
///
/// # Errors
/// [`CodecError::Predict`] where the model's engine fails.
pub fn encode(raw: &[u8], choice: Choice, model: Option<&LoadedModel>) -> Result<Encoded, CodecError> {
    choose::encode(raw, choice, model)
}
