//! Metadata between the file system and entries.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::notes::{Notes, show};
use crate::format::{Entry, FileContent, Kind, Mtime, Xattr};
use crate::hash::Digest;
use crate::limits::Limits;

/// What tells two names of one file from two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) dev: u64,
    pub(super) ino: u64,
}

impl FileId {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self { dev: meta.dev(), ino: meta.ino() }
    }
}

/// Names of owners and back, each looked up once.
#[derive(Default)]
pub(super) struct Owners {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
    uids: HashMap<Vec<u8>, Option<u32>>,
    gids: HashMap<Vec<u8>, Option<u32>>,
}

impl Owners {
    fn user(&mut self, uid: u32) -> Vec<u8> {
        let find = || uzers::get_user_by_uid(uid).map(|user| user.name().as_bytes().to_vec()).unwrap_or_default();
        self.users.entry(uid).or_insert_with(find).clone()
    }

    fn group(&mut self, gid: u32) -> Vec<u8> {
        let find = || uzers::get_group_by_gid(gid).map(|group| group.name().as_bytes().to_vec()).unwrap_or_default();
        self.groups.entry(gid).or_insert_with(find).clone()
    }

    /// The owner and group that an entry gets on this machine: by name where the name is known here.
    pub(super) fn ids(&mut self, entry: &Entry, numeric: bool) -> (u32, u32) {
        if numeric {
            return (entry.uid, entry.gid);
        }
        let uid = || uzers::get_user_by_name(OsStr::from_bytes(&entry.user)).map(|user| user.uid());
        let gid = || uzers::get_group_by_name(OsStr::from_bytes(&entry.group)).map(|group| group.gid());
        let known = |name: &[u8]| !name.is_empty() && !name.contains(&0);
        let uid = if known(&entry.user) { *self.uids.entry(entry.user.clone()).or_insert_with(uid) } else { None };
        let gid = if known(&entry.group) { *self.gids.entry(entry.group.clone()).or_insert_with(gid) } else { None };
        (uid.unwrap_or(entry.uid), gid.unwrap_or(entry.gid))
    }
}

/// The entry of the file at `disk`, its content left empty. `None`, with a warning, for what no
/// entry can hold.
pub(super) fn entry(
    stored: Vec<u8>,
    disk: &Path,
    meta: &Metadata,
    owners: &mut Owners,
    notes: &Notes<'_>,
) -> Option<Entry> {
    let kind = match kind(disk, meta) {
        Ok(Some(kind)) => kind,
        Ok(None) => {
            notes.warn(&format!("{}: a socket cannot be archived; left out", show(&stored)));
            return None;
        }
        Err(error) => {
            notes.warn(&format!("{}: cannot be read: {error}; left out", show(&stored)));
            return None;
        }
    };
    let xattrs = xattrs(&stored, disk, notes);
    Some(Entry {
        kind,
        mode: (meta.mode() & 0o7777) as u16,
        uid: meta.uid(),
        gid: meta.gid(),
        user: owners.user(meta.uid()),
        group: owners.group(meta.gid()),
        mtime: mtime(meta),
        xattrs,
        path: stored,
    })
}

pub(super) fn mtime(meta: &Metadata) -> Mtime {
    // The kernel keeps nanoseconds below 10^9 whatever the sign of the seconds.
    Mtime { secs: meta.mtime(), nanos: u32::try_from(meta.mtime_nsec()).unwrap_or(0).min(999_999_999) }
}

fn kind(disk: &Path, meta: &Metadata) -> io::Result<Option<Kind>> {
    let kind = meta.file_type();
    let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    Ok(Some(if kind.is_file() {
        Kind::File(FileContent { size: 0, extents: Vec::new(), digest: Digest::of(&[]) })
    } else if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        let target = fs::read_link(disk)?.into_os_string().into_vec();
        if target.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the link's target is empty"));
        }
        Kind::Symlink(target)
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_char_device() {
        Kind::CharDevice { major, minor }
    } else if kind.is_block_device() {
        Kind::BlockDevice { major, minor }
    } else {
        return Ok(None);
    }))
}

/// All extended attributes by name, links not followed. A file system without any is no failure.
fn xattrs(stored: &[u8], disk: &Path, notes: &Notes<'_>) -> Vec<Xattr> {
    let names = match xattr::list(disk) {
        Ok(names) => names,
        Err(error) if no_xattrs(&error) => return Vec::new(),
        Err(error) => {
            notes.warn(&format!("{}: extended attributes cannot be listed: {error}", show(stored)));
            return Vec::new();
        }
    };
    let (mut out, mut bytes) = (Vec::new(), 0u64);
    for name in names {
        match xattr::get(disk, &name) {
            Ok(Some(value)) => {
                bytes += (name.len() + value.len()) as u64;
                out.push(Xattr { name: name.into_vec(), value });
            }
            // Removed since it was listed.
            Ok(None) => {}
            Err(error) => {
                let name = show(name.as_bytes());
                notes.warn(&format!("{}: extended attribute {name} cannot be read: {error}", show(stored)));
            }
        }
    }
    let limit = Limits::default().xattrs;
    if bytes > limit {
        notes.warn(&format!(
            "{}: extended attributes of {bytes} bytes exceed the limit of {limit}; left out",
            show(stored)
        ));
        return Vec::new();
    }
    out.sort();
    out.dedup_by(|a, b| a.name == b.name);
    out
}

/// Whether the file system says that it has no extended attributes.
pub(super) fn no_xattrs(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || matches!(error.raw_os_error(), Some(libc::ENOTSUP | libc::ENOSYS | libc::ENODATA))
}

/// The process's umask.
pub(super) fn umask() -> u32 {
    // The system call can only replace it, which other threads would notice.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or_else(|| {
        let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        rustix::process::umask(mask);
        mask.as_raw_mode() as u32
    })
}
