//! What goes wrong while an archive is read or written.

use std::io;

use crate::codec::CodecError;
use crate::error::ExitCode;
use crate::format::FormatError;

/// A failure while reading or writing an archive.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Reading the archive's bytes failed.
    #[error("reading the archive at byte {position}: {source}")]
    Read {
        /// Where.
        position: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// Writing the archive's bytes failed.
    #[error("writing the archive: {0}")]
    Write(#[source] io::Error),
    /// An entry, model or chunk that no reader would accept was handed to the writer.
    #[error("not written: {0}")]
    Unwritable(#[source] FormatError),
    /// The bytes are not an archive, or not this reader's.
    #[error("{error} (at byte {position})")]
    Format {
        /// Position of the record, or of the field.
        position: u64,
        /// What is wrong.
        error: FormatError,
    },
    /// A structure is wrong that has no place of its own (an entry batch, two records that disagree).
    #[error(transparent)]
    Structure(#[from] FormatError),
    /// A chunk cannot be delivered.
    #[error("chunk {number}: {error}")]
    Chunk {
        /// The chunk's number.
        number: u64,
        /// Why.
        error: CodecError,
    },
    /// A chunk is referred to and absent.
    #[error("chunk {0} is missing from the archive")]
    MissingChunk(u64),
    /// A codec failed outside any chunk of an archive.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The input ended inside the archive.
    #[error("the archive is truncated: it ends at byte {0} without a footer")]
    Truncated(u64),
}

impl ContainerError {
    /// For `map_err`: places a [`FormatError`] at `position`.
    pub(super) fn at(position: u64) -> impl FnOnce(FormatError) -> Self {
        move |error| Self::Format { position, error }
    }

    /// Whether the archive's bytes are to blame, so that reading round the damage may help; not so for
    /// failing reads, unsupported archives and limits.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        self.exit_code() == ExitCode::Corrupt
    }

    /// The exit code that reports this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Read { .. } | Self::Write(_) | Self::Unwritable(_) => ExitCode::Fatal,
            Self::Format { error, .. } | Self::Structure(error) => match error {
                FormatError::Corrupt { .. } => ExitCode::Corrupt,
                FormatError::Unsupported { .. } | FormatError::Limit { .. } => ExitCode::Fatal,
            },
            Self::Chunk { error, .. } | Self::Codec(error) => error.exit_code(),
            Self::MissingChunk(_) | Self::Truncated(_) => ExitCode::Corrupt,
        }
    }
}
