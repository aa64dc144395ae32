//! Damaged archives: what is wrong is named, all else is saved, and scripts are told.

use std::fs;
use std::path::Path;

use crate::support::{check, expect, feed, noise, run};

const FILES: usize = 6;
const LEN: usize = 20_000;

/// An archive of files `f/0` to `f/5`, each stored in a chunk of its own.
fn planted(dir: &Path) -> Vec<u8> {
    fs::create_dir(dir.join("f")).unwrap();
    for n in 0..FILES {
        fs::write(dir.join("f").join(n.to_string()), noise(LEN, n as u64 * 2 + 101)).unwrap();
    }
    expect(dir, 0, "create a.lma f --codec store --chunk-size 16K");
    fs::read(dir.join("a.lma")).unwrap()
}

/// Where a file's content stands in the archive, and the file's name.
fn position_of(dir: &Path, archive: &[u8], n: usize) -> usize {
    let content = fs::read(dir.join("f").join(n.to_string())).unwrap();
    archive.windows(64).position(|window| window == &content[..64]).unwrap()
}

#[test]
fn a_flipped_byte_is_named_by_chunk_and_file_and_the_rest_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = planted(dir.path());
    let victim = 3;
    let at = position_of(dir.path(), &archive, victim);
    archive[at + 10] ^= 1;
    fs::write(dir.path().join("bad.lma"), &archive).unwrap();

    let said = expect(dir.path(), 3, "test bad.lma");
    assert!(said.contains("chunk ") && said.contains(&format!("f/{victim}")), "{said}");
    let json: serde_json::Value = serde_json::from_str(&expect(dir.path(), 3, "test --json bad.lma")).unwrap();
    assert_eq!(json["good"], false);
    let bad: Vec<_> = json["files_bad"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert!(bad.contains(&format!("f/{victim}").as_str()), "{bad:?}");

    // Extracting saves all other files and still reports the damage.
    expect(dir.path(), 3, "extract bad.lma -C out");
    compare(dir.path(), "out", &bad);
    // The files that are whole can be asked for without an error.
    let other = (0..FILES).map(|n| format!("f/{n}")).find(|name| !bad.contains(&name.as_str())).unwrap();
    let output = run(dir.path(), &format!("cat bad.lma {other}"));
    check(&output, 0, "cat");
    assert!(output.stdout == fs::read(dir.path().join(&other)).unwrap());
    expect(dir.path(), 3, &format!("cat bad.lma f/{victim}"));

    let output = run(dir.path(), "recover bad.lma good.lma");
    check(&output, 1, "recover");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("f/{victim}")));
    expect(dir.path(), 0, "test good.lma");
    expect(dir.path(), 0, "extract good.lma -C saved");
    compare(dir.path(), "saved", &bad);
}

/// Beneath `out` is every file but the bad ones, with the right content.
#[track_caller]
fn compare(dir: &Path, out: &str, bad: &[&str]) {
    assert!(bad.len() < FILES);
    for name in (0..FILES).map(|n| format!("f/{n}")) {
        let copy = fs::read(dir.join(out).join(&name)).ok();
        if bad.contains(&name.as_str()) {
            assert_ne!(copy, Some(fs::read(dir.join(&name)).unwrap()), "{name} cannot be whole");
        } else {
            assert!(copy == Some(fs::read(dir.join(&name)).unwrap()), "{name}");
        }
    }
}

#[test]
fn recovering_never_replaces_what_it_recovers_from() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = planted(dir.path());
    archive[3000] ^= 1;
    fs::write(dir.path().join("bad.lma"), &archive).unwrap();
    fs::hard_link(dir.path().join("bad.lma"), dir.path().join("again.lma")).unwrap();
    for good in ["bad.lma", "./bad.lma", "again.lma"] {
        let output = run(dir.path(), &format!("recover bad.lma {good}"));
        check(&output, 64, good);
        assert!(String::from_utf8_lossy(&output.stderr).contains("another name"));
    }
    assert!(fs::read(dir.path().join("bad.lma")).unwrap() == archive);
    fs::write(dir.path().join("text"), "precious").unwrap();
    let output = run(dir.path(), "recover bad.lma text");
    check(&output, 2, "text");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the damaged archive comes first"));
}

#[test]
fn a_lost_index_is_rebuilt_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = planted(dir.path());
    let end = archive.len();
    archive[end - 1] ^= 1;
    fs::write(dir.path().join("bad.lma"), &archive).unwrap();
    let output = run(dir.path(), "list bad.lma");
    check(&output, 3, "list");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expect(dir.path(), 0, "list a.lma"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("warning"));
    expect(dir.path(), 3, "test bad.lma");
    expect(dir.path(), 3, "extract bad.lma -C out");
    compare(dir.path(), "out", &[]);
    let code = run(dir.path(), "recover bad.lma good.lma").status.code();
    assert!(matches!(code, Some(0 | 1)), "{code:?}");
    expect(dir.path(), 0, "test good.lma");
    expect(dir.path(), 0, "extract good.lma -C saved");
    compare(dir.path(), "saved", &[]);
}

#[test]
fn a_truncated_archive_is_never_taken_for_a_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let archive = planted(dir.path());
    for keep in [archive.len() - 1, archive.len() / 2, 100, 24] {
        let bad = &archive[..keep];
        fs::write(dir.path().join("bad.lma"), bad).unwrap();
        expect(dir.path(), 3, "test bad.lma");
        expect(dir.path(), 3, &format!("extract bad.lma -C out{keep}"));
        feed(dir.path(), 3, &format!("extract - -C piped{keep}"), bad);
        feed(dir.path(), 3, "test -", bad);
    }
}

#[test]
fn recovering_a_whole_archive_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    planted(dir.path());
    let json: serde_json::Value = serde_json::from_str(&expect(dir.path(), 0, "recover --json a.lma b.lma")).unwrap();
    assert_eq!((&json["chunks_lost"], &json["entries_lost"]), (&serde_json::json!([]), &0.into()));
    expect(dir.path(), 0, "test b.lma");
    expect(dir.path(), 0, "extract b.lma -C out");
    compare(dir.path(), "out", &[]);
}
