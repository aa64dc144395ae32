//! The mount's operations without a kernel, against a reference tree.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lma::codec::Encoded;
use lma::container::{ContainerError, FaultySource, MemorySource, Reader, Source, Writer};
use lma::format::{CodecId, Entry, Extent, FileContent, Kind, Mtime, Xattr};
use lma::hash::{ChunkDigest, Digest};
use lma::limits::Limits;
use lma::mount::{
    Attr, CacheOptions, ChunkCache, ChunkSource, Errno, Fs, ImpliedDir, MAX_READ, NodeKind, Opening, ROOT, ReadOptions,
    Seek, Tree, Workers,
};
use lma::predict::{Audience, NoModels};
use proptest::prelude::*;
use proptest::sample::Index;

/// Chunk lengths; content follows from number and offset. Every seventh chunk is damaged.
const CHUNKS: [u32; 10] = [1, 7, 64, 100, 255, 256, 1000, 3, 4096, 777];

fn damaged(chunk: u64) -> bool {
    chunk % 7 == 6
}

fn byte(chunk: u64, offset: u32) -> u8 {
    (chunk * 31 + u64::from(offset) * 7 + u64::from(offset >> 8)) as u8 | 1
}

struct Chunks;

impl ChunkSource for Chunks {
    fn decode(&self, number: u64, _: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
        let len = usize::try_from(number).ok().and_then(|n| CHUNKS.get(n)).copied();
        match len {
            Some(len) if !damaged(number) => Ok((0..len).map(|i| byte(number, i)).collect()),
            _ => Err(ContainerError::MissingChunk(number)),
        }
    }
}

fn mounted(entries: Vec<Entry>, budget: u64) -> (Fs, Vec<String>) {
    let (tree, problems) = Tree::build(entries, ImpliedDir { uid: 5, gid: 6, mode: 0o700 });
    (served(tree, Chunks, budget), problems)
}

fn served(tree: Tree, source: impl ChunkSource + 'static, budget: u64) -> Fs {
    let cache = ChunkCache::new(Arc::new(source), CacheOptions { budget, ..CacheOptions::default() });
    Fs::new(tree, cache, Workers::start(2).unwrap(), ReadOptions::default()).unwrap()
}

fn entry(path: &[u8], kind: Kind) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: 0o644,
        uid: 1,
        gid: 2,
        user: Vec::new(),
        group: Vec::new(),
        mtime: Mtime { secs: 10, nanos: 20 },
        xattrs: Vec::new(),
    }
}

fn file(path: &[u8], extents: Vec<Extent>) -> Entry {
    let size = extents
        .iter()
        .map(|e| match *e {
            Extent::Data { len, .. } => u64::from(len),
            Extent::Hole { len } => len,
        })
        .sum();
    entry(path, Kind::File(FileContent { size, extents, digest: Digest([0; 32]) }))
}

fn data(chunk: u64, offset: u32, len: u32) -> Extent {
    Extent::Data { chunk, offset, len }
}

/// Finds a path from the root, component by component.
fn resolve(fs: &Fs, path: &[u8]) -> Result<Attr, Errno> {
    let components = path.split(|&b| b == b'/').filter(|c| !c.is_empty());
    components.into_iter().try_fold(fs.getattr(ROOT)?, |attr, name| fs.lookup(attr.ino, name))
}

// The reference: paths to nodes, files as bytes.

#[derive(Clone, Debug)]
struct Node {
    /// Hard links share it.
    id: usize,
    entry: Option<Entry>,
    /// `None` for a byte that is damaged; paired with whether it is data.
    bytes: Vec<(Option<u8>, bool)>,
}

#[derive(Debug, Default)]
struct Reference {
    nodes: BTreeMap<Vec<u8>, Node>,
    archive: Vec<Entry>,
}

impl Reference {
    fn is_dir(&self, path: &[u8]) -> bool {
        path.is_empty()
            || self.nodes.get(path).is_some_and(|n| n.entry.as_ref().is_none_or(|e| e.kind == Kind::Directory))
    }

    /// Adds the entry, if an archive could hold it.
    fn add(&mut self, entry: Entry) {
        let parents: Vec<Vec<u8>> =
            entry.path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| entry.path[..i].to_vec()).collect();
        if parents.iter().any(|p| self.nodes.contains_key(p) && !self.is_dir(p)) {
            return;
        }
        let id = self.archive.len() + 1000;
        let node = match (&entry.kind, self.nodes.get(&entry.path)) {
            (Kind::Directory, Some(Node { id, entry: None, .. })) => {
                Node { id: *id, entry: Some(entry.clone()), bytes: Vec::new() }
            }
            (_, Some(_)) => return,
            (Kind::HardLink(target), None) => match self.nodes.get(target) {
                Some(node) if !self.is_dir(target) => node.clone(),
                _ => return,
            },
            (Kind::File(content), None) => Node { id, entry: Some(entry.clone()), bytes: expand(content) },
            (_, None) => Node { id, entry: Some(entry.clone()), bytes: Vec::new() },
        };
        for parent in parents {
            let id = self.nodes.len() + 1_000_000;
            self.nodes.entry(parent).or_insert(Node { id, entry: None, bytes: Vec::new() });
        }
        self.nodes.insert(entry.path.clone(), node);
        self.archive.push(entry);
    }

    fn children(&self, dir: &[u8]) -> Vec<Vec<u8>> {
        let prefix = if dir.is_empty() { Vec::new() } else { [dir, b"/"].concat() };
        let names = self.nodes.keys().filter_map(|p| p.strip_prefix(&prefix[..]));
        names.filter(|rest| !rest.contains(&b'/')).map(<[u8]>::to_vec).collect()
    }

    fn nlink(&self, path: &[u8]) -> u32 {
        if self.is_dir(path) {
            let subdirs = self.children(path).iter().filter(|c| self.is_dir(&join(path, c))).count();
            return 2 + subdirs as u32;
        }
        let id = self.nodes[path].id;
        self.nodes.values().filter(|n| n.id == id).count() as u32
    }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

fn expand(content: &FileContent) -> Vec<(Option<u8>, bool)> {
    let mut out = Vec::new();
    for extent in &content.extents {
        match *extent {
            Extent::Hole { len } => out.extend((0..len).map(|_| (Some(0), false))),
            Extent::Data { chunk, offset, len } => {
                out.extend((offset..offset + len).map(|i| ((!damaged(chunk)).then(|| byte(chunk, i)), true)));
            }
        }
    }
    out
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["a", "b", "c", "dd", "d", "\u{e9}", "-"]);
    prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/").into_bytes())
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![
        3 => (0..CHUNKS.len() as u64, any::<Index>(), any::<Index>()).prop_map(|(chunk, a, b)| {
            let max = CHUNKS[chunk as usize];
            let offset = a.index(max as usize) as u32;
            data(chunk, offset, 1 + b.index((max - offset) as usize) as u32)
        }),
        1 => (1..3000u64).prop_map(|len| Extent::Hole { len }),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        2 => Just(Kind::Directory),
        6 => prop::collection::vec(extent(), 0..6).prop_map(|extents| file(b"x", extents).kind),
        1 => "[a-z/.]{1,9}".prop_map(|t| Kind::Symlink(t.into_bytes())),
        3 => path().prop_map(Kind::HardLink),
        1 => Just(Kind::Fifo),
        1 => (0..4096u32, any::<u32>()).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
    ];
    (path(), kind, 0..0o10000u16, any::<(u32, u32, i64)>(), 0..1_000_000_000u32, prop::bool::weighted(0.2)).prop_map(
        |(path, kind, mode, (uid, gid, secs), nanos, xattr)| Entry {
            mode,
            uid,
            gid,
            mtime: Mtime { secs, nanos },
            xattrs: if xattr && !matches!(kind, Kind::HardLink(_)) {
                vec![
                    Xattr { name: b"trusted.z".to_vec(), value: vec![0, 255] },
                    Xattr { name: b"user.a".to_vec(), value: path.clone() },
                ]
            } else {
                Vec::new()
            },
            ..entry(&path, kind)
        },
    )
}

fn check_node(fs: &Fs, reference: &Reference, path: &[u8]) -> Result<(), TestCaseError> {
    let attr = resolve(fs, path).map_err(|e| TestCaseError::fail(format!("{}: {e:?}", path.escape_ascii())))?;
    prop_assert_eq!(fs.getattr(attr.ino), Ok(attr));
    prop_assert_eq!(attr.nlink, reference.nlink(path));
    let entry = reference.nodes.get(path).and_then(|n| n.entry.as_ref());
    let Some(entry) = entry else {
        let newest = reference.archive.iter().map(|e| e.mtime).max().unwrap_or_default();
        prop_assert_eq!((attr.kind, attr.mode, attr.uid, attr.gid), (NodeKind::Directory, 0o700, 5, 6));
        prop_assert_eq!(attr.mtime, newest);
        return Ok(());
    };
    prop_assert_eq!((attr.mode, attr.uid, attr.gid, attr.mtime), (entry.mode, entry.uid, entry.gid, entry.mtime));
    let (kind, size, device) = match &entry.kind {
        Kind::File(content) => (NodeKind::File, content.size, (0, 0)),
        Kind::Directory => (NodeKind::Directory, 0, (0, 0)),
        Kind::Symlink(target) => (NodeKind::Symlink, target.len() as u64, (0, 0)),
        Kind::Fifo => (NodeKind::Fifo, 0, (0, 0)),
        Kind::CharDevice { major, minor } => (NodeKind::CharDevice, 0, (*major, *minor)),
        other => return Err(TestCaseError::fail(format!("{other:?} is not a node"))),
    };
    prop_assert_eq!((attr.kind, attr.size, attr.device), (kind, size, device));
    match &entry.kind {
        Kind::Symlink(target) => prop_assert_eq!(fs.readlink(attr.ino), Ok(&target[..])),
        _ => prop_assert_eq!(fs.readlink(attr.ino), Err(Errno::EINVAL)),
    }
    let names: Vec<u8> = entry.xattrs.iter().flat_map(|x| [&x.name[..], b"\0"].concat()).collect();
    prop_assert_eq!(fs.listxattr(attr.ino), Ok(names));
    for xattr in &entry.xattrs {
        prop_assert_eq!(fs.getxattr(attr.ino, &xattr.name).unwrap(), &xattr.value[..]);
    }
    prop_assert_eq!(fs.getxattr(attr.ino, b"user.none"), Err(Errno::ENODATA));
    Ok(())
}

fn check_dir(fs: &Fs, reference: &Reference, path: &[u8], from: u64) -> Result<(), TestCaseError> {
    let ino = resolve(fs, path).unwrap().ino;
    let parent = path.iter().rposition(|&b| b == b'/').map_or(&b""[..], |i| &path[..i]);
    let mut expected = vec![(b".".to_vec(), ino), (b"..".to_vec(), resolve(fs, parent).unwrap().ino)];
    for name in reference.children(path) {
        let ino = resolve(fs, &join(path, &name)).unwrap().ino;
        expected.push((name, ino));
    }
    let list = |from| fs.readdir(ino, from).unwrap().map(|l| (l.name.to_vec(), l.ino)).collect::<Vec<_>>();
    prop_assert_eq!(list(0), expected.clone());
    prop_assert_eq!(list(from), expected.iter().skip(from as usize).cloned().collect::<Vec<_>>());
    let nexts: Vec<u64> = fs.readdir(ino, 0).unwrap().map(|l| l.next).collect();
    prop_assert_eq!(nexts, (1..=expected.len() as u64).collect::<Vec<_>>());
    Ok(())
}

fn check_read(fs: &Fs, node: &Node, ino: u64, at: Index, len: u32) -> Result<(), TestCaseError> {
    let offset = at.index(node.bytes.len() + 10);
    let wanted: Vec<_> = node.bytes.iter().skip(offset).take(len as usize).collect();
    let expected: Option<Vec<u8>> = wanted.iter().map(|(byte, _)| *byte).collect();
    prop_assert_eq!(fs.read_blocking(ino, offset as u64, len), expected.ok_or(Errno::EIO));
    for what in [Seek::Data, Seek::Hole] {
        let found = (offset..node.bytes.len()).find(|&i| node.bytes[i].1 == (what == Seek::Data));
        let expected = match (found, what) {
            (Some(i), _) => Ok(i as u64),
            (None, Seek::Hole) if offset < node.bytes.len() => Ok(node.bytes.len() as u64),
            _ => Err(Errno::ENXIO),
        };
        prop_assert_eq!(fs.seek(ino, offset as u64, what), expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_operation_agrees_with_the_reference(
        entries in prop::collection::vec(any_entry(), 0..40),
        budget in prop::sample::select(vec![0u64, 300, 1 << 20]),
        ops in prop::collection::vec((any::<Index>(), any::<Index>(), 0..9000u32), 1..80),
        absent in path(),
    ) {
        let mut reference = Reference::default();
        entries.into_iter().for_each(|e| reference.add(e));
        let (fs, problems) = mounted(reference.archive.clone(), budget);
        prop_assert_eq!(problems, Vec::<String>::new());

        let mut paths: Vec<Vec<u8>> = reference.nodes.keys().cloned().collect();
        paths.push(Vec::new());
        let ids: std::collections::BTreeSet<_> = reference.nodes.values().map(|n| n.id).collect();
        prop_assert_eq!(fs.totals().inodes, ids.len() as u64 + 1);
        for path in &paths {
            check_node(&fs, &reference, path)?;
        }
        for (which, at, len) in ops {
            let path = which.get(&paths);
            let ino = resolve(&fs, path).unwrap().ino;
            match reference.nodes.get(path) {
                Some(node @ Node { entry: Some(Entry { kind: Kind::File(_), .. }), .. }) => {
                    check_read(&fs, node, ino, at, len)?;
                    prop_assert_eq!(fs.lookup(ino, b"a").err(), Some(Errno::ENOTDIR));
                    prop_assert_eq!((fs.open(ino, false), fs.open(ino, true)), (Ok(Opening::Cached), Err(Errno::EROFS)));
                }
                _ if reference.is_dir(path) => {
                    check_dir(&fs, &reference, path, at.index(50) as u64)?;
                    prop_assert_eq!(fs.read_blocking(ino, 0, len), Err(Errno::EISDIR));
                }
                _ => prop_assert_eq!(fs.read_blocking(ino, 0, len), Err(Errno::EINVAL)),
            }
        }
        prop_assert_eq!(resolve(&fs, &absent).is_ok(), reference.nodes.contains_key(&absent));
        prop_assert_eq!(fs.getattr(0), Err(Errno::ENOENT));
        prop_assert_eq!(fs.getattr(fs.totals().inodes + 1), Err(Errno::ENOENT));
    }

    /// Whatever the entries, building never panics, and every path found is one that was given.
    #[test]
    fn hostile_entries_are_left_out_one_by_one(entries in prop::collection::vec(any_entry(), 0..60)) {
        let count = entries.len();
        let (fs, problems) = mounted(entries, 0);
        prop_assert!(problems.len() <= count);
        let mut todo = vec![(ROOT, 0)];
        while let Some((dir, depth)) = todo.pop() {
            prop_assert!(depth <= 4);
            for line in fs.readdir(dir, 2).unwrap() {
                prop_assert_eq!(fs.lookup(dir, line.name).map(|a| a.ino), Ok(line.ino));
                if line.kind == NodeKind::Directory {
                    prop_assert_eq!(fs.lookup(line.ino, b"..").map(|a| a.ino), Ok(dir));
                    todo.push((line.ino, depth + 1));
                }
            }
        }
    }
}

#[test]
fn a_damaged_chunk_fails_exactly_the_reads_of_its_bytes() {
    // 100 good bytes, 1000 damaged (chunk 6), 64 good.
    let (fs, _) = mounted(vec![file(b"f", vec![data(3, 0, 100), data(6, 0, 1000), data(2, 0, 64)])], 1 << 20);
    let ino = resolve(&fs, b"f").unwrap().ino;
    assert_eq!(fs.read_blocking(ino, 0, 100).map(|b| b.len()), Ok(100));
    assert_eq!(fs.read_blocking(ino, 0, 101), Err(Errno::EIO));
    assert_eq!(fs.read_blocking(ino, 99, 2), Err(Errno::EIO));
    assert_eq!(fs.read_blocking(ino, 1099, 2), Err(Errno::EIO));
    assert_eq!(fs.read_blocking(ino, 1100, 500).map(|b| b.len()), Ok(64));
    assert_eq!(fs.read_blocking(ino, 1164, 500), Ok(Vec::new()));
}

#[test]
fn an_extent_outside_its_chunk_is_damage_and_no_panic() {
    let outside =
        [data(2, 60, 5), data(2, u32::MAX, 1), data(2, 0, u32::MAX), data(99, 0, 1), data(u64::MAX - 1, 0, 1)];
    for extent in outside {
        let (fs, _) = mounted(vec![file(b"f", vec![data(3, 0, 100), extent])], 1 << 20);
        let ino = resolve(&fs, b"f").unwrap().ino;
        assert_eq!(fs.read_blocking(ino, 0, 100).map(|b| b.len()), Ok(100));
        assert_eq!(fs.read_blocking(ino, 50, MAX_READ), Err(Errno::EIO), "{extent:?}");
    }
}

#[test]
fn reads_have_a_bound_and_holes_cost_no_memory() {
    let entries = vec![file(b"f", vec![Extent::Hole { len: 1 << 62 }, data(3, 0, 100)])];
    let (fs, problems) = mounted(entries, 1 << 20);
    assert!(problems.is_empty());
    let attr = resolve(&fs, b"f").unwrap();
    assert_eq!((attr.size, attr.allocated), ((1 << 62) + 100, 100));
    assert_eq!(fs.read_blocking(attr.ino, 0, MAX_READ + 1), Err(Errno::EINVAL));
    assert_eq!(fs.read_blocking(attr.ino, 1 << 61, MAX_READ), Ok(vec![0; MAX_READ as usize]));
    assert_eq!(fs.read_blocking(attr.ino, u64::MAX, MAX_READ), Ok(Vec::new()));
    let across = fs.read_blocking(attr.ino, (1 << 62) - 1, 2);
    assert_eq!(across, Ok(vec![0, byte(3, 0)]));
    assert_eq!(fs.seek(attr.ino, 0, Seek::Data), Ok(1 << 62));
}

#[test]
fn entries_that_contradict_themselves_are_left_out() {
    let bad_size = Kind::File(FileContent { size: 5, extents: vec![data(3, 0, 4)], digest: Digest([0; 32]) });
    let huge = Extent::Hole { len: i64::MAX as u64 };
    let entries = vec![
        file(b"good", vec![data(3, 0, 4)]),
        entry(b"size", bad_size),
        entry(b"huge", Kind::File(FileContent { size: 0, extents: vec![huge, huge, huge], digest: Digest([0; 32]) })),
        file(b"reserved", vec![data(u64::MAX, 0, 4)]),
        file(b"good", vec![data(2, 0, 4)]),
        file(b"good/below", vec![]),
        entry(b"link", Kind::HardLink(b"absent".to_vec())),
        entry(b"dir", Kind::Directory),
        entry(b"dir", Kind::Directory),
        entry(b"dirlink", Kind::HardLink(b"dir".to_vec())),
        entry(b"../up", Kind::Fifo),
        entry(b"/abs", Kind::Fifo),
    ];
    let (fs, problems) = mounted(entries, 0);
    assert_eq!(problems.len(), 10, "{problems:#?}");
    let names: Vec<_> = fs.readdir(ROOT, 2).unwrap().map(|l| l.name.to_vec()).collect();
    assert_eq!(names, [b"dir".to_vec(), b"good".to_vec()]);
    let good = resolve(&fs, b"good").unwrap();
    assert_eq!(fs.read_blocking(good.ino, 0, 10), Ok((0..4).map(|i| byte(3, i)).collect()));
}

#[test]
fn a_hundred_thousand_entries_build_quickly() {
    let entries: Vec<_> = (0..100_000)
        .map(|i| file(format!("dir{}/sub{}/file{i}", i % 100, i % 1000).as_bytes(), vec![data(3, 0, 10)]))
        .collect();
    let start = Instant::now();
    let (fs, problems) = mounted(entries, 0);
    let took = start.elapsed();
    assert!(problems.is_empty());
    assert_eq!(fs.totals().inodes, 100_000 + 1000 + 100 + 1);
    // Tens of milliseconds when optimised; the bound is for an unoptimised build on a busy machine.
    assert!(took < Duration::from_secs(5), "{took:?}");
    let start = Instant::now();
    for i in (0..100_000).step_by(7) {
        assert!(resolve(&fs, format!("dir{}/sub{}/file{i}", i % 100, i % 1000).as_bytes()).is_ok());
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    println!("built in {took:?}");
}

/// An archive read through a source that fails.
struct FromArchive(Reader);

impl ChunkSource for FromArchive {
    fn decode(&self, number: u64, _: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
        self.0.decode(number, &NoModels)
    }
}

fn archive() -> (Vec<u8>, Vec<(&'static str, Vec<u8>)>) {
    let files: Vec<(&str, Vec<u8>)> =
        vec![("a", b"first".repeat(40)), ("b", b"second".repeat(300)), ("c", b"third".to_vec())];
    let mut writer = Writer::new(Vec::new()).unwrap();
    let mut entries = Vec::new();
    for (path, content) in &files {
        let mut extents = Vec::new();
        for raw in content.chunks(500) {
            let encoded = Encoded { codec: CodecId::Store, stored: raw.to_vec() };
            let chunk = writer.chunk(&encoded, None, raw.len() as u32, ChunkDigest::of(raw)).unwrap();
            extents.push(data(chunk, 0, raw.len() as u32));
        }
        let mut entry = file(path.as_bytes(), extents);
        if let Kind::File(file) = &mut entry.kind {
            file.digest = Digest::of(content);
        }
        entries.push(entry);
    }
    writer.entries(&entries).unwrap();
    (writer.finish().unwrap().0, files)
}

#[test]
fn a_failing_disk_is_an_error_or_the_right_bytes_and_passes_when_it_passes() {
    let (bytes, files) = archive();
    for persistent in [false, true] {
        let mut n = 0;
        // Ends with the first number of a read that never happens.
        for failures in std::iter::repeat_with(|| {
            n += 1;
            let source = FaultySource::new(MemorySource(bytes.clone()), n - 1, persistent);
            let Ok(reader) = Reader::open(Arc::new(source), Limits::default()) else { return 1 };
            let Ok(entries) = reader.entries() else { return 1 };
            let (tree, problems) = Tree::build(entries, ImpliedDir::default());
            assert_eq!(problems, Vec::<String>::new());
            let fs = served(tree, FromArchive(reader), 600);
            let mut failures = 0;
            for (path, content) in files.iter().chain(&files) {
                let ino = resolve(&fs, path.as_bytes()).unwrap().ino;
                match fs.read_blocking(ino, 0, MAX_READ) {
                    Ok(bytes) => assert!(bytes == *content, "a wrong byte in {path}"),
                    Err(errno) => {
                        assert_eq!(errno, Errno::EIO);
                        failures += 1;
                    }
                }
            }
            assert!(persistent || failures <= 1, "one failed read fails one read");
            failures
        }) {
            if failures == 0 {
                break;
            }
        }
        assert!(n > 8, "the source was read {n} times");
    }
}

#[test]
fn an_archive_cut_short_under_the_mount_is_eio() {
    struct Shrinking(Vec<u8>, AtomicU64);
    impl Source for Shrinking {
        fn len(&self) -> std::io::Result<u64> {
            Ok(self.0.len() as u64)
        }
        fn read_exact_at(&self, buf: &mut [u8], position: u64) -> std::io::Result<()> {
            match position + buf.len() as u64 <= self.1.load(Ordering::SeqCst) {
                true => MemorySource(self.0.clone()).read_exact_at(buf, position),
                false => Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
    let (bytes, files) = archive();
    let source = Arc::new(Shrinking(bytes, AtomicU64::new(u64::MAX)));
    let reader = Reader::open(source.clone(), Limits::default()).unwrap();
    let (tree, _) = Tree::build(reader.entries().unwrap(), ImpliedDir::default());
    let fs = served(tree, FromArchive(reader), 0);
    let first = resolve(&fs, b"a").unwrap().ino;
    assert_eq!(fs.read_blocking(first, 0, MAX_READ), Ok(files[0].1.clone()));
    source.1.store(0, Ordering::SeqCst);
    let second = resolve(&fs, b"b").unwrap().ino;
    assert_eq!(fs.read_blocking(second, 0, 10), Err(Errno::EIO));
    assert_eq!(fs.read_blocking(first, 0, MAX_READ), Ok(files[0].1.clone()), "what is in memory stays readable");
}
