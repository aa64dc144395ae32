//! The entries of an archive as a tree.

use std::collections::{BTreeMap, HashMap};

use crate::format::{Entry, FileContent, Kind};

/// Entries by path, with the children of every directory. Directories that only stand in front of
/// other paths are listed too, without an entry.
#[derive(Debug, Default)]
pub struct Tree {
    entries: Vec<Entry>,
    by_path: HashMap<Vec<u8>, usize>,
    /// Children's names in order, with their entry where they have one, by the directory's path.
    children: HashMap<Vec<u8>, BTreeMap<Vec<u8>, Option<usize>>>,
}

impl Tree {
    /// Builds the tree from entries in stream order. Of two entries with one path the later counts; a
    /// container that was opened by [`Reader::entries`](crate::container::Reader::entries) has none.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut tree = Self { by_path: HashMap::new(), children: HashMap::new(), entries };
        tree.children.insert(Vec::new(), BTreeMap::new());
        for number in 0..tree.entries.len() {
            let path = tree.entries[number].path.clone();
            tree.adopt(&path, number);
            tree.by_path.insert(path, number);
        }
        tree
    }

    fn adopt(&mut self, path: &[u8], number: usize) {
        let (mut parent, name) = split(path);
        self.children.entry(parent.to_vec()).or_default().insert(name.to_vec(), Some(number));
        // Everything above is known as soon as one directory on the way up is.
        while !parent.is_empty() {
            let (above, name) = split(parent);
            let siblings = self.children.entry(above.to_vec()).or_default();
            if siblings.contains_key(name) {
                break;
            }
            siblings.insert(name.to_vec(), None);
            parent = above;
        }
    }

    /// The entries in stream order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry at a path.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        self.by_path.get(path).map(|&number| &self.entries[number])
    }

    /// Whether the path is an entry, the root (empty), or a directory that other paths imply.
    #[must_use]
    pub fn contains(&self, path: &[u8]) -> bool {
        self.by_path.contains_key(path) || self.children.contains_key(path)
    }

    /// The names beneath a directory in ascending order of bytes, with their entries; `None` for directories
    /// that are only implied. Nothing for a path that is no directory.
    pub fn children(&self, path: &[u8]) -> impl Iterator<Item = (&[u8], Option<&Entry>)> {
        let names = self.children.get(path).into_iter().flatten();
        names.map(|(name, number)| (name.as_slice(), number.map(|number| &self.entries[number])))
    }

    /// The content of a regular file, for a hard link that of its target.
    #[must_use]
    pub fn content<'a>(&'a self, entry: &'a Entry) -> Option<&'a FileContent> {
        let mut kind = &entry.kind;
        // A target stands before its link, so a chain is never longer than the archive; real ones have one step.
        for _ in 0..16 {
            match kind {
                Kind::File(content) => return Some(content),
                Kind::HardLink(target) => kind = &self.get(target)?.kind,
                _ => return None,
            }
        }
        None
    }
}

/// A path's parent (empty for the root) and its last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Mtime;

    fn entry(path: &str, kind: Kind) -> Entry {
        let (user, group, xattrs) = (Vec::new(), Vec::new(), Vec::new());
        Entry { path: path.into(), kind, mode: 0, uid: 0, gid: 0, user, group, mtime: Mtime::default(), xattrs }
    }

    #[test]
    fn implied_directories_are_listed_in_order() {
        let paths = ["b", "a/x/z", "a/b", "a/x/a"];
        let tree = Tree::new(paths.iter().map(|path| entry(path, Kind::Fifo)).collect());
        let names = |path: &str| -> Vec<String> {
            tree.children(path.as_bytes()).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
        };
        assert_eq!(names(""), ["a", "b"]);
        assert_eq!(names("a"), ["b", "x"]);
        assert_eq!(names("a/x"), ["a", "z"]);
        assert!(tree.contains(b"a/x") && tree.get(b"a/x").is_none());
        assert!(tree.contains(b"") && !tree.contains(b"a/y"));
    }

    #[test]
    fn links_that_point_at_each_other_have_no_content() {
        let tree =
            Tree::new(vec![entry("a", Kind::HardLink(b"b".to_vec())), entry("b", Kind::HardLink(b"a".to_vec()))]);
        assert!(tree.content(&tree.entries()[0]).is_none());
    }
}
