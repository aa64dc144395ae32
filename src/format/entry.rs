//! Entries: paths, kinds and metadata (spec/lma-format.md §7).

use crate::hash::Digest;

/// A time of last modification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime {
    /// Seconds since 1970-01-01T00:00:00Z, negative before.
    pub secs: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanos: u32,
}

/// One extended attribute, raw: ACLs are `system.posix_acl_access` and `_default`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Full name with its namespace, not empty, no NUL.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// A run of a file's content. Extents follow each other without gaps; their lengths add up to the
/// file's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// `len` bytes of a decoded chunk.
    Data {
        /// The chunk's number.
        chunk: u64,
        /// Offset into the decoded chunk.
        offset: u32,
        /// Length, at least 1.
        len: u32,
    },
    /// `len` zero bytes that the file system does not store.
    Hole {
        /// Length, at least 1.
        len: u64,
    },
}

/// A regular file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// Logical size: the sum of the extents' lengths.
    pub size: u64,
    /// The content in order.
    pub extents: Vec<Extent>,
    /// BLAKE3-256 of the data extents' bytes in order, holes left out; of a file without holes,
    /// the plain BLAKE3 of the file.
    pub digest: Digest,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File(FileContent),
    /// A directory.
    Directory,
    /// A symbolic link with its raw target, not empty, no NUL.
    Symlink(Vec<u8>),
    /// Another name of the regular file or special file at this path, which stands earlier in the archive.
    HardLink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// One name in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative path, `/` between components, accepted by [`crate::format::validate_path`].
    pub path: Vec<u8>,
    /// What it is, with its content.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: 12 bits.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Owner's name, empty where not known.
    pub user: Vec<u8>,
    /// Group's name, empty where not known.
    pub group: Vec<u8>,
    /// Time of last modification.
    pub mtime: Mtime,
    /// Extended attributes in strictly ascending order of their names.
    pub xattrs: Vec<Xattr>,
}

/// Entries written together, close behind the chunks they refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryBatch {
    /// Number of entries in all batches before this one: a lost batch shows as a gap.
    pub first: u64,
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Entry {
    /// Logical size of a regular file, 0 for everything else.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.size,
            _ => 0,
        }
    }
}
