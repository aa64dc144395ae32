//! `test`: reads the whole stream front to back, decodes every chunk, checks every digest, and proves
//! that the index agrees with the stream.

use std::sync::Arc;

use super::{ContainerError, Source};
use crate::limits::Limits;
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};

/// What a verification found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Chunks that decode to their digest.
    pub chunks_good: u64,
    /// Damaged or missing chunks with the reason.
    pub chunks_bad: Vec<(u64, ContainerError)>,
    /// Damage outside chunks: header, records, index, footer, entries.
    pub structure: Vec<ContainerError>,
    /// Paths of files that cannot be delivered whole.
    pub files_bad: Vec<Vec<u8>>,
    /// Files whose whole-file digest holds.
    pub files_good: u64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.chunks_bad.is_empty() && self.structure.is_empty() && self.files_bad.is_empty()
    }
}

/// Verifies an archive with `workers` chunks in flight at a time.
///
/// # Errors
/// Only what prevents a verdict: a missing model or other numerics, I/O, an interruption. Damage is in the report.
pub fn verify(
    _source: Arc<dyn Source>,
    _limits: &Limits,
    _models: &dyn Models,
    _workers: usize,
    _progress: &dyn Progress,
    _interrupt: &Interrupt,
) -> crate::Result<VerifyReport> {
    unimplemented!()
}
