//! The kernel's side of [`Fs`]: the only file that names fuser. No decisions are made here beyond
//! those of the protocol (sizes of attribute buffers, what the kernel may cache).

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, MountOption, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request, Session, SessionACL,
};

use super::errno::Errno;
use super::fs::{Fs, MAX_READ, Opening, Seek};
use super::inode::{Attr, NodeKind};
use super::notes::STATUS_INO;
use super::run::MountOptions;
use crate::format::Mtime;

/// An archive never changes under its mount, so the kernel may keep what it is told for ever (this
/// long; the protocol has no infinity).
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Threads that read requests. None of them ever waits, so that a few are enough for any load.
const THREADS: usize = 4;

/// Readahead requests that may be in flight; the kernel's own 12 would keep lanes idle.
const BACKGROUND: u16 = 64;

struct Adapter {
    fs: Fs,
    /// Whether the kernel wants directories to be opened: newer ones are told once that there is no need.
    opens_directories: bool,
}

/// Mounts, and serves on threads of its own.
///
/// # Errors
/// The system's answer, as fuser words it.
pub(super) fn mount(fs: Fs, options: &MountOptions) -> io::Result<Mounted> {
    let mut config = Config::default();
    // A comma would start another option.
    let name = options.source_name.replace([',', '\\'], "_");
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::DefaultPermissions,
        MountOption::FSName(name),
        // Not `Subtype`, which fuser drops where it calls mount(2) itself.
        MountOption::CUSTOM("subtype=lma".into()),
    ];
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    let adapter = Adapter { fs, opens_directories: true };
    let mut session = Session::new(adapter, AsRef::<Path>::as_ref(&options.mountpoint), &config)?.spawn()?;
    let serving = std::mem::replace(&mut session.guard, thread::spawn(|| Ok(())));
    // When it is dropped, fuser 0.18 unmounts the directory even where it was unmounted before: whatever is mounted
    // there by then. Its file stays open until this process ends.
    std::mem::forget(session);
    Ok(Mounted(serving))
}

/// A live mount. It is for others to unmount it.
pub(super) struct Mounted(JoinHandle<io::Result<()>>);

impl Mounted {
    /// Waits until the directory is unmounted, by whomever.
    ///
    /// # Errors
    /// The system's answer.
    pub(super) fn wait(self) -> io::Result<()> {
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("the thread that serves has panicked")))
    }
}

impl From<Errno> for fuser::Errno {
    fn from(errno: Errno) -> Self {
        Self::from_i32(errno.code())
    }
}

fn time(mtime: Mtime) -> SystemTime {
    let whole = Duration::from_secs(mtime.secs.unsigned_abs());
    let whole = if mtime.secs < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    whole.and_then(|t| t.checked_add(Duration::from_nanos(mtime.nanos.into()))).unwrap_or(UNIX_EPOCH)
}

fn file_type(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::File => FileType::RegularFile,
        NodeKind::Directory => FileType::Directory,
        NodeKind::Symlink => FileType::Symlink,
        NodeKind::Fifo => FileType::NamedPipe,
        NodeKind::CharDevice => FileType::CharDevice,
        NodeKind::BlockDevice => FileType::BlockDevice,
    }
}

/// The protocol's 32-bit device number: 12 bits of major within 20 bits of minor.
fn device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

fn file_attr(attr: &Attr) -> FileAttr {
    let mtime = time(attr.mtime);
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.allocated.div_ceil(512),
        atime: mtime,
        mtime,
        ctime: mtime,
        crtime: mtime,
        kind: file_type(attr.kind),
        perm: attr.mode,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: device(attr.device),
        blksize: 4096,
        flags: 0,
    }
}

/// What changes is asked for again each time.
fn lifetime(ino: u64) -> Duration {
    if ino == STATUS_INO { Duration::ZERO } else { FOREVER }
}

/// `size` 0 asks how large the value is; a smaller buffer than that is `ERANGE`.
fn reply_xattr(value: Result<Cow<'_, [u8]>, Errno>, size: u32, reply: ReplyXattr) {
    match value.and_then(|v| u32::try_from(v.len()).map(|len| (v, len)).map_err(|_| Errno::ERANGE)) {
        Ok((_, len)) if size == 0 => reply.size(len),
        Ok((_, len)) if len > size => reply.error(Errno::ERANGE.into()),
        Ok((value, _)) => reply.data(&value),
        Err(errno) => reply.error(errno.into()),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            // Files that are read directly can be mapped as well.
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ];
        // Then the kernel checks ACLs, which costs a request for each inode: only where there are some.
        if self.fs.tree().has_acls() {
            wanted.push(InitFlags::FUSE_POSIX_ACL);
        }
        self.opens_directories = !config.capabilities().contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT);
        for flag in wanted {
            // An older kernel does without.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(MAX_READ);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.fs.lookup(parent.0, name.as_bytes()) {
            Ok(attr) => reply.entry(&lifetime(attr.ino), &file_attr(&attr), Generation(0)),
            Err(errno) => reply.error(errno.into()),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.fs.getattr(ino.0) {
            Ok(attr) => reply.attr(&lifetime(attr.ino), &file_attr(&attr)),
            Err(errno) => reply.error(errno.into()),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.fs.readlink(ino.0) {
            Ok(target) => reply.data(target),
            Err(errno) => reply.error(errno.into()),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.fs.open(ino.0, flags.acc_mode() != OpenAccMode::O_RDONLY) {
            Ok(Opening::Cached) => {
                reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH);
            }
            Ok(Opening::Direct) => {
                // Not to keep what there is of the file would make this opening wait, and past its end by a signal, for
                // the pages that others are waiting for.
                let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
                reply.opened(FileHandle(0), flags);
            }
            Err(errno) => reply.error(errno.into()),
        }
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.fs.read(request.pid(), ino.0, offset, size, move |result| match result {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno.into()),
        });
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.fs.release(ino.0);
        reply.ok();
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.fs.opendir(ino.0) {
            // Then it opens them by itself, and keeps what it has read of them.
            Ok(()) if !self.opens_directories => reply.error(fuser::Errno::ENOSYS),
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno.into()),
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.fs.readdir(ino.0, offset) {
            Ok(lines) => {
                for line in lines {
                    if reply.add(INodeNo(line.ino), line.next, file_type(line.kind), OsStr::from_bytes(line.name)) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(errno) => reply.error(errno.into()),
        }
    }

    fn readdirplus(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let lines = match self.fs.readdir(ino.0, offset) {
            Ok(lines) => lines,
            Err(errno) => return reply.error(errno.into()),
        };
        for line in lines {
            let Ok(attr) = self.fs.getattr(line.ino) else { continue };
            let (ino, name) = (INodeNo(line.ino), OsStr::from_bytes(line.name));
            if reply.add(ino, line.next, name, &FOREVER, &file_attr(&attr), Generation(0)) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        const BLOCK: u32 = 4096;
        let totals = self.fs.totals();
        reply.statfs(totals.bytes.div_ceil(BLOCK.into()), 0, 0, totals.inodes, 0, BLOCK, 255, BLOCK);
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        reply_xattr(self.fs.getxattr(ino.0, name.as_bytes()), size, reply);
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self.fs.listxattr(ino.0);
        reply_xattr(names.map(Cow::Owned), size, reply);
    }

    fn lseek(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let what = match whence {
            libc::SEEK_DATA => Seek::Data,
            libc::SEEK_HOLE => Seek::Hole,
            _ => return reply.error(Errno::EINVAL.into()),
        };
        let found =
            u64::try_from(offset).map_err(|_| Errno::ENXIO).and_then(|offset| self.fs.seek(ino.0, offset, what));
        match found.map(i64::try_from) {
            Ok(Ok(offset)) => reply.offset(offset),
            Ok(Err(_)) => reply.error(Errno::ENXIO.into()),
            Err(errno) => reply.error(errno.into()),
        }
    }
}
