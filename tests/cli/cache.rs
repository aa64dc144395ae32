//! Decoded chunks that are kept on disk between runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{check, expect, lma, run, text};

const CHUNKS: &str = "home/.cache/lma/chunks";

/// An archive `a.lma` of a few chunks of context mixing, and the content of its one file.
fn planted() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let content = text(600);
    fs::write(dir.path().join("f"), &content).unwrap();
    expect(dir.path(), 0, "create a.lma f --codec cm --chunk-size 8K");
    (dir, content.into_bytes())
}

/// The files of the cache.
fn kept(dir: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(dir.join(CHUNKS)).sort_by_file_name().into_iter().filter_map(Result::ok);
    walk.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
}

/// Damages every chunk of the archive, in its last stored bytes.
fn damage(dir: &Path) {
    let mut bytes = fs::read(dir.join("a.lma")).unwrap();
    let marker = [0xb5, b'L', b'm', 0xa1];
    let records: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(&marker)).collect();
    for pair in records.windows(2) {
        if bytes[pair[0] + 4] == 2 {
            bytes[pair[1] - 1] ^= 1;
        }
    }
    fs::write(dir.join("a.lma"), bytes).unwrap();
}

#[track_caller]
fn cat(dir: &Path, line: &str, content: &[u8]) {
    let output = run(dir, line);
    check(&output, 0, line);
    assert!(output.stdout == content, "{line}");
}

#[test]
fn what_was_decoded_once_is_not_decoded_again() {
    let (dir, content) = planted();
    let dir = dir.path();
    cat(dir, "cat a.lma f", &content);
    let files = kept(dir);
    assert!(files.len() > 1, "{files:?}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert!(files.iter().all(|file| mode(file) == 0o600));
    assert_eq!(mode(&dir.join(CHUNKS)), 0o700);

    // Nobody could decode the chunks any more: what is right now comes from the cache.
    damage(dir);
    cat(dir, "cat a.lma f", &content);
    cat(dir, "extract a.lma -O", &content);
    expect(dir, 0, "extract a.lma -C out");
    assert!(fs::read(dir.join("out/f")).unwrap() == content);
    expect(dir, 0, "extract a.lma --to-tar x.tar");
}

#[test]
fn the_cache_is_left_alone_where_it_must_be() {
    let (dir, content) = planted();
    let dir = dir.path();
    expect(dir, 0, "extract a.lma -C out");
    cat(dir, "extract a.lma -O", &content);
    cat(dir, "cat a.lma f --no-cache", &content);
    expect(dir, 0, "test a.lma");
    assert_eq!(kept(dir), Vec::<PathBuf>::new(), "only cat saves");
    cat(dir, "cat a.lma f", &content);
    damage(dir);
    for line in ["test a.lma", "cat a.lma f --no-cache", "extract a.lma -C other --no-cache"] {
        expect(dir, 3, line);
    }
    expect(dir, 0, "create z.lma f --codec zstd");
    let before = kept(dir);
    cat(dir, "cat z.lma f", &content);
    assert_eq!(kept(dir), before, "zstd is fast enough");
}

#[test]
fn a_damaged_cache_changes_nothing() {
    let (dir, content) = planted();
    let dir = dir.path();
    cat(dir, "cat a.lma f", &content);
    let files = kept(dir);
    for (n, file) in files.iter().enumerate() {
        let mut bytes = fs::read(file).unwrap();
        let last = bytes.len() - 1;
        match n % 4 {
            0 => bytes[last] ^= 1,
            1 => bytes.truncate(last),
            2 => bytes = fs::read(&files[n - 1]).unwrap(),
            _ => bytes.clear(),
        }
        fs::write(file, bytes).unwrap();
    }
    expect(dir, 0, "extract a.lma -C out");
    assert!(fs::read(dir.join("out/f")).unwrap() == content);
    assert_eq!(kept(dir), Vec::<PathBuf>::new(), "what was found damaged is removed");
    cat(dir, "cat a.lma f", &content);
    assert_eq!(kept(dir), files);
}

#[test]
fn a_cache_that_cannot_be_had_is_done_without() {
    let (dir, content) = planted();
    let dir = dir.path();
    let cat_with = |home: Option<&Path>| {
        let mut command = lma(dir);
        command.args(["cat", "a.lma", "f"]).env_remove("HOME");
        command.envs(home.map(|home| ("HOME", home)));
        let output = command.output().unwrap();
        check(&output, 0, "cat");
        assert!(output.stdout == content && output.stderr.is_empty(), "{home:?}");
    };
    cat_with(None);
    cat_with(Some(Path::new("relative")));
    cat_with(Some(Path::new("/proc/nowhere")));
    cat_with(Some(&dir.join("f")));
    fs::create_dir_all(dir.join("victim")).unwrap();
    fs::create_dir_all(dir.join("home/.cache/lma")).unwrap();
    symlink(dir.join("victim"), dir.join(CHUNKS)).unwrap();
    cat_with(Some(&dir.join("home")));
    assert_eq!(fs::read_dir(dir.join("victim")).unwrap().count(), 0, "a planted link is not followed");
    expect(dir, 2, "cache");
}

#[test]
fn processes_share_the_cache() {
    let (dir, content) = planted();
    let dir = dir.path();
    for _ in 0..3 {
        let line = ["cat", "a.lma", "f"];
        let children: Vec<_> = (0..8)
            .map(|_| lma(dir).args(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
            .collect();
        let cleared = lma(dir).args(["cache", "--clear"]).output().unwrap();
        check(&cleared, 0, "cache --clear");
        for child in children {
            let output = child.wait_with_output().unwrap();
            check(&output, 0, "cat");
            assert!(output.stdout == content);
        }
    }
    let names: Vec<_> = kept(dir).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert!(names.iter().all(|name| name.to_str().unwrap().parse::<u64>().is_ok()), "{names:?}");
}

#[test]
fn the_cache_is_shown_and_cleared() {
    let (dir, content) = planted();
    let dir = dir.path();
    let shown = |line: &str| serde_json::from_str::<Value>(&expect(dir, 0, line)).unwrap();
    assert_eq!(
        (shown("cache --json")["chunks"].clone(), shown("cache --json")["budget"].clone()),
        (0.into(), (1 << 30).into())
    );
    cat(dir, "cat a.lma f", &content);
    let files = kept(dir).len();
    let json = shown("cache --json");
    assert_eq!((&json["chunks"], &json["archives"][0]["chunks"]), (&files.into(), &files.into()));
    assert_eq!(json["directory"].as_str().unwrap(), dir.join(CHUNKS).to_str().unwrap());
    assert_eq!(json["archives"].as_array().unwrap().len(), 1);
    let text = expect(dir, 0, "cache");
    assert!(text.contains(&format!("{files} chunks")) && text.contains(CHUNKS), "{text}");
    assert_eq!(shown("cache --clear --json")["chunks"], files);
    assert!(expect(dir, 0, "cache --clear").starts_with("removed 0 B in 0 chunks of 0 archives"));
    assert_eq!(kept(dir).len(), 0);
    cat(dir, "cat a.lma f", &content);
}
