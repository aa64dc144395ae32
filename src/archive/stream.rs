//! Extraction from a pipe.

use std::io::Read;
use std::sync::Arc;

use super::{ExtractOptions, Outcome};
use crate::Result;
use crate::limits::Limits;
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};

/// Extracts an archive that arrives on a pipe, batch by batch as it arrives.
///
/// # Errors
/// As [`extract`](super::extract).
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
