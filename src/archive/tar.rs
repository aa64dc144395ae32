//! tar in and out.

use std::io::{Read, Write};
use std::sync::Arc;

use super::{CreateOptions, ExtractOptions, Outcome};
use crate::Result;
use crate::container::Reader;
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};

/// Archives the members of a tar stream into `out`, in one pass.
///
/// # Errors
/// A damaged tar stream, I/O, the model's engine, an interruption.
pub fn create_from_tar<R: Read, W: Write>(
    _input: R,
    _out: W,
    _options: &CreateOptions,
    _progress: &dyn Progress,
    _interrupt: &Interrupt,
) -> Result<Outcome> {
    unimplemented!()
}

/// Writes what `options` selects (`members`, `excludes`, `strip_components`) as a tar stream.
///
/// # Errors
/// As [`extract`](super::extract); damage ends the stream before its end mark.
pub fn extract_to_tar<W: Write>(
    _reader: &Arc<Reader>,
    _models: &Arc<dyn Models>,
    _options: &ExtractOptions,
    _out: W,
    _progress: &dyn Progress,
    _interrupt: &Interrupt,
) -> Result<Outcome> {
    unimplemented!()
}
