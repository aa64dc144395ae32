//! Puts metadata back on files that were extracted.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};
use xattr::FileExt;

use super::ExtractOptions;
use super::meta::{Owners, umask};
use super::notes::{Notes, show};
use super::safe_path::Place;
use crate::format::Entry;

/// How metadata is restored. What cannot be is a warning.
pub(super) struct Restorer {
    preserve: bool,
    numeric: bool,
    /// Owners are restored.
    owners: bool,
    mask: u32,
    names: RefCell<Owners>,
}

impl Restorer {
    pub(super) fn new(options: &ExtractOptions) -> Self {
        let owners = options.preserve && rustix::process::geteuid().is_root();
        let (preserve, numeric) = (options.preserve, options.numeric_owner);
        Self { preserve, numeric, owners, mask: umask(), names: RefCell::default() }
    }

    /// The mode that the entry's becomes.
    fn mode(&self, entry: &Entry) -> u32 {
        let mode = u32::from(entry.mode);
        if self.preserve { mode & 0o7777 } else { mode & 0o777 & !self.mask }
    }

    /// The mode of a directory that has no entry.
    pub(super) fn implied_mode(&self) -> Mode {
        Mode::from_raw_mode((0o777 & !self.mask) as _)
    }

    /// Whether devices may be made.
    pub(super) fn devices(&self) -> bool {
        self.preserve
    }

    /// All metadata of a file or directory that is open. The time comes last; before it the mode, which a change of the
    /// owner would strip of its setuid bit.
    pub(super) fn open_file(&self, file: &File, entry: &Entry, notes: &Notes<'_>) {
        let warn = |what: &str, error: io::Error| warn(notes, entry, what, &error);
        if self.owners {
            let (uid, gid) = self.ids(entry);
            rustix::fs::fchown(file, uid, gid).unwrap_or_else(|error| warn("owner", error.into()));
        }
        for attribute in entry.xattrs.iter().filter(|attribute| self.wants(&attribute.name)) {
            let set = file.set_xattr(OsStr::from_bytes(&attribute.name), &attribute.value);
            set.unwrap_or_else(|error| warn(&format!("extended attribute {}", show(&attribute.name)), error));
        }
        let mode = Mode::from_raw_mode(self.mode(entry) as _);
        rustix::fs::fchmod(file, mode).unwrap_or_else(|error| warn("mode", error.into()));
        rustix::fs::futimens(file, &times(entry)).unwrap_or_else(|error| warn("time", error.into()));
    }

    /// All metadata of what stands at a place and cannot be opened: a link, a pipe, a device.
    pub(super) fn unopened(&self, place: &Place<'_>, entry: &Entry, is_link: bool, notes: &Notes<'_>) {
        let warn = |what: &str, error: io::Error| warn(notes, entry, what, &error);
        let parent = place.parent.as_fd();
        if self.owners {
            let (uid, gid) = self.ids(entry);
            let done = rustix::fs::chownat(parent, place.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
            done.unwrap_or_else(|error| warn("owner", error.into()));
        }
        for attribute in entry.xattrs.iter().filter(|attribute| self.wants(&attribute.name)) {
            // This call does not follow a link at the last component.
            let set = xattr::set(place.by_handle(), OsStr::from_bytes(&attribute.name), &attribute.value);
            set.unwrap_or_else(|error| warn(&format!("extended attribute {}", show(&attribute.name)), error));
        }
        if !is_link {
            // Made by this process under this name a moment ago, so it is no link.
            let mode = Mode::from_raw_mode(self.mode(entry) as _);
            let done = rustix::fs::chmodat(parent, place.name, mode, AtFlags::empty());
            done.unwrap_or_else(|error| warn("mode", error.into()));
        }
        let done = rustix::fs::utimensat(parent, place.name, &times(entry), AtFlags::SYMLINK_NOFOLLOW);
        done.unwrap_or_else(|error| warn("time", error.into()));
    }

    fn ids(&self, entry: &Entry) -> (Option<Uid>, Option<Gid>) {
        let (uid, gid) = self.names.borrow_mut().ids(entry, self.numeric);
        // All ones means "leave it" to the kernel.
        let known = |id: u32| (id != u32::MAX).then_some(id);
        (known(uid).map(Uid::from_raw), known(gid).map(Gid::from_raw))
    }

    /// Attributes outside `user.` grant or deny access.
    fn wants(&self, name: &[u8]) -> bool {
        self.preserve || name.starts_with(b"user.")
    }
}

fn warn(notes: &Notes<'_>, entry: &Entry, what: &str, error: &io::Error) {
    notes.warn(&format!("{}: {what} not restored: {error}", show(&entry.path)));
}

fn times(entry: &Entry) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ },
        last_modification: Timespec { tv_sec: entry.mtime.secs, tv_nsec: entry.mtime.nanos.min(999_999_999).into() },
    }
}
