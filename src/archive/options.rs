//! What an archive is made from and how, and what came of it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::ArchiveCache;
use crate::codec::{Choice, Level};
use crate::predict::LoadedModel;

/// Raw bytes in a chunk where nothing else is asked for: 64 KiB.
pub const DEFAULT_CHUNK_SIZE: u32 = 64 << 10;

/// Raw bytes in a chunk where a level alone decides: small chunks for access at random, but larger ones at 1, whose
/// chunks are decoded in a fraction of a millisecond, and from 7 on, at 9 for archives that are read as a whole.
#[must_use]
pub fn default_chunk_size(level: Level) -> u32 {
    match level.get() {
        9 => 1 << 20,
        1 | 8 => 256 << 10,
        7 => 128 << 10,
        _ => DEFAULT_CHUNK_SIZE,
    }
}

/// Smallest chunk size that may be asked for.
pub const MIN_CHUNK_SIZE: u32 = 1 << 10;

/// Largest chunk size that may be asked for: with a quarter more, a chunk stays below
/// [`Limits::chunk_raw`](crate::limits::Limits::chunk_raw).
pub const MAX_CHUNK_SIZE: u32 = 8 << 20;

/// One file or directory to archive, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The directory that `path` is relative to (`-C`); `.` for the working directory.
    pub base: PathBuf,
    /// The path as given; the stored name is this one without leading `/`, `./` and `../`.
    pub path: PathBuf,
}

impl Input {
    /// `path`, relative to the working directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { base: PathBuf::from("."), path: path.into() }
    }

    /// `path`, relative to `base`.
    pub fn within(base: impl Into<PathBuf>, path: impl Into<PathBuf>) -> Self {
        Self { base: base.into(), path: path.into() }
    }
}

/// How an archive is made.
#[derive(Clone)]
pub struct CreateOptions {
    /// Raw bytes in a chunk; the last chunk of a file may hold up to a quarter more. Between
    /// [`MIN_CHUNK_SIZE`] and [`MAX_CHUNK_SIZE`].
    pub chunk_size: u32,
    /// Which codecs may be used.
    pub choice: Choice,
    /// How much time a chunk may take. Does not set `chunk_size`: [`default_chunk_size`] does.
    pub level: Level,
    /// The model; `None`: chunks get no model.
    pub model: Option<Arc<LoadedModel>>,
    /// Chunks encoded at a time, at least 1. Has no influence on the archive's bytes.
    pub workers: usize,
    /// Shell patterns; what they match is left out, with all beneath it.
    pub excludes: Vec<String>,
    /// Leave out the files and directories of version control systems.
    pub exclude_vcs: bool,
    /// Stay on the file system of each input.
    pub one_file_system: bool,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            choice: Choice::Auto,
            level: Level::default(),
            model: None,
            workers: 1,
            excludes: Vec::new(),
            exclude_vcs: false,
            one_file_system: false,
        }
    }
}

/// How an archive is extracted.
#[derive(Clone, Debug)]
pub struct ExtractOptions {
    /// The directory that everything is extracted beneath. Created if absent.
    pub dest: PathBuf,
    /// Leading components to drop from every path; an entry with no more than these is left out.
    pub strip_components: usize,
    /// Leave what exists alone, with a warning.
    pub keep_old: bool,
    /// Restore exact modes (setuid, setgid and sticky bits too, the umask ignored), owners where the
    /// process is privileged, all extended attributes, and devices.
    pub preserve: bool,
    /// Restore owners by number even where their name is known here.
    pub numeric_owner: bool,
    /// Paths to extract, with all beneath them; none: everything.
    pub members: Vec<Vec<u8>>,
    /// Shell patterns; what they match is left out, with all beneath it.
    pub excludes: Vec<String>,
    /// Chunks decoded at a time, at least 1.
    pub workers: usize,
    /// The archive's part of the disk cache; `None`: every chunk is decoded. [`extract`](super::extract) and
    /// [`extract_to_tar`](super::extract_to_tar) only load, since what is read as a whole would drive out
    /// everything else; [`cat`](super::cat) saves too.
    pub disk: Option<ArchiveCache>,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self {
            dest: PathBuf::from("."),
            strip_components: 0,
            keep_old: false,
            preserve: false,
            numeric_owner: false,
            members: Vec::new(),
            excludes: Vec::new(),
            workers: 1,
            disk: None,
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Entries written or extracted.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes of regular files, holes and duplicates counted in.
    pub raw_bytes: u64,
    /// Bytes of the archive that was written; 0 where none was.
    pub archive_bytes: u64,
    /// Warnings that were given to the progress: exit code 1 unless it is 0.
    pub warnings: u64,
}
