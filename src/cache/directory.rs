//! The directories of the cache and the names in them (spec/disk-cache.md §2).
//!
//! The directory of all archives is opened once, checked, and everything is reached from there without
//! following a symbolic link. As nobody else can write in it, checks on what is inside guard against accidents only.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use super::entry::ChunkKey;
use crate::hash::Digest;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Not to block where somebody has put a pipe.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const CREATE: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);

const TEMPORARY: &str = ".tmp-";

/// A time of use is noted once in so much time: a file that is read all the time would be written to all the time.
const TOUCH: Duration = Duration::from_secs(60);

/// What the directory of an archive is called: the first 16 bytes of the archive's identity
/// ([`Reader::identity`](crate::container::Reader::identity)), as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArchiveId([u8; 16]);

impl From<&Digest> for ArchiveId {
    fn from(identity: &Digest) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&identity.0[..16]);
        Self(id)
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl ArchiveId {
    /// The archive whose directory has this name, `None` for other names.
    fn from_name(name: &str) -> Option<Self> {
        let id = Self::from(&Digest::from_hex(&format!("{name:0<64}"))?);
        (id.to_string() == name).then_some(id)
    }
}

/// What a name in an archive's directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A chunk, by its number.
    Chunk(u64),
    /// A file that is being written, or was when its process ended.
    Temporary(String),
}

impl Name {
    /// `None` for names that the cache does not make.
    fn parse(name: &str) -> Option<Self> {
        if name.starts_with(TEMPORARY) {
            return Some(Self::Temporary(name.into()));
        }
        name.parse().ok().map(Self::Chunk).filter(|parsed| parsed.to_string() == name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk(number) => write!(f, "{number}"),
            Self::Temporary(name) => f.write_str(name),
        }
    }
}

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// There is none.
    Absent,
    /// It cannot be a file of the cache.
    Foreign(&'static str),
    /// The system's answer.
    Failed(io::Error),
}

/// Opens the directory of all archives, which is made if it is absent, with mode 0700.
///
/// # Errors
/// The system's; `PermissionDenied` where the directory is a symbolic link, belongs to another user (to whom decoded files
/// would be shown), would have to be made in a directory of another user (as with `sudo`, whose caller could not use
/// it afterwards), or stays open to others.
pub(super) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why);
    let me = rustix::process::geteuid();
    if !path.exists()
        && let Some(meta) = path.ancestors().skip(1).find_map(|above| above.metadata().ok())
        && ![me.as_raw(), 0].contains(&meta.uid())
    {
        return Err(refused("it would be made in a directory of another user"));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let root = match rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(refused("it is a symbolic link")),
        other => other?,
    };
    if rustix::fs::fstat(&root)?.st_uid != me.as_raw() {
        return Err(refused("it belongs to another user"));
    }
    let others = |root: &OwnedFd| rustix::fs::fstat(root).map(|stat| stat.st_mode & 0o077 != 0);
    if others(&root)? {
        rustix::fs::fchmod(&root, Mode::RWXU)?;
        if others(&root)? {
            return Err(refused("its file system lets other users in"));
        }
    }
    Ok(root)
}

/// Opens the directory of an archive.
pub(super) fn open_archive(root: &OwnedFd, id: ArchiveId) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(root, id.to_string(), DIRECTORY, Mode::empty())
}

/// Opens the directory of an archive, which is made if it is absent.
fn make_archive(root: &OwnedFd, id: ArchiveId) -> rustix::io::Result<OwnedFd> {
    match open_archive(root, id) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    match rustix::fs::mkdirat(root, id.to_string(), Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => open_archive(root, id),
        Err(error) => Err(error),
    }
}

/// The archives that have a directory.
pub(super) fn archives(root: &OwnedFd) -> io::Result<Vec<ArchiveId>> {
    list(root, ArchiveId::from_name)
}

/// What the cache has made in an archive's directory.
pub(super) fn names(archive: &OwnedFd) -> io::Result<Vec<Name>> {
    list(archive, Name::parse)
}

fn list<T>(directory: impl AsFd, parse: impl Fn(&str) -> Option<T>) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        found.extend(entry?.file_name().to_str().ok().and_then(&parse));
    }
    Ok(found)
}

/// Reads the file of a chunk, and notes that it was used. No more is read than the chunk's file can have.
pub(super) fn read(root: &OwnedFd, id: ArchiveId, key: &ChunkKey) -> Result<Vec<u8>, Unread> {
    let failed = |error: io::Error| Unread::Failed(error);
    let open = open_archive(root, id)
        .and_then(|archive| rustix::fs::openat(archive, Name::Chunk(key.number).to_string(), READ, Mode::empty()));
    let mut file = match open {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Err(Unread::Absent),
        Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::ACCESS | Errno::PERM) => {
            return Err(Unread::Foreign("it cannot be opened"));
        }
        Err(error) => return Err(failed(error.into())),
    };
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() || meta.len() > key.longest() {
        return Err(Unread::Foreign("it is no file, or too long"));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    // It may have grown meanwhile.
    (&mut file).take(key.longest()).read_to_end(&mut bytes).map_err(failed)?;
    let used = SystemTime::UNIX_EPOCH + Duration::from_secs(meta.mtime().max(0) as u64);
    // Also where it was used in the future: clocks are set back.
    if SystemTime::now().duration_since(used).map_or(true, |age| age > TOUCH) {
        let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let _ = rustix::fs::futimens(&file, &Timestamps { last_access: keep, last_modification: now });
    }
    Ok(bytes)
}

/// Writes the file of a chunk, which appears whole or not at all, in place of one that is there.
///
/// It is not synced: of what a crash leaves, nothing is served that has not its digest.
///
/// # Errors
/// The system's; `NotFound` also where a directory was removed meanwhile, which another try would make again.
pub(super) fn write(root: &OwnedFd, id: ArchiveId, number: u64, bytes: &[u8]) -> io::Result<()> {
    let archive = make_archive(root, id)?;
    let temporary = format!("{TEMPORARY}{:016x}", RandomState::new().hash_one(number));
    let mut file = File::from(rustix::fs::openat(&archive, &temporary, CREATE, Mode::RUSR | Mode::WUSR)?);
    let written = file
        .write_all(bytes)
        .and_then(|()| Ok(rustix::fs::renameat(&archive, &temporary, &archive, Name::Chunk(number).to_string())?));
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&archive, &temporary, AtFlags::empty());
    }
    written
}

/// Removes a file of an archive.
pub(super) fn remove(archive: &OwnedFd, name: &Name) -> rustix::io::Result<()> {
    rustix::fs::unlinkat(archive, name.to_string(), AtFlags::empty())
}

/// Removes the directory of an archive, if it is empty.
pub(super) fn remove_archive(root: &OwnedFd, id: ArchiveId) {
    let _ = rustix::fs::unlinkat(root, id.to_string(), AtFlags::REMOVEDIR);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_names_of_the_cache_are_names() {
        let id = ArchiveId::from(&Digest::of(b"archive"));
        assert_eq!(ArchiveId::from_name(&id.to_string()), Some(id));
        for name in ["", "0", &"g".repeat(32), &"A".repeat(32), &"a".repeat(31), &"a".repeat(33), &"a".repeat(64)] {
            assert_eq!(ArchiveId::from_name(name), None, "{name}");
        }
        assert_eq!(Name::parse("18446744073709551615"), Some(Name::Chunk(u64::MAX)));
        for name in ["", "00", "+1", "-1", "1.", "18446744073709551616", "README", ".", ".."] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }

    #[test]
    fn the_directory_is_the_users_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        open_root(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&dir.path().join("a"))), (0o700, 0o700));
        fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        open_root(&path).unwrap();
        assert_eq!(mode(&path), 0o700);

        symlink(&path, dir.path().join("link")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for refused in ["link", "file", "file/under"] {
            assert!(open_root(&dir.path().join(refused)).is_err(), "{refused}");
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
            for theirs in [path.clone(), path.join("c/d")] {
                assert_eq!(open_root(&theirs).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            }
            assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        }
    }
}
