//! `extract`: an archive back into files.

use std::io::Read;
use std::sync::Arc;

use super::{ExtractOptions, Outcome};
use crate::Result;
use crate::container::Reader;
use crate::limits::Limits;
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};

/// Extracts an archive that can be read at random. Damage to a chunk costs the files that need it;
/// all others are extracted, then the damage is the error.
///
/// # Errors
/// Damage, a missing model, I/O, a member that is not in the archive, an interruption.
pub fn extract(
    _reader: &Arc<Reader>,
    _models: &Arc<dyn Models>,
    _options: &ExtractOptions,
    _progress: &dyn Progress,
    _interrupt: &Interrupt,
) -> Result<Outcome> {
    unimplemented!()
}

/// Extracts an archive that arrives on a pipe, batch by batch as it arrives.
///
/// # Errors
/// As [`extract`].
pub fn extract_stream<R: Read>(
    _input: R,
    _limits: &Limits,
    _models: &Arc<dyn Models>,
    _options: &ExtractOptions,
    _progress: &dyn Progress,
    _interrupt: &Interrupt,
) -> Result<Outcome> {
    unimplemented!()
}
