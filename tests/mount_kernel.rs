//! The mount under a real kernel. Needs /dev/fuse, and fails without it.
#![cfg(feature = "mount")]
#![allow(clippy::unwrap_used)]

mod mount_support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lma::archive::{CreateOptions, Input, create};
use lma::codec::{Choice, Encoded};
use lma::container::{MemorySource, Reader, Writer};
use lma::format::{CodecId, ContextPolicy, Kind, ModelRecord, Mtime, NumericsProfile};
use lma::hash::{ChunkDigest, Digest};
use lma::limits::Limits;
use lma::mount::{MountOptions, serve, serve_with};
use lma::predict::toy::{self, ToyModels};
use lma::predict::{LoadedModel, Models, NoModels, PredictError};
use lma::progress::{Interrupt, Silent};
use mount_support::{CHUNK, Chunks, Mount, Packed, entry, is_mounted, noise, source_tree};

/// All paths below `root`, relative.
fn walk(root: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = walkdir::WalkDir::new(root)
        .min_depth(1)
        .into_iter()
        .map(|e| e.unwrap().path().strip_prefix(root).unwrap().to_path_buf())
        .collect();
    paths.sort();
    paths
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let names = xattr::list(path).unwrap();
    names.map(|n| (n.as_bytes().to_vec(), xattr::get(path, &n).unwrap().unwrap())).collect()
}

/// Everything that an archive holds of a path, in one comparable value.
fn facts(root: &Path, path: &Path) -> String {
    let at = root.join(path);
    let meta = fs::symlink_metadata(&at).unwrap();
    let kind = meta.file_type();
    // The size of a directory and the count of its links are the file system's own affair.
    let (size, nlink) = if kind.is_dir() { (0, 0) } else { (meta.size(), meta.nlink()) };
    let content = kind.is_file().then(|| Digest::of(&fs::read(&at).unwrap()));
    let target = kind.is_symlink().then(|| fs::read_link(&at).unwrap());
    let xattrs = if kind.is_symlink() { BTreeMap::new() } else { xattrs(&at) };
    format!(
        "{path:?} {:o} {}:{} {size} {nlink} {}.{:09} {} {content:?} {target:?} {xattrs:?}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.rdev(),
    )
}

fn assert_same(original: &Path, mounted: &Path) {
    assert_eq!(walk(original), walk(mounted));
    for path in walk(original) {
        assert_eq!(facts(original, &path), facts(mounted, &path));
    }
}

#[test]
fn an_archive_looks_like_its_original() {
    let original = tempfile::tempdir().unwrap();
    source_tree(original.path());
    let packed = Packed::of(original.path());
    let mount = Mount::archive(packed.archive());

    assert_same(original.path(), mount.path());
    // `diff` would wait at the pipe.
    let diff = Command::new("diff")
        .args(["-r", "--no-dereference", "-x", "pipe"])
        .arg(original.path())
        .arg(mount.path())
        .output();
    let diff = diff.unwrap();
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));

    // Hard links are one inode.
    let inode = |p: &str| fs::metadata(mount.path().join(p)).unwrap().ino();
    assert_eq!(inode("hard1"), inode("sizes/300000"));
    assert_eq!(inode("hard1"), inode("deep/hard2"));
    assert_ne!(inode("hard1"), inode("sizes/65536"));

    // A hole takes no blocks, and is found.
    let sparse = File::open(mount.path().join("sparse")).unwrap();
    let meta = sparse.metadata().unwrap();
    assert_eq!(meta.len(), 10 << 20);
    assert!(meta.blocks() * 512 < 256 << 10, "{} blocks", meta.blocks());
    let data = rustix::fs::seek(&sparse, rustix::fs::SeekFrom::Data(0)).unwrap();
    assert!((4 << 20) - (CHUNK as u64) < data && data <= 4 << 20, "{data}");
    let hole = rustix::fs::seek(&sparse, rustix::fs::SeekFrom::Hole(data)).unwrap();
    assert!(((4 << 20) + 100_000..5 << 20).contains(&hole), "{hole}");
    drop(sparse);

    let totals = rustix::fs::statvfs(mount.path()).unwrap();
    assert!(totals.f_blocks * totals.f_frsize >= 2_000_000 && totals.f_bfree == 0 && totals.f_namemax == 255);
    assert_eq!(totals.f_files as usize, walk(mount.path()).len() + 1 - 2, "two names are hard links");
    mount.end().unwrap();
}

#[test]
fn sixteen_readers_at_random_and_in_sequence_decode_each_chunk_once() {
    let original = tempfile::tempdir().unwrap();
    source_tree(original.path());
    let packed = Packed::of(original.path());
    let count = packed.chunks.len();
    let chunks = Chunks::new(packed.chunks, Vec::new());
    let mount = Mount::fs(packed.entries, chunks.clone(), 3);
    let files: Vec<PathBuf> = walk(original.path())
        .into_iter()
        .filter(|p| original.path().join(p).symlink_metadata().unwrap().is_file())
        .collect();

    thread::scope(|scope| {
        for reader in 0..16usize {
            let (files, mount, original) = (&files, mount.path(), original.path());
            scope.spawn(move || {
                for step in 0..files.len() {
                    let path = &files[(step * 7 + reader * 31) % files.len()];
                    let expected = fs::read(original.join(path)).unwrap();
                    if reader % 2 == 0 {
                        assert!(fs::read(mount.join(path)).unwrap() == expected, "{path:?}");
                    }
                    let file = File::open(mount.join(path)).unwrap();
                    for turn in 0..8usize {
                        let offset = (turn * 7919 + reader * 104_729) % (expected.len() + 1);
                        let mut buf = vec![0; 1 + (turn * 5003) % 20_000];
                        let n = file.read_at(&mut buf, offset as u64).unwrap();
                        assert_eq!(&buf[..n], &expected[offset..(offset + buf.len()).min(expected.len())]);
                    }
                }
            });
        }
    });
    assert_eq!(chunks.decodes.load(Ordering::SeqCst), count);
    mount.end().unwrap();
    assert_eq!(Arc::strong_count(&chunks), 1, "nothing outlives the mount");
}

#[test]
fn metadata_is_answered_while_every_reader_waits() {
    let chunks = Chunks::new((0..64).map(|i| noise(CHUNK, i)).collect(), Vec::new());
    let mut entries: Vec<_> = (0..32).map(|i| Packed::file_of_chunks(&format!("d/f{i}"), 2 * i..2 * i + 2)).collect();
    entries.push(entry("d/link", Kind::Symlink(b"f0".to_vec())));
    let mount = Mount::fs(entries, chunks.clone(), 2);
    chunks.gate(false);
    let readers: Vec<_> = (0..32)
        .map(|i| {
            let path = mount.path().join(format!("d/f{i}"));
            thread::spawn(move || fs::read(path).unwrap())
        })
        .collect();
    while chunks.decodes.load(Ordering::SeqCst) < 2 {
        thread::sleep(Duration::from_millis(2));
    }
    thread::sleep(Duration::from_millis(100));

    let start = Instant::now();
    let dir = mount.path().join("d");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 33);
    for i in 0..32 {
        assert_eq!(fs::metadata(dir.join(format!("f{i}"))).unwrap().len(), 2 * CHUNK as u64);
        File::open(dir.join(format!("f{i}"))).unwrap();
        assert_eq!(xattr::list(dir.join(format!("f{i}"))).unwrap().count(), 0);
    }
    assert!(!dir.join("absent").exists());
    assert_eq!(fs::read_link(dir.join("link")).unwrap(), Path::new("f0"));
    rustix::fs::statvfs(&dir).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(chunks.decodes.load(Ordering::SeqCst), 2, "two workers hold two chunks, and nothing else decodes");
    assert!(readers.iter().all(|r| !r.is_finished()));

    chunks.gate(true);
    for (i, reader) in readers.into_iter().enumerate() {
        let i = i as u64;
        assert!(reader.join().unwrap() == [noise(CHUNK, 2 * i), noise(CHUNK, 2 * i + 1)].concat());
    }
    assert_eq!(chunks.decodes.load(Ordering::SeqCst), 64);
    mount.end().unwrap();
}

/// Has no model, and counts how often it was asked for one.
#[derive(Default)]
struct Asked(AtomicUsize);

impl Models for Asked {
    fn open(&self, record: &ModelRecord) -> Result<Arc<LoadedModel>, PredictError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        NoModels.open(record)
    }
}

#[test]
fn only_a_read_of_a_model_s_chunk_opens_the_model() {
    let zero = Digest([0; 32]);
    let model = ModelRecord {
        number: 0,
        sha256: zero,
        size: 1,
        name: "absent".into(),
        architecture: "none".into(),
        vocab_size: 300,
        tokens: zero,
        context: ContextPolicy { window: 256, overlap: 16 },
        numerics: NumericsProfile("test-1".into()),
        canary: zero,
    };
    let raw = noise(CHUNK, 1);
    let mut writer = Writer::new(Vec::new()).unwrap();
    let number = writer.model(&model).unwrap();
    let stored = Encoded { codec: CodecId::Store, stored: raw.clone() };
    writer.chunk(&stored, None, CHUNK as u32, ChunkDigest::of(&raw)).unwrap();
    let coded = Encoded { codec: CodecId::Lm, stored: vec![0; 100] };
    writer.chunk(&coded, Some(number), CHUNK as u32, ChunkDigest::of(&raw)).unwrap();
    writer.entries(&[Packed::file_of_chunks("plain", 0..1), Packed::file_of_chunks("coded", 1..2)]).unwrap();
    let bytes = writer.finish().unwrap().0;

    let models = Arc::new(Asked::default());
    let mount = Mount::archive_with(bytes, models.clone());
    for path in walk(mount.path()) {
        assert_eq!(fs::metadata(mount.path().join(&path)).unwrap().len(), CHUNK as u64);
        File::open(mount.path().join(&path)).unwrap();
        assert_eq!(xattrs(&mount.path().join(&path)).len(), 0);
    }
    rustix::fs::statvfs(mount.path()).unwrap();
    assert!(fs::read(mount.path().join("plain")).unwrap() == raw);
    assert_eq!(models.0.load(Ordering::SeqCst), 0);
    let error = fs::read(mount.path().join("coded")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert!(models.0.load(Ordering::SeqCst) > 0);
    mount.end().unwrap();
}

#[test]
fn what_can_be_read_of_a_damaged_archive_is_mounted() {
    let original = tempfile::tempdir().unwrap();
    source_tree(original.path());
    let packed = Packed::of(original.path());
    let bytes = packed.archive();
    // Cut off the footer and the index: the stream is all there is.
    let cut = Mount::archive(bytes[..bytes.len() - 20].to_vec());
    assert_same(original.path(), cut.path());
    cut.end().unwrap();

    // And the record of a chunk: its files are there, and EIO.
    let needle = &noise(1_500_000, 10)[700_000..700_032];
    let at = bytes.windows(32).position(|w| w == needle).expect("noise is stored as it is");
    let mut bytes = bytes[..bytes.len() - 20].to_vec();
    bytes[at] ^= 1;
    let mount = Mount::archive(bytes);
    assert_eq!(walk(mount.path()), walk(original.path()));
    let result = fs::read(mount.path().join("sizes/1500000"));
    assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EIO));
    for path in ["sizes/300000", "many/file049", "sparse"] {
        assert!(fs::read(mount.path().join(path)).unwrap() == fs::read(original.path().join(path)).unwrap());
    }
    mount.end().unwrap();
}

#[test]
fn a_damaged_chunk_is_eio_for_its_own_bytes() {
    let raw: Vec<_> = (0..8).map(|i| noise(CHUNK, i)).collect();
    let chunks = Chunks::new(raw.clone(), vec![3]);
    let mount = Mount::fs(vec![Packed::file_of_chunks("f", 0..8)], chunks.clone(), 4);
    let file = File::open(mount.path().join("f")).unwrap();
    for (page, expected) in raw.concat().chunks(4096).enumerate() {
        let mut buf = [0; 4096];
        let result = file.read_exact_at(&mut buf, page as u64 * 4096);
        if page * 4096 / CHUNK == 3 {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EIO), "page {page}");
        } else {
            result.unwrap_or_else(|e| panic!("page {page}: {e}"));
            assert_eq!(buf, expected, "page {page}");
        }
    }
    drop(file);
    assert!(fs::read(mount.path().join("f")).is_err());
    let decodes = chunks.decodes.load(Ordering::SeqCst);
    assert!(decodes <= 10, "a damaged chunk is not decoded for each of its pages: {decodes}");
    mount.end().unwrap();
}

#[test]
fn a_flipped_byte_in_the_archive_is_eio_for_the_files_it_touches() {
    let original = tempfile::tempdir().unwrap();
    source_tree(original.path());
    let packed = Packed::of(original.path());
    let mut bytes = packed.archive();
    let needle = &noise(1_500_000, 10)[700_000..700_032];
    let at = bytes.windows(32).position(|w| w == needle).expect("noise is stored as it is");
    bytes[at] ^= 1;
    let mount = Mount::archive(bytes);
    let (mut bad, mut good) = (0, 0);
    for path in walk(original.path()) {
        let at = original.path().join(&path);
        if !at.symlink_metadata().unwrap().is_file() {
            continue;
        }
        match fs::read(mount.path().join(&path)) {
            Ok(bytes) => {
                assert!(bytes == fs::read(at).unwrap(), "{path:?}: never a wrong byte");
                good += 1;
            }
            Err(error) => {
                assert_eq!((error.raw_os_error(), path.to_str()), (Some(libc::EIO), Some("sizes/1500000")));
                bad += 1;
            }
        }
    }
    assert_eq!(bad, 1);
    assert!(good > 300);
    mount.end().unwrap();
}

#[test]
fn odd_metadata_survives_the_protocol() {
    let mut entries = vec![
        entry("char", Kind::CharDevice { major: 4095, minor: 0xf_ffff }),
        entry("block", Kind::BlockDevice { major: 8, minor: 300 }),
        entry("fifo", Kind::Fifo),
        entry("early", Kind::Directory),
        entry("late", Kind::Directory),
        entry("implied/parent/leaf", Kind::Fifo),
    ];
    entries[2].mode = 0o6751;
    (entries[2].uid, entries[2].gid) = (123_456_789, u32::MAX - 1);
    entries[3].mtime = Mtime { secs: -1_000_000_001, nanos: 999_999_999 };
    entries[4].mtime = Mtime { secs: 1 << 40, nanos: 1 };
    let mount = Mount::fs(entries, Chunks::new(Vec::new(), Vec::new()), 1);
    let meta = |p: &str| fs::symlink_metadata(mount.path().join(p)).unwrap();
    let device = |p: &str| (rustix::fs::major(meta(p).rdev()), rustix::fs::minor(meta(p).rdev()));
    assert!(meta("char").file_type().is_char_device() && meta("block").file_type().is_block_device());
    assert_eq!((device("char"), device("block")), ((4095, 0xf_ffff), (8, 300)));
    assert_eq!(
        (meta("fifo").mode() & 0o7777, meta("fifo").uid(), meta("fifo").gid()),
        (0o6751, 123_456_789, u32::MAX - 1)
    );
    assert_eq!((meta("early").mtime(), meta("early").mtime_nsec()), (-1_000_000_001, 999_999_999));
    assert_eq!((meta("late").mtime(), meta("late").mtime_nsec()), (1 << 40, 1));
    assert!(meta("implied/parent").is_dir());
    assert_eq!(meta("implied").nlink(), 3);
    mount.end().unwrap();
}

#[test]
fn acls_are_enforced_and_shown() {
    // Version 2; owner rw-, the user 12345 r--, group ---, mask r--, others ---.
    let acl: Vec<u8> = [(1u16, 6u16, u32::MAX), (2, 4, 12345), (4, 0, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
        .iter()
        .fold(2u32.to_le_bytes().to_vec(), |mut out, (tag, perm, id)| {
            out.extend(tag.to_le_bytes());
            out.extend(perm.to_le_bytes());
            out.extend(id.to_le_bytes());
            out
        });
    let mut file = Packed::file_of_chunks("f", 0..1);
    file.mode = 0o640;
    file.xattrs = vec![lma::format::Xattr { name: b"system.posix_acl_access".to_vec(), value: acl.clone() }];
    let mut plain = file.clone();
    (plain.path, plain.xattrs) = (b"plain".to_vec(), Vec::new());
    let chunks = Chunks::new(vec![noise(CHUNK, 1)], Vec::new());
    let root = rustix::process::geteuid().is_root();
    let mount =
        if root { Mount::fs_for_all(vec![file, plain], chunks) } else { Mount::fs(vec![file, plain], chunks, 1) };
    assert_eq!(xattrs(&mount.path().join("f")), BTreeMap::from([(b"system.posix_acl_access".to_vec(), acl)]));
    if root {
        // The directory of the mount itself, made by the test, is its owner's alone beneath the mount.
        let may_read = |uid: u32, name: &str| {
            let mut cat = Command::new("cat");
            cat.uid(uid).gid(uid).current_dir(mount.path()).arg(name);
            cat.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
        };
        assert!(may_read(12345, "f"), "the list allows this user");
        assert!(!may_read(12346, "f"), "and no other");
        assert!(!may_read(12345, "plain"), "a file without a list goes by its mode");
    }
    mount.end().unwrap();
}

#[test]
fn nothing_can_be_changed() {
    let mount = Mount::fs(vec![Packed::file_of_chunks("f", 0..1)], Chunks::new(vec![noise(CHUNK, 1)], Vec::new()), 1);
    let file = mount.path().join("f");
    let code = |result: std::io::Result<()>| result.unwrap_err().raw_os_error();
    assert_eq!(code(File::options().write(true).open(&file).map(drop)), Some(libc::EROFS));
    assert_eq!(code(fs::write(mount.path().join("new"), b"x")), Some(libc::EROFS));
    assert_eq!(code(fs::remove_file(&file)), Some(libc::EROFS));
    assert_eq!(code(fs::rename(&file, mount.path().join("g"))), Some(libc::EROFS));
    assert_eq!(code(xattr::set(&file, "user.x", b"1")), Some(libc::EROFS));
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|l| l.split(' ').nth(4) == mount.path().to_str()).unwrap();
    for option in ["ro", "nosuid", "nodev", "default_permissions", "fuse.lma", "test_archive"] {
        assert!(line.split([' ', ',']).any(|o| o == option), "{option} in {line}");
    }
    mount.end().unwrap();
}

#[test]
fn a_mapped_file_reads_like_any_other() {
    // `grep` and `cmp` read, `cp` may copy by range or by mapping; all must agree.
    let raw = noise(CHUNK, 1);
    let mount = Mount::fs(vec![Packed::file_of_chunks("f", 0..1)], Chunks::new(vec![raw.clone()], Vec::new()), 1);
    let copy = tempfile::tempdir().unwrap();
    let status =
        Command::new("cp").args(["-a", "--sparse=always"]).arg(mount.path().join("f")).arg(copy.path()).status();
    assert!(status.unwrap().success());
    assert!(fs::read(copy.path().join("f")).unwrap() == raw);
    let mut half = vec![0; 100];
    File::open(mount.path().join("f")).unwrap().read_exact(&mut half).unwrap();
    assert_eq!(half, raw[..100]);
    mount.end().unwrap();
}

#[test]
fn a_directory_that_will_not_do_is_refused() {
    mount_support::assert_fuse();
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join("file")).unwrap().write_all(b"x").unwrap();
    let source = MemorySource(Packed::default().archive());
    let reader = Arc::new(Reader::open(Arc::new(source), Limits::default()).unwrap());
    let refuse = |path: PathBuf| {
        let options = MountOptions { mountpoint: path, ..MountOptions::default() };
        serve(Arc::clone(&reader), Arc::new(NoModels), &options, &Silent, || 0).unwrap_err().to_string()
    };
    assert!(refuse(dir.path().join("file")).contains("not a directory"));
    assert!(refuse(dir.path().to_path_buf()).contains("not empty"));
    assert!(refuse(dir.path().join("absent")).contains("No such file"));
    assert!(!is_mounted(dir.path()));
    assert!(lma::mount::unmount(dir.path()).is_err());
}

#[test]
fn an_unmount_while_a_file_is_open_is_refused_and_then_works() {
    let chunks = Chunks::new(vec![noise(CHUNK, 1)], Vec::new());
    let mount = Mount::fs(vec![Packed::file_of_chunks("f", 0..1)], chunks, 1);
    let open = File::open(mount.path().join("f")).unwrap();
    let error = lma::mount::unmount(mount.path()).unwrap_err().to_string();
    assert!(error.contains("busy"), "{error}");
    drop(open);
    mount.end().unwrap();
}

#[test]
fn a_tree_through_the_archiver_comes_back() {
    let original = tempfile::tempdir().unwrap();
    source_tree(original.path());
    let options = CreateOptions { workers: 2, ..CreateOptions::default() };
    let mut bytes = Vec::new();
    let inputs = [Input::within(original.path(), ".")];
    create(&mut bytes, &inputs, &options, &Silent, &Interrupt::default()).unwrap();
    let mount = Mount::archive(bytes);
    assert_same(original.path(), mount.path());
    mount.end().unwrap();
}

#[test]
fn a_killed_reader_is_gone_while_its_chunk_is_still_decoded() {
    let chunks = Chunks::new((0..2).map(|i| noise(CHUNK, i)).collect(), Vec::new());
    let mount = Mount::fs(vec![Packed::file_of_chunks("f", 0..2)], chunks.clone(), 1);
    chunks.gate(false);
    let mut reader = Command::new("cat").arg(mount.path().join("f")).stdout(Stdio::null()).spawn().unwrap();
    while chunks.decodes.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(2));
    }
    let start = Instant::now();
    reader.kill().unwrap();
    assert!(!reader.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    chunks.gate(true);
    assert_eq!(fs::read(mount.path().join("f")).unwrap().len(), 2 * CHUNK);
    mount.end().unwrap();
}

#[test]
fn chunks_of_a_model_decode_behind_the_mount_for_many_readers() {
    let original = tempfile::tempdir().unwrap();
    for i in 0..8 {
        fs::write(original.path().join(format!("text{i}")), toy::text(3000 + i as usize, i)).unwrap();
    }
    let options = CreateOptions {
        chunk_size: 1 << 10,
        choice: Choice::Only(CodecId::Lm),
        model: Some(Arc::new(toy::model())),
        ..CreateOptions::default()
    };
    let mut bytes = Vec::new();
    let inputs = [Input::within(original.path(), ".")];
    create(&mut bytes, &inputs, &options, &Silent, &Interrupt::default()).unwrap();
    let reader = Reader::open(Arc::new(MemorySource(bytes.clone())), Limits::default()).unwrap();
    assert!(reader.index().chunks.iter().filter(|c| c.codec == CodecId::Lm).count() > 20);

    let mount = Mount::archive_with(bytes, Arc::new(ToyModels::new()));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_same(original.path(), mount.path()));
        }
    });
    mount.end().unwrap();
}

#[test]
fn a_mount_that_ends_late_leaves_the_next_one_on_its_directory_alone() {
    mount_support::assert_fuse();
    let dir = tempfile::tempdir().unwrap();
    let mount = |chunks: &Arc<Chunks>| {
        let (fs, options) = Mount::parts(vec![Packed::file_of_chunks("f", 0..1)], chunks.clone(), dir.path());
        let (live, is_live) = std::sync::mpsc::channel();
        let serving = thread::spawn(move || serve_with(fs, &options, &Silent, || live.send(()).unwrap()).unwrap());
        is_live.recv_timeout(Duration::from_secs(20)).unwrap();
        serving
    };
    let slow = Chunks::new(vec![noise(CHUNK, 1)], Vec::new());
    let first = mount(&slow);
    slow.gate(false);
    let mut reader = Command::new("cat").arg(dir.path().join("f")).stdout(Stdio::null()).spawn().unwrap();
    while slow.decodes.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(2));
    }
    reader.kill().unwrap();
    reader.wait().unwrap();
    // The kernel lets go of the file a moment after its reader.
    while lma::mount::unmount(dir.path()).is_err() {
        thread::sleep(Duration::from_millis(2));
    }
    let second = mount(&Chunks::new(vec![noise(CHUNK, 2)], Vec::new()));
    assert!(!first.is_finished(), "it waits for its decode");
    slow.gate(true);
    first.join().unwrap();
    assert!(fs::read(dir.path().join("f")).unwrap() == noise(CHUNK, 2));
    lma::mount::unmount(dir.path()).unwrap();
    second.join().unwrap();
}
