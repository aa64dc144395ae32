//! Extraction of hostile archives: nothing outside the destination changes, and what is extracted
//! without an error is what the archive says.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lma::archive::{ExtractOptions, extract as from_file, extract_stream};
use lma::container::{MemorySource, Reader};
use lma::format::{Entry, Extent, FileContent, Kind, Mtime, Xattr};
use lma::hash::Digest;
use lma::predict::{Models, NoModels};
use lma::progress::{Interrupt, Silent};

use super::files::{Seen, seen, snapshot};
use super::forge;
use super::input::Input;

/// Components of paths and link targets; `OUT` becomes the absolute path of the place beside the
/// destination.
const NAMES: &[&[u8]] =
    &[b"a", b"b", b"c", b"d", b"l", b"..", b".", b"", b"OUT", b"outside", b"precious", b"dest", b"a\0b", b"\xff\n"];

/// Takes chunks, entries and options.
pub fn extract(data: &[u8]) {
    let mut input = Input::new(data);
    let scene = Scene::new();
    let options = options(&mut input);
    let planted = input.below(3);
    let chunks: Vec<Vec<u8>> =
        (0..1 + input.below(3)).map(|n| super::input::noise(1 + input.below(40), n as u64)).collect();
    let mut batches = vec![Vec::new()];
    while !input.is_empty() && batches.iter().map(Vec::len).sum::<usize>() < 12 {
        if input.once_in(4) {
            batches.push(Vec::new());
        }
        batches.last_mut().expect("there is one").push(entry(&mut input, &chunks, &scene.outside));
    }
    let archive = forge::archive(&chunks, &batches);
    let before = scene.outsiders();
    let entries: Vec<Entry> = batches.into_iter().flatten().collect();

    let run = |name: &str, stream: bool| {
        let dest = scene.dir.path().join(name);
        fs::create_dir(&dest).expect("the scene is new");
        plant(&dest, &scene.outside, planted);
        let options = ExtractOptions { dest: dest.clone(), ..options.clone() };
        let models: Arc<dyn Models> = Arc::new(NoModels);
        let (silent, interrupt) = (Silent, Interrupt::default());
        let outcome = if stream {
            extract_stream(&archive[..], &forge::limits(), &models, &options, &silent, &interrupt)
        } else {
            let reader = Reader::open(Arc::new(MemorySource(archive.clone())), forge::limits());
            reader
                .map_err(Into::into)
                .and_then(|reader| from_file(&Arc::new(reader), &models, &options, &silent, &interrupt))
        };
        assert_eq!(scene.outsiders(), before, "something outside the destination changed");
        if outcome.is_ok() && planted == 0 && options.members.is_empty() && options.strip_components == 0 {
            check(&dest, &entries, &chunks);
        }
        (outcome.is_ok(), snapshot(&dest))
    };
    let (file, stream) = (run("dest", false), run("dest2", true));
    if file.0 && stream.0 {
        let brief = |(_, tree): (bool, std::collections::BTreeMap<PathBuf, Seen>)| {
            tree.into_iter()
                .map(|(path, seen)| (path, seen.kind, seen.mode, seen.size, seen.content))
                .collect::<Vec<_>>()
        };
        assert_eq!(brief(file), brief(stream), "from a file and from a pipe");
    }
}

/// A directory with a place that must stay as it is, and destinations beside it.
struct Scene {
    dir: tempfile::TempDir,
    outside: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("there is a temporary directory");
        let outside = dir.path().join("outside");
        let precious = outside.join("precious");
        let made = fs::create_dir(&outside).and_then(|()| fs::write(&precious, "precious"));
        let made = made.and_then(|()| fs::set_permissions(&precious, fs::Permissions::from_mode(0o600)));
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(42);
        let dated = made.and_then(|()| fs::File::open(&precious)?.set_modified(old));
        dated.and_then(|()| fs::File::open(&outside)?.set_modified(old)).expect("the scene is writable");
        Self { dir, outside }
    }

    /// Everything but the destinations.
    fn outsiders(&self) -> Vec<(PathBuf, Seen)> {
        let mut out: Vec<_> = snapshot(&self.outside).into_iter().collect();
        for found in fs::read_dir(self.dir.path()).expect("the scene is readable") {
            let path = found.expect("the scene is readable").path();
            if !path.ends_with("dest") && !path.ends_with("dest2") {
                let meta = fs::symlink_metadata(&path).expect("it was just listed");
                out.push((path.clone(), seen(&path, &meta, path.clone())));
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }
}

/// What an earlier extraction, or somebody else, may have left in the destination.
fn plant(dest: &Path, outside: &Path, planted: usize) {
    let planted = match planted {
        0 => Ok(()),
        1 => symlink(outside, dest.join("a")).and_then(|()| symlink(outside.join("precious"), dest.join("b"))),
        _ => fs::create_dir(dest.join("a"))
            .and_then(|()| symlink("../../outside", dest.join("a/b")))
            .and_then(|()| fs::hard_link(outside.join("precious"), dest.join("c")).and(fs::remove_file(dest.join("c"))))
            .and_then(|()| fs::write(dest.join("c"), "old")),
    };
    planted.expect("the destination is writable");
}

fn options(input: &mut Input<'_>) -> ExtractOptions {
    let flags = input.byte();
    ExtractOptions {
        preserve: flags & 1 != 0,
        keep_old: flags & 2 != 0,
        numeric_owner: flags & 4 != 0,
        strip_components: usize::from(flags >> 3 & 3).saturating_sub(1),
        members: if flags & 0xe0 == 0xe0 { vec![b"a".to_vec()] } else { vec![] },
        workers: 1 + usize::from(flags >> 5 & 1),
        ..ExtractOptions::default()
    }
}

fn path(input: &mut Input<'_>, outside: &Path, hostile: bool) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for _ in 0..1 + input.below(3) {
        // Mostly harmless, or hardly any archive would be accepted.
        let name = if hostile { *input.pick(NAMES) } else { *input.pick(&NAMES[..5]) };
        parts.push(if name == b"OUT" { outside.as_os_str().as_bytes() } else { name });
    }
    parts.join(&b'/')
}

fn entry(input: &mut Input<'_>, chunks: &[Vec<u8>], outside: &Path) -> Entry {
    let hostile = input.once_in(8);
    let name = path(input, outside, hostile);
    let kind = match input.below(10) {
        0..4 => Kind::File(content(input, chunks)),
        4 | 5 => Kind::Directory,
        6 => Kind::Symlink(path(input, outside, true)),
        7 => Kind::HardLink(path(input, outside, hostile)),
        8 => Kind::Fifo,
        _ => Kind::CharDevice { major: 1, minor: 3 },
    };
    let mut entry = forge::entry(&name, kind);
    // The owner may read everything, so that the result can be compared by anyone.
    entry.mode = input.u16() & 0o7777 | 0o700;
    entry.mtime = Mtime { secs: i64::from(input.u32()), nanos: u32::from(input.byte()) };
    if input.once_in(4) {
        (entry.uid, entry.gid) = (input.u32(), input.u32());
        entry.user = if input.once_in(2) { b"root".to_vec() } else { vec![] };
        let name = [&b"user."[..], input.bytes(3)].concat();
        entry.xattrs = vec![Xattr { name, value: input.bytes(20).to_vec() }];
    }
    entry
}

fn content(input: &mut Input<'_>, chunks: &[Vec<u8>]) -> FileContent {
    let (mut extents, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..input.below(4) {
        if input.once_in(6) {
            let len = if input.once_in(16) { input.u64() >> 1 } else { 1 + input.below(9000) as u64 };
            extents.push(Extent::Hole { len });
            continue;
        }
        let chunk = input.below(chunks.len());
        let offset = input.below(chunks[chunk].len());
        let len = 1 + input.below(chunks[chunk].len() - offset);
        bytes.extend_from_slice(&chunks[chunk][offset..offset + len]);
        extents.push(Extent::Data { chunk: chunk as u64, offset: offset as u32, len: len as u32 });
    }
    let mut size = extents.iter().map(Extent::len).fold(0, u64::wrapping_add);
    let mut digest = Digest::of(&bytes);
    match input.below(32) {
        29 => digest = Digest::of(b"another content"),
        30 => size = input.u64(),
        31 => extents.push(Extent::Data { chunk: input.u64(), offset: input.u32(), len: input.u32() }),
        _ => {}
    }
    FileContent { size, extents, digest }
}

/// Every regular file is there with its bytes.
fn check(dest: &Path, entries: &[Entry], chunks: &[Vec<u8>]) {
    for entry in entries {
        let Kind::File(content) = &entry.kind else { continue };
        let path = dest.join(std::ffi::OsStr::from_bytes(&entry.path));
        let meta = fs::symlink_metadata(&path).expect("what was extracted is there");
        assert!(meta.is_file() && meta.len() == content.size, "{}", path.display());
        if content.size > 1 << 20 {
            continue;
        }
        let mut expected = Vec::new();
        for extent in &content.extents {
            match *extent {
                Extent::Hole { len } => expected.resize(expected.len() + len as usize, 0),
                Extent::Data { chunk, offset, len } => {
                    expected.extend_from_slice(&chunks[chunk as usize][offset as usize..][..len as usize]);
                }
            }
        }
        assert_eq!(fs::read(&path).expect("its owner may read it"), expected, "{}", path.display());
    }
}
