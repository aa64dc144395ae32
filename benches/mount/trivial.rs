//! The tree of names as a file system that keeps nothing: what the protocol and its library cost.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, OpenFlags, ReplyAttr, ReplyDirectoryPlus, ReplyEntry, ReplyOpen, Request,
};

use super::archives::{DIRS, FILES, PARTS};

const FOREVER: Duration = Duration::from_secs(1_000_000);

/// Unmounted when dropped.
pub(crate) struct Trivial {
    _session: BackgroundSession,
}

impl Trivial {
    /// # Errors
    /// The system's.
    pub(crate) fn mount(dir: &Path) -> io::Result<Self> {
        let mut config = Config::default();
        config.n_threads = Some(4);
        config.clone_fd = true;
        Ok(Self { _session: fuser::spawn_mount(Arithmetic, dir, &config)? })
    }
}

/// Inode 1 is the root; its directories follow, then theirs, then all files.
struct Arithmetic;

const FIRST_PART: u64 = 2 + DIRS as u64;
const FIRST_FILE: u64 = FIRST_PART + (DIRS * PARTS) as u64;

/// First inode and number of a directory's children.
fn children(ino: u64) -> (u64, usize) {
    match ino {
        1 => (2, DIRS),
        _ if ino < FIRST_PART => (FIRST_PART + (ino - 2) * PARTS as u64, PARTS),
        _ => (FIRST_FILE + (ino - FIRST_PART) * FILES as u64, FILES),
    }
}

fn child_name(ino: u64, number: usize) -> String {
    match ino {
        1 => format!("dir-{number:02}"),
        _ if ino < FIRST_PART => format!("part-{number}"),
        _ => format!("file-{number:03}.txt"),
    }
}

fn attr(ino: u64) -> FileAttr {
    let directory = ino < FIRST_FILE;
    FileAttr {
        ino: INodeNo(ino),
        size: 10,
        blocks: 1,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if directory { FileType::Directory } else { FileType::RegularFile },
        perm: 0o755,
        nlink: if directory { 2 } else { 1 },
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Arithmetic {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let flags = [InitFlags::FUSE_DO_READDIRPLUS, InitFlags::FUSE_READDIRPLUS_AUTO, InitFlags::FUSE_PARALLEL_DIROPS];
        for flag in flags {
            // An older kernel does without.
            let _ = config.add_capabilities(flag);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let text = name.to_str().unwrap_or("");
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let number = digits.parse().unwrap_or(usize::MAX);
        let (first, count) = children(parent.0);
        if number < count && child_name(parent.0, number) == text {
            reply.entry(&FOREVER, &attr(first + number as u64), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &attr(ino.0));
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: fuser::ReplyDirectory) {
        let (first, count) = children(ino.0);
        for number in offset as usize..count {
            let child = first + number as u64;
            let name = child_name(ino.0, number);
            if reply.add(INodeNo(child), number as u64 + 1, attr(child).kind, &name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let (first, count) = children(ino.0);
        for number in offset as usize..count {
            let child = first + number as u64;
            let name = child_name(ino.0, number);
            if reply.add(INodeNo(child), number as u64 + 1, &name, &FOREVER, &attr(child), Generation(0)) {
                break;
            }
        }
        reply.ok();
    }
}
