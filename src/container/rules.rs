//! Rules over all entries of an archive (spec/lma-format.md §7.3): what no entry alone can break.

use super::names::NameTree;
use crate::format::{Entry, EntryBatch, Extent, FormatError, Kind};
use crate::limits::Limits;

const WHAT: &str = "entry";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    /// Only names below it were seen.
    Implied,
    /// An entry that is a directory.
    Directory,
    /// An entry that is not.
    Leaf,
}

/// Checks entries in stream order: numbering, unique paths, nothing below a non-directory, hard links
/// to earlier entries, extents within chunks. Memory is linear in the path components seen.
pub(super) struct EntryRules {
    names: NameTree,
    /// By number in `names`.
    nodes: Vec<Node>,
    entries: u64,
    raw: u64,
    limits: Limits,
}

impl EntryRules {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { names: NameTree::default(), nodes: vec![Node::Implied], entries: 0, raw: 0, limits: limits.clone() }
    }

    /// Number of entries that follow on the last batch without a gap.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Charges a batch of `raw_len` unpacked bytes.
    pub(super) fn charge(&mut self, raw_len: u64) -> Result<(), FormatError> {
        self.raw = self.raw.saturating_add(raw_len);
        FormatError::charge("entry batches together", self.raw, self.limits.entries_raw)
    }

    /// Whether a charge was refused: so is every other.
    pub(super) fn is_spent(&self) -> bool {
        self.raw > self.limits.entries_raw
    }

    /// Checks the numbering of a batch.
    pub(super) fn follow(&mut self, first: u64, count: u64) -> Result<(), FormatError> {
        if first != self.entries {
            let why = format!("it starts at entry {first}, {} precede it", self.entries);
            return Err(FormatError::corrupt("entry batch", why));
        }
        self.jump(first, count)
    }

    /// Takes up the numbering behind a batch that may follow a gap.
    pub(super) fn jump(&mut self, first: u64, count: u64) -> Result<(), FormatError> {
        self.entries = first.saturating_add(count);
        FormatError::charge("entries", self.entries, self.limits.entries)
    }

    /// Checks a batch. `chunk_len` is the raw length of a chunk that stands before the batch.
    pub(super) fn batch(
        &mut self,
        batch: &EntryBatch,
        chunk_len: impl Fn(u64) -> Option<u32>,
    ) -> Result<(), FormatError> {
        self.follow(batch.first, batch.entries.len() as u64)?;
        batch.entries.iter().try_for_each(|entry| self.entry(entry, &chunk_len))
    }

    /// Checks an entry and takes it up.
    pub(super) fn entry(&mut self, entry: &Entry, chunk_len: &impl Fn(u64) -> Option<u32>) -> Result<(), FormatError> {
        let corrupt = |why: String| FormatError::corrupt(WHAT, format!("{}: {why}", entry.path.escape_ascii()));
        if let Kind::File(content) = &entry.kind {
            check_extents(&content.extents, chunk_len).map_err(corrupt)?;
        }
        if let Kind::HardLink(target) = &entry.kind {
            let place = self.names.locate(target);
            if place.rest > 0 || self.nodes[place.node as usize] != Node::Leaf {
                let target = target.escape_ascii();
                return Err(corrupt(format!("its target {target} is no earlier entry, or a directory")));
            }
        }
        let leaf = entry.kind != Kind::Directory;
        let itself = if leaf { Node::Leaf } else { Node::Directory };
        let place = self.names.locate(&entry.path);
        let known = &mut self.nodes[place.node as usize];
        match *known {
            Node::Leaf if place.rest > 0 => {
                return Err(corrupt("it is placed below an entry that is not a directory".into()));
            }
            Node::Implied | Node::Directory if place.rest > 0 => {}
            // Names that are implied have others below them.
            Node::Implied if leaf => {
                return Err(corrupt("earlier entries are placed below it, it is not a directory".into()));
            }
            Node::Implied => {
                *known = itself;
                return Ok(());
            }
            Node::Directory | Node::Leaf => return Err(corrupt("a second entry has this path".into())),
        }
        let rest = &entry.path[entry.path.len() - place.rest..];
        let count = self.nodes.len() + rest.iter().filter(|&&b| b == b'/').count() + 1;
        FormatError::charge("distinct path components", count as u64 - 1, self.limits.entries)?;
        let full =
            FormatError::Limit { what: "distinct path components", actual: count as u64, limit: u32::MAX.into() };
        self.names.insert(&entry.path, place).ok_or(full)?;
        self.nodes.resize(count - 1, Node::Implied);
        self.nodes.push(itself);
        Ok(())
    }
}

fn check_extents(extents: &[Extent], chunk_len: &impl Fn(u64) -> Option<u32>) -> Result<(), String> {
    for extent in extents {
        let Extent::Data { chunk, offset, len } = *extent else { continue };
        let raw_len = chunk_len(chunk).ok_or_else(|| format!("it refers to chunk {chunk}, which is not before it"))?;
        if offset.checked_add(len).is_none_or(|end| end > raw_len) {
            let (offset, len) = (u64::from(offset), u64::from(len));
            return Err(format!("bytes {offset} to {} of chunk {chunk}, which has {raw_len}", offset + len));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{FileContent, Mtime};
    use crate::hash::Digest;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            user: vec![],
            group: vec![],
            mtime: Mtime::default(),
            xattrs: vec![],
        }
    }

    fn check(entries: &[Entry]) -> Result<(), FormatError> {
        let mut rules = EntryRules::new(&Limits::default());
        rules.batch(&EntryBatch { first: 0, entries: entries.to_vec() }, |chunk| (chunk < 2).then_some(10))
    }

    fn link(path: &str, target: &str) -> Entry {
        entry(path, Kind::HardLink(target.into()))
    }

    fn file(path: &str, chunk: u64, offset: u32, len: u32) -> Entry {
        let extents = vec![Extent::Data { chunk, offset, len }];
        entry(path, Kind::File(FileContent { size: u64::from(len), extents, digest: Digest::of(b"") }))
    }

    #[test]
    fn good_trees_pass() {
        let fifo = |path| entry(path, Kind::Fifo);
        let dir = |path| entry(path, Kind::Directory);
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[fifo("a/b"), dir("a"), fifo("a/c"), link("l", "a/c"), link("m", "l")]), Ok(()));
        assert_eq!(check(&[dir("a"), fifo("a/b/c"), dir("a/b"), fifo("ab")]), Ok(()));
        assert_eq!(check(&[file("a", 0, 0, 10), file("b", 1, 9, 1)]), Ok(()));
    }

    #[test]
    fn bad_trees_are_corrupt() {
        let fifo = |path| entry(path, Kind::Fifo);
        let dir = |path| entry(path, Kind::Directory);
        let symlink = |path| entry(path, Kind::Symlink(b"x".to_vec()));
        for bad in [
            vec![fifo("a"), fifo("a")],
            vec![dir("a"), dir("a")],
            vec![dir("a"), fifo("b"), symlink("a")],
            vec![symlink("a"), fifo("a/b")],
            vec![fifo("a/b"), symlink("a")],
            vec![fifo("a/b"), fifo("x"), symlink("a")],
            vec![symlink("a/b"), fifo("a/b/c/d")],
            vec![link("a", "a")],
            vec![link("a", "b"), fifo("b")],
            vec![dir("d"), link("a", "d")],
            vec![fifo("d/x"), link("a", "d")],
            vec![file("a", 2, 0, 1)],
            vec![file("a", 1, 9, 2)],
            vec![file("a", 0, u32::MAX, 1)],
        ] {
            assert!(matches!(check(&bad), Err(FormatError::Corrupt { .. })), "{bad:?}");
        }
    }

    #[test]
    fn numbering_and_totals_are_checked() {
        let mut rules = EntryRules::new(&Limits { entries: 3, entries_raw: 10, ..Limits::default() });
        assert!(matches!(rules.follow(1, 1), Err(FormatError::Corrupt { .. })));
        assert!(rules.follow(0, 3).is_ok());
        assert!(matches!(rules.follow(3, 1), Err(FormatError::Limit { .. })));
        assert!(rules.charge(10).is_ok());
        assert!(matches!(rules.charge(1), Err(FormatError::Limit { .. })));
    }
}
