//! What goes in comes out: by files, by pipes, by tar.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{assert_same, check, expect, feed, lma, plant, run, snapshot};

fn archive(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("a.lma")).unwrap()
}

#[test]
fn a_tree_comes_back_whole() {
    for choice in ["--codec zstd", "--codec store", "--codec cm", "-1", "-3", "--fast"] {
        let dir = tempfile::tempdir().unwrap();
        let tree = plant(dir.path());
        expect(dir.path(), 0, &format!("create a.lma tree {choice}"));
        assert!(expect(dir.path(), 0, "test a.lma").starts_with("good: "));
        expect(dir.path(), 0, "extract a.lma -p -C out");
        assert_same(&tree, &dir.path().join("out/tree"));
    }
}

#[test]
fn identical_files_are_stored_once_and_text_is_compressed() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path());
    expect(dir.path(), 0, "create a.lma tree --codec zstd");
    // 200,000 bytes of noise, two copies of 230,000 bytes of text, 3 MiB of holes.
    assert!(archive(dir.path()).len() < 270_000, "{}", archive(dir.path()).len());
}

#[test]
fn archives_travel_through_pipes() {
    let dir = tempfile::tempdir().unwrap();
    let tree = plant(dir.path());
    let piped = run(dir.path(), "create - tree --codec zstd");
    check(&piped, 0, "create -");
    expect(dir.path(), 0, "create a.lma tree --codec zstd");
    assert_eq!(piped.stdout, archive(dir.path()), "a pipe and a file get the same bytes");

    feed(dir.path(), 0, "extract - -p -C out", &piped.stdout);
    assert_same(&tree, &dir.path().join("out/tree"));
    // Commands that need random access take pipes too.
    let names = feed(dir.path(), 0, "list -", &piped.stdout);
    assert_eq!(names, expect(dir.path(), 0, "list a.lma").into_bytes());
    assert!(feed(dir.path(), 0, "test -", &piped.stdout).starts_with(b"good: "));
    assert!(feed(dir.path(), 0, "info -", &piped.stdout).starts_with(b"archive "));
    let small = feed(dir.path(), 0, "cat - tree/docs/deep/er/small.rs", &piped.stdout);
    assert_eq!(small, b"fn main() {}\n");
}

#[test]
fn two_programs_are_joined_by_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let tree = plant(dir.path());
    let mut create = lma(dir.path());
    let mut create = create.args(["create", "-", "tree", "--codec", "zstd"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut extract = lma(dir.path());
    extract.args(["extract", "-", "-p", "-C", "out"]).stdin(create.stdout.take().unwrap());
    check(&extract.output().unwrap(), 0, "extract -");
    assert!(create.wait().unwrap().success());
    assert_same(&tree, &dir.path().join("out/tree"));
}

#[test]
fn tar_goes_in_and_out() {
    let dir = tempfile::tempdir().unwrap();
    let tree = plant(dir.path());
    let tar =
        Command::new("tar").current_dir(dir.path()).args(["--xattrs", "-Scf", "in.tar", "tree"]).status().unwrap();
    assert!(tar.success());
    expect(dir.path(), 0, "create a.lma --from-tar in.tar --codec zstd");
    expect(dir.path(), 0, "extract a.lma -p -C out");
    // GNU tar keeps whole seconds only, unless it is told to write pax headers.
    let names = |root: &Path| snapshot(root).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&tree), names(&dir.path().join("out/tree")));

    // The other way, and through our own reader again: nothing is lost.
    expect(dir.path(), 0, "create b.lma tree --codec zstd");
    let out = run(dir.path(), "extract b.lma --to-tar -");
    check(&out, 0, "extract --to-tar -");
    let again = feed(dir.path(), 0, "create - --from-tar - --codec zstd", &out.stdout);
    feed(dir.path(), 0, "extract - -p -C again", &again);
    assert_same(&tree, &dir.path().join("again/tree"));
    fs::write(dir.path().join("out.tar"), &out.stdout).unwrap();
    fs::create_dir(dir.path().join("by tar")).unwrap();
    let mut tar = Command::new("tar");
    let status = tar.current_dir(dir.path()).args(["--xattrs", "-xpf", "out.tar", "-C", "by tar"]).status().unwrap();
    assert!(status.success());
    assert_same(&tree, &dir.path().join("by tar/tree"));
}

#[test]
fn threads_and_streams_do_not_change_a_byte() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path());
    let bytes = |options: &str| {
        expect(dir.path(), 0, &format!("create a.lma tree --codec zstd --chunk-size 16K {options}"));
        archive(dir.path())
    };
    let first = bytes("--threads 1 --streams 4");
    assert_eq!(first, bytes("--threads 2 --streams 32"));
    assert_ne!(first, bytes("--threads 1 --chunk-size 32K").as_slice(), "the chunk size does");
}

#[test]
fn listings_are_for_people_and_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path());
    expect(dir.path(), 0, "create a.lma tree --codec zstd");
    let names = expect(dir.path(), 0, "list a.lma");
    assert!(names.lines().any(|line| line == r"tree/odd \xff\n\x1b[31m name"), "{names}");
    assert!(!names.contains('\x1b'));
    let raw = run(dir.path(), "list a.lma -0").stdout;
    assert!(raw.split(|&byte| byte == 0).any(|name| name == b"tree/odd \xff\n\x1b[31m name"));

    let long = expect(dir.path(), 0, "list -l a.lma");
    assert_eq!(long.lines().count(), names.lines().count());
    let line = long.lines().find(|line| line.contains("dangling")).unwrap();
    assert!(line.starts_with('l') && line.ends_with("tree/docs/dangling -> ../absent"), "{line}");
    assert!(long.lines().any(|line| line.starts_with("-rw") && line.contains(" 3145728 ")), "{long}");

    let json = expect(dir.path(), 0, "list --json a.lma tree/docs");
    let entries: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = entries.iter().find(|entry| entry["path"] == "tree/docs/text.txt").unwrap();
    assert_eq!((&text["kind"], &text["mtime"]["nanos"]), (&"file".into(), &123_456_789.into()));
    assert!(entries.iter().all(|entry| entry["path"].as_str().unwrap().starts_with("tree/docs")));
    expect(dir.path(), 2, "list a.lma absent");
}

#[test]
fn info_adds_up() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path());
    expect(dir.path(), 0, "create a.lma tree --codec zstd");
    assert!(expect(dir.path(), 0, "info a.lma").contains("codec zstd"));
    let info: serde_json::Value = serde_json::from_str(&expect(dir.path(), 0, "info a.lma --json")).unwrap();
    let len = archive(dir.path()).len();
    assert_eq!((&info["archive_len"], &info["model_adjusted_len"]), (&len.into(), &len.into()));
    assert_eq!((&info["index"]["whole"], &info["entries"]["fifo"]), (&true.into(), &1.into()));
    let stored: u64 = info["codecs"].as_array().unwrap().iter().map(|codec| codec["stored"].as_u64().unwrap()).sum();
    assert!(stored > 200_000 && stored < len as u64);
    assert_eq!(info["models"], serde_json::json!([]));
}

#[test]
fn content_goes_to_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let tree = plant(dir.path());
    expect(dir.path(), 0, "create a.lma tree --codec zstd");
    let text = fs::read(tree.join("docs/text.txt")).unwrap();
    for line in
        ["cat a.lma tree/docs/text.txt", "extract a.lma -O tree/docs/text.txt", "cat a.lma ./tree//docs/text.txt"]
    {
        let output = run(dir.path(), line);
        check(&output, 0, line);
        assert!(output.stdout == text, "{line}");
    }
    assert_eq!(expect(dir.path(), 0, "cat a.lma tree/docs/linked.sh"), "#!/bin/sh\n");
    expect(dir.path(), 2, "cat a.lma tree/absent");
}

#[test]
fn pipes_get_no_progress_and_verbose_names_members() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path());
    let output = run(dir.path(), "create a.lma tree --codec zstd");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{:?}", String::from_utf8_lossy(&output.stderr));
    let output = run(dir.path(), "extract -v a.lma -C out");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("tree/docs/text.txt\n") && !said.contains('\x1b'), "{said}");
}
