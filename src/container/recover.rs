//! `recover`: a new, whole archive from everything intact in a damaged one. Chunks are copied as stored,
//! never re-encoded; a chunk that is copied has a valid CRC.

use std::io::Write;
use std::sync::Arc;

use super::{Source, WriteSummary};
use crate::limits::Limits;
use crate::progress::{Interrupt, Progress};

/// What was saved and what was lost.
#[derive(Debug, Default)]
pub struct RecoverReport {
    /// The new archive.
    pub written: WriteSummary,
    /// Chunk numbers (of the damaged archive) that are referred to and lost.
    pub chunks_lost: Vec<u64>,
    /// Paths of files that were left out because a chunk of theirs is lost.
    pub files_lost: Vec<Vec<u8>>,
    /// Byte ranges of the damaged archive that were skipped.
    pub skipped: Vec<(u64, u64)>,
    /// Entries known to be missing because their batch is lost.
    pub entries_lost: u64,
}

/// Recovers `source` into `out`.
///
/// # Errors
/// I/O, limits, interruption; a source without a single intact record is refused.
pub fn recover<W: Write>(
    _source: Arc<dyn Source>,
    _limits: &Limits,
    _out: W,
    _progress: &dyn Progress,
    _interrupt: &Interrupt,
) -> crate::Result<RecoverReport> {
    unimplemented!()
}
