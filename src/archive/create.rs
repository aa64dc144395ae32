//! `create`: files into an archive.

use std::io::Write;
use std::path::Path;

use super::{CreateOptions, Input, Outcome, write_atomically};
use crate::Result;
use crate::progress::{Interrupt, Progress};

/// Archives `inputs` into `out`, front to back.
///
/// # Errors
/// I/O on `out`, the model's engine, an interruption. A file that cannot be read is a warning.
pub fn create<W: Write>(
    _out: W,
    _inputs: &[Input],
    _options: &CreateOptions,
    _progress: &dyn Progress,
    _interrupt: &Interrupt,
) -> Result<Outcome> {
    unimplemented!()
}

/// Archives `inputs` into a file that appears under its name when it is whole, or not at all.
///
/// # Errors
/// Those of [`create`] and [`write_atomically`].
pub fn create_file(
    path: &Path,
    inputs: &[Input],
    options: &CreateOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    write_atomically(path, |file| create(file, inputs, options, progress, interrupt))
}
