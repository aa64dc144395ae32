//! Paths beneath one directory: the only way in which extraction touches the file system.
//!
//! The directory is opened once. Every path is walked from there without ever following a symbolic
//! link, whether the archive made it or it was there before. What a name of an archive leads to is
//! beneath the directory, or it is an error.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::meta::FileId;
use super::tree::split;
use crate::format::validate_path;
use crate::{Error, Result};

#[cfg(target_os = "linux")]
const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const STEP: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory that all is extracted beneath.
pub(super) struct Root {
    fd: OwnedFd,
    path: PathBuf,
    /// Cleared where the kernel has no `openat2`.
    one_call: Cell<bool>,
    /// The parent looked up last: entries of one directory follow each other.
    last: RefCell<Option<(Vec<u8>, OwnedFd)>>,
    /// Directories that were made, with owner-only modes until they are finished.
    made: RefCell<Vec<Vec<u8>>>,
}

/// A name in a directory that was reached safely.
pub(super) struct Place<'p> {
    pub(super) parent: OwnedFd,
    pub(super) name: &'p [u8],
}

impl Root {
    /// Opens `path`, which is made if it is absent. This path is the user's and links in it are followed.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if std::fs::metadata(path).is_ok_and(|meta| !meta.is_dir()) {
            return Err(Error::Refused(format!("{} is not a directory to extract into", path.display())));
        }
        std::fs::create_dir_all(path).map_err(Error::io("creating", path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| Error::io("opening", path)(error.into()))?;
        let (last, made) = (RefCell::new(None), RefCell::new(Vec::new()));
        Ok(Self { fd, path: path.into(), one_call: Cell::new(true), last, made })
    }

    /// The directory's path, for messages and for temporary files.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a directory for walking; the root for an empty path. Missing directories are made if `make`.
    pub(super) fn directory(&self, path: &[u8], make: bool) -> io::Result<OwnedFd> {
        if path.is_empty() {
            return self.fd.try_clone();
        }
        checked(path)?;
        #[cfg(target_os = "linux")]
        if self.one_call.get() {
            use rustix::fs::ResolveFlags;
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.fd, path, STEP, Mode::empty(), beneath) {
                Ok(fd) => return Ok(fd),
                Err(Errno::NOSYS | Errno::PERM) => self.one_call.set(false),
                Err(Errno::NOENT) if make => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut at = self.fd.try_clone()?;
        let mut end = 0;
        for component in path.split(|&byte| byte == b'/') {
            end += component.len() + usize::from(end > 0);
            at = match rustix::fs::openat(&at, component, STEP, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    self.make_in(at.as_fd(), component, &path[..end])?;
                    rustix::fs::openat(&at, component, STEP, Mode::empty())
                }
                other => other,
            }?;
        }
        Ok(at)
    }

    fn make_in(&self, parent: impl AsFd, name: &[u8], path: &[u8]) -> io::Result<()> {
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) => {
                self.made.borrow_mut().push(path.to_vec());
                Ok(())
            }
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The parent of `path`, made if it is missing, and the last component.
    pub(super) fn place<'p>(&self, path: &'p [u8]) -> io::Result<Place<'p>> {
        checked(path)?;
        let (above, name) = split(path);
        let mut last = self.last.borrow_mut();
        if let Some((known, fd)) = last.as_ref()
            && known == above
        {
            return Ok(Place { parent: fd.try_clone()?, name });
        }
        let parent = self.directory(above, true)?;
        *last = Some((above.to_vec(), parent.try_clone()?));
        Ok(Place { parent, name })
    }

    /// Makes sure that `path` is a directory; what else stands there is removed unless `keep`. Answers whether the
    /// directory was there before.
    pub(super) fn make_directory(&self, path: &[u8], keep: bool) -> io::Result<bool> {
        let place = self.place(path)?;
        match place.stat()? {
            Some(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                return Ok(!self.made.borrow().iter().any(|made| made == path));
            }
            Some(_) if keep => return Err(Errno::EXIST.into()),
            Some(_) => place.unlink()?,
            None => {}
        }
        self.make_in(&place.parent, place.name, path)?;
        Ok(false)
    }

    /// Opens a directory to read and set its metadata.
    pub(super) fn open_directory(&self, path: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.directory(path, false)?;
        Ok(rustix::fs::openat(&fd, ".", flags, Mode::empty())?.into())
    }

    /// Directories that were made and have not been finished yet.
    pub(super) fn take_made(&self) -> Vec<Vec<u8>> {
        self.made.take()
    }
}

impl Place<'_> {
    /// What stands here, links not followed.
    pub(super) fn stat(&self) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.parent, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what stands here, if anything; never a directory.
    pub(super) fn unlink(&self) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.parent, self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a new file, owner-only, for reading and writing.
    pub(super) fn create(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.parent, self.name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Opens a file that [`Place::create`] made.
    pub(super) fn reopen(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.parent, self.name, flags, Mode::empty())?.into())
    }

    /// Renames from `from` in the same directory to here. What is here is replaced, or with `keep` is an error.
    pub(super) fn rename_from(&self, from: &[u8], keep: bool) -> io::Result<()> {
        if keep {
            match rustix::fs::renameat_with(&self.parent, from, &self.parent, self.name, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS) => {
                    rustix::fs::linkat(&self.parent, from, &self.parent, self.name, AtFlags::empty())?;
                    return Ok(rustix::fs::unlinkat(&self.parent, from, AtFlags::empty())?);
                }
                other => return Ok(other?),
            }
        }
        Ok(rustix::fs::renameat(&self.parent, from, &self.parent, self.name)?)
    }

    /// Makes this a name of the file at `target`, provided that it is still the file `id`.
    pub(super) fn link_to(&self, target: &Place<'_>, id: FileId) -> io::Result<()> {
        if target.stat()?.map(|stat| id_of(&stat)) != Some(id) {
            return Err(io::Error::other("the target is not the file that was extracted"));
        }
        Ok(rustix::fs::linkat(&target.parent, target.name, &self.parent, self.name, AtFlags::empty())?)
    }

    /// A path by which calls that know no directory handles reach the same name: links before the last component
    /// play no part in it.
    pub(super) fn by_handle(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        use std::os::unix::ffi::OsStrExt;
        let directory = PathBuf::from(format!("/proc/self/fd/{}", self.parent.as_raw_fd()));
        directory.join(std::ffi::OsStr::from_bytes(self.name))
    }
}

/// The format allows no other paths; this layer does not trust that it was asked.
fn checked(path: &[u8]) -> io::Result<()> {
    validate_path(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// What tells the file from others.
// The types of the two fields are not the same on every system.
#[allow(clippy::unnecessary_cast)]
pub(super) fn id_of(stat: &Stat) -> FileId {
    FileId { dev: stat.st_dev as u64, ino: stat.st_ino as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        for one_call in [true, false] {
            let path = dir.path().join(format!("in{one_call}"));
            let root = Root::open(&path).unwrap();
            root.one_call.set(one_call);
            symlink(&outside, path.join("l")).unwrap();
            symlink(".", path.join("here")).unwrap();
            for bad in ["l/x", "l/x/y", "here/x", "../x", "a/../../x", "/x", "a//x", ".."] {
                let made = root.place(bad.as_bytes()).and_then(|place| place.create());
                assert!(made.is_err(), "{bad}");
                assert!(root.make_directory(format!("{bad}/d").as_bytes(), false).is_err(), "{bad}");
            }
            root.place(b"a/b/c").unwrap().create().unwrap();
            assert!(path.join("a/b/c").is_file());
            assert!(!root.make_directory(b"l", false).unwrap(), "the link makes way for a directory");
            assert!(path.join("l").symlink_metadata().unwrap().is_dir());
        }
        assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
    }
}
