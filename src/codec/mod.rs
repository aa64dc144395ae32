//! Raw bytes to stored bytes and back. A codec knows no path, no record and no llama.cpp.

use std::sync::Arc;

use crate::error::ExitCode;
use crate::format::{CodecId, ModelRecord};
use crate::predict::{Audience, LoadedModel, Models, PredictError, whole};

pub mod choose;
pub mod lm;
pub mod mix;
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
    /// Its audience has gone before the end.
    #[error("the chunk is not wanted any more")]
    Dropped,
}

impl CodecError {
    /// The exit code that reports this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Corrupt { .. } => ExitCode::Corrupt,
            Self::Predict(_) => ExitCode::Model,
            Self::Dropped => ExitCode::Interrupted,
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
    decode_for(codec, model, stored, raw_len, models, &whole())
}

/// Decodes as [`decode`] does, for an audience that may want the first bytes early or go away. A chunk
/// that was transformed as a whole is heard of at its end alone.
///
/// # Errors
/// Those of [`decode`], and [`CodecError::Dropped`].
pub fn decode_for(
    codec: CodecId,
    model: Option<&ModelRecord>,
    stored: &[u8],
    raw_len: usize,
    models: &dyn Models,
    audience: &Arc<dyn Audience>,
) -> Result<Vec<u8>, CodecError> {
    let record = || model.ok_or_else(|| CodecError::Corrupt { codec, why: "the chunk names no model".into() });
    match codec {
        CodecId::Store => store::decode(stored, raw_len),
        CodecId::Zstd => zstd::decode(stored, raw_len),
        CodecId::Cm => mix::decode_cm(stored, raw_len, &**audience),
        CodecId::Lm => {
            let record = record()?;
            lm::decode(&*models.open(record)?, record.context, stored, raw_len, audience)
        }
        CodecId::Mix => {
            let record = record()?;
            mix::decode_mix(&*models.open(record)?, record.context, stored, raw_len, audience)
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

/// A chunk's encodings to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encodings {
    /// The best.
    pub best: Encoded,
    /// Where `best` needs a model and [`Choice::Auto`] would do without: the best that needs none.
    pub plain: Option<Encoded>,
}

/// Which codecs an encoder may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The smallest of all, among those that a [`Level`] allows and a cheap probe finds worth trying.
    #[default]
    Auto,
    /// This one, or `store` where it would be larger.
    Only(CodecId),
}

impl Choice {
    /// Whether chunks may get a codec that needs a model. Where not, none has to be given.
    #[must_use]
    pub fn uses_model(self, level: Level) -> bool {
        match self {
            Self::Auto => level >= Level::FAST,
            Self::Only(codec) => codec.needs_model(),
        }
    }
}

/// How much time [`Choice::Auto`] may spend, on encoding and then on every decoding. What the levels allow:
///
/// | level | codecs |
/// |---|---|
/// | 1 | `store` and `zstd` with little effort |
/// | 2 | `zstd` with more effort, and `cm`, where it makes a chunk at least 3 % smaller than `zstd` does |
/// | 3 | `cm` too, where it makes a chunk 0.2 % smaller |
/// | 4, 5 | `mix` too, with a small model, where it makes a chunk at least 5 %, 1 % smaller than `cm` does |
/// | 6 | `mix` too, with a large one, where it makes a chunk at least 1 % smaller |
/// | 7, 8, 9 | the same, where it makes a chunk any smaller |
///
/// What tells 7, 8 and 9 apart is not decided here: their chunks are of different sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// The lowest level with a model.
    pub const FAST: Self = Self(4);
    /// The highest level.
    pub const BEST: Self = Self(9);

    /// A level from 1 to 9; `None` for other numbers.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (1..=9).contains(&number).then_some(Self(number))
    }

    /// Whether the model of this level is to be a small one.
    #[must_use]
    pub fn has_small_model(self) -> bool {
        matches!(self.0, 4 | 5)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Level 6.
impl Default for Level {
    fn default() -> Self {
        Self(6)
    }
}

/// Encodes one chunk. The result is never larger than the raw bytes, and depends on the arguments
/// alone, not on lanes, threads or earlier chunks. `level` says what [`Choice::Auto`] allows.
///
/// # Errors
/// [`CodecError::Predict`] where the model's engine fails, or a codec that needs a model is asked for without one.
pub fn encode(raw: &[u8], choice: Choice, level: Level, model: Option<&LoadedModel>) -> Result<Encoded, CodecError> {
    encodings(raw, choice, level, model).map(|encodings| encodings.best)
}

/// Encodes one chunk as [`encode`] does, for an archive that may do without the model.
///
/// # Errors
/// Those of [`encode`].
pub fn encodings(
    raw: &[u8],
    choice: Choice,
    level: Level,
    model: Option<&LoadedModel>,
) -> Result<Encodings, CodecError> {
    choose::encodings(raw, choice, level, model)
}
