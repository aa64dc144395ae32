//! `create`: files into an archive.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use super::meta::FileId;
use super::notes::{Notes, show};
use super::pack::Packer;
use super::read::{ReadError, Run, read};
use super::sink::Sink;
use super::walk::{Item, walk};
use super::{CreateOptions, Input, MAX_CHUNK_SIZE, MIN_CHUNK_SIZE, Outcome, group, write_atomically};
use crate::format::Kind;
use crate::progress::{Interrupt, Progress};
use crate::{Error, Result};

/// Archives `inputs` into `out`, front to back. Directories, links and special files come first, then the regular
/// files by kind of content, each followed by its other names.
///
/// # Errors
/// An input that does not exist, I/O on `out`, the model's engine, an interruption. A file that cannot be read is a
/// warning.
pub fn create<W: Write>(
    out: W,
    inputs: &[Input],
    options: &CreateOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    check(options)?;
    let notes = Notes::new(progress);
    let plan = Plan::new(walk(inputs, options, &notes, interrupt)?);
    progress.total(plan.files.iter().map(|names| names[0].size).sum());
    let mut packer = Packer::new(Sink::new(out, options, progress, interrupt)?, &notes, options.chunk_size);
    for item in plan.others {
        progress.item(&item.entry.path);
        packer.entry(item.entry)?;
    }
    let mut class = None;
    for names in plan.files {
        if interrupt.raised() {
            return Err(Error::Interrupted);
        }
        let next = group::class(&names[0].entry.path);
        if let Some(ended) = class.replace(next).filter(|&class| class != next) {
            packer.close(ended)?;
        }
        add_file(names, next, &mut packer, &notes)?;
    }
    let outcome = packer.finish()?;
    Ok(Outcome { warnings: notes.warnings(), ..outcome })
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

/// # Errors
/// [`Error::Usage`] for options that cannot be carried out.
pub(super) fn check(options: &CreateOptions) -> Result<()> {
    if (MIN_CHUNK_SIZE..=MAX_CHUNK_SIZE).contains(&options.chunk_size) {
        return Ok(());
    }
    let (asked, min, max) = (options.chunk_size, MIN_CHUNK_SIZE, MAX_CHUNK_SIZE);
    Err(Error::Usage(format!("a chunk size of {asked} bytes is not between {min} and {max}")))
}

/// What was found, in the order of the archive.
struct Plan {
    /// Everything but regular files, other names of special files behind the first.
    others: Vec<Item>,
    /// Regular files, each with all its names, the first to be the file and the others its links.
    files: Vec<Vec<Item>>,
}

impl Plan {
    /// `items` are in ascending order of paths; so a file's first name is its least.
    fn new(items: Vec<Item>) -> Self {
        let mut others = Vec::new();
        let mut files: Vec<Vec<Item>> = Vec::new();
        let mut linked: HashMap<FileId, usize> = HashMap::new();
        let mut special: HashMap<FileId, Vec<u8>> = HashMap::new();
        for mut item in items {
            let may_be_linked = item.may_be_linked();
            match &item.entry.kind {
                Kind::File(_) => match linked.get(&item.id) {
                    Some(&number) if may_be_linked => files[number].push(item),
                    _ => {
                        linked.insert(item.id, files.len());
                        files.push(vec![item]);
                    }
                },
                Kind::Directory => others.push(item),
                _ => {
                    if may_be_linked {
                        if let Some(first) = special.get(&item.id) {
                            item.entry.kind = Kind::HardLink(first.clone());
                        } else {
                            special.insert(item.id, item.entry.path.clone());
                        }
                    }
                    others.push(item);
                }
            }
        }
        files.sort_by_cached_key(|names| {
            let (class, extension, path) = group::order(&names[0].entry.path);
            (class, extension, path.to_vec())
        });
        Self { others, files }
    }
}

/// Adds a file under the first of its names that can be read, and links for the others.
fn add_file<W: Write>(
    names: Vec<Item>,
    class: group::Class,
    packer: &mut Packer<'_, W>,
    notes: &Notes<'_>,
) -> Result<()> {
    let mut target: Option<Vec<u8>> = None;
    for mut item in names {
        notes.progress.item(&item.entry.path);
        if let Some(target) = &target {
            item.entry.kind = Kind::HardLink(target.clone());
            packer.entry(item.entry)?;
            continue;
        }
        packer.begin(class);
        let done = read(&item.disk, |run| match run {
            Run::Data(bytes) => packer.data(bytes),
            Run::Hole(len) => {
                packer.hole(len);
                Ok(())
            }
        });
        match done {
            Err(ReadError::Receiver(error)) => return Err(error),
            Err(ReadError::File(error)) => {
                notes.warn(&format!("{}: cannot be read: {error}; left out", show(&item.entry.path)));
            }
            Ok((mtime, changed)) => {
                if changed {
                    notes.warn(&format!("{}: changed while it was read; stored as read", show(&item.entry.path)));
                }
                item.entry.mtime = mtime;
                target = Some(item.entry.path.clone());
                packer.finish_file(item.entry)?;
            }
        }
    }
    Ok(())
}
