//! `extract`: an archive back into files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustix::fs::{FileType, Mode};

use super::chunks::{Ahead, Decoded, repeat};
use super::filter::Selection;
use super::meta::FileId;
use super::notes::{Notes, show, show_path};
use super::parts::{Job, Parts, Write, data_len, plan};
use super::restore::Restorer;
use super::safe_path::{Root, id_of};
use super::{ExtractOptions, Outcome};
use crate::cache::{ArchiveCache, CachedChunks};
use crate::container::Reader;
use crate::error::ExitCode;
use crate::format::{Entry, Extent, FileContent, FormatError, Kind, validate_path};
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};
use crate::{Error, Result};

/// Extracts an archive that can be read at random. Damage to a chunk costs the files that need it;
/// all others are extracted, then the damage is the error. The models that are needed are opened and checked
/// before anything is written, but those whose chunks the disk cache seems to hold.
///
/// # Errors
/// Damage, a missing model, I/O, a member that is not in the archive, an interruption.
pub fn extract(
    reader: &Arc<Reader>,
    models: &Arc<dyn Models>,
    options: &ExtractOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    let entries = reader.entries()?;
    let notes = Notes::new(progress);
    let selection = Selection::new(options)?;
    let selected = entries.iter().filter(|entry| selection.dest(&entry.path).is_some());
    let contents = selected.filter_map(|entry| match &entry.kind {
        Kind::File(content) => Some(content),
        _ => None,
    });
    progress.total(contents.clone().map(data_len).fold(0, u64::saturating_add));
    let chunks = Arc::new(CachedChunks::new(Arc::clone(reader), options.disk.clone().map(ArchiveCache::load_only)));
    open_models(&chunks, models, contents)?;
    let mut ahead = Ahead::new(chunks, Arc::clone(models), options.workers);
    let mut extractor = Extractor::new(Root::open(&options.dest)?, selection, options, &notes, interrupt);
    extractor.batch(entries, &mut ahead)?;
    extractor.finish()
}

/// Opens the models of all chunks that `contents` need and that are not in the cache. Loading a model takes longer
/// than reading a few chunks; where the cache turns out not to hold one, the decoder opens its model.
pub(super) fn open_models<'c>(
    chunks: &CachedChunks,
    models: &Arc<dyn Models>,
    contents: impl Iterator<Item = &'c FileContent>,
) -> Result<()> {
    let reader = chunks.reader();
    let mut opened = HashSet::new();
    for extent in contents.flat_map(|content| &content.extents) {
        let Extent::Data { chunk, .. } = extent else { continue };
        let Some(slot) = reader.slot(*chunk).filter(|slot| slot.codec.needs_model()) else { continue };
        let Some(number) = slot.model.filter(|number| !opened.contains(number)) else { continue };
        if chunks.holds(*chunk) {
            continue;
        }
        opened.insert(number);
        if let Some(record) = reader.model(number) {
            models.open(record)?;
        }
    }
    Ok(())
}

/// A regular or special file that was extracted, as a target of hard links.
struct Done {
    dest: Vec<u8>,
    id: FileId,
}

/// One extraction: batches of entries, then the end.
pub(super) struct Extractor<'a> {
    root: Root,
    selection: Selection,
    options: &'a ExtractOptions,
    restorer: Restorer,
    notes: &'a Notes<'a>,
    interrupt: &'a Interrupt,
    /// By path in the archive.
    done: HashMap<Vec<u8>, Done>,
    /// Contents of files that are not extracted: a link to one of them may be.
    passed_over: HashMap<Vec<u8>, FileContent>,
    directories: Vec<(Vec<u8>, Entry)>,
    symlinks: Vec<(Vec<u8>, Entry)>,
    outcome: Outcome,
    /// The worst that happened to single files.
    worst: Option<Error>,
}

impl<'a> Extractor<'a> {
    pub(super) fn new(
        root: Root,
        selection: Selection,
        options: &'a ExtractOptions,
        notes: &'a Notes<'a>,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            root,
            selection,
            options,
            restorer: Restorer::new(options),
            notes,
            interrupt,
            done: HashMap::new(),
            passed_over: HashMap::new(),
            directories: Vec::new(),
            symlinks: Vec::new(),
            outcome: Outcome::default(),
            worst: None,
        }
    }

    /// A file was not extracted. Goes on, unless nothing else can succeed either.
    fn fail(&mut self, path: &[u8], error: Error) -> Result<()> {
        let fatal = match &error {
            Error::Interrupted | Error::Predict(_) => true,
            Error::Io { source, .. } => {
                matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::EROFS))
            }
            _ => false,
        };
        if fatal {
            return Err(error);
        }
        self.notes.warn(&format!("{}: not extracted: {error}", show(path)));
        let is_worse = |worst: &Error| worst.exit_code() != ExitCode::Corrupt && error.exit_code() == ExitCode::Corrupt;
        if self.worst.as_ref().is_none_or(is_worse) {
            self.worst = Some(error);
        }
        Ok(())
    }

    /// Extracts entries whose chunks can all be had.
    pub(super) fn batch(&mut self, entries: Vec<Entry>, ahead: &mut Ahead) -> Result<()> {
        let (mut jobs, mut links, mut stand_ins) = (Vec::new(), Vec::new(), HashSet::new());
        let mut places = HashSet::new();
        for entry in entries {
            if self.interrupt.raised() {
                return Err(Error::Interrupted);
            }
            validate_path(&entry.path).map_err(|error| FormatError::corrupt("path", error.to_string()))?;
            let Some(dest) = self.selection.dest(&entry.path).map(<[u8]>::to_vec) else {
                self.pass_over(entry);
                continue;
            };
            self.notes.progress.item(&entry.path);
            let path = entry.path.clone();
            // Without their first components two paths can be one: the later file is the one that stays.
            if self.options.strip_components > 0 && !places.insert(dest.clone()) {
                self.files(&std::mem::take(&mut jobs), ahead)?;
            }
            match &entry.kind {
                Kind::Directory => {
                    let done = self.directory(dest, entry);
                    self.note(&path, done)?;
                }
                Kind::Symlink(_) => self.symlinks.push((dest, entry)),
                Kind::File(content) => {
                    let content = content.clone();
                    if !self.job(&mut jobs, Job { dest, entry, content: content.clone() })? {
                        // What stands there may be another file: links get this one's content.
                        self.passed_over.insert(path, content);
                    }
                }
                Kind::HardLink(target) => match self.passed_over.get(target) {
                    // The first link stands in for the file, later ones are linked to it.
                    Some(content) if stand_ins.insert(target.clone()) && !self.done.contains_key(target) => {
                        let (content, target) = (content.clone(), target.clone());
                        if !self.job(&mut jobs, Job { dest, entry, content })? {
                            stand_ins.remove(&target);
                        }
                    }
                    _ => links.push((dest, entry)),
                },
                Kind::Fifo | Kind::CharDevice { .. } | Kind::BlockDevice { .. } => {
                    let done = self.special(&dest, &entry);
                    self.note(&path, done)?;
                }
            }
        }
        self.files(&jobs, ahead)?;
        for (dest, entry) in links {
            let done = self.hard_link(&dest, &entry);
            self.note(&entry.path, done)?;
        }
        Ok(())
    }

    fn note(&mut self, path: &[u8], done: Result<()>) -> Result<()> {
        match done {
            Ok(()) => {
                self.outcome.entries += 1;
                Ok(())
            }
            Err(error) => self.fail(path, error),
        }
    }

    fn pass_over(&mut self, entry: Entry) {
        if let Kind::File(content) = entry.kind {
            self.passed_over.insert(entry.path, content);
        }
    }

    /// Takes a file in, unless there is one already that is to be kept, or that cannot be seen: `false`.
    fn job(&mut self, jobs: &mut Vec<Job>, job: Job) -> Result<bool> {
        if self.options.keep_old {
            let found = self.root.place(&job.dest).and_then(|place| place.stat());
            match found.map_err(Error::io("reading", show_path(&job.dest))) {
                Err(error) => return self.fail(&job.entry.path, error).map(|()| false),
                Ok(Some(_)) => {
                    self.notes.warn(&format!("{}: exists already; kept", show(&job.dest)));
                    return Ok(false);
                }
                Ok(None) => {}
            }
        }
        jobs.push(job);
        Ok(true)
    }

    fn files(&mut self, jobs: &[Job], ahead: &mut Ahead) -> Result<()> {
        // Not `self.root`: the parts borrow it for as long as failures are noted in `self`.
        let mut results: Vec<(usize, Result<FileId>)> = Vec::new();
        let mut parts = Parts::new(&self.root, &self.restorer, self.notes, self.options.keep_old, jobs);
        for (number, job) in jobs.iter().enumerate() {
            if !job.content.extents.iter().any(|extent| matches!(extent, Extent::Data { .. })) {
                results.push((number, parts.without_data(number)));
            }
        }
        let writes = plan(jobs);
        let by_chunk = writes.chunk_by(|a, b| a.chunk == b.chunk);
        ahead.want(by_chunk.clone().map(|group| group[0].chunk));
        for group in by_chunk {
            let Some((number, chunk)) = ahead.next(self.interrupt)? else { break };
            debug_assert_eq!(number, group[0].chunk);
            if let Some(Error::Predict(error)) = chunk.as_ref().err().map(|error| repeat(error)) {
                return Err(error.into());
            }
            let stored = ahead.lengths(number).1;
            self.notes.progress.advance(group.iter().map(|write| u64::from(write.len)).sum(), stored);
            write_all(group, &chunk, &mut parts, &mut results)?;
        }
        drop(parts);
        for (number, result) in results {
            let job = &jobs[number];
            let done = result.map(|id| self.take_done(job, id));
            self.note(&job.entry.path, done)?;
        }
        Ok(())
    }

    fn take_done(&mut self, job: &Job, id: FileId) {
        self.outcome.files += 1;
        self.outcome.raw_bytes += job.content.size;
        let path = match &job.entry.kind {
            Kind::HardLink(target) => target,
            _ => &job.entry.path,
        };
        self.done.insert(path.clone(), Done { dest: job.dest.clone(), id });
    }

    fn directory(&mut self, dest: Vec<u8>, entry: Entry) -> Result<()> {
        let failed = |error| Error::io("creating", show_path(&dest))(error);
        let existed = self.root.make_directory(&dest, self.options.keep_old).map_err(failed)?;
        if existed && self.options.keep_old {
            return Ok(());
        }
        if existed {
            // Files are about to be made in it, whatever its mode says.
            let open = self.root.open_directory(&dest).map_err(failed)?;
            let mode = rustix::fs::fstat(&open).map_err(|error| failed(error.into()))?.st_mode;
            let _ = rustix::fs::fchmod(&open, Mode::from_raw_mode(mode & 0o7777) | Mode::RWXU);
        }
        self.directories.push((dest, entry));
        Ok(())
    }

    /// Makes room for something that is not a regular file. Answers `false` where an old file is kept.
    fn make_room(&self, place: &super::safe_path::Place<'_>, dest: &[u8]) -> Result<bool> {
        let failed = |error| Error::io("replacing", show_path(dest))(error);
        let Some(old) = place.stat().map_err(failed)? else { return Ok(true) };
        if self.options.keep_old {
            self.notes.warn(&format!("{}: exists already; kept", show(dest)));
            return Ok(false);
        }
        if FileType::from_raw_mode(old.st_mode).is_dir() {
            return Err(Error::Refused(format!("a directory stands at {}; remove it first", show(dest))));
        }
        place.unlink().map_err(failed)?;
        Ok(true)
    }

    fn special(&mut self, dest: &[u8], entry: &Entry) -> Result<()> {
        let (kind, device) = match entry.kind {
            Kind::CharDevice { major, minor } => (FileType::CharacterDevice, rustix::fs::makedev(major, minor)),
            Kind::BlockDevice { major, minor } => (FileType::BlockDevice, rustix::fs::makedev(major, minor)),
            _ => (FileType::Fifo, 0),
        };
        if kind != FileType::Fifo && !self.restorer.devices() {
            self.notes.warn(&format!("{}: a device; not made without -p", show(&entry.path)));
            return Ok(());
        }
        let failed = |error| Error::io("creating", show_path(dest))(error);
        let place = self.root.place(dest).map_err(failed)?;
        if !self.make_room(&place, dest)? {
            return Ok(());
        }
        let made = rustix::fs::mknodat(&place.parent, place.name, kind, Mode::RUSR | Mode::WUSR, device);
        if let Err(error) = made {
            self.notes.warn(&format!("{}: not made: {error}", show(&entry.path)));
            return Ok(());
        }
        self.restorer.unopened(&place, entry, false, self.notes);
        if let Some(stat) = place.stat().map_err(failed)? {
            self.done.insert(entry.path.clone(), Done { dest: dest.to_vec(), id: id_of(&stat) });
        }
        Ok(())
    }

    fn hard_link(&mut self, dest: &[u8], entry: &Entry) -> Result<()> {
        let Kind::HardLink(target) = &entry.kind else { return Ok(()) };
        let Some(done) = self.done.get(target) else {
            return Err(Error::Refused(format!("its target {} was not extracted", show(target))));
        };
        if done.dest == dest {
            return Ok(());
        }
        let failed = |error| Error::io("linking", show_path(dest))(error);
        let place = self.root.place(dest).map_err(failed)?;
        if !self.make_room(&place, dest)? {
            return Ok(());
        }
        let target = self.root.place(&done.dest).map_err(failed)?;
        place.link_to(&target, done.id).map_err(failed)
    }

    fn symlink(&self, dest: &[u8], entry: &Entry) -> Result<()> {
        let Kind::Symlink(target) = &entry.kind else { return Ok(()) };
        let failed = |error| Error::io("creating", show_path(dest))(error);
        let place = self.root.place(dest).map_err(failed)?;
        if !self.make_room(&place, dest)? {
            return Ok(());
        }
        let made = rustix::fs::symlinkat(target.as_slice(), &place.parent, place.name);
        made.map_err(|error| failed(error.into()))?;
        self.restorer.unopened(&place, entry, true, self.notes);
        Ok(())
    }

    /// Makes the symbolic links, then gives directories their metadata: links lead nowhere while files are
    /// written, and directories stay writable.
    pub(super) fn finish(mut self) -> Result<Outcome> {
        for (dest, entry) in std::mem::take(&mut self.symlinks) {
            let done = self.symlink(&dest, &entry);
            self.note(&entry.path, done)?;
        }
        self.finish_directories();
        if let Some(error) = self.worst {
            return Err(error);
        }
        self.selection.all_met()?;
        Ok(Outcome { warnings: self.notes.warnings(), ..self.outcome })
    }

    fn finish_directories(&mut self) {
        let mut directories: HashMap<Vec<u8>, Option<Entry>> =
            self.root.take_made().into_iter().map(|path| (path, None)).collect();
        directories.extend(std::mem::take(&mut self.directories).into_iter().map(|(path, entry)| (path, Some(entry))));
        let mut directories: Vec<_> = directories.into_iter().collect();
        // What is beneath a directory stands after it in ascending order, and is finished first.
        directories.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        for (path, entry) in directories {
            match (self.root.open_directory(&path), entry) {
                (Ok(open), Some(entry)) => self.restorer.open_file(&open, &entry, self.notes),
                (Ok(open), None) => drop(rustix::fs::fchmod(&open, self.restorer.implied_mode())),
                (Err(error), _) => self.notes.warn(&format!("{}: metadata not restored: {error}", show(&path))),
            }
        }
    }
}

/// Writes one chunk into all files that need it.
fn write_all(
    group: &[Write],
    chunk: &Decoded,
    parts: &mut Parts<'_>,
    results: &mut Vec<(usize, Result<FileId>)>,
) -> Result<()> {
    for write in group {
        if parts.has_failed(write.job) {
            continue;
        }
        let done = match chunk {
            Ok(chunk) => parts.write(write, chunk),
            Err(error) => Err(repeat(error)),
        };
        match done {
            Ok(None) => {}
            Ok(Some(id)) => results.push((write.job, Ok(id))),
            Err(error) => {
                parts.fail(write.job);
                if matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(libc::ENOSPC)) {
                    return Err(error);
                }
                results.push((write.job, Err(error)));
            }
        }
    }
    Ok(())
}
