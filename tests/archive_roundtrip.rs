//! Trees with all their metadata, through archives and back.

mod archive_support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use archive_support::*;
use lma::archive::{CreateOptions, ExtractOptions, Input, cat, create, create_file, extract, extract_stream};
use lma::limits::Limits;
use lma::progress::{Interrupt, Silent};
use proptest::prelude::*;

#[test]
fn everything_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    sample_tree(&from);
    let archive = archive(&from, &create_options(4));
    let outcome = extract(&reader(&archive), &models(), &extract_options(&to), &Silent, &Interrupt::default()).unwrap();
    assert_same(&from, &to);
    assert_eq!(outcome.entries as usize, snapshot(&from).len());
    let sparse = fs::metadata(to.join("special/sparse")).unwrap();
    assert!(sparse.blocks() * 512 < sparse.len(), "holes are holes again");
}

#[test]
fn the_bytes_do_not_depend_on_the_workers() {
    let dir = tempfile::tempdir().unwrap();
    sample_tree(dir.path());
    assert!(archive(dir.path(), &create_options(1)) == archive(dir.path(), &create_options(8)));
}

#[test]
fn content_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let (large, small) = (noise(200_000, 3), noise(1000, 4));
    for n in 0..5 {
        fs::write(dir.path().join(format!("large{n}")), &large).unwrap();
        fs::write(dir.path().join(format!("small{n}.txt")), &small).unwrap();
    }
    let archive = archive(dir.path(), &create_options(2));
    assert!(archive.len() < 205_000, "{}", archive.len());
}

#[test]
fn old_files_are_replaced_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(&from).unwrap();
    fs::create_dir_all(&to).unwrap();
    fs::write(from.join("a"), "new").unwrap();
    fs::write(from.join("b"), "new").unwrap();
    fs::write(to.join("a"), "old").unwrap();
    let reader = reader(&archive(&from, &create_options(1)));
    let options = ExtractOptions { keep_old: true, ..extract_options(&to) };
    let outcome = extract(&reader, &models(), &options, &Silent, &Interrupt::default()).unwrap();
    assert_eq!((outcome.warnings, outcome.files), (1, 1));
    assert_eq!(fs::read(to.join("a")).unwrap(), b"old");
    assert_eq!(fs::read(to.join("b")).unwrap(), b"new");
    extract(&reader, &models(), &extract_options(&to), &Silent, &Interrupt::default()).unwrap();
    assert_eq!(fs::read(to.join("a")).unwrap(), b"new");
}

#[test]
fn what_is_kept_needs_nothing_of_its_links() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(&from).unwrap();
    fs::write(from.join("a"), "new").unwrap();
    for link in ["b", "c", "d"] {
        fs::hard_link(from.join("a"), from.join(link)).unwrap();
    }
    let archive = archive(&from, &create_options(1));
    let options = ExtractOptions { keep_old: true, ..extract_options(&to) };
    let extract_kept = |streamed: bool| {
        let interrupt = Interrupt::default();
        if streamed {
            extract_stream(&archive[..], &Limits::default(), &models(), &options, &Silent, &interrupt)
        } else {
            extract(&reader(&archive), &models(), &options, &Silent, &interrupt)
        }
    };
    for streamed in [false, true] {
        let _ = fs::remove_dir_all(&to);
        fs::create_dir_all(&to).unwrap();
        // Other content, and no longer one file: the names that are missing get the content of the archive.
        fs::write(to.join("a"), "old a").unwrap();
        fs::write(to.join("b"), "old b").unwrap();
        assert_eq!(extract_kept(streamed).unwrap().warnings, 2);
        let content = |name: &str| fs::read_to_string(to.join(name)).unwrap();
        assert_eq!(["a", "b", "c", "d"].map(content), ["old a", "old b", "new", "new"]);
        assert_eq!(fs::metadata(to.join("c")).unwrap().ino(), fs::metadata(to.join("d")).unwrap().ino());
        // Once more with everything there.
        assert_eq!(extract_kept(streamed).unwrap().warnings, 4);
        assert_eq!(["a", "b", "c", "d"].map(content), ["old a", "old b", "new", "new"]);
    }
}

#[test]
fn members_are_selected_and_stripped() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    sample_tree(&from);
    let reader = reader(&archive(&from, &create_options(2)));
    let members = vec![b"src/deep".to_vec(), b"links/readme".to_vec(), b"nothing".to_vec()];
    let excludes = vec!["twin2*".into()];
    let options = ExtractOptions { members, excludes, strip_components: 1, ..extract_options(&to) };
    let error = extract(&reader, &models(), &options, &Silent, &Interrupt::default()).unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
    let names: Vec<_> = snapshot(&to).keys().map(|path| path.display().to_string()).collect();
    assert_eq!(names, ["deep", "deep/er", "deep/er/twin1.rs", "readme"]);
    // A link whose target was not asked for brings the content itself.
    assert_eq!(fs::read(to.join("readme")).unwrap(), fs::read(from.join("README.md")).unwrap());
}

#[test]
fn an_archive_in_the_tree_is_not_in_itself() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "x").unwrap();
    let path = dir.path().join("x.lma");
    for _ in 0..2 {
        let inputs = [Input::within(dir.path(), ".")];
        create_file(&path, &inputs, &create_options(1), &Silent, &Interrupt::default()).unwrap();
        let entries = reader(&fs::read(&path).unwrap()).entries().unwrap();
        assert_eq!(entries.iter().map(|entry| entry.path.as_slice()).collect::<Vec<_>>(), [b"a"]);
    }
}

#[test]
fn an_interruption_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    sample_tree(&from);
    let interrupt = Interrupt::default();
    interrupt.raise();
    let path = dir.path().join("x.lma");
    let inputs = [Input::within(&from, ".")];
    assert!(create_file(&path, &inputs, &create_options(2), &Silent, &interrupt).is_err());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|found| found.unwrap().file_name()).collect();
    assert_eq!(names, ["from"]);
    let reader = reader(&archive(&from, &create_options(2)));
    assert!(extract(&reader, &models(), &extract_options(&to), &Silent, &interrupt).is_err());
    assert!(snapshot(&to).keys().all(|path| !path.display().to_string().contains("lma-part")));
}

#[test]
fn what_cannot_be_read_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    fs::write(dir.path().join("a"), "x").unwrap();
    let warnings = Warnings::default();
    let inputs = [Input::within(dir.path(), ".")];
    let outcome = create(&mut Vec::new(), &inputs, &create_options(1), &warnings, &Interrupt::default()).unwrap();
    assert_eq!((outcome.warnings, outcome.entries), (1, 1));
    assert!(warnings.0.lock().unwrap()[0].contains("socket"));
}

/// Delivers its bytes in pieces of odd sizes, as a pipe may.
struct Trickle<'a>(&'a [u8], usize);

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 * 31 % 7919 + 1;
        let len = buf.len().min(self.0.len()).min(self.1);
        buf[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

#[test]
fn everything_comes_back_through_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    sample_tree(&from);
    // Enough small files for several batches, and a copy far from its original.
    fs::create_dir(from.join("many")).unwrap();
    for n in 0..900 {
        fs::write(from.join(format!("many/{n}.txt")), format!("file {n} ").repeat(n % 50)).unwrap();
    }
    fs::copy(from.join("large.txt"), from.join("zzz.unknown")).unwrap();
    let archive = archive(&from, &create_options(4));
    let input = Trickle(&archive, 1);
    let (limits, interrupt) = (Limits::default(), Interrupt::default());
    extract_stream(input, &limits, &models(), &extract_options(&to), &Silent, &interrupt).unwrap();
    assert_same(&from, &to);
    let some = dir.path().join("some");
    let options =
        ExtractOptions { members: vec![b"many/17.txt".to_vec(), b"links".to_vec()], ..extract_options(&some) };
    extract_stream(&archive[..], &limits, &models(), &options, &Silent, &interrupt).unwrap();
    assert_eq!(fs::read(some.join("many/17.txt")).unwrap(), fs::read(from.join("many/17.txt")).unwrap());
    assert_eq!(snapshot(&some).len(), 7);
}

#[test]
fn a_truncated_pipe_gives_what_was_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    for n in 0..100 {
        fs::write(from.join(format!("{n:03}.bin")), noise(200_000, n)).unwrap();
    }
    let archive = archive(&from, &create_options(2));
    let (limits, interrupt) = (Limits::default(), Interrupt::default());
    let cut = &archive[..archive.len() / 2];
    let error = extract_stream(cut, &limits, &models(), &extract_options(&to), &Silent, &interrupt).unwrap_err();
    assert_eq!(error.exit_code(), lma::ExitCode::Corrupt);
    let found = snapshot(&to);
    assert!(found.len() >= 25, "{}", found.len());
    for name in found.keys() {
        assert!(fs::read(from.join(name)).unwrap() == fs::read(to.join(name)).unwrap());
    }
}

#[test]
fn a_damaged_chunk_costs_its_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    for n in 0..10 {
        fs::write(from.join(format!("{n}.bin")), noise(200_000, n)).unwrap();
    }
    let mut archive = archive(&from, &create_options(2));
    let slot = reader(&archive).index().chunks[16];
    archive[slot.position as usize + 1000] ^= 4;
    let reader = reader(&archive);
    let error = extract(&reader, &models(), &extract_options(&to), &Silent, &Interrupt::default()).unwrap_err();
    assert_eq!(error.exit_code(), lma::ExitCode::Corrupt);
    let found = snapshot(&to);
    assert_eq!(found.len(), 9, "{:?}", found.keys());
    for name in found.keys() {
        assert!(fs::read(from.join(name)).unwrap() == fs::read(to.join(name)).unwrap());
    }
    let mut out = Vec::new();
    let error = cat(&reader, &models(), &extract_options(&to), &mut out, &Silent, &Interrupt::default()).unwrap_err();
    assert_eq!(error.exit_code(), lma::ExitCode::Corrupt);
    assert!(out.len() >= 9 * 200_000 && out.len() < 10 * 200_000);
}

#[test]
fn cat_writes_contents_in_order() {
    let dir = tempfile::tempdir().unwrap();
    sample_tree(dir.path());
    let reader = reader(&archive(dir.path(), &create_options(2)));
    let read = |members: &[&str]| {
        let members = members.iter().map(|member| member.as_bytes().to_vec()).collect();
        let options = ExtractOptions { members, workers: 3, ..ExtractOptions::default() };
        let mut out = Vec::new();
        cat(&reader, &models(), &options, &mut out, &Silent, &Interrupt::default()).map(|_| out)
    };
    for path in ["large.txt", "special/sparse", "links/readme", "src/deep/er/twin2.rs", "empty"] {
        assert!(read(&[path]).unwrap() == fs::read(dir.path().join(path)).unwrap(), "{path}");
    }
    let both =
        [fs::read(dir.path().join("README.md")).unwrap(), fs::read(dir.path().join("noise.bin")).unwrap()].concat();
    assert!(read(&["noise.bin", "README.md"]).unwrap() == both);
    assert!(read(&["links/relative"]).is_err());
    assert!(read(&["absent"]).is_err());
}

/// Every read of the archive fails once, and then for good: an error, and no file that is not the original.
#[test]
fn a_disk_that_fails_gives_no_wrong_file() {
    use lma::container::{FaultySource, MemorySource, Reader};
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    for n in 0..6 {
        fs::write(from.join(format!("{n}.bin")), noise(3000 * n, n as u64)).unwrap();
    }
    let archive = archive(&from, &CreateOptions { chunk_size: 4 << 10, ..create_options(1) });
    for persistent in [false, true] {
        let mut failures = 0;
        for n in 0.. {
            let to = dir.path().join(format!("{persistent}{n}"));
            let source = FaultySource::new(MemorySource(archive.clone()), n, persistent);
            let done = Reader::open(std::sync::Arc::new(source), Limits::default()).map_err(lma::Error::from).and_then(
                |reader| {
                    let reader = std::sync::Arc::new(reader);
                    extract(&reader, &models(), &extract_options(&to), &Silent, &Interrupt::default())
                },
            );
            for name in if to.exists() { snapshot(&to).into_keys().collect() } else { vec![] } {
                assert!(fs::read(from.join(&name)).unwrap() == fs::read(to.join(&name)).unwrap(), "{n} {name:?}");
            }
            if done.is_ok() {
                assert_same(&from, &to);
                break;
            }
            failures += 1;
        }
        assert!(failures > 10, "{failures}");
    }
}

type Files = std::collections::BTreeMap<String, (u8, usize, u64, Option<usize>)>;

fn files() -> impl Strategy<Value = Files> {
    let sizes = prop_oneof![Just(0usize), 1usize..100, 900usize..1400, 1000usize..9000];
    let file = (0u8..4, sizes, 0u64..4, prop::option::of(0usize..20_000));
    prop::collection::btree_map("[a-c]{1,2}(/[a-c]{1,2}){0,2}\\.(rs|md|bin)", file, 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Sizes around the edges of chunks, equal contents, holes anywhere.
    #[test]
    fn any_tree_comes_back(files in files()) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        for (path, (kind, len, seed, hole)) in &files {
            let path = from.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let content = if *kind == 0 { vec![b'x'; *len] } else { noise(*len, *seed) };
            let file = fs::File::create(&path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &content, hole.unwrap_or(0) as u64).unwrap();
        }
        let options = CreateOptions { chunk_size: 1 << 10, ..create_options(3) };
        let bytes = archive(&from, &options);
        let limits = Limits::default();
        extract_stream(&bytes[..], &limits, &models(), &extract_options(&to), &Silent, &Interrupt::default()).unwrap();
        assert_same(&from, &to);
        for slot in &reader(&bytes).index().chunks {
            prop_assert!(slot.raw_len <= 1280);
        }
    }
}
