//! The mounted archive's operations in any order, against a plain model of the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lma::codec::{self, Choice, Level};
use lma::container::{ContainerError, MemorySource, Reader, Writer};
use lma::format::{CodecId, Entry, Extent, FileContent, Kind, Mtime, RecordHead, Xattr};
use lma::hash::{ChunkDigest, Digest};
use lma::mount::{
    CacheOptions, ChunkCache, ChunkSource, Errno, Fs, ImpliedDir, MAX_READ, NodeKind, ROOT, ReadOptions, Seek, Tree,
    Workers,
};
use lma::predict::Audience;
use lma::predict::toy::{self, ToyModels};

use super::forge;
use super::input::{self, Input};

const NAMES: &[&[u8]] = &[b"a", b"b", b"c", b"dd", b"\xff", b"e"];

/// Takes chunks, entries, damage, then operations.
pub fn mount_ops(data: &[u8]) {
    let mut input = Input::new(data);
    let chunks: Vec<Vec<u8>> = (0..1 + input.below(3)).map(|_| chunk(&mut input)).collect();
    let mut model = Model::default();
    for _ in 0..input.below(16) {
        model.add(&mut input, &chunks);
    }
    let mut archive = write(&chunks, &model.entries);
    model.damage(&mut archive, input.below(2 * chunks.len()));
    let fs = mount(archive, u64::from(input.byte()) * 16, model.entries.len());
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        model.operate(&fs, &mut input);
    }
    let inodes = model.nodes.iter().map(|node| node.id).collect::<BTreeSet<_>>().len();
    assert_eq!(fs.totals().inodes, inodes as u64);
}

fn chunk(input: &mut Input<'_>) -> Vec<u8> {
    let raw = input::content(input, 2000);
    if raw.is_empty() { b"x".to_vec() } else { raw }
}

/// The archive, its chunks in the codecs by turns.
fn write(chunks: &[Vec<u8>], entries: &[Entry]) -> Vec<u8> {
    let written = || {
        let model = toy::model();
        let mut writer = Writer::new(Vec::new())?;
        let number = writer.model(&model.record)?;
        for (raw, codec) in chunks.iter().zip([CodecId::Store, CodecId::Zstd, CodecId::Lm]) {
            let encoded = codec::encode(raw, Choice::Only(codec), Level::default(), Some(&model))?;
            writer.chunk(&encoded, Some(number), raw.len() as u32, ChunkDigest::of(raw))?;
        }
        writer.entries(entries)?;
        Ok::<_, ContainerError>(writer.finish()?.0)
    };
    written().expect("the entries keep the rules")
}

struct Chunks(Reader, ToyModels);

impl ChunkSource for Chunks {
    fn decode(&self, number: u64, _: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
        self.0.decode(number, &self.1)
    }
}

fn mount(archive: Vec<u8>, budget: u64, entries: usize) -> Fs {
    let reader = Reader::open(Arc::new(MemorySource(archive)), forge::limits()).expect("the tables are whole");
    let listed = reader.entries().expect("the entries are whole");
    assert_eq!(listed.len(), entries);
    let (tree, problems) = Tree::build(listed, ImpliedDir::default());
    assert_eq!(problems, Vec::<String>::new());
    let cache =
        ChunkCache::new(Arc::new(Chunks(reader, ToyModels::new())), CacheOptions { budget, ..CacheOptions::default() });
    Fs::new(tree, cache, Workers::start(1).expect("a thread starts"), ReadOptions::default()).expect("a thread starts")
}

/// One name in the tree.
#[derive(Clone)]
struct Node {
    /// Equal for hard links.
    id: usize,
    kind: NodeKind,
    /// A file's bytes with the chunk they come from, a link's target.
    bytes: Vec<(u8, Option<usize>)>,
    mode: u16,
    mtime: Mtime,
    xattrs: Vec<Xattr>,
    /// It has an entry of its own.
    explicit: bool,
}

struct Model {
    entries: Vec<Entry>,
    /// Index in `nodes` by path; the root has the empty path.
    paths: BTreeMap<Vec<u8>, usize>,
    nodes: Vec<Node>,
    bad: Option<usize>,
}

impl Default for Model {
    fn default() -> Self {
        let mut model = Self { entries: vec![], paths: BTreeMap::new(), nodes: vec![], bad: None };
        model.imply(b"");
        model
    }
}

impl Model {
    fn insert(&mut self, path: &[u8], node: Node) {
        self.paths.insert(path.to_vec(), self.nodes.len());
        self.nodes.push(node);
    }

    fn imply(&mut self, path: &[u8]) {
        let (id, kind) = (self.nodes.len(), NodeKind::Directory);
        let mtime = Mtime::default();
        self.insert(path, Node { id, kind, bytes: vec![], mode: 0o755, mtime, xattrs: vec![], explicit: false });
    }

    fn node(&self, path: &[u8]) -> Option<&Node> {
        self.paths.get(path).map(|&index| &self.nodes[index])
    }

    /// Adds an entry that keeps the rules over all entries, or none.
    fn add(&mut self, input: &mut Input<'_>, chunks: &[Vec<u8>]) {
        let parts: Vec<&[u8]> = (0..1 + input.below(3)).map(|_| *input.pick(NAMES)).collect();
        let path = parts.join(&b'/');
        let parents: Vec<Vec<u8>> = (1..parts.len()).map(|depth| parts[..depth].join(&b'/')).collect();
        if parents.iter().any(|parent| self.node(parent).is_some_and(|node| node.kind != NodeKind::Directory)) {
            return;
        }
        let files: Vec<(Vec<u8>, usize)> = self.paths.iter().map(|(path, &index)| (path.clone(), index)).collect();
        let (kind, node_kind, bytes) = match input.below(8) {
            0 => (Kind::Directory, NodeKind::Directory, vec![]),
            1 => (Kind::Symlink(b"to/there".to_vec()), NodeKind::Symlink, b"to/there".map(|b| (b, None)).to_vec()),
            2 => (Kind::Fifo, NodeKind::Fifo, vec![]),
            3 => {
                let (target, index) = input.pick(&files).clone();
                let node = self.nodes[index].clone();
                if node.kind == NodeKind::Directory || self.paths.contains_key(&path) {
                    return;
                }
                parents
                    .iter()
                    .filter(|parent| !self.paths.contains_key(*parent))
                    .cloned()
                    .collect::<Vec<_>>()
                    .iter()
                    .for_each(|parent| self.imply(parent));
                self.insert(&path, node);
                return self.entries.push(forge::entry(&path, Kind::HardLink(target)));
            }
            _ => {
                let (content, bytes) = content(input, chunks);
                (Kind::File(content), NodeKind::File, bytes)
            }
        };
        let known = self.node(&path).map(|node| (node.kind == NodeKind::Directory && !node.explicit, node.id));
        if known.is_some_and(|(implied, _)| !implied || node_kind != NodeKind::Directory) {
            return;
        }
        let mut entry = forge::entry(&path, kind);
        entry.mode = input.u16() & 0o7777;
        entry.mtime = Mtime { secs: i64::from(input.u32()), nanos: input.u32() % 1_000_000_000 };
        if input.once_in(3) {
            let names: BTreeSet<Vec<u8>> = (0..2).map(|_| [&b"user."[..], *input.pick(NAMES)].concat()).collect();
            entry.xattrs = names.into_iter().map(|name| Xattr { name, value: input.bytes(9).to_vec() }).collect();
        }
        for parent in &parents {
            if !self.paths.contains_key(parent) {
                self.imply(parent);
            }
        }
        let (mode, mtime, xattrs) = (entry.mode, entry.mtime, entry.xattrs.clone());
        let id = known.map_or(self.nodes.len(), |(_, id)| id);
        let node = Node { id, kind: node_kind, bytes, mode, mtime, xattrs, explicit: true };
        match self.paths.get(&path) {
            Some(&index) => self.nodes[index] = node,
            None => self.insert(&path, node),
        }
        self.entries.push(entry);
    }

    /// Flips a byte of one chunk's stored bytes, if it has any.
    fn damage(&mut self, archive: &mut [u8], chunk: usize) {
        let reader = Reader::open(Arc::new(MemorySource(archive.to_vec())), forge::limits()).expect("it is whole");
        let Some(slot) = reader.slot(chunk as u64).filter(|slot| slot.stored_len > 0) else { return };
        let position = slot.position as usize;
        let decoded = RecordHead::decode(&archive[position..], slot.position);
        let (_, taken) = decoded.expect("it is whole").expect("it is whole");
        archive[position + taken] ^= 1;
        self.bad = Some(chunk);
    }

    /// One operation on a name that is there, or on one that is not.
    fn operate(&self, fs: &Fs, input: &mut Input<'_>) {
        let paths: Vec<&Vec<u8>> = self.paths.keys().collect();
        let path = *input.pick(&paths);
        let ino = self.find(fs, path);
        let node = self.node(path).expect("it was picked from the paths");
        match input.below(8) {
            0 => self.check_attr(fs, path, ino, node),
            1 => self.check_dir(fs, path, ino, node, input),
            2 => {
                let target: Vec<u8> = node.bytes.iter().map(|&(byte, _)| byte).collect();
                let expected = if node.kind == NodeKind::Symlink { Ok(&target[..]) } else { Err(Errno::EINVAL) };
                assert_eq!(fs.readlink(ino), expected);
            }
            3 => {
                let names: Vec<u8> = node.xattrs.iter().flat_map(|x| [&x.name[..], b"\0"].concat()).collect();
                assert_eq!(fs.listxattr(ino), Ok(names));
                let name = [&b"user."[..], *input.pick(NAMES)].concat();
                let value = node.xattrs.iter().find(|x| x.name == name).map(|x| &x.value[..]);
                assert_eq!(
                    fs.getxattr(ino, &name).as_deref(),
                    value.ok_or(Errno::ENODATA).as_ref().map(|value| *value)
                );
            }
            4 => {
                let name = *input.pick(&[&b"zz"[..], b"", b"a/b", b"a\0"]);
                let missing = if node.kind == NodeKind::Directory { Errno::ENOENT } else { Errno::ENOTDIR };
                assert_eq!(fs.lookup(ino, name), Err(missing));
                let far = [0, fs.totals().inodes + 1, u64::MAX][input.below(3)];
                assert_eq!(fs.getattr(far), Err(Errno::ENOENT));
                assert_eq!(fs.read_blocking(far, 0, 1), Err(Errno::ENOENT));
            }
            5 => check_seek(fs, ino, node, input),
            _ => self.check_read(fs, ino, node, input),
        }
    }

    fn find(&self, fs: &Fs, path: &[u8]) -> u64 {
        let parts = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
        parts.fold(ROOT, |parent, name| fs.lookup(parent, name).expect("it is in the archive").ino)
    }

    fn children(&self, path: &[u8]) -> BTreeMap<Vec<u8>, &Node> {
        let prefix = if path.is_empty() { vec![] } else { [path, b"/"].concat() };
        let child = |(path, &index): (&Vec<u8>, &usize)| {
            let name = path.strip_prefix(&prefix[..]).filter(|name| !name.is_empty() && !name.contains(&b'/'))?;
            Some((name.to_vec(), &self.nodes[index]))
        };
        self.paths.iter().filter_map(child).collect()
    }

    fn check_attr(&self, fs: &Fs, path: &[u8], ino: u64, node: &Node) {
        let attr = fs.getattr(ino).expect("it is there");
        let size = if node.kind == NodeKind::Directory { 0 } else { node.bytes.len() as u64 };
        assert_eq!((attr.ino, attr.kind, attr.size, attr.mode), (ino, node.kind, size, node.mode));
        let newest = self.entries.iter().map(|entry| entry.mtime).max().unwrap_or_default();
        assert_eq!(attr.mtime, if node.explicit { node.mtime } else { newest });
        let links = if node.kind == NodeKind::Directory {
            2 + self.children(path).values().filter(|child| child.kind == NodeKind::Directory).count()
        } else {
            self.nodes.iter().filter(|other| other.id == node.id).count()
        };
        assert_eq!(attr.nlink as usize, links);
    }

    fn check_dir(&self, fs: &Fs, path: &[u8], ino: u64, node: &Node, input: &mut Input<'_>) {
        if node.kind != NodeKind::Directory {
            assert_eq!(fs.opendir(ino), Err(Errno::ENOTDIR));
            assert!(fs.readdir(ino, 0).is_err());
            return;
        }
        assert_eq!(fs.opendir(ino), Ok(()));
        let names = self.children(path);
        let dots = [(b".".to_vec(), NodeKind::Directory), (b"..".to_vec(), NodeKind::Directory)];
        let all = dots.into_iter().chain(names.into_iter().map(|(name, node)| (name, node.kind)));
        let from = input.below(8);
        let lines = fs.readdir(ino, from as u64).expect("it is a directory");
        let found: Vec<_> = lines.map(|line| (line.name.to_vec(), line.kind)).collect();
        assert_eq!(found, all.skip(from).collect::<Vec<_>>());
        assert_eq!(fs.readdir(ino, u64::MAX).expect("it is a directory").count(), 0);
    }

    fn check_read(&self, fs: &Fs, ino: u64, node: &Node, input: &mut Input<'_>) {
        let (offset, size) = if input.once_in(16) {
            (input.u64(), input.u32())
        } else {
            (input.below(3000) as u64, input.below(3000) as u32)
        };
        let read = fs.read_blocking(ino, offset, size);
        let expected = match node.kind {
            NodeKind::Directory => Err(Errno::EISDIR),
            NodeKind::File if size > MAX_READ => Err(Errno::EINVAL),
            NodeKind::File => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(node.bytes.len());
                let to = from.saturating_add(size as usize).min(node.bytes.len());
                let wanted = &node.bytes[from..to];
                if wanted.iter().any(|&(_, chunk)| chunk.is_some() && chunk == self.bad) {
                    Err(Errno::EIO)
                } else {
                    Ok(wanted.iter().map(|&(byte, _)| byte).collect())
                }
            }
            _ => Err(Errno::EINVAL),
        };
        assert_eq!(read, expected, "{size} bytes at {offset}");
    }
}

fn check_seek(fs: &Fs, ino: u64, node: &Node, input: &mut Input<'_>) {
    let offset = input.below(5000);
    if node.kind != NodeKind::File {
        assert!(fs.seek(ino, offset as u64, Seek::Data).is_err());
        return;
    }
    let find = |hole: bool| (offset..node.bytes.len()).find(|&at| node.bytes[at].1.is_none() == hole);
    let data = find(false).map(|at| at as u64).ok_or(Errno::ENXIO);
    assert_eq!(fs.seek(ino, offset as u64, Seek::Data), data);
    let hole =
        if offset < node.bytes.len() { Ok(find(true).unwrap_or(node.bytes.len()) as u64) } else { Err(Errno::ENXIO) };
    assert_eq!(fs.seek(ino, offset as u64, Seek::Hole), hole);
}

fn content(input: &mut Input<'_>, chunks: &[Vec<u8>]) -> (FileContent, Vec<(u8, Option<usize>)>) {
    let (mut extents, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..input.below(5) {
        if input.once_in(4) {
            let len = 1 + input.below(1000);
            extents.push(Extent::Hole { len: len as u64 });
            bytes.extend(std::iter::repeat_n((0, None), len));
            continue;
        }
        let chunk = input.below(chunks.len());
        let raw = &chunks[chunk];
        let offset = input.below(raw.len());
        let len = 1 + input.below(raw.len() - offset);
        bytes.extend(raw[offset..offset + len].iter().map(|&byte| (byte, Some(chunk))));
        extents.push(Extent::Data { chunk: chunk as u64, offset: offset as u32, len: len as u32 });
    }
    let data: Vec<u8> = bytes.iter().filter(|(_, chunk)| chunk.is_some()).map(|&(byte, _)| byte).collect();
    (FileContent { size: bytes.len() as u64, extents, digest: Digest::of(&data) }, bytes)
}
