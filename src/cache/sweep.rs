//! The budget: which files go, and what is there (spec/disk-cache.md §5).

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::directory::{ArchiveId, Name, archives, names, open_archive, remove, remove_archive};

/// What file systems give space out in, by custom: a file counts as so many whole blocks.
const BLOCK: u64 = 4096;

/// A file that was written for so long belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(3600);

/// What the cache holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The archives that it holds chunks of, ascending by identity.
    pub archives: Vec<ArchiveUsage>,
}

/// What the cache holds of one archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveUsage {
    /// The archive.
    pub id: ArchiveId,
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of their files, each rounded up to 4096.
    pub bytes: u64,
    /// When one was last read or written, in seconds since 1970, to about a minute.
    pub used: i64,
}

impl Usage {
    /// Number of chunks of all archives.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.archives.iter().map(|archive| archive.chunks).sum()
    }

    /// Bytes of all files, each rounded up to 4096: what the budget bounds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.archives.iter().map(|archive| archive.bytes).sum()
    }

    fn add(&mut self, file: &Kept) {
        let same = self.archives.last_mut().filter(|archive| archive.id == file.id);
        match same {
            Some(archive) => {
                archive.chunks += 1;
                archive.bytes += file.bytes;
                archive.used = archive.used.max(file.used.0);
            }
            None => {
                self.archives.push(ArchiveUsage { id: file.id, chunks: 1, bytes: file.bytes, used: file.used.0 });
            }
        }
    }
}

/// What a file of `len` bytes takes of the budget.
pub(super) fn on_disk(len: u64) -> u64 {
    len.div_ceil(BLOCK) * BLOCK
}

/// A chunk's file.
struct Kept {
    id: ArchiveId,
    number: u64,
    bytes: u64,
    /// Seconds and nanoseconds since 1970.
    used: (i64, i64),
}

/// All files of chunks, archive by archive. What cannot be seen is passed over: another process may be removing
/// it. Temporary files that are older than `abandoned` are removed.
fn survey(root: &OwnedFd, abandoned: Duration) -> io::Result<Vec<Kept>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    let mut found = Vec::new();
    let mut ids = archives(root)?;
    ids.sort_unstable();
    for id in ids {
        let Ok(archive) = open_archive(root, id) else { continue };
        for name in names(&archive).unwrap_or_default() {
            let Ok(stat) = rustix::fs::statat(&archive, name.to_string(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
            // A clock that was set back must not make a file the last to go for ever.
            let used = (stat.st_mtime.min(now), stat.st_mtime_nsec as i64);
            match name {
                Name::Chunk(number) => {
                    found.push(Kept { id, number, bytes: on_disk(stat.st_size.max(0) as u64), used });
                }
                Name::Temporary(_) if now - used.0 >= abandoned.as_secs() as i64 => {
                    let _ = remove(&archive, &name);
                }
                Name::Temporary(_) => {}
            }
        }
    }
    Ok(found)
}

/// What is there.
pub(super) fn usage(root: &OwnedFd) -> io::Result<Usage> {
    let mut usage = Usage::default();
    survey(root, ABANDONED)?.iter().for_each(|file| usage.add(file));
    Ok(usage)
}

/// Where there are more than `most` bytes, removes files until there are `target` at most, those that were not used
/// for the longest time first; `target` is `most` or less. One process at a time; another one goes without.
pub(super) fn sweep(root: &OwnedFd, most: u64, target: u64) -> io::Result<()> {
    let lock = rustix::fs::openat(root, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // A file system without locks: two sweeps at a time remove more than they need to, and nothing else.
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Ok(());
    }
    let mut files = survey(root, ABANDONED)?;
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
    if bytes <= most {
        return Ok(());
    }
    files.sort_unstable_by_key(|file| file.used);
    let before = bytes;
    let gone = files.iter().take_while(|file| {
        let goes = bytes > target;
        bytes -= if goes { file.bytes } else { 0 };
        goes
    });
    let gone = gone.count();
    remove_all(root, &mut files[..gone]);
    tracing::debug!(before, bytes, files = gone, "swept the disk cache");
    Ok(())
}

/// Removes everything that the cache has made, and tells what chunks these were. Who is writing one finds its file gone
/// and writes another.
pub(super) fn clear(root: &OwnedFd) -> io::Result<Usage> {
    let mut files = survey(root, Duration::ZERO)?;
    let mut usage = Usage::default();
    files.iter().for_each(|file| usage.add(file));
    remove_all(root, &mut files);
    archives(root)?.into_iter().for_each(|id| remove_archive(root, id));
    Ok(usage)
}

fn remove_all(root: &OwnedFd, files: &mut [Kept]) {
    files.sort_unstable_by_key(|file| file.id);
    for of_one in files.chunk_by(|a, b| a.id == b.id) {
        let Ok(archive) = open_archive(root, of_one[0].id) else { continue };
        for file in of_one {
            // Another process may have removed it; what is there is seen by the next sweep.
            let _ = remove(&archive, &Name::Chunk(file.number));
        }
        remove_archive(root, of_one[0].id);
    }
}
