//! A small packer and a guard around a live mount, for the mount's tests.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

#[cfg(all(feature = "cli", feature = "mount"))]
pub mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use lma::codec::Encoded;
use lma::container::{ContainerError, MemorySource, Reader, Writer};
use lma::format::{CodecId, Entry, Extent, FileContent, Kind, Mtime, Xattr};
use lma::hash::{ChunkDigest, Digest, FileHasher};
use lma::limits::Limits;
use lma::mount::{
    CacheOptions, ChunkCache, ChunkSource, Fs, ImpliedDir, MountOptions, ReadOptions, Tree, Workers, serve, serve_with,
    unmount,
};
use lma::predict::{Audience, Models, NoModels};
use lma::progress::Silent;

pub const CHUNK: usize = 64 << 10;

/// Deterministic bytes that neither repeat nor compress.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A tree with everything that needs no privilege: many sizes, nesting, odd names, links, a sparse
/// file, a pipe, attributes.
pub fn source_tree(root: &Path) {
    let write = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for (i, len) in [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 300_000, 1_500_000].into_iter().enumerate() {
        write(&format!("sizes/{len}"), &noise(len, i as u64 + 1));
    }
    for i in 0..300 {
        write(&format!("many/file{i:03}"), format!("small file number {i}\n").repeat(i % 50).as_bytes());
    }
    write("deep/a/b/c/d/e/f/leaf", b"leaf\n");
    write("names/with space", b"1");
    write("names/new\nline", b"2");
    write("names/\u{fc}ml\u{e4}ut", b"3");
    fs::write(root.join(Path::new("names")).join(std::ffi::OsStr::from_bytes(b"not\xff\xfeutf8")), b"4").unwrap();
    write(&format!("names/{}", "n".repeat(255)), b"5");
    fs::create_dir(root.join("empty")).unwrap();
    std::os::unix::fs::symlink("../sizes/4096", root.join("names/link")).unwrap();
    std::os::unix::fs::symlink("nowhere/at/all", root.join("dangling")).unwrap();
    fs::hard_link(root.join("sizes/300000"), root.join("hard1")).unwrap();
    fs::hard_link(root.join("sizes/300000"), root.join("deep/hard2")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &noise(100_000, 77), 4 << 20).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), 0o600.into()).unwrap();
    xattr::set(root.join("sizes/1"), "user.comment", b"one byte\0\xff").unwrap();
    xattr::set(root.join("sizes/1"), "user.empty", b"").unwrap();
    xattr::set(root.join("sizes"), "user.dir", &noise(3000, 9)).unwrap();
    let old = std::time::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    fs::File::open(root.join("sizes/1")).unwrap().set_modified(old).unwrap();
    for (path, mode) in [("sizes/4095", 0o600), ("many/file001", 0o755), ("empty", 0o1777)] {
        fs::set_permissions(root.join(path), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
}

/// Entries and raw chunks; content is packed back to back, so that files share chunks.
#[derive(Default)]
pub struct Packed {
    pub entries: Vec<Entry>,
    pub chunks: Vec<Vec<u8>>,
    links: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Packed {
    pub fn of(root: &Path) -> Self {
        let mut packed = Self::default();
        packed.dir(root, root);
        packed
    }

    fn dir(&mut self, root: &Path, dir: &Path) {
        let mut children: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        children.sort();
        for child in children {
            self.add(root, &child);
            if fs::symlink_metadata(&child).unwrap().is_dir() {
                self.dir(root, &child);
            }
        }
    }

    fn add(&mut self, root: &Path, at: &Path) {
        let path = at.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let meta = fs::symlink_metadata(at).unwrap();
        let kind = if meta.is_dir() {
            Kind::Directory
        } else if meta.is_symlink() {
            Kind::Symlink(fs::read_link(at).unwrap().as_os_str().as_bytes().to_vec())
        } else if meta.file_type().is_fifo() {
            Kind::Fifo
        } else {
            match self.links.get(&(meta.dev(), meta.ino())) {
                Some(first) => Kind::HardLink(first.clone()),
                None => {
                    self.links.insert((meta.dev(), meta.ino()), path.clone());
                    Kind::File(self.content(&fs::read(at).unwrap()))
                }
            }
        };
        let mut xattrs: Vec<Xattr> = Vec::new();
        if !meta.is_symlink() && !matches!(kind, Kind::HardLink(_)) {
            for name in xattr::list(at).unwrap() {
                let value = xattr::get(at, &name).unwrap().unwrap();
                xattrs.push(Xattr { name: name.as_bytes().to_vec(), value });
            }
            xattrs.sort();
        }
        self.entries.push(Entry {
            path,
            kind,
            mode: (meta.mode() & 0o7777) as u16,
            uid: meta.uid(),
            gid: meta.gid(),
            user: Vec::new(),
            group: Vec::new(),
            mtime: Mtime { secs: meta.mtime(), nanos: meta.mtime_nsec() as u32 },
            xattrs,
        });
    }

    fn content(&mut self, bytes: &[u8]) -> FileContent {
        let mut extents: Vec<Extent> = Vec::new();
        let mut hasher = FileHasher::new();
        for block in bytes.chunks(CHUNK) {
            if block.len() == CHUNK && block.iter().all(|&b| b == 0) {
                match extents.last_mut() {
                    Some(Extent::Hole { len }) => *len += CHUNK as u64,
                    _ => extents.push(Extent::Hole { len: CHUNK as u64 }),
                }
                continue;
            }
            hasher.update(block);
            let mut block = block;
            while !block.is_empty() {
                if self.chunks.last().is_none_or(|c| c.len() == CHUNK) {
                    self.chunks.push(Vec::new());
                }
                let number = self.chunks.len() as u64 - 1;
                let chunk = self.chunks.last_mut().unwrap();
                let len = block.len().min(CHUNK - chunk.len());
                extents.push(Extent::Data { chunk: number, offset: chunk.len() as u32, len: len as u32 });
                chunk.extend_from_slice(&block[..len]);
                block = &block[len..];
            }
        }
        FileContent { size: bytes.len() as u64, extents, digest: hasher.finish() }
    }

    /// A file that is exactly the given chunks.
    pub fn file_of_chunks(path: &str, chunks: std::ops::Range<u64>) -> Entry {
        let extents: Vec<_> = chunks.map(|chunk| Extent::Data { chunk, offset: 0, len: CHUNK as u32 }).collect();
        let size = (extents.len() * CHUNK) as u64;
        entry(path, Kind::File(FileContent { size, extents, digest: Digest([0; 32]) }))
    }

    /// The archive's bytes: chunks alternate between `store` and `zstd`.
    pub fn archive(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for (number, raw) in self.chunks.iter().enumerate() {
            let zstd = ::zstd::bulk::compress(raw, 3).unwrap();
            let encoded = if number % 2 == 1 && zstd.len() < raw.len() {
                Encoded { codec: CodecId::Zstd, stored: zstd }
            } else {
                Encoded { codec: CodecId::Store, stored: raw.clone() }
            };
            writer.chunk(&encoded, None, raw.len() as u32, ChunkDigest::of(raw)).unwrap();
        }
        writer.entries(&self.entries).unwrap();
        writer.finish().unwrap().0
    }
}

pub fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        mode: 0o644,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        user: Vec::new(),
        group: Vec::new(),
        mtime: Mtime { secs: 1_600_000_000, nanos: 987_654_321 },
        xattrs: Vec::new(),
    }
}

/// Chunks from memory, that counts, can be held back, and can be damaged.
pub struct Chunks {
    chunks: Vec<Vec<u8>>,
    damaged: Vec<u64>,
    pub decodes: AtomicUsize,
    gate: (Mutex<bool>, Condvar),
}

impl Chunks {
    pub fn new(chunks: Vec<Vec<u8>>, damaged: Vec<u64>) -> Arc<Self> {
        Arc::new(Self { chunks, damaged, decodes: AtomicUsize::new(0), gate: (Mutex::new(true), Condvar::new()) })
    }

    /// While closed, every decode waits, but never for ever: a reader in this very process that waits in
    /// the kernel could not be killed, and the process would never end.
    pub fn gate(&self, open: bool) {
        *self.gate.0.lock().unwrap() = open;
        self.gate.1.notify_all();
    }
}

impl ChunkSource for Chunks {
    fn decode(&self, number: u64, _: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
        self.decodes.fetch_add(1, Ordering::SeqCst);
        let open = self.gate.0.lock().unwrap();
        drop(self.gate.1.wait_timeout_while(open, Duration::from_secs(10), |open| !*open).unwrap());
        match self.chunks.get(number as usize) {
            Some(chunk) if !self.damaged.contains(&number) => Ok(chunk.as_slice().into()),
            _ => Err(ContainerError::MissingChunk(number)),
        }
    }
}

/// A live mount on a directory of its own; unmounted when dropped.
pub struct Mount {
    dir: tempfile::TempDir,
    thread: Option<JoinHandle<lma::Result<()>>>,
}

fn served(tree: Tree, chunks: Arc<dyn ChunkSource>, workers: usize) -> Fs {
    let options = CacheOptions { processors: workers, ..CacheOptions::default() };
    Fs::new(tree, ChunkCache::new(chunks, options), Workers::start(workers).unwrap(), ReadOptions::default()).unwrap()
}

pub fn assert_fuse() {
    assert!(Path::new("/dev/fuse").exists(), "the mount's tests need FUSE: /dev/fuse is absent");
}

impl Mount {
    pub fn fs(entries: Vec<Entry>, chunks: Arc<dyn ChunkSource>, workers: usize) -> Self {
        let (tree, problems) = Tree::build(entries, ImpliedDir::default());
        assert_eq!(problems, Vec::<String>::new());
        let fs = served(tree, chunks, workers);
        Self::start(false, move |options, ready| serve_with(fs, &options, &Silent, ready))
    }

    /// What [`serve_with`] takes, for a test that mounts on a directory of its own.
    pub fn parts(entries: Vec<Entry>, chunks: Arc<dyn ChunkSource>, dir: &Path) -> (Fs, MountOptions) {
        let (tree, _) = Tree::build(entries, ImpliedDir::default());
        let options = MountOptions { mountpoint: dir.to_path_buf(), ..MountOptions::default() };
        (served(tree, chunks, 1), options)
    }

    /// A file system that was put together elsewhere.
    pub fn served(fs: Fs) -> Self {
        Self::start(false, move |options, ready| serve_with(fs, &options, &Silent, ready))
    }

    /// For every user, which needs root.
    pub fn fs_for_all(entries: Vec<Entry>, chunks: Arc<dyn ChunkSource>) -> Self {
        let (tree, _) = Tree::build(entries, ImpliedDir::default());
        let fs = served(tree, chunks, 2);
        Self::start(true, move |options, ready| serve_with(fs, &options, &Silent, ready))
    }

    /// Mounts through [`serve`]; it has no signal of its own, so the mount table is asked.
    pub fn archive(bytes: Vec<u8>) -> Self {
        Self::archive_with(bytes, Arc::new(NoModels))
    }

    pub fn archive_with(bytes: Vec<u8>, models: Arc<dyn Models>) -> Self {
        let reader = Arc::new(Reader::open_or_scan(Arc::new(MemorySource(bytes)), Limits::default()).unwrap());
        Self::start(false, move |options, ready| {
            let dir = options.mountpoint.clone();
            std::thread::spawn(move || {
                while !is_mounted(&dir) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                ready();
            });
            serve(reader, models, &options, &Silent, || 0)
        })
    }

    fn start(
        allow_other: bool,
        run: impl FnOnce(MountOptions, Box<dyn FnOnce() + Send>) -> lma::Result<()> + Send + 'static,
    ) -> Self {
        assert_fuse();
        let dir = tempfile::tempdir().unwrap();
        let options = MountOptions {
            mountpoint: dir.path().to_path_buf(),
            source_name: "test,archive".into(),
            lanes: 4,
            allow_other,
            ..MountOptions::default()
        };
        let (send, live) = mpsc::channel();
        let thread = std::thread::spawn(move || run(options, Box::new(move || send.send(()).unwrap())));
        if live.recv_timeout(Duration::from_secs(20)).is_err() {
            assert!(thread.is_finished(), "the mount is not live after 20 s");
            panic!("{}", thread.join().unwrap().unwrap_err());
        }
        Self { dir, thread: Some(thread) }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Unmounts, and gives what serving ended with.
    pub fn end(mut self) -> lma::Result<()> {
        unmount(self.path()).unwrap();
        assert!(!is_mounted(self.path()));
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // A failed test may hold files open; the mount must not outlive it all the same.
            drop(std::process::Command::new("fusermount3").args(["-u", "-z"]).arg(self.dir.path()).status());
        }
    }
}

pub fn is_mounted(dir: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == dir.to_str())
}
