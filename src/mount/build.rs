//! Entries to inode table.
//!
//! The reader has refused what the format forbids. What is checked again here keeps the table's
//! own invariants: an entry that breaks one is left out with a message, never the whole archive.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use super::inode::{HOLE, Inode, Name, NodeKind, Run, Tree};
use crate::format::{Entry, Extent, FileContent, Kind, Mtime, validate_path};

/// What an archive does not say: owner and mode of the root, and of parents that have no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImpliedDir {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u16,
}

impl Default for ImpliedDir {
    fn default() -> Self {
        Self { uid: 0, gid: 0, mode: 0o755 }
    }
}

/// A name on its way into the table.
struct Link<'a> {
    parent: u32,
    name: &'a [u8],
    inode: u32,
}

struct Builder<'a> {
    tree: Tree,
    links: Vec<Link<'a>>,
    /// Inode by path; the root has the empty path.
    paths: HashMap<&'a [u8], u32>,
    /// Whether the directory has had an entry of its own, by inode.
    explicit: Vec<bool>,
    implied: ImpliedDir,
    /// The newest time of any entry: the root's.
    newest: Mtime,
    problems: Vec<String>,
}

impl Tree {
    /// Builds the table, and says what was left out and why. Parents without an entry are made up;
    /// they and the root have the newest time of all entries. Time is O(n log n) in entries.
    #[must_use]
    pub fn build(mut entries: Vec<Entry>, implied: ImpliedDir) -> (Self, Vec<String>) {
        let xattrs: Vec<_> = entries.iter_mut().map(|e| std::mem::take(&mut e.xattrs).into_boxed_slice()).collect();
        let newest = entries.iter().map(|e| e.mtime).max().unwrap_or_default();
        let mut builder = Builder {
            tree: Self::default(),
            links: Vec::with_capacity(entries.len()),
            paths: HashMap::with_capacity(entries.len() + 1),
            explicit: Vec::with_capacity(entries.len() + 1),
            implied,
            newest,
            problems: Vec::new(),
        };
        let root = builder.imply();
        builder.paths.insert(b"", root);
        for (entry, xattrs) in entries.iter().zip(xattrs) {
            match builder.add(entry) {
                Ok(Some(inode)) if !xattrs.is_empty() => drop(builder.tree.xattrs.insert(inode, xattrs)),
                Ok(_) => {}
                Err(why) => builder.problems.push(format!("{}: {why}", entry.path.escape_ascii())),
            }
        }
        builder.finish()
    }
}

impl<'a> Builder<'a> {
    /// Adds an entry; the new inode that its extended attributes belong to, if any.
    fn add(&mut self, entry: &'a Entry) -> Result<Option<u32>, String> {
        validate_path(&entry.path).map_err(|error| error.to_string())?;
        if let Kind::HardLink(target) = &entry.kind {
            let Some(&inode) = self.paths.get(&target[..]) else {
                return Err(format!("a hard link to {}, which is not there", target.escape_ascii()));
            };
            if self.tree.inodes[inode as usize].kind == NodeKind::Directory {
                return Err(format!("a hard link to {}, a directory", target.escape_ascii()));
            }
            self.room_for(&entry.path)?;
            self.link(&entry.path, inode);
            let nlink = &mut self.tree.inodes[inode as usize].nlink;
            *nlink = nlink.saturating_add(1);
            return Ok(None);
        }
        if entry.kind == Kind::Directory {
            return self.directory(entry).map(Some);
        }
        self.room_for(&entry.path)?;
        let inode = self.node(entry)?;
        self.link(&entry.path, inode);
        self.tree.allocated = self.tree.allocated.saturating_add(self.tree.inodes[inode as usize].allocated);
        Ok(Some(inode))
    }

    fn directory(&mut self, entry: &'a Entry) -> Result<u32, String> {
        let inode = match self.paths.get(&entry.path[..]) {
            Some(&known) => {
                let is_directory = self.tree.inodes[known as usize].kind == NodeKind::Directory;
                if !is_directory || self.explicit[known as usize] {
                    return Err("the path is in the archive twice".into());
                }
                known
            }
            None => {
                self.room_for(&entry.path)?;
                let inode = self.imply();
                self.link(&entry.path, inode);
                inode
            }
        };
        self.explicit[inode as usize] = true;
        let node = &mut self.tree.inodes[inode as usize];
        (node.mode, node.uid, node.gid) = (entry.mode & 0o7777, entry.uid, entry.gid);
        (node.secs, node.nanos) = (entry.mtime.secs, entry.mtime.nanos);
        Ok(inode)
    }

    /// A directory that no entry has described yet.
    fn imply(&mut self) -> u32 {
        let ImpliedDir { uid, gid, mode } = self.implied;
        self.push(Inode {
            size: 0,
            allocated: 0,
            secs: self.newest.secs,
            nanos: self.newest.nanos,
            uid,
            gid,
            nlink: 2,
            parent: 0,
            first: 0,
            count: 0,
            mode,
            kind: NodeKind::Directory,
        })
    }

    fn push(&mut self, inode: Inode) -> u32 {
        // `Limits::entries` is far below 2^32; implied parents are bounded by the bytes of the paths.
        let index = u32::try_from(self.tree.inodes.len()).unwrap_or(u32::MAX);
        self.tree.inodes.push(inode);
        self.explicit.push(false);
        index
    }

    /// An inode that is neither directory nor hard link.
    fn node(&mut self, entry: &'a Entry) -> Result<u32, String> {
        let mut inode = Inode {
            size: 0,
            allocated: 0,
            secs: entry.mtime.secs,
            nanos: entry.mtime.nanos,
            uid: entry.uid,
            gid: entry.gid,
            nlink: 1,
            parent: 0,
            first: 0,
            count: 0,
            mode: entry.mode & 0o7777,
            kind: NodeKind::File,
        };
        match &entry.kind {
            Kind::File(content) => self.content(content, &mut inode)?,
            Kind::Symlink(target) => {
                inode.kind = NodeKind::Symlink;
                inode.size = target.len() as u64;
                (inode.first, inode.count) = (self.text(target)?, target.len() as u32);
            }
            Kind::Fifo => inode.kind = NodeKind::Fifo,
            Kind::CharDevice { major, minor } => {
                inode.kind = NodeKind::CharDevice;
                (inode.parent, inode.count) = (*major, *minor);
            }
            Kind::BlockDevice { major, minor } => {
                inode.kind = NodeKind::BlockDevice;
                (inode.parent, inode.count) = (*major, *minor);
            }
            Kind::Directory | Kind::HardLink(_) => return Err("not an inode of its own".into()),
        }
        Ok(self.push(inode))
    }

    fn content(&mut self, content: &FileContent, inode: &mut Inode) -> Result<(), String> {
        let first = self.tree.runs.len();
        let mut end = 0u64;
        for extent in &content.extents {
            let (chunk, offset, len) = match *extent {
                Extent::Data { chunk: HOLE, .. } => {
                    return self.refuse_runs(first, "no archive has chunk 2^64 - 1".into());
                }
                Extent::Data { chunk, offset, len } => (chunk, offset, u64::from(len)),
                Extent::Hole { len } => (HOLE, 0, len),
            };
            end = match end.checked_add(len) {
                Some(end) if end <= i64::MAX as u64 && len > 0 => end,
                _ => return self.refuse_runs(first, "an extent that is empty or ends beyond 2^63".into()),
            };
            if chunk != HOLE {
                inode.allocated += len;
            }
            self.tree.runs.push(Run { end, chunk, offset });
        }
        if end != content.size {
            return self.refuse_runs(first, format!("extents of {end} bytes in a file of {}", content.size));
        }
        let (Ok(index), Ok(count)) = (u32::try_from(first), u32::try_from(content.extents.len())) else {
            return self.refuse_runs(first, "more than 2^32 extents in one archive".into());
        };
        (inode.first, inode.count, inode.size) = (index, count, end);
        Ok(())
    }

    fn refuse_runs(&mut self, first: usize, why: String) -> Result<(), String> {
        self.tree.runs.truncate(first);
        Err(why)
    }

    fn text(&mut self, bytes: &[u8]) -> Result<u32, String> {
        let start = u32::try_from(self.tree.text.len()).map_err(|_| "more than 4 GiB of names and link targets")?;
        self.tree.text.extend_from_slice(bytes);
        Ok(start)
    }

    /// Whether the path is free, and below directories alone.
    fn room_for(&self, path: &'a [u8]) -> Result<(), String> {
        if self.paths.contains_key(path) {
            return Err("the path is in the archive twice".into());
        }
        let mut ancestor = path;
        let known = loop {
            // Ends at the root, the empty path, at the latest.
            ancestor = parent_of(ancestor);
            if let Some(&known) = self.paths.get(ancestor) {
                break known;
            }
        };
        match self.tree.inodes[known as usize].kind {
            NodeKind::Directory => Ok(()),
            _ => Err(format!("{} is not a directory", ancestor.escape_ascii())),
        }
    }

    /// Gives the inode a name that [`Builder::room_for`] has found free, and makes the parents that are missing.
    fn link(&mut self, path: &'a [u8], inode: u32) {
        let (mut path, mut inode) = (path, inode);
        loop {
            let Slot::Vacant(slot) = self.paths.entry(path) else { return };
            slot.insert(inode);
            let up = parent_of(path);
            let name = if up.is_empty() { path } else { &path[up.len() + 1..] };
            let parent = match self.paths.get(up) {
                Some(&parent) => parent,
                None => self.imply(),
            };
            self.links.push(Link { parent, name, inode });
            (path, inode) = (up, parent);
        }
    }

    fn finish(mut self) -> (Tree, Vec<String>) {
        drop(std::mem::take(&mut self.paths));
        let mut links = std::mem::take(&mut self.links);
        links.sort_unstable_by(|a, b| (a.parent, a.name).cmp(&(b.parent, b.name)));
        self.tree.names.reserve_exact(links.len());
        self.tree.text.reserve_exact(links.iter().map(|l| l.name.len()).sum());
        for link in links {
            let (start, len) = match (self.text(link.name), u8::try_from(link.name.len())) {
                (Ok(start), Ok(len)) => (start, len),
                (Err(why), _) => {
                    self.problems.push(format!("{}: {why}", link.name.escape_ascii()));
                    continue;
                }
                // `validate_path` has bounded every component.
                (_, Err(_)) => continue,
            };
            let at = u32::try_from(self.tree.names.len()).unwrap_or(u32::MAX);
            self.tree.names.push(Name { start, inode: link.inode, len });
            let is_directory = self.tree.inodes[link.inode as usize].kind == NodeKind::Directory;
            let parent = &mut self.tree.inodes[link.parent as usize];
            if parent.count == 0 {
                parent.first = at;
            }
            parent.count += 1;
            if is_directory {
                parent.nlink = parent.nlink.saturating_add(1);
                self.tree.inodes[link.inode as usize].parent = link.parent;
            }
        }
        self.tree.inodes.shrink_to_fit();
        self.tree.runs.shrink_to_fit();
        (self.tree, self.problems)
    }
}

fn parent_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').map_or(&[], |at| &path[..at])
}
