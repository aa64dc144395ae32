//! What the archive tests share: trees with everything in them, and comparisons that see everything.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lma::archive::{CreateOptions, ExtractOptions, Input};
use lma::codec::{Choice, Encoded};
use lma::container::{MemorySource, Reader, Writer};
use lma::format::{CodecId, Entry, Extent, FileContent, Kind, Mtime};
use lma::hash::{ChunkDigest, Digest};
use lma::limits::Limits;
use lma::predict::{Models, NoModels};
use lma::progress::{Interrupt, Progress, Silent};

/// Collects warnings.
#[derive(Default)]
pub struct Warnings(pub Mutex<Vec<String>>);

impl Progress for Warnings {
    fn total(&self, _: u64) {}
    fn advance(&self, _: u64, _: u64) {}
    fn item(&self, _: &[u8]) {}
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.into());
    }
}

pub fn models() -> Arc<dyn Models> {
    Arc::new(NoModels)
}

pub fn reader(archive: &[u8]) -> Arc<Reader> {
    Arc::new(Reader::open(Arc::new(MemorySource(archive.to_vec())), Limits::default()).unwrap())
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Pseudo-random bytes that do not compress.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| step()).collect()
}

pub fn set_mtime(path: &Path, secs: i64, nanos: i64) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
    let time = Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree with one of everything.
pub fn sample_tree(root: &Path) {
    let text = |n: usize| -> String { (0..n).map(|i| format!("line {i} of some text, {}\n", i * i % 97)).collect() };
    for directory in ["src", "src/deep/er", "empty directory", "odd", "special", "links"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("README.md"), text(100)).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("large.txt"), text(20_000)).unwrap();
    fs::write(root.join("large-again.txt"), text(20_000)).unwrap();
    fs::write(root.join("noise.bin"), noise(300_001, 1)).unwrap();
    for n in 0..40 {
        fs::write(root.join(format!("src/file{n}.rs")), text(n)).unwrap();
    }
    fs::write(root.join("src/deep/er/twin1.rs"), text(500)).unwrap();
    fs::write(root.join("src/deep/er/twin2.rs"), text(500)).unwrap();
    for name in [&b"\xff\xfe not utf-8"[..], b"new\nline", b"back\\slash", "日本語".as_bytes(), b"- dash", b"\x1b[2J"]
    {
        fs::write(root.join("odd").join(OsStr::from_bytes(name)), name).unwrap();
    }
    let long = "n".repeat(200);
    fs::create_dir_all(root.join("odd").join(&long).join(&long)).unwrap();
    fs::write(root.join("odd").join(&long).join(&long).join(&long), "deep down").unwrap();
    let sparse = fs::File::create(root.join("special/sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 1 << 20).unwrap();
    sparse.write_all_at(&noise(200_000, 2), 2 << 20).unwrap();
    fs::File::create(root.join("special/all hole")).unwrap().set_len(1 << 20).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("special/fifo"), rustix::fs::Mode::from_raw_mode(0o640)).unwrap();
    fs::hard_link(root.join("special/fifo"), root.join("special/fifo again")).unwrap();
    fs::hard_link(root.join("README.md"), root.join("links/readme")).unwrap();
    fs::hard_link(root.join("README.md"), root.join("AREADME")).unwrap();
    symlink("../README.md", root.join("links/relative")).unwrap();
    symlink("/nonexistent/\u{7f}", root.join("links/dangling")).unwrap();
    symlink("..", root.join("links/up")).unwrap();
    let attribute = root.join("src/file7.rs");
    // Not all file systems that tests run on have user attributes.
    let _ = xattr::set(&attribute, "user.note", b"binary \0 value \xff");
    let _ = xattr::set(&attribute, "user.another", b"");
    let _ = xattr::set(root.join("src/deep"), "user.on a directory", b"yes");
    let mode = |path: &str, mode| fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    mode("src/file1.rs", 0o755);
    mode("src/file2.rs", 0o400);
    mode("noise.bin", 0o4755);
    mode("empty directory", 0o1777);
    mode("src/deep/er", 0o555);
    set_mtime(&root.join("large.txt"), 1_234_567_890, 123_456_789);
    set_mtime(&root.join("empty"), -5, 999_999_999);
    set_mtime(&root.join("links/relative"), 987_654_321, 1);
    set_mtime(&root.join("special/fifo"), 55, 5);
    set_mtime(&root.join("src/deep/er"), 1_000_000_000, 7);
}

/// Everything that is to come back of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    kind: u32,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    content: Vec<u8>,
    size: u64,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The least path with the same inode.
    first_name: PathBuf,
}

/// All files beneath `root` by their paths.
pub fn snapshot(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut out: BTreeMap<PathBuf, Seen> = BTreeMap::new();
    let mut names: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    for found in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let found = found.unwrap();
        let meta = found.metadata().unwrap();
        let path = found.path().strip_prefix(root).unwrap().to_path_buf();
        let first = names.entry((meta.dev(), meta.ino())).or_insert_with(|| path.clone());
        let first_name = if meta.is_symlink() { path.clone() } else { first.clone() };
        let content = if meta.is_file() {
            fs::read(found.path()).unwrap()
        } else if meta.is_symlink() {
            fs::read_link(found.path()).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        let list = xattr::list(found.path()).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        let value = |name: &std::ffi::OsString| xattr::get(found.path(), name).unwrap().unwrap_or_default();
        let mut xattrs: Vec<_> = list.iter().map(|name| (name.as_bytes().to_vec(), value(name))).collect();
        xattrs.sort();
        let seen = Seen {
            kind: meta.mode() & 0o170_000,
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            content,
            size: if meta.is_dir() { 0 } else { meta.len() },
            xattrs,
            first_name,
        };
        out.insert(path, seen);
    }
    out
}

/// Fails with the first difference.
pub fn assert_same(left: &Path, right: &Path) {
    let (left, right) = (snapshot(left), snapshot(right));
    let lost: Vec<_> = left.keys().filter(|path| !right.contains_key(*path)).take(9).collect();
    let gained: Vec<_> = right.keys().filter(|path| !left.contains_key(*path)).take(9).collect();
    assert!(lost.is_empty() && gained.is_empty(), "lost {lost:?}, gained {gained:?}");
    for (path, seen) in &left {
        let other = &right[path];
        assert!(seen == other, "{}: {:?}", path.display(), difference(seen, other));
    }
}

fn difference(a: &Seen, b: &Seen) -> Vec<String> {
    let mut out = Vec::new();
    let brief = |seen: &Seen| {
        let first = &seen.first_name;
        format!(
            "{:o} {:o} {:?} {:?} {} {:?} {first:?}",
            seen.kind, seen.mode, seen.owner, seen.mtime, seen.size, seen.xattrs
        )
    };
    out.push(brief(a));
    out.push(brief(b));
    out.push(format!("content equal: {}", a.content == b.content));
    out
}

/// Options without a model.
pub fn create_options(workers: usize) -> CreateOptions {
    CreateOptions { choice: Choice::Only(CodecId::Zstd), workers, ..CreateOptions::default() }
}

pub fn extract_options(dest: &Path) -> ExtractOptions {
    ExtractOptions { dest: dest.into(), preserve: true, workers: 4, ..ExtractOptions::default() }
}

/// An archive of all that is in `root`.
pub fn archive(root: &Path, options: &CreateOptions) -> Vec<u8> {
    let mut out = Vec::new();
    let outcome =
        lma::archive::create(&mut out, &[Input::within(root, ".")], options, &Silent, &Interrupt::default()).unwrap();
    assert_eq!(outcome.archive_bytes, out.len() as u64);
    out
}

/// An entry with plain metadata.
pub fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        user: Vec::new(),
        group: Vec::new(),
        mtime: Mtime { secs: 1_000_000_000, nanos: 0 },
        xattrs: Vec::new(),
    }
}

/// Writes `bytes` as a stored chunk.
pub fn chunk<W: std::io::Write>(writer: &mut Writer<W>, bytes: &[u8]) -> u64 {
    let encoded = Encoded { codec: CodecId::Store, stored: bytes.to_vec() };
    writer.chunk(&encoded, None, bytes.len() as u32, ChunkDigest::of(bytes)).unwrap()
}

/// A file whose content is all of one chunk.
pub fn file(chunk: u64, bytes: &[u8]) -> Kind {
    let extents = vec![Extent::Data { chunk, offset: 0, len: bytes.len() as u32 }];
    Kind::File(FileContent { size: bytes.len() as u64, extents, digest: Digest::of(bytes) })
}
