//! Whole-file digests from chunks that are decoded once, in order.

use std::collections::BTreeMap;

use crate::format::{Entry, Extent, FileContent, Kind};
use crate::hash::FileHasher;
use crate::progress::Interrupt;

/// Most files whose digest is under way at a time: each holds a hasher of about 2 KiB.
const UNDER_WAY: usize = 4096;

/// A file with some of its content hashed.
struct Running {
    entry: usize,
    extent: usize,
    hasher: FileHasher,
}

/// What became of the files.
#[derive(Default)]
pub(super) struct FileVerdicts {
    /// Indices of entries whose digest holds.
    pub(super) good: Vec<usize>,
    /// Indices of entries with another digest or a lost chunk.
    pub(super) bad: Vec<usize>,
}

/// Hashes files while their chunks pass by in ascending order. Files whose extents do not ascend, as
/// deduplication makes them, are left over for [`hash_file`].
pub(super) struct FilePass<'a> {
    entries: &'a [Entry],
    interrupt: &'a Interrupt,
    /// Files that have not begun, by the first chunk they need.
    waiting: BTreeMap<u64, Vec<usize>>,
    /// Files that have, by the next chunk they need.
    running: BTreeMap<u64, Vec<Running>>,
    under_way: usize,
    pub(super) verdicts: FileVerdicts,
    /// Indices of entries that need chunks which have passed.
    pub(super) left_over: Vec<usize>,
}

impl<'a> FilePass<'a> {
    pub(super) fn new(entries: &'a [Entry], interrupt: &'a Interrupt) -> Self {
        let mut pass = Self {
            entries,
            interrupt,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            under_way: 0,
            verdicts: FileVerdicts::default(),
            left_over: Vec::new(),
        };
        for (entry, content) in entries.iter().enumerate().filter_map(|(i, entry)| Some((i, content(entry)?))) {
            match next_data(content, 0) {
                Some((_, chunk)) => pass.waiting.entry(chunk).or_default().push(entry),
                None => pass.judge(entry, content, &FileHasher::new()),
            }
        }
        pass
    }

    /// Takes chunk `number`, `None` where it is lost. Numbers ascend from call to call.
    pub(super) fn chunk(&mut self, number: u64, raw: Option<&[u8]>) {
        self.lose_before(number);
        let running = self.running.remove(&number).unwrap_or_default();
        self.under_way -= running.len();
        let waiting = self.waiting.remove(&number).unwrap_or_default();
        let begun = waiting.into_iter().map(|entry| Running { entry, extent: 0, hasher: FileHasher::new() });
        for file in running.into_iter().chain(begun) {
            match raw {
                Some(raw) => self.advance(file, number, raw),
                None => self.verdicts.bad.push(file.entry),
            }
        }
    }

    /// No more chunks come: files that still need one have lost it.
    pub(super) fn end(&mut self) {
        self.lose_before(u64::MAX);
        self.chunk(u64::MAX, None);
    }

    fn lose_before(&mut self, number: u64) {
        while let Some(waiting) = self.waiting.first_entry().filter(|first| *first.key() < number) {
            self.verdicts.bad.extend(waiting.remove());
        }
        while let Some(running) = self.running.first_entry().filter(|first| *first.key() < number) {
            let running = running.remove();
            self.under_way -= running.len();
            self.verdicts.bad.extend(running.into_iter().map(|file| file.entry));
        }
    }

    fn advance(&mut self, mut file: Running, number: u64, raw: &[u8]) {
        let entries = self.entries;
        let Some(content) = content(&entries[file.entry]) else { return };
        // Few bytes can stand for very many: the caller finds the interrupt at its next chunk.
        while !self.interrupt.raised() {
            match next_data(content, file.extent) {
                None => return self.judge(file.entry, content, &file.hasher),
                Some((at, chunk)) if chunk == number => {
                    let Some(bytes) = slice(&content.extents[at], raw) else {
                        return self.verdicts.bad.push(file.entry);
                    };
                    file.hasher.update(bytes);
                    file.extent = at + 1;
                }
                Some((_, chunk)) if chunk > number && self.under_way < UNDER_WAY => {
                    self.under_way += 1;
                    return self.running.entry(chunk).or_default().push(file);
                }
                Some(_) => return self.left_over.push(file.entry),
            }
        }
    }

    fn judge(&mut self, entry: usize, content: &FileContent, hasher: &FileHasher) {
        let list = if hasher.finish() == content.digest { &mut self.verdicts.good } else { &mut self.verdicts.bad };
        list.push(entry);
    }
}

/// Whether a file's digest holds, its chunks taken from `chunk`, `None` where one is lost.
pub(super) fn hash_file<E>(
    content: &FileContent,
    mut chunk: impl FnMut(u64) -> Result<Option<std::sync::Arc<[u8]>>, E>,
) -> Result<bool, E> {
    let mut hasher = FileHasher::new();
    for extent in &content.extents {
        let Extent::Data { chunk: number, .. } = *extent else { continue };
        let Some(raw) = chunk(number)? else { return Ok(false) };
        let Some(bytes) = slice(extent, &raw) else { return Ok(false) };
        hasher.update(bytes);
    }
    Ok(hasher.finish() == content.digest)
}

pub(super) fn content(entry: &Entry) -> Option<&FileContent> {
    match &entry.kind {
        Kind::File(content) => Some(content),
        _ => None,
    }
}

/// The first data extent at `from` or behind, and its chunk.
fn next_data(content: &FileContent, from: usize) -> Option<(usize, u64)> {
    content.extents[from..].iter().enumerate().find_map(|(i, extent)| match *extent {
        Extent::Data { chunk, .. } => Some((from + i, chunk)),
        Extent::Hole { .. } => None,
    })
}

/// The bytes of a chunk that a data extent stands for.
fn slice<'a>(extent: &Extent, raw: &'a [u8]) -> Option<&'a [u8]> {
    match *extent {
        Extent::Data { offset, len, .. } => raw.get(offset as usize..)?.get(..len as usize),
        Extent::Hole { .. } => Some(&[]),
    }
}
