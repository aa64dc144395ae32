//! Entries to inode table.
//!
//! The reader has refused what the format forbids. What is checked again here keeps the table's
//! own invariants: an entry that breaks one is left out with a message, never the whole archive.

use super::inode::{HOLE, Inode, Name, NodeKind, Run, Tree};
use crate::container::{Component, NameTree, NodeId, Place};
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

/// Takes entries up one by one, none of which it keeps.
pub(super) struct Builder {
    tree: Tree,
    names: NameTree,
    /// Inode by name.
    inodes: Vec<u32>,
    /// Whether the directory has had an entry of its own, by inode.
    explicit: Vec<bool>,
    implied: ImpliedDir,
    /// The newest time of any entry: the root's.
    newest: Option<Mtime>,
    problems: Vec<String>,
}

impl Tree {
    /// Builds the table, and says what was left out and why. Parents without an entry are made up;
    /// they and the root have the newest time of all entries.
    #[must_use]
    pub fn build(mut entries: Vec<Entry>, implied: ImpliedDir) -> (Self, Vec<String>) {
        let mut builder = Builder::new(implied);
        entries.iter_mut().for_each(|entry| builder.add(entry));
        builder.finish()
    }
}

impl Builder {
    pub(super) fn new(implied: ImpliedDir) -> Self {
        let mut builder = Self {
            tree: Tree::default(),
            names: NameTree::default(),
            inodes: Vec::new(),
            explicit: Vec::new(),
            implied,
            newest: None,
            problems: Vec::new(),
        };
        let root = builder.imply();
        builder.inodes.push(root);
        builder
    }

    /// Adds an entry, or notes why not; takes its extended attributes. Time is O(1) for each component of its path.
    pub(super) fn add(&mut self, entry: &mut Entry) {
        self.newest = self.newest.max(Some(entry.mtime));
        match self.place(entry) {
            Ok(Some(inode)) if !entry.xattrs.is_empty() => {
                self.tree.xattrs.insert(inode, std::mem::take(&mut entry.xattrs).into_boxed_slice());
            }
            Ok(_) => {}
            Err(why) => self.problems.push(format!("{}: {why}", entry.path.escape_ascii())),
        }
    }

    /// Adds an entry; the new inode that its extended attributes belong to, if any.
    fn place(&mut self, entry: &Entry) -> Result<Option<u32>, String> {
        validate_path(&entry.path).map_err(|error| error.to_string())?;
        if let Kind::HardLink(target) = &entry.kind {
            let inode = match self.names.locate(target) {
                Place { node, rest: 0 } => self.inodes[node as usize],
                _ => return Err(format!("a hard link to {}, which is not there", target.escape_ascii())),
            };
            if self.tree.inodes[inode as usize].kind == NodeKind::Directory {
                return Err(format!("a hard link to {}, a directory", target.escape_ascii()));
            }
            let place = self.room_for(&entry.path)?;
            self.link(&entry.path, place, |_| Ok(inode))?;
            let nlink = &mut self.tree.inodes[inode as usize].nlink;
            *nlink = nlink.saturating_add(1);
            return Ok(None);
        }
        if entry.kind == Kind::Directory {
            return self.directory(entry).map(Some);
        }
        let place = self.room_for(&entry.path)?;
        let inode = self.link(&entry.path, place, |builder| builder.node(entry))?;
        self.tree.allocated = self.tree.allocated.saturating_add(self.tree.inodes[inode as usize].allocated);
        Ok(Some(inode))
    }

    fn directory(&mut self, entry: &Entry) -> Result<u32, String> {
        let inode = match self.names.locate(&entry.path) {
            Place { node, rest: 0 } => {
                let known = self.inodes[node as usize];
                let is_directory = self.tree.inodes[known as usize].kind == NodeKind::Directory;
                if !is_directory || self.explicit[known as usize] {
                    return Err("the path is in the archive twice".into());
                }
                known
            }
            _ => {
                let place = self.room_for(&entry.path)?;
                self.link(&entry.path, place, |builder| Ok(builder.imply()))?
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
            // The newest of all, once they are known.
            secs: 0,
            nanos: 0,
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
    fn node(&mut self, entry: &Entry) -> Result<u32, String> {
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
                (inode.first, inode.count) = (self.target(target)?, target.len() as u32);
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
        let index = self.push(inode);
        if let Kind::File(content) = &entry.kind {
            self.tree.digests.push((index, content.digest));
        }
        Ok(index)
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

    /// Where a link's target starts.
    fn target(&mut self, bytes: &[u8]) -> Result<u32, String> {
        let start = u32::try_from(self.tree.targets.len()).map_err(|_| "more than 4 GiB of link targets")?;
        self.tree.targets.extend_from_slice(bytes);
        Ok(start)
    }

    /// Where the path goes, if it is free, and below directories alone.
    fn room_for(&mut self, path: &[u8]) -> Result<Place, String> {
        let place = self.names.locate(path);
        if place.rest == 0 {
            return Err("the path is in the archive twice".into());
        }
        if !self.names.has_room(place) {
            return Err("more than 4 GiB of names".into());
        }
        match self.tree.inodes[self.inodes[place.node as usize] as usize].kind {
            NodeKind::Directory => Ok(place),
            _ => {
                let known = &path[..path.len() - place.rest - 1];
                Err(format!("{} is not a directory", known.escape_ascii()))
            }
        }
    }

    /// Gives the inode that `make` makes a name that [`Builder::room_for`] has found free, and makes the parents that
    /// are missing.
    fn link(
        &mut self,
        path: &[u8],
        place: Place,
        make: impl FnOnce(&mut Self) -> Result<u32, String>,
    ) -> Result<u32, String> {
        let inode = make(self)?;
        let node = self.names.insert(path, place).ok_or("more than 4 GiB of names")?;
        while self.inodes.len() < node as usize {
            let parent = self.imply();
            self.inodes.push(parent);
        }
        self.inodes.push(inode);
        Ok(inode)
    }

    /// The table, and what was left out of it and why.
    pub(super) fn finish(mut self) -> (Tree, Vec<String>) {
        let newest = self.newest.unwrap_or_default();
        for (inode, explicit) in self.tree.inodes.iter_mut().zip(&self.explicit) {
            if inode.kind == NodeKind::Directory && !explicit {
                (inode.secs, inode.nanos) = (newest.secs, newest.nanos);
            }
        }
        self.group();
        self.tree.text = self.names.into_text();
        self.tree.sort();
        self.tree.inodes.shrink_to_fit();
        self.tree.digests.shrink_to_fit();
        self.tree.runs.shrink_to_fit();
        self.tree.text.shrink_to_fit();
        (self.tree, self.problems)
    }

    /// Lays the names out by directory: counted, not sorted.
    fn group(&mut self) {
        let count = self.inodes.len();
        // Where the names of a directory go on, by the directory's node.
        let mut next = vec![0u32; count];
        (1..count).for_each(|node| next[self.names.name(node as NodeId).parent as usize] += 1);
        let mut end = 0;
        for (next, &inode) in next.iter_mut().zip(&self.inodes) {
            let inode = &mut self.tree.inodes[inode as usize];
            if inode.kind == NodeKind::Directory {
                (inode.first, inode.count) = (end, *next);
                end += *next;
                *next = inode.first;
            }
        }
        self.tree.names = vec![Name { start: 0, inode: 0, len: 0 }; count - 1];
        for (node, &inode) in self.inodes.iter().enumerate().skip(1) {
            let Component { parent, start, len } = self.names.name(node as NodeId);
            let at = &mut next[parent as usize];
            // `validate_path` has bounded every component.
            self.tree.names[*at as usize] = Name { start, inode, len: len as u8 };
            *at += 1;
            let parent = self.inodes[parent as usize];
            if self.tree.inodes[inode as usize].kind == NodeKind::Directory {
                self.tree.inodes[inode as usize].parent = parent;
                let nlink = &mut self.tree.inodes[parent as usize].nlink;
                *nlink = nlink.saturating_add(1);
            }
        }
    }
}

impl Tree {
    /// Sorts the names within each directory, which often are in order or of few ascending runs.
    fn sort(&mut self) {
        let text = |name: &Name| &self.text[name.start as usize..][..name.len.into()];
        for directory in self.inodes.iter().filter(|inode| inode.kind == NodeKind::Directory) {
            self.names[directory.first as usize..][..directory.count as usize].sort_by(|a, b| text(a).cmp(text(b)));
        }
    }
}
