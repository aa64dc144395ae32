//! The cache of one user: a directory, a budget, and what is to be left alone for now.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::ArchiveCache;
use super::directory::{self, ArchiveId, Name, Unread};
use super::entry::{self, ChunkKey};
use super::pause::Pause;
use super::sweep::{self, Usage, on_disk};
use crate::container::Reader;
use crate::hash::Digest;

/// Bytes that are kept where nothing else is asked for: 1 GiB. At the speed of the slow codecs, and packed to a
/// third, that is hours of decoding, more than anybody looks through again, and little beside the
/// models that a user of these codecs has. Its files, tens of thousands, are listed in a fraction of a second.
pub const DEFAULT_BUDGET: u64 = 1 << 30;

/// Most bytes written between two sweeps.
const INTERVAL: u64 = 32 << 20;

/// The directory in which archives have theirs.
const CHUNKS: &str = "chunks";

/// A directory of decoded chunks that is held within a budget. A clone is the same cache.
///
/// Any number of processes may use one directory. A process alone stays within its budget; others add what
/// they write between two sweeps, an eighth of the budget and 32 MiB at most.
#[derive(Clone)]
pub struct DiskCache(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// Opened again where the directory was removed.
    root: RwLock<Arc<OwnedFd>>,
    budget: u64,
    /// Bytes written since the last sweep; `None`: there was none. Locked while this process sweeps.
    written: Mutex<Option<u64>>,
    loads: Pause,
    saves: Pause,
}

impl fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskCache").field("path", &self.0.path).field("budget", &self.0.budget).finish_non_exhaustive()
    }
}

impl DiskCache {
    /// The directory of this user: `$XDG_CACHE_HOME/lma`, or `~/.cache/lma`. `None` where neither variable has
    /// an absolute path.
    #[must_use]
    pub fn default_dir(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let path = |name: &str| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache"))).map(|cache| cache.join("lma"))
    }

    /// Opens the cache in `dir/chunks`, which is made if it is absent, with a budget in bytes of the files in
    /// it. A directory that cannot be written to will do: what it holds is read.
    ///
    /// # Errors
    /// The system's; `PermissionDenied` where `dir/chunks` is a symbolic link or belongs to another user.
    pub fn open(dir: &Path, budget: u64) -> io::Result<Self> {
        let path = dir.join(CHUNKS);
        let root = RwLock::new(Arc::new(directory::open_root(&path)?));
        let (written, loads, saves) = (Mutex::default(), Pause::default(), Pause::default());
        Ok(Self(Arc::new(Inner { path, root, budget, written, loads, saves })))
    }

    /// The part of the archive with this identity ([`Reader::identity`]). Lists what is there of it.
    #[must_use]
    pub fn archive(&self, identity: &Digest) -> ArchiveCache {
        ArchiveCache::new(self.clone(), ArchiveId::from(identity))
    }

    /// The part of an open archive; `None` where it has no identity, having been opened by a scan.
    #[must_use]
    pub fn archive_of(&self, reader: &Reader) -> Option<ArchiveCache> {
        reader.identity().map(|identity| self.archive(&identity))
    }

    /// The directory that the archives have theirs in.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Most bytes of the files.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.0.budget
    }

    /// What the cache holds, of all archives.
    ///
    /// # Errors
    /// The system's.
    pub fn usage(&self) -> io::Result<Usage> {
        sweep::usage(&self.root())
    }

    /// Removes all that the cache holds, of all archives, and tells what that was. Files that the cache has not made
    /// stay.
    ///
    /// # Errors
    /// The system's.
    pub fn clear(&self) -> io::Result<Usage> {
        sweep::clear(&self.root())
    }

    /// Brings the cache within its budget. [`ArchiveCache::save`] does so by itself.
    pub fn sweep(&self) {
        let interval = self.interval();
        let budget = self.0.budget;
        // So that what is written until the next sweep fits, and this one is not in vain at once.
        if let Err(error) = sweep::sweep(&self.root(), budget - interval, budget - 2 * interval) {
            tracing::debug!(%error, "the disk cache was not swept");
        }
    }

    /// Most bytes that this process writes between two sweeps.
    fn interval(&self) -> u64 {
        INTERVAL.min(self.0.budget / 8)
    }

    fn root(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.0.root.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The numbers of the chunks that there are files of.
    pub(super) fn numbers(&self, id: ArchiveId) -> io::Result<Vec<u64>> {
        let names = directory::names(&directory::open_archive(&self.root(), id)?)?;
        let number = |name| match name {
            Name::Chunk(number) => Some(number),
            Name::Temporary(_) => None,
        };
        Ok(names.into_iter().filter_map(number).collect())
    }

    /// A chunk's decoded bytes. A file that is not the chunk's is removed.
    pub(super) fn load(&self, id: ArchiveId, key: &ChunkKey) -> Option<Vec<u8>> {
        if self.0.loads.lasts() {
            return None;
        }
        let root = self.root();
        let decoded =
            directory::read(&root, id, key).and_then(|file| entry::decode(key, &file).map_err(Unread::Foreign));
        match decoded {
            Ok(raw) => return Some(raw),
            Err(Unread::Absent) => {}
            Err(Unread::Failed(error)) => self.0.loads.begin("cannot read", &error),
            Err(Unread::Foreign(why)) => {
                tracing::info!(archive = %id, chunk = key.number, "removed from the disk cache: {why}");
                if let Ok(archive) = directory::open_archive(&root, id) {
                    // Where another process has just put the right file in its place, that is lost: it costs a decode.
                    let _ = directory::remove(&archive, &Name::Chunk(key.number));
                }
            }
        }
        None
    }

    /// Keeps a chunk's decoded bytes; `false` where they are not kept.
    pub(super) fn save(&self, id: ArchiveId, key: &ChunkKey, raw: &[u8]) -> bool {
        if self.0.saves.lasts() || raw.len() as u64 != u64::from(key.raw_len) {
            return false;
        }
        let file = entry::encode(key, raw);
        let bytes = on_disk(file.len() as u64);
        if bytes > self.interval() {
            return false;
        }
        self.make_room(bytes);
        let mut written = directory::write(&self.root(), id, key.number, &file);
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            written = self.reopen().and_then(|()| directory::write(&self.root(), id, key.number, &file));
        }
        if let Err(error) = &written {
            self.0.saves.begin("cannot write to", error);
        }
        written.is_ok()
    }

    /// Sweeps before the first file is written (a process that only reads has no need to), and as often as the budget asks
    /// for it.
    fn make_room(&self, bytes: u64) {
        let mut written = self.0.written.lock().unwrap_or_else(PoisonError::into_inner);
        let since = written.map(|since| since + bytes).filter(|&since| since <= self.interval());
        if since.is_none() {
            self.sweep();
        }
        *written = Some(since.unwrap_or(bytes));
    }

    fn reopen(&self) -> io::Result<()> {
        let root = Arc::new(directory::open_root(&self.0.path)?);
        *self.0.root.write().unwrap_or_else(PoisonError::into_inner) = root;
        Ok(())
    }
}
