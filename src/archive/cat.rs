//! `cat`: the content of members, without their metadata.

use std::io::Write;
use std::sync::Arc;

use super::chunks::Ahead;
use super::contents::{Holes, announce, copy};
use super::extract::open_models;
use super::filter::Selection;
use super::notes::{Notes, show};
use super::{ExtractOptions, Outcome, Tree};
use crate::cache::CachedChunks;
use crate::container::Reader;
use crate::error::ExitCode;
use crate::format::{Entry, FileContent, Kind};
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};
use crate::{Error, Result};

/// What is saved is a quarter of the disk cache's budget at most: what is larger is seldom read again.
const SAVED_SHARE: u64 = 4;

/// Writes the content of the regular files that `options` selects (`members`, `excludes`) to `out`, in
/// the order of the archive. A hard link gives the content of its target. A file that is damaged is left out from the
/// damage on; the others are written, then the damage is the error.
///
/// Chunks are loaded from the disk cache of `options`, and saved in it unless the files are so large together
/// that they would drive much else out.
///
/// # Errors
/// Damage, a missing model, I/O, a member that is not in the archive or has no content, an interruption.
pub fn cat<W: Write>(
    reader: &Arc<Reader>,
    models: &Arc<dyn Models>,
    options: &ExtractOptions,
    mut out: W,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    let notes = Notes::new(progress);
    let tree = Tree::new(reader.entries()?);
    let files = select(&tree, &Selection::new(options)?)?;
    let with_content = files.iter().map(|&(_, content)| content);
    let total = with_content.clone().map(|content| content.size).fold(0, u64::saturating_add);
    progress.total(total);
    let cache = options.disk.clone();
    let cache = cache.map(|cache| if total <= cache.budget() / SAVED_SHARE { cache } else { cache.load_only() });
    let chunks = Arc::new(CachedChunks::new(Arc::clone(reader), cache));
    open_models(&chunks, models, with_content)?;
    let mut ahead = Ahead::new(chunks, Arc::clone(models), options.workers);
    files.iter().for_each(|(_, content)| announce(&mut ahead, content));
    let mut outcome = Outcome::default();
    let mut worst: Option<Error> = None;
    for (entry, content) in files {
        progress.item(&entry.path);
        let write = |bytes: &[u8]| out.write_all(bytes).map_err(Error::io("writing", "the output"));
        match copy(&mut ahead, &entry.path, content, Holes::AsZeros, progress, interrupt, write) {
            Ok(()) => {
                outcome.entries += 1;
                outcome.files += 1;
                outcome.raw_bytes += content.size;
            }
            Err(error) if error.exit_code() == ExitCode::Corrupt => {
                notes.warn(&format!("{}: {error}", show(&entry.path)));
                worst.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    out.flush().map_err(Error::io("writing", "the output"))?;
    match worst {
        Some(error) => Err(error),
        None => Ok(Outcome { warnings: notes.warnings(), ..outcome }),
    }
}

/// The files that are selected, with their contents.
fn select<'t>(tree: &'t Tree, selection: &Selection) -> Result<Vec<(&'t Entry, &'t FileContent)>> {
    let mut files = Vec::new();
    for entry in tree.entries() {
        if !selection.wants(&entry.path) {
            continue;
        }
        match tree.content(entry) {
            Some(content) => files.push((entry, content)),
            None if entry.kind != Kind::Directory && selection.names(&entry.path) => {
                return Err(Error::Refused(format!("{} is not a regular file and has no content", show(&entry.path))));
            }
            None => {}
        }
    }
    selection.all_met()?;
    Ok(files)
}
