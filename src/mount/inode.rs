//! The tree of an archive as a read-only inode table.
//!
//! # Memory
//!
//! Per inode 64 bytes; per name 12 bytes and the name itself; per extent 24 bytes; per file 36
//! bytes for its digest; link targets and extended attributes at their length. A small file costs about 140 bytes and
//! its name. Nothing
//! is stored as a path: a name is found by one binary search per component.

use std::collections::HashMap;

use super::errno::Errno;
use crate::format::{Mtime, Xattr};
use crate::hash::Digest;

/// The root directory's number.
pub const ROOT: u64 = 1;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The inode's number, at least 1.
    pub ino: u64,
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of a file, length of a link's target, else 0.
    pub size: u64,
    /// Bytes of a file that are not in holes.
    pub allocated: u64,
    /// Permission bits, 12 of them.
    pub mode: u16,
    /// Names of a file; 2 and one for each subdirectory of a directory.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Mtime,
    /// Major and minor number of a device, else 0.
    pub device: (u32, u32),
}

/// A run of a file's bytes, ending at `end`; it starts where the run before it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Offset in the file just behind the run.
    pub(super) end: u64,
    /// The chunk's number, or [`HOLE`].
    pub(super) chunk: u64,
    /// Offset of the run's first byte in the decoded chunk.
    pub(super) offset: u32,
}

/// Stands for a chunk number in a [`Run`] of zero bytes. An archive of 2^64 chunks cannot exist.
pub(super) const HOLE: u64 = u64::MAX;

/// What is known of an inode besides its names. `first` and `count` select, by kind: children of a
/// directory in `names`, runs of a file in `runs`, the target of a link in `targets`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inode {
    pub(super) size: u64,
    pub(super) allocated: u64,
    pub(super) secs: i64,
    pub(super) nanos: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u32,
    /// Index of the parent of a directory; the device's major number.
    pub(super) parent: u32,
    pub(super) first: u32,
    /// The device's minor number.
    pub(super) count: u32,
    pub(super) mode: u16,
    pub(super) kind: NodeKind,
}

/// One name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    /// Start in `text`.
    pub(super) start: u32,
    /// Index of the inode.
    pub(super) inode: u32,
    /// A component has at most 255 bytes.
    pub(super) len: u8,
}

/// The table. Inode `ino` stands at index `ino - 1`.
#[derive(Debug, Default)]
pub struct Tree {
    pub(super) inodes: Vec<Inode>,
    /// Grouped by directory, ascending by name within.
    pub(super) names: Vec<Name>,
    pub(super) runs: Vec<Run>,
    /// The names.
    pub(super) text: Vec<u8>,
    /// The targets of symbolic links.
    pub(super) targets: Vec<u8>,
    pub(super) xattrs: HashMap<u32, Box<[Xattr]>>,
    /// The files' digests, by index of the inode.
    pub(super) digests: Vec<(u32, Digest)>,
    /// Sum of the files' allocated bytes.
    pub(super) allocated: u64,
}

/// One line of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// The inode's number.
    pub ino: u64,
    /// What the inode is.
    pub kind: NodeKind,
    /// One component, `.` or `..`.
    pub name: &'a [u8],
    /// Where to go on reading behind this line.
    pub next: u64,
}

impl Tree {
    pub(super) fn index(ino: u64) -> Result<usize, Errno> {
        ino.checked_sub(1).and_then(|i| usize::try_from(i).ok()).ok_or(Errno::ENOENT)
    }

    pub(super) fn inode(&self, ino: u64) -> Result<&Inode, Errno> {
        self.inodes.get(Self::index(ino)?).ok_or(Errno::ENOENT)
    }

    fn directory(&self, ino: u64) -> Result<(&Inode, &[Name]), Errno> {
        let inode = self.inode(ino)?;
        if inode.kind != NodeKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let first = inode.first as usize;
        let names = self.names.get(first..first + inode.count as usize).ok_or(Errno::EIO)?;
        Ok((inode, names))
    }

    fn text(&self, name: &Name) -> &[u8] {
        bytes(&self.text, name.start, name.len.into())
    }

    /// The runs of a regular file.
    pub(super) fn runs(&self, ino: u64) -> Result<(&Inode, &[Run]), Errno> {
        let inode = self.inode(ino)?;
        match inode.kind {
            NodeKind::File => {
                let first = inode.first as usize;
                Ok((inode, self.runs.get(first..first + inode.count as usize).ok_or(Errno::EIO)?))
            }
            NodeKind::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The digest of a file's content, by binary search.
    #[must_use]
    pub fn digest(&self, ino: u64) -> Option<Digest> {
        let index = u32::try_from(Self::index(ino).ok()?).ok()?;
        self.digests.binary_search_by_key(&index, |&(index, _)| index).ok().map(|at| self.digests[at].1)
    }

    /// Number of inodes, the root among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inodes.len()
    }

    /// Never: there is always a root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inodes.is_empty()
    }

    /// Bytes of memory that the tables take, extended attributes left out.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.inodes.capacity() * size_of::<Inode>()
            + self.names.capacity() * size_of::<Name>()
            + self.runs.capacity() * size_of::<Run>()
            + self.text.capacity()
            + self.targets.capacity()
            + self.digests.capacity() * size_of::<(u32, Digest)>()
    }

    /// Bytes of all files that are not in holes, each inode counted once.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Whether an inode has POSIX ACLs.
    #[must_use]
    pub fn has_acls(&self) -> bool {
        self.xattrs.values().flat_map(|list| list.iter()).any(|x| x.name.starts_with(b"system.posix_acl_"))
    }

    /// What `stat` tells of an inode.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn attr(&self, ino: u64) -> Result<Attr, Errno> {
        let inode = self.inode(ino)?;
        let device = match inode.kind {
            NodeKind::CharDevice | NodeKind::BlockDevice => (inode.parent, inode.count),
            _ => (0, 0),
        };
        Ok(Attr {
            ino,
            kind: inode.kind,
            size: inode.size,
            allocated: inode.allocated,
            mode: inode.mode,
            nlink: inode.nlink,
            uid: inode.uid,
            gid: inode.gid,
            mtime: Mtime { secs: inode.secs, nanos: inode.nanos },
            device,
        })
    }

    /// The inode of a name in a directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Result<u64, Errno> {
        let (directory, names) = self.directory(parent)?;
        match name {
            b"." => return Ok(parent),
            b".." => return Ok(u64::from(directory.parent) + 1),
            _ => {}
        }
        let at = names.binary_search_by(|n| self.text(n).cmp(name)).map_err(|_| Errno::ENOENT)?;
        Ok(u64::from(names[at].inode) + 1)
    }

    /// The lines of a directory from `offset` on: 0 for all, or the `next` of a line. `.` and `..`
    /// come first, then the names in ascending order of their bytes. Offsets stay valid for ever.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub fn read_dir(&self, ino: u64, offset: u64) -> Result<impl Iterator<Item = DirEntry<'_>>, Errno> {
        let (directory, names) = self.directory(ino)?;
        let dots = [(ino, &b"."[..]), (u64::from(directory.parent) + 1, &b".."[..])];
        let dots = dots.into_iter().map(|(ino, name)| (ino, NodeKind::Directory, name));
        let names = names.iter().map(|n| {
            let kind = self.inodes.get(n.inode as usize).map_or(NodeKind::File, |inode| inode.kind);
            (u64::from(n.inode) + 1, kind, self.text(n))
        });
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        // Skipped in parts: `skip` over a chain would step, over slices and ranges it jumps.
        let lines = dots.skip(skip.min(2)).chain(names.skip(skip.saturating_sub(2)));
        Ok(lines.zip(offset..).map(|((ino, kind, name), at)| DirEntry { ino, kind, name, next: at.saturating_add(1) }))
    }

    /// The raw target of a symbolic link.
    ///
    /// # Errors
    /// `ENOENT`; `EINVAL` where it is none.
    pub fn link_target(&self, ino: u64) -> Result<&[u8], Errno> {
        let inode = self.inode(ino)?;
        match inode.kind {
            NodeKind::Symlink => Ok(bytes(&self.targets, inode.first, inode.count as usize)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The extended attributes, ascending by name.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn xattrs(&self, ino: u64) -> Result<&[Xattr], Errno> {
        self.inode(ino)?;
        let index = u32::try_from(Self::index(ino)?).map_err(|_| Errno::ENOENT)?;
        Ok(self.xattrs.get(&index).map_or(&[], |list| &**list))
    }
}

fn bytes(text: &[u8], start: u32, len: usize) -> &[u8] {
    let start = start as usize;
    text.get(start..start + len).unwrap_or_default()
}
