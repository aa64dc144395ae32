//! Files that are being extracted: written under a temporary name, in the order of their chunks, and renamed when
//! their digest holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::meta::FileId;
use super::notes::{Notes, show_path};
use super::restore::Restorer;
use super::safe_path::{Place, Root};
use crate::container::ContainerError;
use crate::format::{Entry, Extent, FileContent, FormatError};
use crate::hash::{Digest, FileHasher};
use crate::{Error, Result};

/// Files that may be open at a time; others are opened again when their next chunk comes.
const OPEN_FILES: usize = 128;

/// A regular file to extract.
pub(super) struct Job {
    /// Where to, beneath the root.
    pub(super) dest: Vec<u8>,
    /// Its entry; of a link that stands in for its target, the link's, with the target's content beside it.
    pub(super) entry: Entry,
    pub(super) content: FileContent,
}

/// Bytes of a chunk that go into a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Write {
    pub(super) chunk: u64,
    pub(super) job: usize,
    /// Where in the file.
    pub(super) at: u64,
    /// Where among the file's data, holes left out.
    data: u64,
    pub(super) offset: u32,
    pub(super) len: u32,
}

/// All writes of `jobs`, by chunk: each chunk is needed once.
pub(super) fn plan(jobs: &[Job]) -> Vec<Write> {
    let mut writes = Vec::new();
    for (job, file) in jobs.iter().enumerate() {
        let (mut at, mut data) = (0u64, 0u64);
        for extent in &file.content.extents {
            match *extent {
                Extent::Data { chunk, offset, len } => {
                    writes.push(Write { chunk, job, at, data, offset, len });
                    at = at.saturating_add(len.into());
                    data = data.saturating_add(len.into());
                }
                Extent::Hole { len } => at = at.saturating_add(len),
            }
        }
    }
    writes.sort_unstable();
    writes
}

struct Part {
    name: Vec<u8>,
    file: Option<File>,
    /// Of the data written so far, as long as it comes in order and the file stays open.
    hasher: Option<Box<FileHasher>>,
    /// Data written.
    done: u64,
    /// Data there is.
    total: u64,
}

/// The files of one batch. What is not finished when it is dropped is removed.
pub(super) struct Parts<'a> {
    root: &'a Root,
    restorer: &'a Restorer,
    notes: &'a Notes<'a>,
    keep_old: bool,
    jobs: &'a [Job],
    parts: BTreeMap<usize, Part>,
    /// Parts whose file is open.
    open: BTreeSet<usize>,
    failed: HashSet<usize>,
    names: u64,
}

impl<'a> Parts<'a> {
    pub(super) fn new(
        root: &'a Root,
        restorer: &'a Restorer,
        notes: &'a Notes<'a>,
        keep_old: bool,
        jobs: &'a [Job],
    ) -> Self {
        let (parts, open, failed) = (BTreeMap::new(), BTreeSet::new(), HashSet::new());
        Self { root, restorer, notes, keep_old, jobs, parts, open, failed, names: 0 }
    }

    /// Whether the file was given up.
    pub(super) fn has_failed(&self, job: usize) -> bool {
        self.failed.contains(&job)
    }

    /// Gives the file up and removes what was written of it.
    pub(super) fn fail(&mut self, job: usize) {
        self.failed.insert(job);
        self.open.remove(&job);
        if let Some(part) = self.parts.remove(&job) {
            self.remove(job, &part);
        }
    }

    fn remove(&self, job: usize, part: &Part) {
        if let Ok(place) = self.root.place(&self.jobs[job].dest) {
            let place = Place { parent: place.parent, name: &part.name };
            let _ = place.unlink();
        }
    }

    /// Writes bytes of a chunk into a file. Answers the file when this was the last it lacked.
    pub(super) fn write(&mut self, write: &Write, chunk: &[u8]) -> Result<Option<FileId>> {
        let from = write.offset as usize;
        let bytes = chunk.get(from..).and_then(|rest| rest.get(..write.len as usize)).ok_or_else(|| {
            let why = format!("bytes {from} to {} of a chunk of {}", from as u64 + u64::from(write.len), chunk.len());
            ContainerError::from(FormatError::corrupt("extent", why))
        })?;
        let dest = &self.jobs[write.job].dest;
        self.open(write.job)?;
        let part = self.parts.get_mut(&write.job).expect("opened above");
        let file = part.file.as_ref().expect("opened above");
        file.write_all_at(bytes, write.at).map_err(Error::io("writing", show_path(dest)))?;
        match &mut part.hasher {
            Some(hasher) if part.done == write.data => hasher.update(bytes),
            _ => part.hasher = None,
        }
        part.done += u64::from(write.len);
        if part.done == part.total { self.finish(write.job).map(Some) } else { Ok(None) }
    }

    /// Makes a file that has no data, only a size.
    pub(super) fn without_data(&mut self, job: usize) -> Result<FileId> {
        self.open(job)?;
        self.finish(job)
    }

    fn open(&mut self, job: usize) -> Result<()> {
        if self.parts.get(&job).is_some_and(|part| part.file.is_some()) {
            return Ok(());
        }
        if self.open.len() >= OPEN_FILES
            && let Some(part) = self.open.pop_first().and_then(|other| self.parts.get_mut(&other))
        {
            part.file = None;
            part.hasher = None;
        }
        self.open.insert(job);
        let dest = &self.jobs[job].dest;
        let failed = |error| Error::io("creating", show_path(dest))(error);
        let place = self.root.place(dest).map_err(failed)?;
        if let Some(part) = self.parts.get_mut(&job) {
            part.file = Some(Place { parent: place.parent, name: &part.name }.reopen().map_err(failed)?);
            return Ok(());
        }
        let (name, file) = loop {
            let name = format!(".lma-part-{}-{}", std::process::id(), self.names).into_bytes();
            self.names += 1;
            match (Place { parent: place.parent.try_clone().map_err(failed)?, name: &name }).create() {
                Ok(file) => break (name, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        };
        let total = data_len(&self.jobs[job].content);
        self.parts.insert(job, Part { name, file: Some(file), hasher: Some(Box::default()), done: 0, total });
        Ok(())
    }

    /// Checks the file and gives it its name.
    fn finish(&mut self, job: usize) -> Result<FileId> {
        let Job { dest, entry, content } = &self.jobs[job];
        let part = self.parts.get(&job).expect("a file is finished after it was opened");
        let file = part.file.as_ref().expect("a file is finished while it is open");
        let failed = |action| Error::io(action, show_path(dest));
        let digest = match &part.hasher {
            Some(hasher) => hasher.finish(),
            None => digest(file, content).map_err(failed("reading back"))?,
        };
        if digest != content.digest {
            let why = format!("{} has digest {digest}, not {}", super::notes::show(&entry.path), content.digest);
            return Err(ContainerError::from(FormatError::corrupt("file content", why)).into());
        }
        file.set_len(content.size).map_err(failed("setting the size of"))?;
        self.restorer.open_file(file, entry, self.notes);
        let meta = file.metadata().map_err(failed("reading"))?;
        let place = self.root.place(dest).map_err(failed("creating"))?;
        place.rename_from(&part.name, self.keep_old).map_err(failed("creating"))?;
        self.parts.remove(&job);
        self.open.remove(&job);
        Ok(FileId::of(&meta))
    }
}

impl Drop for Parts<'_> {
    fn drop(&mut self) {
        for (job, part) in &self.parts {
            self.remove(*job, part);
        }
    }
}

/// Bytes of a file that are stored: all but its holes.
pub(super) fn data_len(content: &FileContent) -> u64 {
    let data = content.extents.iter().filter_map(|extent| match extent {
        Extent::Data { len, .. } => Some(u64::from(*len)),
        Extent::Hole { .. } => None,
    });
    data.fold(0, u64::saturating_add)
}

/// The digest of a file whose bytes were not written in order.
fn digest(file: &File, content: &FileContent) -> io::Result<Digest> {
    let mut hasher = FileHasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0u64;
    for extent in &content.extents {
        match *extent {
            Extent::Hole { len } => at = at.saturating_add(len),
            Extent::Data { len, .. } => {
                let mut left = len as usize;
                while left > 0 {
                    let now = left.min(buffer.len());
                    file.read_exact_at(&mut buffer[..now], at)?;
                    hasher.update(&buffer[..now]);
                    at += now as u64;
                    left -= now;
                }
            }
        }
    }
    Ok(hasher.finish())
}
