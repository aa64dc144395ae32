//! The tree of names that the paths of an archive form, for those who have to find paths again.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// A name in the tree: an index that counts from 0, the root, in the order in which names were added.
pub type NodeId = u32;

/// The root's.
const ROOT_NODE: NodeId = 0;

/// One name and where it stands.
#[derive(Clone, Copy, Debug)]
struct Node {
    parent: NodeId,
    /// Start in `text`.
    start: u32,
    len: u32,
    /// Kept, so that a table that grows reads no names.
    hash: u32,
}

/// A name in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// The directory.
    pub parent: NodeId,
    /// Where its bytes start in those of [`NameTree::into_text`].
    pub start: u32,
    /// Number of its bytes.
    pub len: u32,
}

/// A path as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The deepest name on the path that is in the tree.
    pub node: NodeId,
    /// Bytes of the path behind that name, without a `/` between: 0 where the whole path is known.
    pub rest: usize,
}

/// Names by parent: a path is found by one probe for each component, or by one in all where it
/// stands in the directory of the path before it, as most do. Nothing is sorted, no order is expected.
///
/// # Memory
///
/// 16 bytes and the name itself for each name, and 5 to 10 bytes of table.
///
/// # Hostile names
///
/// The hash is seeded at random in every table, so that an archive cannot be made to collide.
#[derive(Debug)]
pub struct NameTree {
    nodes: Vec<Node>,
    text: Vec<u8>,
    table: HashTable<NodeId>,
    seed: DefaultHashBuilder,
    /// The directory of the last path, and its node.
    last: (Vec<u8>, NodeId),
}

impl Default for NameTree {
    fn default() -> Self {
        let root = Node { parent: ROOT_NODE, start: 0, len: 0, hash: 0 };
        let (text, table) = (Vec::new(), HashTable::new());
        Self { nodes: vec![root], text, table, seed: DefaultHashBuilder::default(), last: (Vec::new(), ROOT_NODE) }
    }
}

impl NameTree {
    /// Number of names, the root among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: there is always a root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Finds as much of a path, as [`validate_path`](crate::format::validate_path) accepts it, as is known.
    pub fn locate(&mut self, path: &[u8]) -> Place {
        let name_at = path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        let directory = &path[..name_at.saturating_sub(1)];
        let (mut node, mut at) = (ROOT_NODE, 0);
        if directory == self.last.0 {
            (node, at) = (self.last.1, name_at);
        }
        while at < path.len() {
            let name = first_component(&path[at..]);
            let Some(child) = self.child(node, name) else { return Place { node, rest: path.len() - at } };
            node = child;
            // Behind the last component this is beyond the path's end.
            at += name.len() + 1;
            if at == name_at {
                self.remember(directory, node);
            }
        }
        Place { node, rest: 0 }
    }

    /// Whether the names of a path that are missing can be added: the tree takes 2^32 of them, or 4 GiB.
    #[must_use]
    pub fn has_room(&self, place: Place) -> bool {
        self.text.len().max(self.nodes.len()) + place.rest <= u32::MAX as usize
    }

    /// Adds the names of a path that are missing, `place` being where [`NameTree::locate`] has found it. Returns
    /// the path's own node, or `None`, and adds nothing, where there is no room.
    pub fn insert(&mut self, path: &[u8], place: Place) -> Option<NodeId> {
        if !self.has_room(place) {
            return None;
        }
        let mut rest = &path[path.len() - place.rest..];
        let mut node = place.node;
        while !rest.is_empty() {
            let name = first_component(rest);
            rest = rest.get(name.len() + 1..).unwrap_or_default();
            if rest.is_empty() && place.rest > name.len() {
                self.remember(&path[..path.len() - name.len() - 1], node);
            }
            node = self.push(node, name);
        }
        Some(node)
    }

    /// A name, by its node. The root has no bytes and is its own parent.
    #[must_use]
    pub fn name(&self, node: NodeId) -> Component {
        let Node { parent, start, len, .. } = self.nodes[node as usize];
        Component { parent, start, len }
    }

    /// The bytes of all names.
    #[must_use]
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    fn remember(&mut self, directory: &[u8], node: NodeId) {
        self.last.0.clear();
        self.last.0.extend_from_slice(directory);
        self.last.1 = node;
    }

    fn hash(&self, parent: NodeId, name: &[u8]) -> u64 {
        self.seed.hash_one((parent, name))
    }

    fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let hash = widened(self.hash(parent, name) as u32);
        let is_it = |&id: &NodeId| {
            let node = self.nodes[id as usize];
            node.parent == parent && self.text[node.start as usize..][..node.len as usize] == *name
        };
        self.table.find(hash, is_it).copied()
    }

    /// The caller has seen that there is room, and no such name.
    fn push(&mut self, parent: NodeId, name: &[u8]) -> NodeId {
        let hash = self.hash(parent, name) as u32;
        let id = self.nodes.len() as NodeId;
        self.nodes.push(Node { parent, start: self.text.len() as u32, len: name.len() as u32, hash });
        self.text.extend_from_slice(name);
        let nodes = &self.nodes;
        self.table.insert_unique(widened(hash), id, |&id| widened(nodes[id as usize].hash));
        id
    }
}

/// Up to the first `/`.
fn first_component(path: &[u8]) -> &[u8] {
    path.iter().position(|&b| b == b'/').map_or(path, |slash| &path[..slash])
}

/// The table takes its tags from a hash's upper bits, and its slots from the lower ones.
fn widened(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn paths() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let name = prop::sample::select(vec!["a", "b", "ab", "a-", "\u{e9}"]);
        let path = prop::collection::vec(name, 1..5).prop_map(|parts| parts.join("/").into_bytes());
        prop::collection::vec(path, 0..60)
    }

    proptest! {
        #[test]
        fn agrees_with_a_map_of_paths(paths in paths()) {
            let mut tree = NameTree::default();
            let mut known = HashMap::from([(Vec::new(), ROOT_NODE)]);
            for path in &paths {
                let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([path.len()]);
                let ends: Vec<usize> = std::iter::once(0).chain(ends).collect();
                let deepest = ends.iter().rposition(|&end| known.contains_key(&path[..end])).unwrap();
                let place = tree.locate(path);
                prop_assert_eq!(place.node, known[&path[..ends[deepest]]]);
                let rest = if deepest == 0 { path.len() } else { path.len().saturating_sub(ends[deepest] + 1) };
                prop_assert_eq!(place.rest, rest);
                let node = tree.insert(path, place).unwrap();
                for &end in &ends[deepest + 1..] {
                    let next = known.len() as u32;
                    known.insert(path[..end].to_vec(), next);
                }
                prop_assert_eq!(node, known[path]);
                prop_assert_eq!(tree.len(), known.len());
            }
            let names: Vec<_> = (1..tree.len() as u32).map(|node| tree.name(node)).collect();
            let text = tree.into_text();
            for (path, node) in known.iter().filter(|(_, node)| **node != ROOT_NODE) {
                let Component { parent, start, len } = names[*node as usize - 1];
                let up = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
                prop_assert_eq!(parent, known[&path[..up]]);
                prop_assert!(path.ends_with(&text[start as usize..][..len as usize]));
            }
        }
    }
}
