//! Mounts in trouble: archives that vanish, shrink and rot beneath them, processes that are killed, readers that go
//! away, and another file system on top. What is read is right or an error, and nothing ever hangs.
#![cfg(all(feature = "cli", feature = "llama", feature = "mount"))]
#![allow(clippy::unwrap_used)]

#[path = "../mount_support/mod.rs"]
mod mount_support;

mod damage;
mod gone;
mod kills;
mod overlay;
mod readers;

use std::fs;
use std::path::Path;

use mount_support::noise;
use mount_support::scene::text;

/// Files of many chunks, small files that share one, a directory, links.
fn plant(root: &Path) {
    fs::create_dir_all(root.join("dir/deep")).unwrap();
    for n in 0..6 {
        fs::write(root.join(format!("text{n}")), text(6011 + 2048 * n, n as u64)).unwrap();
        fs::write(root.join(format!("dir/noise{n}")), noise(9003 + 2500 * n, 50 + n as u64)).unwrap();
    }
    for n in 0..20 {
        fs::write(root.join(format!("dir/deep/small{n}")), text(37 * n, 100 + n as u64)).unwrap();
    }
    std::os::unix::fs::symlink("dir/noise0", root.join("link")).unwrap();
}

/// The files of a tree, by their path beneath it, with what is in them.
fn contents(root: &Path) -> Vec<(String, Vec<u8>)> {
    let files = walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    files.map(|entry| (name(entry.path()), fs::read(entry.path()).unwrap())).collect()
}

/// All files are there, and right.
#[track_caller]
fn assert_right(root: &Path, expected: &[(String, Vec<u8>)]) {
    for (name, bytes) in expected {
        let found = fs::read(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(found == *bytes, "{name} is wrong");
    }
}
