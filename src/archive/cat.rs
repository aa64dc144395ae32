//! `cat`: the content of members, without their metadata.

use std::io::Write;
use std::sync::Arc;

use super::{ExtractOptions, Outcome};
use crate::Result;
use crate::container::Reader;
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};

/// Writes the content of the regular files that `options` selects (`members`, `excludes`) to `out`, in
/// the order of the archive. A hard link gives the content of its target.
///
/// # Errors
/// Damage, a missing model, I/O, a member that is not in the archive or has no content, an interruption.
pub fn cat<W: Write>(
    _reader: &Arc<Reader>,
    _models: &Arc<dyn Models>,
    _options: &ExtractOptions,
    _out: W,
    _progress: &dyn Progress,
    _interrupt: &Interrupt,
) -> Result<Outcome> {
    unimplemented!()
}
