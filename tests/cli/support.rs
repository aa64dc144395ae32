//! Running the program, and trees of files to run it on.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

/// The program, in a directory and with a home of its own: no model of this machine's user is found.
pub(crate) fn lma(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lma"));
    command.current_dir(dir).env_clear().env("HOME", dir.join("home")).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command.stdin(Stdio::null());
    command
}

/// Runs a line of arguments, separated by spaces.
pub(crate) fn run(dir: &Path, line: &str) -> Output {
    lma(dir).args(line.split(' ')).output().unwrap()
}

/// Runs a line that must end with `code`, and gives its standard output.
#[track_caller]
pub(crate) fn expect(dir: &Path, code: i32, line: &str) -> String {
    let output = run(dir, line);
    check(&output, code, line);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The exit code, with what was said where it is another.
#[track_caller]
pub(crate) fn check(output: &Output, code: i32, line: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "lma {line}\nstdout: {:.2000}\nstderr: {err:.2000}", out);
}

/// Runs a line with standard input.
#[track_caller]
pub(crate) fn feed(dir: &Path, code: i32, line: &str, input: &[u8]) -> Vec<u8> {
    let mut child = lma(dir);
    child.args(line.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // The program may end before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    check(&output, code, line);
    output.stdout
}

/// Bytes without structure.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Text of `lines` lines.
pub(crate) fn text(lines: usize) -> String {
    (0..lines).map(|n| format!("line {n} of a text that compresses, {}\n", n * n % 97)).collect()
}

/// A directory `tree` with every kind of entry that an ordinary user can make.
pub(crate) fn plant(root: &Path) -> PathBuf {
    let tree = root.join("tree");
    fs::create_dir_all(tree.join("docs/deep/er")).unwrap();
    fs::create_dir(tree.join("empty dir")).unwrap();
    fs::write(tree.join("docs/text.txt"), text(5000)).unwrap();
    fs::write(tree.join("docs/copy.txt"), text(5000)).unwrap();
    fs::write(tree.join("docs/deep/er/small.rs"), "fn main() {}\n").unwrap();
    fs::write(tree.join("noise.bin"), noise(200_000, 7)).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    fs::write(tree.join(OsStr::from_bytes(b"odd \xff\n\x1b[31m name")), "odd").unwrap();
    fs::write(tree.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("run.sh"), PermissionsExt::from_mode(0o750)).unwrap();
    fs::hard_link(tree.join("run.sh"), tree.join("docs/linked.sh")).unwrap();
    std::os::unix::fs::symlink("../absent", tree.join("docs/dangling")).unwrap();
    std::os::unix::fs::symlink("docs", tree.join("to docs")).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    sparse.write_all_at(b"island", 1 << 20).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    // Not every file system has these.
    let _ = xattr::set(tree.join("docs/text.txt"), "user.origin", b"\x00raw\xff");
    for (path, age) in [("docs/text.txt", 100_000_007), ("docs/deep", 86_400), ("noise.bin", 3)] {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000 + age, 123_456_789);
        File::open(tree.join(path)).unwrap().set_modified(time).unwrap();
    }
    tree
}

/// Everything about a tree that must come back.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut inodes = BTreeMap::new();
    let walk = walkdir::WalkDir::new(root).sort_by_file_name();
    walk.into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let (path, meta) = (entry.path(), entry.path().symlink_metadata().unwrap());
            let relative = path.strip_prefix(root).unwrap().to_path_buf();
            let content = if meta.is_symlink() {
                format!("{:?}", fs::read_link(path).unwrap())
            } else if meta.is_file() {
                blake3::hash(&fs::read(path).unwrap()).to_string()
            } else {
                String::new()
            };
            let same_as = (meta.is_file() && meta.nlink() > 1)
                .then(|| inodes.entry((meta.dev(), meta.ino())).or_insert_with(|| relative.clone()).clone());
            let mut names: Vec<_> = xattr::list(path).map(|names| names.collect()).unwrap_or_default();
            names.sort();
            let xattrs: Vec<_> = names.iter().map(|name| (name, xattr::get(path, name).unwrap())).collect();
            // The times of symbolic links are those of the archive too, sizes of directories are not.
            let size = if meta.is_dir() { 0 } else { meta.len() };
            let (mode, time) = (meta.mode(), (meta.mtime(), meta.mtime_nsec()));
            (relative, format!("{mode:o} {size} {time:?} {content} {same_as:?} {xattrs:?}"))
        })
        .collect()
}

/// Both trees are the same in everything that [`snapshot`] sees.
#[track_caller]
pub(crate) fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (snapshot(a), snapshot(b));
    for (path, left) in &a {
        assert_eq!(Some(left), b.get(path), "{path:?}");
    }
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
}
