//! An archive out as a tar stream.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use super::BLOCK;
use super::header::{Body, pad, write};
use super::sparse::Map;
use crate::archive::chunks::Ahead;
use crate::archive::contents::{Holes, announce, copy};
use crate::archive::extract::open_models;
use crate::archive::filter::Selection;
use crate::archive::notes::{Notes, show};
use crate::archive::{ExtractOptions, Outcome, Tree};
use crate::cache::{ArchiveCache, CachedChunks};
use crate::container::Reader;
use crate::format::{Entry, FileContent, Kind};
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};
use crate::{Error, Result};

/// A member to write.
struct Member<'t> {
    entry: &'t Entry,
    path: &'t [u8],
    what: What<'t>,
}

enum What<'t> {
    /// A file, or a hard link that stands in for a target that is left out.
    Content(&'t FileContent),
    /// A link to this path.
    Link(&'t [u8]),
    Plain,
}

/// Writes what `options` selects (`members`, `excludes`, `strip_components`) as a tar stream, in the order of
/// the archive, directories last. The same archive and options give the same bytes. Files with holes are
/// written as in pax format 1.0 of GNU tar, their ACLs as texts too.
///
/// # Errors
/// As [`extract`](crate::archive::extract); damage ends the stream before its end mark.
pub fn extract_to_tar<W: Write>(
    reader: &Arc<Reader>,
    models: &Arc<dyn Models>,
    options: &ExtractOptions,
    out: W,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    let notes = Notes::new(progress);
    let tree = Tree::new(reader.entries()?);
    let selection = Selection::new(options)?;
    let members = select(&tree, &selection, &notes);
    selection.all_met()?;
    let contents = members.iter().filter_map(|member| match member.what {
        What::Content(content) => Some(content),
        _ => None,
    });
    progress.total(contents.clone().map(|content| content.size).fold(0, u64::saturating_add));
    let chunks = Arc::new(CachedChunks::new(Arc::clone(reader), options.disk.clone().map(ArchiveCache::load_only)));
    open_models(&chunks, models, contents.clone())?;
    let mut ahead = Ahead::new(chunks, Arc::clone(models), options.workers);
    contents.for_each(|content| announce(&mut ahead, content));
    let mut out = BufWriter::with_capacity(128 << 10, out);
    let mut outcome = Outcome::default();
    let failed = || Error::io("writing", "the tar stream");
    for member in &members {
        progress.item(&member.entry.path);
        outcome.entries += 1;
        let Member { entry, path, what } = member;
        match what {
            What::Plain => {
                let target: &[u8] = if let Kind::Symlink(target) = &entry.kind { target } else { &[] };
                write(&mut out, entry, path, target, &Body::None).map_err(failed())?;
            }
            What::Link(target) => write(&mut out, entry, path, target, &Body::None).map_err(failed())?,
            What::Content(content) => {
                let as_file = Entry { kind: Kind::File((*content).clone()), ..(*entry).clone() };
                let body = Map::of(content).map_or(Body::Whole(content.size), Body::Sparse);
                write(&mut out, &as_file, path, &[], &body).map_err(failed())?;
                let receive = |bytes: &[u8]| out.write_all(bytes).map_err(failed());
                let holes = if matches!(body, Body::Sparse(_)) { Holes::LeftOut } else { Holes::AsZeros };
                copy(&mut ahead, &entry.path, content, holes, progress, interrupt, receive)?;
                pad(&mut out, body.data()).map_err(failed())?;
                outcome.files += 1;
                outcome.raw_bytes += content.size;
            }
        }
    }
    out.write_all(&[0; 2 * BLOCK as usize]).and_then(|()| out.flush()).map_err(failed())?;
    Ok(Outcome { warnings: notes.warnings(), ..outcome })
}

fn select<'t>(tree: &'t Tree, selection: &Selection, notes: &Notes<'_>) -> Vec<Member<'t>> {
    let mut members = Vec::new();
    // Where the content of a path in the archive is found in the stream.
    let mut written: HashMap<&[u8], &[u8]> = HashMap::new();
    for entry in tree.entries() {
        let Some(path) = selection.dest(&entry.path) else { continue };
        let what = match &entry.kind {
            Kind::File(content) => What::Content(content),
            Kind::HardLink(target) => match (written.get(target.as_slice()), tree.content(entry)) {
                (Some(target), _) => What::Link(target),
                (None, Some(content)) => {
                    written.insert(target, path);
                    What::Content(content)
                }
                (None, None) => {
                    notes.warn(&format!("{}: a link to {}, which is left out", show(&entry.path), show(target)));
                    continue;
                }
            },
            _ => What::Plain,
        };
        if entry.kind != Kind::Directory {
            written.insert(&entry.path, path);
        }
        members.push(Member { entry, path, what });
    }
    // A reader that sets a directory's time and mode as soon as it comes would lose them to the files that follow:
    // what is in a directory stands before it.
    let (mut directories, mut others): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| member.entry.kind == Kind::Directory);
    directories.sort_by(|a, b| b.path.cmp(a.path));
    others.append(&mut directories);
    others
}
