//! One hostile archive for each way in which extractors of other formats were bitten. Nothing outside the
//! destination may change, whatever an archive says; what the format forbids is corrupt, from a file and from a pipe.

mod archive_support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use archive_support::*;
use lma::archive::{ExtractOptions, Outcome, cat, extract, extract_stream};
use lma::container::{MemorySource, Reader};
use lma::format::{
    BatchSlot, ChunkHead, ChunkSlot, CodecId, Entry, EntryBatch, Extent, FileContent, Footer, Index, Kind, Mtime,
    RecordHead, RecordType, StreamHeader, Xattr,
};
use lma::hash::{ChunkDigest, Digest};
use lma::limits::Limits;
use lma::progress::Interrupt;
use lma::{Error, ExitCode};

/// An archive of these chunks and batches, all checksums right, nothing else checked.
fn forge(chunks: &[&[u8]], batches: &[&[Entry]]) -> Vec<u8> {
    let mut out = StreamHeader::default().encode().to_vec();
    let mut index = Index::default();
    let record = |out: &mut Vec<u8>, kind, head: Vec<u8>, body: &[u8]| {
        let position = out.len() as u64;
        out.extend(RecordHead::new(kind, head, body).unwrap().encode(position));
        out.extend(body);
        position
    };
    for (number, chunk) in chunks.iter().enumerate() {
        let (number, len) = (number as u64, chunk.len() as u32);
        let codec = CodecId::Store;
        let head = ChunkHead { number, codec, model: None, raw_len: len, digest: ChunkDigest::of(chunk) };
        let position = record(&mut out, RecordType::Chunk, head.encode(), chunk);
        index.chunks.push(ChunkSlot { number, position, stored_len: len, raw_len: len, codec, model: None });
    }
    let mut first = 0;
    for batch in batches {
        let mut raw = Vec::new();
        batch.iter().for_each(|entry| EntryBatch::push_entry(&mut raw, entry));
        let count = batch.len() as u64;
        let (head, body) = EntryBatch::pack(first, count, &raw);
        let position = record(&mut out, RecordType::Entries, head.encode(), &body);
        index.batches.push(BatchSlot { position, first, count });
        first += count;
    }
    let (head, body) = index.pack();
    let index_position = record(&mut out, RecordType::Index, head.encode(), &body);
    let archive_len = out.len() as u64 + lma::format::FOOTER_LEN as u64;
    out.extend(Footer { index_position, archive_len }.encode());
    out
}

/// A destination, and a place beside it that must stay as it is.
struct Scene {
    dir: tempfile::TempDir,
    outside: PathBuf,
    dest: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (outside, dest) = (dir.path().join("outside"), dir.path().join("dest"));
        fs::create_dir(&outside).unwrap();
        fs::create_dir(&dest).unwrap();
        fs::write(outside.join("precious"), "precious").unwrap();
        fs::set_permissions(outside.join("precious"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o755)).unwrap();
        set_mtime(&outside.join("precious"), 42, 0);
        set_mtime(&outside, 43, 0);
        Self { dir, outside, dest }
    }

    fn path(&self, name: &str) -> String {
        self.outside.join(name).to_str().unwrap().into()
    }

    fn assert_untouched(&self) {
        let names: Vec<_> = fs::read_dir(&self.outside).unwrap().map(|found| found.unwrap().file_name()).collect();
        assert_eq!(names, ["precious"]);
        let (file, directory) =
            (fs::metadata(self.outside.join("precious")).unwrap(), fs::metadata(&self.outside).unwrap());
        assert_eq!(fs::read(self.outside.join("precious")).unwrap(), b"precious");
        assert_eq!((file.mode() & 0o7777, file.mtime(), file.nlink()), (0o600, 42, 1));
        assert_eq!((directory.mode() & 0o7777, directory.mtime()), (0o755, 43));
        assert_eq!(xattr::list(self.outside.join("precious")).map_or(0, Iterator::count), 0);
        let beside = fs::read_dir(self.dir.path()).unwrap().count();
        assert_eq!(beside, 2, "something was made beside the destination");
    }

    fn extract(&self, archive: &[u8], preserve: bool) -> (lma::Result<Outcome>, Vec<String>) {
        let warnings = Warnings::default();
        let options = ExtractOptions { preserve, ..extract_options(&self.dest) };
        let open = Reader::open(std::sync::Arc::new(MemorySource(archive.to_vec())), Limits::default());
        let result = open.map_err(Error::from).and_then(|reader| {
            extract(&std::sync::Arc::new(reader), &models(), &options, &warnings, &Interrupt::default())
        });
        self.assert_untouched();
        (result, warnings.0.into_inner().unwrap())
    }

    fn stream(&self, archive: &[u8]) -> lma::Result<Outcome> {
        let options = extract_options(&self.dest);
        let result = extract_stream(
            archive,
            &Limits::default(),
            &models(),
            &options,
            &Warnings::default(),
            &Interrupt::default(),
        );
        self.assert_untouched();
        result
    }
}

/// Both ways of reading call the archive corrupt, and nothing of the entry `evil` is there.
fn assert_corrupt(chunks: &[&[u8]], batches: &[&[Entry]]) {
    let archive = forge(chunks, batches);
    let scene = Scene::new();
    let code = |result: lma::Result<Outcome>| result.expect_err("hostile").exit_code();
    assert_eq!(code(scene.extract(&archive, true).0), ExitCode::Corrupt);
    assert_eq!(code(scene.stream(&archive)), ExitCode::Corrupt);
    assert!(scene.dest.join("evil").symlink_metadata().is_err());
}

fn evil_file(path: &str) -> Entry {
    entry(path, file(0, b"evil"))
}

fn link_to(path: &str, target: &str) -> Entry {
    entry(path, Kind::Symlink(target.into()))
}

fn hard_link(path: &str, target: &str) -> Entry {
    entry(path, Kind::HardLink(target.into()))
}

/// RUSTSEC-2018-0002, CVE-2025-29787, CVE-2025-11001: a link, then an entry through it.
#[test]
fn a_link_then_an_entry_through_it() {
    let outside = Scene::new().path("");
    for through in [evil_file("link/evil"), entry("link/evil", Kind::Directory), link_to("link/evil", "x")] {
        let link = link_to("link", &outside);
        assert_corrupt(&[b"evil"], &[&[link.clone(), through.clone()]]);
        assert_corrupt(&[b"evil"], &[std::slice::from_ref(&link), std::slice::from_ref(&through)]);
        assert_corrupt(&[b"evil"], &[&[through, link]]);
    }
}

/// Links that the archive may hold lead nowhere while files are written.
#[test]
fn links_out_of_the_root_are_made_but_not_followed() {
    let scene = Scene::new();
    let (absolute, relative) = (link_to("absolute", &scene.path("precious")), link_to("relative", "../outside"));
    let archive = forge(&[b"evil"], &[&[absolute, relative, evil_file("plain")]]);
    scene.extract(&archive, true).0.unwrap();
    // Again, over the links that are there now.
    scene.extract(&archive, true).0.unwrap();
    scene.stream(&archive).unwrap();
    let over = forge(&[b"evil"], &[&[evil_file("absolute"), evil_file("relative")]]);
    scene.extract(&over, true).0.unwrap();
    assert!(scene.dest.join("absolute").symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read(scene.dest.join("relative")).unwrap(), b"evil");
}

/// RUSTSEC-2021-0080, 2026-0067: mkdir and chmod through a link that was there before.
#[test]
fn links_that_were_there_before_are_not_followed() {
    let scene = Scene::new();
    symlink(&scene.outside, scene.dest.join("d")).unwrap();
    let implied = forge(&[b"evil"], &[&[evil_file("d/evil"), entry("d/sub/sub", Kind::Directory)]]);
    for result in [scene.extract(&implied, true).0, scene.stream(&implied)] {
        assert!(result.is_err());
    }
    let open = Entry { mode: 0o777, ..entry("d", Kind::Directory) };
    let archive = forge(&[b"evil"], &[&[open, evil_file("d/evil")]]);
    scene.extract(&archive, true).0.unwrap();
    assert!(scene.dest.join("d").symlink_metadata().unwrap().is_dir(), "the link has made way");
    assert_eq!(fs::read(scene.dest.join("d/evil")).unwrap(), b"evil");
}

/// Files that were there before are replaced, not written into.
#[test]
fn old_names_are_replaced() {
    let scene = Scene::new();
    let second = scene.dir.path().join("dest/second name");
    fs::write(&second, "old").unwrap();
    fs::hard_link(&second, scene.dest.join("a")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, scene.dest.join("b"), rustix::fs::Mode::RWXU).unwrap();
    fs::create_dir(scene.dest.join("c")).unwrap();
    let archive = forge(&[b"evil"], &[&[evil_file("a"), evil_file("b"), evil_file("c")]]);
    let (result, warnings) = scene.extract(&archive, false);
    assert_eq!(result.unwrap_err().exit_code(), ExitCode::Fatal, "c is a directory");
    assert_eq!(warnings.len(), 1);
    assert_eq!(fs::read(&second).unwrap(), b"old");
    assert_eq!(fs::read(scene.dest.join("a")).unwrap(), b"evil");
    assert_eq!(fs::read(scene.dest.join("b")).unwrap(), b"evil");
    assert_eq!(fs::read_dir(&scene.dest).unwrap().count(), 4, "nothing temporary is left");
}

/// CVE-2025-62518: two parts of an archive disagree on what is in it.
#[test]
fn smuggled_entries() {
    let honest = forge(&[b"evil"], &[&[evil_file("a")], &[evil_file("evil")]]);
    let shorter = forge(&[b"evil"], &[&[evil_file("a")]]);
    // The index and the footer of the shorter archive behind the records of the longer one.
    let index = |archive: &[u8]| {
        Reader::open(std::sync::Arc::new(MemorySource(archive.to_vec())), Limits::default()).unwrap().index().clone()
    };
    let end = index(&honest).batches[1].position as usize;
    let (head, body) = index(&shorter).pack();
    let mut archive = honest.clone();
    archive.truncate(archive.len() - lma::format::FOOTER_LEN);
    let old_index = honest.len() - lma::format::FOOTER_LEN - {
        let (head, body) = index(&honest).pack();
        RecordHead::new(RecordType::Index, head.encode(), &body).unwrap().record_len() as usize
    };
    assert!(old_index > end);
    archive.truncate(old_index);
    archive.extend(RecordHead::new(RecordType::Index, head.encode(), &body).unwrap().encode(old_index as u64));
    archive.extend(&body);
    let archive_len = (archive.len() + lma::format::FOOTER_LEN) as u64;
    archive.extend(Footer { index_position: old_index as u64, archive_len }.encode());
    let scene = Scene::new();
    assert_eq!(scene.stream(&archive).unwrap_err().exit_code(), ExitCode::Corrupt);
    let trailing = [shorter.as_slice(), &honest].concat();
    assert_eq!(scene.stream(&trailing).unwrap_err().exit_code(), ExitCode::Corrupt);
}

/// RUSTSEC-2026-0041: an offset outside the buffer.
#[test]
fn extents_outside_their_chunk() {
    let content = |extents: Vec<Extent>, size| Kind::File(FileContent { size, extents, digest: Digest::of(b"evil") });
    let data = |chunk, offset, len| Extent::Data { chunk, offset, len };
    for (extents, size) in [
        (vec![data(0, 1, 4)], 4),
        (vec![data(0, u32::MAX, 4)], 4),
        (vec![data(0, 0, u32::MAX)], u64::from(u32::MAX)),
        (vec![data(1, 0, 4)], 4),
        (vec![data(u64::MAX, 0, 4)], 4),
        (vec![data(0, 0, 4)], 5),
        (vec![data(0, 0, 4), Extent::Hole { len: u64::MAX }], 3),
    ] {
        assert_corrupt(&[b"evil"], &[&[entry("evil", content(extents, size))]]);
    }
    let wrong = Kind::File(FileContent { size: 4, extents: vec![data(0, 0, 4)], digest: Digest::of(b"good") });
    assert_corrupt(&[b"evil"], &[&[entry("evil", wrong)]]);
}

/// CVE-2016-5418: hard links that lead out or carry data.
#[test]
fn hard_links() {
    for target in ["absent", "../outside/precious", "/etc/passwd", "later", "d", ""] {
        let entries = [entry("d", Kind::Directory), hard_link("evil", target), evil_file("later")];
        assert_corrupt(&[b"evil"], &[&entries]);
    }
    let scene = Scene::new();
    fs::hard_link(scene.outside.join("precious"), scene.dest.join("there")).unwrap();
    fs::remove_file(scene.dest.join("there")).unwrap();
    // A link to a link must not become another name of what that points at.
    let archive = forge(&[], &[&[link_to("l", &scene.path("precious")), hard_link("evil", "l")]]);
    let (result, _) = scene.extract(&archive, true);
    assert!(result.is_err());
    assert!(scene.dest.join("evil").symlink_metadata().is_err());
}

/// A file that is in the way under the target's name, but was not extracted, is no target.
#[test]
fn hard_links_lead_to_what_was_extracted_only() {
    let scene = Scene::new();
    fs::write(scene.dest.join("target"), "old").unwrap();
    let archive = forge(&[b"evil"], &[&[evil_file("target"), hard_link("link", "target")]]);
    for (workers, excludes) in [(1, vec!["target".to_string()]), (4, vec![])] {
        let options = ExtractOptions { keep_old: true, excludes, workers, ..extract_options(&scene.dest) };
        let reader = reader(&archive);
        let _ = extract(&reader, &models(), &options, &Warnings::default(), &Interrupt::default());
        scene.assert_untouched();
        assert_eq!(fs::read(scene.dest.join("target")).unwrap(), b"old");
        assert_eq!(fs::metadata(scene.dest.join("target")).unwrap().nlink(), 1);
    }
}

/// CVE-2021-23177: metadata of a link set on what it points at.
#[test]
fn metadata_of_links_stays_with_them() {
    let scene = Scene::new();
    let acl =
        b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x04\0\x07\0\xff\xff\xff\xff\x20\0\x07\0\xff\xff\xff\xff".to_vec();
    let xattrs = vec![
        Xattr { name: b"system.posix_acl_access".to_vec(), value: acl },
        Xattr { name: b"user.evil".to_vec(), value: b"evil".to_vec() },
    ];
    for target in ["precious", ""] {
        let link =
            Entry { mode: 0o777, uid: 12345, gid: 12345, xattrs: xattrs.clone(), ..link_to("l", &scene.path(target)) };
        let archive = forge(&[], &[&[link]]);
        assert!(scene.extract(&archive, true).0.is_ok());
        assert!(scene.dest.join("l").symlink_metadata().unwrap().is_symlink());
    }
}

/// CVE-2016-5844, CVE-2025-5916: numbers near the largest.
#[test]
fn extreme_numbers() {
    let scene = Scene::new();
    for len in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let content = FileContent { size: len, extents: vec![Extent::Hole { len }], digest: Digest::of(b"") };
        let archive = forge(&[], &[&[entry("evil", Kind::File(content))]]);
        assert!(scene.extract(&archive, true).0.is_err());
        assert!(scene.stream(&archive).is_err());
        assert_eq!(fs::read_dir(&scene.dest).unwrap().count(), 0);
    }
    for secs in [i64::MAX, i64::MIN, i64::MIN + 1] {
        let mtime = Mtime { secs, nanos: 999_999_999 };
        let archive = forge(&[b"evil"], &[&[Entry { mtime, uid: u32::MAX, gid: u32::MAX, ..evil_file("a") }]]);
        scene.extract(&archive, true).0.unwrap();
        let mut tar = Vec::new();
        let options = ExtractOptions::default();
        let interrupt = Interrupt::default();
        lma::archive::extract_to_tar(
            &reader(&archive),
            &models(),
            &options,
            &mut tar,
            &Warnings::default(),
            &interrupt,
        )
        .unwrap();
        lma::archive::create_from_tar(&tar[..], Vec::new(), &create_options(1), &Warnings::default(), &interrupt)
            .unwrap();
    }
}

/// CVE-2021-40153: names that are not checked, and duplicates.
#[test]
fn bad_and_duplicate_names() {
    for path in ["../outside/evil", "/evil", "a/../evil", "./evil", "a//evil", "evil/", "", "evil\0", ".", ".."] {
        assert_corrupt(&[b"evil"], &[&[evil_file(path)]]);
    }
    for pair in [
        [evil_file("evil"), evil_file("evil")],
        [entry("evil", Kind::Directory), evil_file("evil")],
        [evil_file("evil"), link_to("evil", "x")],
        [evil_file("evil"), evil_file("evil/x")],
    ] {
        let archive = forge(&[b"evil"], &[&pair]);
        let scene = Scene::new();
        assert_eq!(scene.extract(&archive, true).0.unwrap_err().exit_code(), ExitCode::Corrupt);
        assert_eq!(scene.stream(&archive).unwrap_err().exit_code(), ExitCode::Corrupt);
    }
}

/// Fifield's bomb: entries that share bytes. Here sharing is allowed, for duplicates; what it costs is the output
/// alone: a chunk is decoded once, nothing is held in memory, and the work can be stopped.
#[test]
fn a_bomb_is_stopped_by_its_reader() {
    struct Full(u64);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len() as u64).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let chunk = vec![0; 1 << 20];
    let extents = vec![Extent::Data { chunk: 0, offset: 0, len: 1 << 20 }; 20_000];
    let content = FileContent { size: 20_000 << 20, extents, digest: Digest::of(b"") };
    let archive = forge(&[&chunk], &[&[entry("bomb", Kind::File(content))]]);
    let options = ExtractOptions::default();
    let full = Full(100 << 20);
    let stopped = cat(&reader(&archive), &models(), &options, full, &Warnings::default(), &Interrupt::default());
    assert_eq!(stopped.unwrap_err().exit_code(), ExitCode::Fatal);
}

#[test]
fn setuid_and_devices_only_on_request() {
    let scene = Scene::new();
    let program = Entry { mode: 0o6755, ..evil_file("program") };
    let sticky = Entry { mode: 0o1777, ..entry("sticky", Kind::Directory) };
    let device = entry("device", Kind::CharDevice { major: 1, minor: 3 });
    let trusted = Xattr { name: b"trusted.evil".to_vec(), value: b"x".to_vec() };
    let marked = Entry { xattrs: vec![trusted], ..evil_file("marked") };
    let archive = forge(&[b"evil"], &[&[program, sticky, device, marked]]);
    let mode = |name: &str| fs::symlink_metadata(scene.dest.join(name)).map(|meta| meta.mode() & 0o7777);
    let (result, warnings) = scene.extract(&archive, false);
    assert_eq!(result.unwrap().warnings, 1, "{warnings:?}");
    assert_eq!(mode("program").unwrap() & 0o7022, 0);
    assert_eq!(mode("sticky").unwrap() & 0o7000, 0);
    assert!(mode("device").is_err());
    assert_eq!(xattr::list(scene.dest.join("marked")).unwrap().count(), 0);
    scene.extract(&archive, true).0.unwrap();
    assert_eq!(mode("program").unwrap(), 0o6755);
    assert_eq!(mode("sticky").unwrap(), 0o1777);
}

#[test]
fn names_do_not_steer_the_terminal() {
    let scene = Scene::new();
    let name = "\u{1b}[2J\u{202e}evil\n";
    let wrong = Kind::File(FileContent {
        size: 4,
        extents: vec![Extent::Data { chunk: 0, offset: 0, len: 4 }],
        digest: Digest::of(b""),
    });
    let archive = forge(&[b"evil"], &[&[entry(name, wrong), entry("fine", file(0, b"evil"))]]);
    let (result, warnings) = scene.extract(&archive, false);
    let error = result.unwrap_err().to_string();
    assert_eq!(warnings.len(), 1);
    for text in warnings.iter().chain([&error]) {
        assert!(text.contains("evil") && !text.contains(['\u{1b}', '\n', '\u{202e}']), "{text:?}");
    }
    assert_eq!(fs::read(scene.dest.join("fine")).unwrap(), b"evil");
    assert!(!Path::new(&scene.dest.join(name)).exists());
}
