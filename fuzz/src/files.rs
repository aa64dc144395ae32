//! Trees of real files: what they hold, for comparisons.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest file that is read; longer ones are only measured.
const READ: u64 = 1 << 20;

/// Everything that is to come back of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: u32,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub size: u64,
    pub content: Vec<u8>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The least path with the same inode.
    pub first: PathBuf,
}

/// All files beneath `root` by their paths; links are not followed.
pub fn snapshot(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    let mut names: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for path in paths {
        let inside = path.strip_prefix(root).expect("it is beneath the root").to_path_buf();
        let meta = fs::symlink_metadata(&path).expect("it was just listed");
        let first = names.entry((meta.dev(), meta.ino())).or_insert_with(|| inside.clone()).clone();
        out.insert(inside, seen(&path, &meta, first));
    }
    out
}

/// What there is to see of one file.
pub fn seen(path: &Path, meta: &fs::Metadata, first: PathBuf) -> Seen {
    let content = if meta.is_file() && meta.len() <= READ {
        fs::read(path).expect("its owner may read it")
    } else if meta.is_symlink() {
        fs::read_link(path).expect("it is a link").as_os_str().as_bytes().to_vec()
    } else {
        Vec::new()
    };
    let names = xattr::list(path).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let value = |name: &std::ffi::OsString| xattr::get(path, name).ok().flatten().unwrap_or_default();
    let mut xattrs: Vec<_> = names.iter().map(|name| (name.as_bytes().to_vec(), value(name))).collect();
    xattrs.sort();
    Seen {
        kind: meta.mode() & 0o170_000,
        mode: meta.mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        size: if meta.is_dir() { 0 } else { meta.len() },
        content,
        xattrs,
        first,
    }
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for found in fs::read_dir(directory).expect("its owner may list it") {
        let found = found.expect("the directory is readable");
        paths.push(found.path());
        if found.file_type().expect("the file was just listed").is_dir() {
            collect(&found.path(), paths);
        }
    }
}
