//! The operations of the mounted archive, without a kernel and without fuser.
//!
//! Everything but [`Fs::read`] is answered from the [`Tree`]: no I/O, no decode, no lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use super::cache::{Begin, ChunkCache, Outcome, Waiter};
use super::errno::Errno;
use super::inode::{Attr, DirEntry, HOLE, NodeKind, Run, Tree};
use super::worker::Workers;

/// Most bytes of one read; the kernel is told, and a larger read is `EINVAL`.
pub const MAX_READ: u32 = 1 << 20;

/// Totals for `statfs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of all files, holes left out.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

/// What to look for from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// `SEEK_DATA`.
    Data,
    /// `SEEK_HOLE`; the end of a file counts as one.
    Hole,
}

/// The mounted archive.
pub struct Fs {
    tree: Tree,
    cache: Arc<ChunkCache>,
    workers: Workers,
}

/// Part of a read: bytes of one chunk.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where they go in the reply.
    at: usize,
    /// Where they stand in the decoded chunk.
    offset: usize,
    len: usize,
}

/// What a read needs: the pieces of each chunk. What no piece covers is a hole.
#[derive(Debug, Default)]
struct Plan {
    len: usize,
    chunks: Vec<(u64, Vec<Piece>)>,
    /// Index in `chunks` by number.
    by_number: HashMap<u64, usize>,
}

/// Gets the bytes, or the error; called exactly once, on the caller's thread or on a worker.
type Done = Box<dyn FnOnce(Result<Vec<u8>, Errno>) + Send>;

/// A read on its way. Answered by the last chunk that arrives, or by the first that fails. Each
/// chunk is copied from as it arrives and let go: a read holds its reply's bytes, never its chunks.
struct Pending(Mutex<Arrived>);

struct Arrived {
    reply: Vec<u8>,
    missing: usize,
    done: Option<Done>,
}

impl Fs {
    /// A file system over a tree, whose chunks come from `cache`, decoded by `workers`.
    #[must_use]
    pub fn new(tree: Tree, cache: Arc<ChunkCache>, workers: Workers) -> Self {
        Self { tree, cache, workers }
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The attributes of a name in a directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Result<Attr, Errno> {
        self.tree.attr(self.tree.lookup(parent, name)?)
    }

    /// The attributes of an inode.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn getattr(&self, ino: u64) -> Result<Attr, Errno> {
        self.tree.attr(ino)
    }

    /// The raw target of a symbolic link.
    ///
    /// # Errors
    /// `ENOENT`, `EINVAL`.
    pub fn readlink(&self, ino: u64) -> Result<&[u8], Errno> {
        self.tree.link_target(ino)
    }

    /// Whether a file may be opened.
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`, `EINVAL`; `EROFS` for writing.
    pub fn open(&self, ino: u64, write: bool) -> Result<(), Errno> {
        self.tree.runs(ino)?;
        if write { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// Whether a directory may be opened.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub fn opendir(&self, ino: u64) -> Result<(), Errno> {
        match self.tree.attr(ino)?.kind {
            NodeKind::Directory => Ok(()),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The lines of a directory from `offset` on; see [`Tree::read_dir`].
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub fn readdir(&self, ino: u64, offset: u64) -> Result<impl Iterator<Item = DirEntry<'_>>, Errno> {
        self.tree.read_dir(ino, offset)
    }

    /// An extended attribute's value.
    ///
    /// # Errors
    /// `ENOENT`, `ENODATA`.
    pub fn getxattr(&self, ino: u64, name: &[u8]) -> Result<&[u8], Errno> {
        let list = self.tree.xattrs(ino)?;
        let at = list.binary_search_by(|x| x.name.as_slice().cmp(name)).map_err(|_| Errno::ENODATA)?;
        Ok(&list[at].value)
    }

    /// The names of all extended attributes, each followed by a NUL byte.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn listxattr(&self, ino: u64) -> Result<Vec<u8>, Errno> {
        let list = self.tree.xattrs(ino)?;
        Ok(list.iter().flat_map(|x| x.name.iter().copied().chain([0])).collect())
    }

    /// Totals; nothing is read or decoded for them.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { bytes: self.tree.allocated(), inodes: self.tree.len() as u64 }
    }

    /// The offset of the next data or hole at or behind `offset`.
    ///
    /// # Errors
    /// `ENXIO` where there is none or `offset` is at or behind the end; those of a file's inode.
    pub fn seek(&self, ino: u64, offset: u64, what: Seek) -> Result<u64, Errno> {
        let (inode, runs) = self.tree.runs(ino)?;
        if offset >= inode.size {
            return Err(Errno::ENXIO);
        }
        let mut at = offset;
        for run in &runs[first_run(runs, offset)..] {
            if (run.chunk == HOLE) == (what == Seek::Hole) {
                return Ok(at);
            }
            at = run.end;
        }
        if what == Seek::Hole { Ok(inode.size) } else { Err(Errno::ENXIO) }
    }

    /// Reads without blocking: `done` is called at once where all chunks are in memory, else by the
    /// worker that decodes the last of them. Fewer bytes than asked for are the end of the file.
    ///
    /// A chunk that cannot be decoded fails exactly the reads that need a byte of it, with `EIO`.
    pub fn read(&self, ino: u64, offset: u64, size: u32, done: impl FnOnce(Result<Vec<u8>, Errno>) + Send + 'static) {
        let plan = match self.plan(ino, offset, size) {
            Ok(plan) if plan.chunks.is_empty() => return done(Ok(vec![0; plan.len])),
            Ok(plan) => plan,
            Err(errno) => return done(Err(errno)),
        };
        let arrived = Arrived { reply: vec![0; plan.len], missing: plan.chunks.len(), done: Some(Box::new(done)) };
        let pending = Arc::new(Pending(Mutex::new(arrived)));
        for (number, pieces) in plan.chunks {
            let waiter: Waiter = {
                let (pending, pieces) = (Arc::clone(&pending), pieces.clone());
                Box::new(move |outcome| pending.arrive(&pieces, outcome))
            };
            match self.cache.begin(number, waiter) {
                Begin::Ready(outcome) => pending.arrive(&pieces, outcome),
                Begin::Joined => {}
                Begin::Lead(lead) => self.workers.submit(lead),
            }
        }
    }

    /// Reads, blocking.
    ///
    /// # Errors
    /// As [`Fs::read`].
    pub fn read_blocking(&self, ino: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let (send, receive) = mpsc::sync_channel(1);
        self.read(ino, offset, size, move |result| drop(send.send(result)));
        receive.recv().unwrap_or(Err(Errno::EIO))
    }

    fn plan(&self, ino: u64, offset: u64, size: u32) -> Result<Plan, Errno> {
        let (inode, runs) = self.tree.runs(ino)?;
        if size > MAX_READ {
            return Err(Errno::EINVAL);
        }
        // No overflow: a file ends before 2^63.
        let end = offset.saturating_add(u64::from(size)).min(inode.size);
        if offset >= end {
            return Ok(Plan::default());
        }
        let mut plan = Plan { len: (end - offset) as usize, ..Plan::default() };
        let first = first_run(runs, offset);
        let mut start = first.checked_sub(1).map_or(0, |before| runs[before].end);
        for run in &runs[first..] {
            if start >= end {
                break;
            }
            if run.chunk != HOLE {
                plan.add(run, start, offset..end);
            }
            start = run.end;
        }
        Ok(plan)
    }
}

/// Index of the run that holds `offset`.
fn first_run(runs: &[Run], offset: u64) -> usize {
    runs.partition_point(|run| run.end <= offset)
}

impl Plan {
    /// Adds the part of a run, which starts at `start`, that lies within `wanted`. Lengths are within
    /// [`MAX_READ`]; a run's offset in its chunk plus its length may be a lie, found out in [`Arrived::copy`].
    fn add(&mut self, run: &Run, start: u64, wanted: std::ops::Range<u64>) {
        let (from, to) = (start.max(wanted.start), run.end.min(wanted.end));
        let index = *self.by_number.entry(run.chunk).or_insert(self.chunks.len());
        if index == self.chunks.len() {
            self.chunks.push((run.chunk, Vec::new()));
        }
        let offset = usize::try_from(u64::from(run.offset).saturating_add(from - start)).unwrap_or(usize::MAX);
        let at = (from - wanted.start) as usize;
        self.chunks[index].1.push(Piece { at, offset, len: (to - from) as usize });
    }
}

impl Arrived {
    /// Copies the pieces of one chunk. An extent that lies outside its chunk is damage.
    fn copy(&mut self, pieces: &[Piece], chunk: &[u8]) -> Result<(), Errno> {
        for piece in pieces {
            let end = piece.offset.checked_add(piece.len).ok_or(Errno::EIO)?;
            let bytes = chunk.get(piece.offset..end).ok_or(Errno::EIO)?;
            self.reply[piece.at..piece.at + piece.len].copy_from_slice(bytes);
        }
        self.missing -= 1;
        Ok(())
    }
}

impl Pending {
    fn arrive(&self, pieces: &[Piece], outcome: Outcome) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.done.is_none() {
            return;
        }
        let result = match outcome {
            Ok(chunk) => state.copy(pieces, &chunk),
            Err(error) => Err(Errno::from(&*error)),
        };
        if result.is_ok() && state.missing > 0 {
            return;
        }
        let (done, reply) = (state.done.take(), std::mem::take(&mut state.reply));
        drop(state);
        if let Some(done) = done {
            done(result.map(|()| reply));
        }
    }
}
