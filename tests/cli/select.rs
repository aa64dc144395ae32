//! Choosing what goes in and what comes out.

use std::fs;
use std::path::Path;

use crate::support::{check, expect, feed, lma, run};

/// A small tree and its archive `a.lma`.
fn planted() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in [
        ("t/a.txt", "a"),
        ("t/b.log", "b"),
        ("t/sub/c.txt", "c"),
        ("t/sub/d.log", "d"),
        ("t/.git/config", "vcs"),
        ("t/sub/with space", "e"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    expect(dir.path(), 0, "create a.lma t --codec zstd");
    dir
}

/// The names of regular files in an archive, sorted.
fn files(dir: &Path, archive: &str) -> Vec<String> {
    let json = expect(dir, 0, &format!("list --json {archive}"));
    let entries = json.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut names: Vec<_> = entries
        .filter(|entry| entry["kind"] == "file")
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// The regular files beneath a directory, sorted.
fn found(root: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let mut names: Vec<_> = walk.map(|entry| entry.path().strip_prefix(root).unwrap().display().to_string()).collect();
    names.sort();
    names
}

#[test]
fn create_leaves_out_what_it_is_told_to() {
    let dir = planted();
    expect(dir.path(), 0, "create x.lma t --codec zstd --exclude *.log --exclude-vcs");
    assert_eq!(files(dir.path(), "x.lma"), ["t/a.txt", "t/sub/c.txt", "t/sub/with space"]);
    expect(dir.path(), 0, "create x.lma t --codec zstd --exclude sub --exclude .git");
    assert_eq!(files(dir.path(), "x.lma"), ["t/a.txt", "t/b.log"]);
}

#[test]
fn create_takes_names_from_lists() {
    let dir = planted();
    fs::write(dir.path().join("list"), "t/a.txt\n\nt/sub/with space\n").unwrap();
    expect(dir.path(), 0, "create x.lma -T list --codec zstd");
    assert_eq!(files(dir.path(), "x.lma"), ["t/a.txt", "t/sub/with space"]);
    feed(dir.path(), 0, "create x.lma -T - --null --codec zstd", b"t/b.log\0t/sub/c.txt\0");
    assert_eq!(files(dir.path(), "x.lma"), ["t/b.log", "t/sub/c.txt"]);
    expect(dir.path(), 0, "create x.lma -C t sub --codec zstd");
    assert_eq!(files(dir.path(), "x.lma"), ["sub/c.txt", "sub/d.log", "sub/with space"]);
}

#[test]
fn a_path_that_is_absent_is_no_success() {
    let dir = planted();
    let output = run(dir.path(), "create x.lma t/a.txt absent --codec zstd");
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("absent"));
}

#[test]
fn extract_takes_members_and_lists() {
    let dir = planted();
    expect(dir.path(), 0, "extract a.lma -C one t/sub");
    assert_eq!(found(&dir.path().join("one")), ["t/sub/c.txt", "t/sub/d.log", "t/sub/with space"]);
    expect(dir.path(), 0, "extract a.lma -C two t/sub --exclude *.log");
    assert_eq!(found(&dir.path().join("two")), ["t/sub/c.txt", "t/sub/with space"]);
    feed(dir.path(), 0, "extract a.lma -C three -T - t/b.log", b"t/sub/with space\nt/a.txt\n");
    assert_eq!(found(&dir.path().join("three")), ["t/a.txt", "t/b.log", "t/sub/with space"]);
    // An empty list selects nothing, not everything.
    feed(dir.path(), 1, "extract a.lma -C four -T -", b"");
    assert!(!dir.path().join("four").exists());
    expect(dir.path(), 2, "extract a.lma -C five t/absent");
}

#[test]
fn leading_components_are_dropped() {
    let dir = planted();
    expect(dir.path(), 0, "extract a.lma -C one --strip-components 1");
    assert!(dir.path().join("one/sub/c.txt").exists() && !dir.path().join("one/t").exists());
    expect(dir.path(), 0, "extract a.lma -C two --strip-components 2 t/sub");
    assert_eq!(found(&dir.path().join("two")), ["c.txt", "d.log", "with space"]);
}

#[test]
fn files_that_exist_are_kept_where_asked_for() {
    let dir = planted();
    let old = dir.path().join("out/t/a.txt");
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    fs::write(&old, "old").unwrap();
    let output = run(dir.path(), "extract a.lma -k -C out");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    assert_eq!(fs::read_to_string(&old).unwrap(), "old");
    assert_eq!(fs::read_to_string(dir.path().join("out/t/b.log")).unwrap(), "b");
    expect(dir.path(), 0, "extract a.lma -C out");
    assert_eq!(fs::read_to_string(&old).unwrap(), "a");
}

#[test]
fn names_that_are_not_utf8_can_be_given() {
    use std::os::unix::ffi::OsStrExt;
    let dir = planted();
    let odd = std::ffi::OsStr::from_bytes(b"t/odd\xff");
    fs::write(dir.path().join(odd), "odd").unwrap();
    let output = lma(dir.path()).args(["create", "x.lma", "--codec", "zstd"]).arg(odd).output().unwrap();
    check(&output, 0, "create");
    let output = lma(dir.path()).args(["cat", "x.lma"]).arg(odd).output().unwrap();
    check(&output, 0, "cat");
    assert_eq!(output.stdout, b"odd");
}

#[test]
fn of_files_that_stripping_puts_in_one_place_the_last_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["t/x", "t/y"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("t/x/n"), "first").unwrap();
    // Nothing but a hole: needs no chunk, and is ready before the first one.
    fs::File::create(dir.path().join("t/y/n")).unwrap().set_len(100_000).unwrap();
    expect(dir.path(), 0, "create a.lma t --codec zstd");
    expect(dir.path(), 0, "extract a.lma --strip-components 2 -C out");
    assert_eq!(fs::read(dir.path().join("out/n")).unwrap(), vec![0; 100_000]);
}
