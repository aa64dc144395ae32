//! The operations of the mounted archive, without a kernel and without fuser.
//!
//! Everything but reading is answered from the [`Tree`]: no I/O, no decode, no lock that is held for long.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::ahead::{Ahead, Guess};
use super::cache::{Begin, ChunkCache};
use super::errno::Errno;
use super::inode::{Attr, DirEntry, HOLE, NodeKind, ROOT, Run, Tree};
use super::notes::{self, STATUS_INO, STATUS_NAME};
use super::reading::{Pending, Plan, first_run};
use super::watch::Watch;
use super::worker::Workers;

/// Most bytes of one read; the kernel is told, and a larger read is `EINVAL`.
pub const MAX_READ: u32 = 1 << 20;

/// Chunks of a file that are looked at to find out whether all are at hand.
const LOOKED_AT: usize = 4096;

/// How an [`Fs`] answers reads.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// How long a read may wait before it fails with `EIO`.
    pub patience: Duration,
    /// Most chunks that are decoded ahead of the readers: by custom the model's lanes.
    pub ahead: usize,
}

impl Default for ReadOptions {
    /// Ten minutes, 16 chunks ahead.
    fn default() -> Self {
        Self { patience: Duration::from_secs(600), ahead: 16 }
    }
}

/// How an open file is best read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Through the kernel's page cache, by whole pages and ahead.
    Cached,
    /// Byte by byte as asked for: every byte more costs a decode that somebody waits for.
    Direct,
}

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
    watch: Watch,
    ahead: Ahead,
    /// How often each file is open.
    open: Mutex<HashMap<u64, u32>>,
    /// Whether there is a status file.
    status: bool,
}

/// Decodes that nobody can wait for any more are not finished.
impl Drop for Fs {
    fn drop(&mut self) {
        self.cache.abandon_idle();
    }
}

impl Fs {
    /// A file system over a tree, whose chunks come from `cache`, decoded by `workers`.
    ///
    /// # Errors
    /// The system's answer where a thread cannot be started.
    pub fn new(tree: Tree, cache: Arc<ChunkCache>, workers: Workers, options: ReadOptions) -> io::Result<Self> {
        let watch = Watch::start(Arc::clone(&cache), options.patience)?;
        let (ahead, open) = (Ahead::new(options.ahead), Mutex::default());
        Ok(Self { tree, cache, workers, watch, ahead, open, status: false })
    }

    /// The same, with a hidden file [`STATUS_NAME`] in its root, unless the archive has one.
    #[must_use]
    pub fn with_status(mut self) -> Self {
        self.status = self.tree.lookup(ROOT, STATUS_NAME).is_err();
        self
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &ChunkCache {
        &self.cache
    }

    /// What the status file holds now; `None` where there is none.
    #[must_use]
    pub fn status(&self) -> Option<Vec<u8>> {
        self.status.then(|| notes::status(&self.cache))
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
        if self.status && parent == ROOT && name == STATUS_NAME {
            return self.getattr(STATUS_INO);
        }
        self.tree.attr(self.tree.lookup(parent, name)?)
    }

    /// The attributes of an inode.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn getattr(&self, ino: u64) -> Result<Attr, Errno> {
        if self.status && ino == STATUS_INO {
            // Its size is known once it is read; the root's owner may do so.
            let root = self.tree.attr(ROOT)?;
            return Ok(Attr { ino, kind: NodeKind::File, size: 0, allocated: 0, mode: 0o400, nlink: 1, ..root });
        }
        self.tree.attr(ino)
    }

    /// The raw target of a symbolic link.
    ///
    /// # Errors
    /// `ENOENT`, `EINVAL`.
    pub fn readlink(&self, ino: u64) -> Result<&[u8], Errno> {
        self.tree.link_target(ino)
    }

    /// Opens a file, and says how it is best read. Each success is to be followed by one [`Fs::release`].
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`, `EINVAL`; `EROFS` for writing.
    pub fn open(&self, ino: u64, write: bool) -> Result<Opening, Errno> {
        let own = self.status && ino == STATUS_INO;
        let runs = if own { &[] } else { self.tree.runs(ino)?.1 };
        if write {
            return Err(Errno::EROFS);
        }
        if own {
            return Ok(Opening::Direct);
        }
        *self.open.lock().unwrap_or_else(PoisonError::into_inner).entry(ino).or_default() += 1;
        let at_hand = |chunk: u64| chunk == HOLE || self.cache.is_at_hand(chunk);
        let all = runs.len() <= LOOKED_AT && runs.iter().all(|run| at_hand(run.chunk));
        Ok(if all { Opening::Cached } else { Opening::Direct })
    }

    /// An open file was closed. With the last, what was decoded ahead of its readers is given up.
    pub fn release(&self, ino: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&ino) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&ino);
                drop(open);
                self.cache.abandon(ino);
            }
        }
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

    /// An extended attribute's value: the file's, else one of the mount's own (`user.lma.*`), which are not listed.
    ///
    /// # Errors
    /// `ENOENT`, `ENODATA`.
    pub fn getxattr(&self, ino: u64, name: &[u8]) -> Result<Cow<'_, [u8]>, Errno> {
        let list = self.tree.xattrs(ino)?;
        match list.binary_search_by(|x| x.name.as_slice().cmp(name)) {
            Ok(at) => Ok(Cow::Borrowed(&list[at].value)),
            Err(_) => self.own_xattr(ino, name).unwrap_or(Err(Errno::ENODATA)).map(Cow::Owned),
        }
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

    /// Reads without blocking: `done` is called at once where all bytes are in memory, else by the
    /// worker that decodes the last of them. Fewer bytes than asked for are the end of the file: programs, and the kernel
    /// for mapped pages, take them for it. `reader` is the thread that waits, or 0: where it is told to end, the read is taken back.
    ///
    /// A chunk that cannot be decoded fails exactly the reads that need a byte of it, with `EIO`.
    pub fn read(
        &self,
        reader: u32,
        ino: u64,
        offset: u64,
        size: u32,
        done: impl FnOnce(Result<Vec<u8>, Errno>) + Send + 'static,
    ) {
        if ino == STATUS_INO
            && let Some(status) = self.status()
        {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(status.len());
            return done(Ok(status[from..].iter().copied().take(size as usize).collect()));
        }
        let (runs, bytes) = match self.bounds(ino, offset, size) {
            Ok(bounds) => bounds,
            Err(errno) => return done(Err(errno)),
        };
        self.cache.stats().read(bytes.end - bytes.start);
        let Plan { len, needs, .. } = Plan::new(runs, bytes.clone());
        if needs.is_empty() {
            return done(Ok(vec![0; len]));
        }
        let pending = Arc::new(Pending::new(len, needs.len(), Box::new(done)));
        for need in needs {
            let (chunk, range) = (need.chunk, need.bytes());
            let (waiting, start) = (Arc::clone(&pending), range.start);
            match self.cache.read(chunk, range, Box::new(move |bytes| waiting.arrive(&need, start, bytes))) {
                Begin::Told => {}
                Begin::Joined(ticket) => pending.holds(ticket),
                Begin::Lead(lead, ticket) => {
                    pending.holds(ticket);
                    self.workers.submit(lead);
                }
            }
        }
        if !pending.is_done() {
            self.watch.over(reader, &pending);
        }
        for Guess { chunk, file } in self.ahead.note(&self.tree, ino, runs, offset, bytes.end - bytes.start) {
            if !self.cache.is_at_hand(chunk)
                && let Some(lead) = self.cache.ahead(chunk, file)
            {
                self.workers.submit(lead);
            }
        }
    }

    /// Reads, blocking.
    ///
    /// # Errors
    /// As [`Fs::read`].
    pub fn read_blocking(&self, ino: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let (send, receive) = mpsc::sync_channel(1);
        self.read(0, ino, offset, size, move |result| drop(send.send(result)));
        receive.recv().unwrap_or(Err(Errno::EIO))
    }

    /// The runs of a file, and the bytes of it that a read gets.
    fn bounds(&self, ino: u64, offset: u64, size: u32) -> Result<(&[Run], Range<u64>), Errno> {
        let (inode, runs) = self.tree.runs(ino)?;
        if size > MAX_READ {
            return Err(Errno::EINVAL);
        }
        // No overflow: a file ends before 2^63.
        let end = offset.saturating_add(u64::from(size)).min(inode.size).max(offset);
        Ok((runs, offset..end))
    }
}
