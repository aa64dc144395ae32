//! Trees with all their metadata, through archives and back.

mod archive_support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use archive_support::*;
use lma::archive::{ExtractOptions, Input, create, create_file, extract};
use lma::progress::{Interrupt, Silent};

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
