//! The cache as a whole, in directories that others meddle with.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::codec::{self, Choice, Level};
use crate::container::{MemorySource, Reader, Writer};
use crate::format::CodecId;
use crate::hash::{ChunkDigest, Digest};
use crate::limits::Limits;
use crate::predict::NoModels;

fn key(number: u64, raw: &[u8]) -> ChunkKey {
    ChunkKey { number, digest: ChunkDigest::of(raw), model: None, raw_len: raw.len() as u32 }
}

/// Bytes that do not pack, so that files have the lengths that they look like.
fn noise(number: u64, len: usize) -> Vec<u8> {
    (0u64..).flat_map(|n| Digest::of(&[number.to_le_bytes(), n.to_le_bytes()].concat()).0).take(len).collect()
}

fn identity() -> Digest {
    Digest::of(b"archive")
}

fn open(dir: &Path, budget: u64) -> ArchiveCache {
    DiskCache::open(dir, budget).unwrap().archive(&identity())
}

/// The file of a chunk.
fn file(dir: &Path, number: u64) -> PathBuf {
    dir.join("chunks").join(ArchiveId::from(&identity()).to_string()).join(number.to_string())
}

fn set_age(path: &Path, age: Duration) {
    File::options().append(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn what_was_saved_is_loaded_by_this_and_by_other_processes() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, cache) = (noise(1, 10_000), open(dir.path(), 1 << 20));
    assert!(!cache.holds(1) && cache.load(&key(1, &raw)).is_none());
    cache.save(&key(1, &raw), &raw);
    assert!(cache.holds(1));
    assert_eq!(cache.load(&key(1, &raw)).as_ref(), Some(&raw));
    let other = open(dir.path(), 1 << 20);
    assert!(other.holds(1) && !other.holds(2));
    assert_eq!(other.load(&key(1, &raw)).as_ref(), Some(&raw));
    let of_another = DiskCache::open(dir.path(), 1 << 20).unwrap().archive(&Digest::of(b"other"));
    assert!(!of_another.holds(1) && of_another.load(&key(1, &raw)).is_none());
}

#[test]
fn nobody_else_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), 1 << 20).save(&key(1, b"secret"), b"secret");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let chunk = file(dir.path(), 1);
    assert_eq!((mode(&chunk), mode(chunk.parent().unwrap()), mode(&dir.path().join("chunks"))), (0o600, 0o700, 0o700));
}

#[test]
fn who_only_loads_saves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    cache.clone().load_only().save(&key(1, b"abc"), b"abc");
    assert!(!cache.holds(1) && !file(dir.path(), 1).exists());
    cache.save(&key(1, b"abc"), b"abc");
    assert!(cache.load_only().load(&key(1, b"abc")).is_some());
}

/// Whatever stands at the place of a chunk's file, it is not served, and it does not stay.
#[test]
fn strangers_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, cache) = (noise(1, 10_000), open(dir.path(), 1 << 20));
    let path = file(dir.path(), 1);
    let check = |what: &str, plant: &dyn Fn()| {
        cache.save(&key(1, &raw), &raw);
        plant();
        assert_eq!(cache.load(&key(1, &raw)), None, "{what}");
        assert!(fs::symlink_metadata(&path).is_err() && !cache.holds(1), "{what}");
    };
    check("nothing", &|| fs::remove_file(&path).unwrap());
    check("an empty file", &|| fs::write(&path, "").unwrap());
    check("text", &|| fs::write(&path, "not a chunk\n").unwrap());
    check("a huge file", &|| File::create(&path).unwrap().set_len(1 << 42).unwrap());
    check("another chunk", &|| {
        cache.save(&key(2, b"other"), b"other");
        fs::rename(file(dir.path(), 2), &path).unwrap();
    });
    check("a symbolic link to the right file", &|| {
        fs::rename(&path, dir.path().join("right")).unwrap();
        symlink(dir.path().join("right"), &path).unwrap();
    });
    check("a pipe", &|| {
        fs::remove_file(&path).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    });
    check("a header that claims 4 GiB", &|| {
        File::options().write(true).open(&path).unwrap().write_all_at(&[0xff; 4], 12).unwrap();
    });
    assert!(dir.path().join("right").exists());

    fs::create_dir(&path).unwrap();
    assert_eq!(cache.load(&key(1, &raw)), None, "a directory");
    assert_eq!(cache.load(&ChunkKey { raw_len: u32::MAX, ..key(3, &raw) }), None);
}

#[test]
fn the_budget_holds_and_the_oldest_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let budget = 40 * 12_288;
    let disk = DiskCache::open(dir.path(), budget).unwrap();
    let cache = disk.archive(&identity());
    for number in 0..100 {
        let raw = noise(number, 10_000);
        cache.save(&key(number, &raw), &raw);
        assert!(disk.usage().unwrap().bytes() <= budget);
        // Each is a minute older than the next; what is loaded is as new as can be.
        set_age(&file(dir.path(), number), Duration::from_secs(60 * (1000 - number)));
        assert!(cache.load(&key(0, &noise(0, 10_000))).is_some(), "{number}");
    }
    let kept: Vec<_> = (0..100).filter(|&number| file(dir.path(), number).exists()).collect();
    let usage = disk.usage().unwrap();
    assert!(kept.len() >= 28, "{kept:?}");
    assert_eq!((usage.chunks(), usage.bytes()), (kept.len() as u64, 12_288 * kept.len() as u64));
    assert_eq!(kept[0], 0);
    assert!(kept[1..].windows(2).all(|pair| pair[0] + 1 == pair[1]) && kept.last() == Some(&99), "{kept:?}");
}

#[test]
fn what_does_not_fit_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let raw = noise(1, 10_000);
    for budget in [0, 1, 4096, 90_000] {
        let cache = open(dir.path(), budget);
        cache.save(&key(1, &raw), &raw);
        assert!(!cache.holds(1), "{budget}");
    }
    let cache = open(dir.path(), 1 << 20);
    cache.save(&ChunkKey { raw_len: 9, ..key(1, &raw) }, &raw);
    assert!(!cache.holds(1), "a key of other bytes");
}

#[test]
fn a_sweep_takes_what_the_cache_has_made_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    cache.save(&key(1, b"abc"), b"abc");
    let beside = |name: &str| file(dir.path(), 1).with_file_name(name);
    let strangers =
        [dir.path().join("chunks/README"), dir.path().join("chunks/notes/1"), beside("notes"), beside("01")];
    let (old, new) = (beside(".tmp-old"), beside(".tmp-new"));
    fs::create_dir(dir.path().join("chunks/notes")).unwrap();
    strangers.iter().chain([&old, &new]).for_each(|path| fs::write(path, "x").unwrap());
    set_age(&old, Duration::from_secs(2 * 3600));
    DiskCache::open(dir.path(), 0).unwrap().sweep();
    assert!(!old.exists() && new.exists() && !file(dir.path(), 1).exists());
    DiskCache::open(dir.path(), 0).unwrap().clear().unwrap();
    assert!(!new.exists());
    assert!(strangers.iter().all(|path| path.exists()));
}

#[test]
fn clearing_removes_the_archives() {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskCache::open(dir.path(), 1 << 20).unwrap();
    let caches = [&b"a"[..], b"b"].map(|name| disk.archive(&Digest::of(name)));
    caches.iter().for_each(|cache| cache.save(&key(1, b"abc"), b"abc"));
    caches[0].save(&key(2, b"abc"), b"abc");
    let usage = disk.usage().unwrap();
    assert_eq!((usage.archives.len(), usage.chunks(), usage.bytes()), (2, 3, 3 * 4096));
    assert_eq!(disk.clear().unwrap(), usage);
    assert_eq!(disk.usage().unwrap(), Usage::default());
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
    assert!(caches[0].load(&key(1, b"abc")).is_none());
    caches[0].save(&key(1, b"abc"), b"abc");
    assert!(caches[0].load(&key(1, b"abc")).is_some(), "it is made again");
    fs::remove_dir_all(dir.path()).unwrap();
    caches[0].save(&key(1, b"abc"), b"abc");
    assert!(caches[0].load(&key(1, b"abc")).is_some(), "from the top");
}

#[test]
fn a_cache_that_cannot_be_written_keeps_silent() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    // Root may write wherever permissions forbid it, but not into a file as if it were a directory.
    let place = file(dir.path(), 1).parent().unwrap().to_owned();
    fs::write(&place, "").unwrap();
    cache.save(&key(1, b"abc"), b"abc");
    assert!(!cache.holds(1) && cache.load(&key(1, b"abc")).is_none());
    fs::remove_file(&place).unwrap();
    cache.save(&key(1, b"abc"), b"abc");
    assert!(!cache.holds(1), "not tried again so soon");
    open(dir.path(), 1 << 20).save(&key(1, b"abc"), b"abc");
    assert!(place.join("1").exists());
    for nowhere in ["/proc/nowhere", "/dev/null"] {
        assert!(DiskCache::open(Path::new(nowhere), 1 << 20).is_err());
    }
}

#[test]
fn the_directory_is_that_of_the_user() {
    let dir = |vars: &[(&str, &str)]| {
        DiskCache::default_dir(|name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    };
    assert_eq!(dir(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some("/x/lma".into()));
    for unset in ["", "relative"] {
        assert_eq!(dir(&[("HOME", "/h"), ("XDG_CACHE_HOME", unset)]), Some("/h/.cache/lma".into()));
    }
    assert_eq!((dir(&[]), dir(&[("HOME", "")])), (None, None));
}

#[test]
fn threads_that_save_load_evict_and_meddle_do_no_harm() {
    const CHUNKS: u64 = 12;
    let dir = tempfile::tempdir().unwrap();
    let raws: Vec<_> = (0..CHUNKS).map(|number| noise(number, 5000)).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let users: Vec<_> = (0..4usize)
            .map(|thread| {
                // Each with a cache of its own, as processes have: eight files fit.
                let (raws, dir) = (&raws, dir.path());
                scope.spawn(move || {
                    let cache = open(dir, 8 * 8192 * 2);
                    let mut hits = 0;
                    for round in 0..300 {
                        let number = (round * (thread + 3) % CHUNKS as usize) as u64;
                        let raw = &raws[number as usize];
                        match cache.load(&key(number, raw)) {
                            Some(loaded) => {
                                assert!(loaded == *raw);
                                hits += 1;
                            }
                            None => cache.save(&key(number, raw), raw),
                        }
                    }
                    hits
                })
            })
            .collect();
        scope.spawn(|| {
            let disk = DiskCache::open(dir.path(), 1 << 20).unwrap();
            for number in (0..CHUNKS).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let path = file(dir.path(), number);
                match number % 4 {
                    0 => drop(fs::write(&path, "damaged")),
                    1 => drop(File::options().write(true).open(&path).and_then(|file| file.write_all_at(b"x", 70))),
                    2 => drop(fs::remove_file(&path)),
                    _ if number == 3 => drop(disk.clear()),
                    _ => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        let hits: Vec<i32> = users.into_iter().map(|user| user.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(hits.iter().sum::<i32>() > 0, "{hits:?}");
    });
}

/// An archive of a `cm` and a stored chunk.
fn archive(slow: &[u8], fast: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for (raw, choice) in [(slow, CodecId::Cm), (fast, CodecId::Store)] {
        let encoded = codec::encode(raw, Choice::Only(choice), Level::default(), None).unwrap();
        assert_eq!(encoded.codec, choice);
        writer.chunk(&encoded, None, raw.len() as u32, ChunkDigest::of(raw)).unwrap();
    }
    writer.finish().unwrap().0
}

fn read(bytes: Vec<u8>) -> Arc<Reader> {
    Arc::new(Reader::open_or_scan(Arc::new(MemorySource(bytes)), Limits::default()).unwrap())
}

#[test]
fn chunks_of_slow_codecs_are_cached() {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskCache::open(dir.path(), 1 << 20).unwrap();
    let (slow, fast) = (b"text and text again ".repeat(50), b"stored");
    let bytes = archive(&slow, fast);
    let reader = read(bytes.clone());
    let cached = CachedChunks::new(Arc::clone(&reader), disk.archive_of(&reader));
    assert!(!cached.holds(0) && cached.load(0).is_none());
    for _ in 0..2 {
        assert_eq!(*cached.decode(0, &NoModels).unwrap(), slow[..]);
        assert_eq!(*cached.decode(1, &NoModels).unwrap(), fast[..]);
        assert!(cached.decode(2, &NoModels).is_err());
    }
    assert!(cached.holds(0) && !cached.holds(1) && !cached.holds(2));
    assert!(cached.load(0).is_some() && cached.load(1).is_none() && cached.load(2).is_none());
    assert_eq!(disk.usage().unwrap().chunks(), 1);

    // The body in the archive is not read any more, but the head, whose digest decides, is.
    let position = reader.slot(0).unwrap().position as usize;
    let body = reader.stored(0).unwrap().1;
    let at = position + bytes[position..].windows(body.len()).position(|window| window == body).unwrap();
    let damaged = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let reader = read(bytes);
        CachedChunks::new(Arc::clone(&reader), disk.archive_of(&reader))
    };
    assert_eq!(*damaged(at + 9).decode(0, &NoModels).unwrap(), slow[..]);
    assert!(damaged(position + 17).decode(0, &NoModels).is_err());

    let scanned = read(bytes[..bytes.len() - 1].to_vec());
    assert!(disk.archive_of(&scanned).is_none());
    assert_eq!(*CachedChunks::new(scanned, None).decode(0, &NoModels).unwrap(), slow[..]);
}

#[test]
fn archives_that_differ_in_a_chunk_alone_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskCache::open(dir.path(), 1 << 20).unwrap();
    // Texts whose chunks have the same lengths, stored and raw: all that an index tells of them.
    let texts: Vec<_> = (100..200).map(|n| format!("{n} and text again ").repeat(50).into_bytes()).collect();
    let readers: Vec<_> = texts.iter().map(|text| read(archive(text, b"stored"))).collect();
    let alike = readers.iter().filter(|reader| reader.identity() == readers[0].identity()).count();
    assert!(alike > 1, "the case that this test is about");
    for _ in 0..2 {
        for (reader, text) in readers.iter().zip(&texts) {
            let cached = CachedChunks::new(Arc::clone(reader), disk.archive_of(reader));
            assert_eq!(*cached.decode(0, &NoModels).unwrap(), text[..]);
        }
    }
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Truncate(prop::sample::Index),
    Extend(Vec<u8>),
    Replace(Vec<u8>),
    Swap,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<prop::sample::Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<prop::sample::Index>().prop_map(Damage::Truncate),
        prop::collection::vec(any::<u8>(), 1..100).prop_map(Damage::Extend),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Damage::Replace),
        Just(Damage::Swap),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_to_the_files_never_changes_what_is_read(damages in prop::collection::vec((0..3u64, damage()), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let raws = [b"packs well ".repeat(30), noise(1, 500), b"x".to_vec()];
        let cache = open(dir.path(), 1 << 20);
        for (number, raw) in (0..).zip(&raws) {
            cache.save(&key(number, raw), raw);
        }
        for (number, damage) in damages {
            let path = file(dir.path(), number);
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                Damage::Flip(at, bit) if !bytes.is_empty() => { let at = at.index(bytes.len()); bytes[at] ^= 1 << bit; }
                Damage::Truncate(at) if !bytes.is_empty() => bytes.truncate(at.index(bytes.len())),
                Damage::Flip(..) | Damage::Truncate(_) => {}
                Damage::Extend(more) => bytes.extend(more),
                Damage::Replace(with) => bytes = with,
                Damage::Swap => bytes = fs::read(file(dir.path(), (number + 1) % 3)).unwrap(),
            }
            fs::write(&path, bytes).unwrap();
        }
        for (number, raw) in (0..).zip(&raws) {
            let key = key(number, raw);
            match cache.load(&key) {
                Some(loaded) => prop_assert_eq!(&loaded, raw),
                None => prop_assert!(!file(dir.path(), number).exists()),
            }
            cache.save(&key, raw);
            prop_assert_eq!(cache.load(&key), Some(raw.clone()));
        }
    }
}
