//! The crate's error: one variant per actor that caused it, each with its exit code.

use std::path::PathBuf;

use crate::codec::CodecError;
use crate::container::ContainerError;
use crate::format::FormatError;
use crate::predict::PredictError;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the process tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// All was done.
    Ok = 0,
    /// Done, but with warnings: a file changed while it was read, a metadata item was not restored.
    Warnings = 1,
    /// Not done: I/O, permissions, an unsupported archive, a limit.
    Fatal = 2,
    /// The archive is damaged.
    Corrupt = 3,
    /// The model is missing, or this machine does not reproduce its probabilities.
    Model = 4,
    /// The command line is wrong.
    Usage = 64,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
}

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operating-system call failed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done, in the present participle: `opening`, `writing`.
        action: &'static str,
        /// The file it was done to.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The archive's bytes or structure.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The model or its numerics.
    #[error(transparent)]
    Predict(#[from] PredictError),
    /// A request that cannot be carried out as given.
    #[error("{0}")]
    Usage(String),
    /// Not done, for a reason that is neither I/O nor damage.
    #[error("{0}")]
    Refused(String),
    /// Stopped by the user.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Wraps an I/O error with what was done to which file; for `map_err`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// The exit code that reports this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Io { .. } | Self::Refused(_) => ExitCode::Fatal,
            Self::Container(error) => error.exit_code(),
            Self::Predict(_) => ExitCode::Model,
            Self::Usage(_) => ExitCode::Usage,
            Self::Interrupted => ExitCode::Interrupted,
        }
    }
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        Self::Container(error.into())
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Self {
        Self::Container(error.into())
    }
}
