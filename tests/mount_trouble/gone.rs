//! Archives that are deleted, replaced, truncated or carried away beneath a mount, and mounts side by side.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use super::mount_support::is_mounted;
use super::mount_support::scene::{Random, Scene, run, skipped, wait};
use super::{assert_right, contents, plant};

const OPTIONS: &str = "--codec zstd --chunk-size 8K";

#[test]
fn two_mounts_of_one_archive_do_not_touch_each_other() {
    let scene = Scene::of(plant, OPTIONS);
    let expected = contents(&scene.original());
    let (first, second) = (scene.mount("a.lma"), scene.mount_on("a.lma", "second", "--cache-size 20K"));
    let third = scene.mount_on("a.lma", "third", "");
    let read_both = |roots: [&Path; 2]| {
        thread::scope(|scope| {
            for seed in 0..6 {
                let expected = &expected;
                scope.spawn(move || {
                    let mut order: Vec<_> = (0..expected.len()).collect();
                    Random(seed).shuffle(&mut order);
                    for n in order {
                        assert_right(roots[seed as usize % 2], &expected[n..=n]);
                    }
                });
            }
        });
    };
    read_both([first.path(), second.path()]);
    first.kill();
    read_both([second.path(), third.path()]);
    third.unmount();
    assert_right(second.path(), &expected);
    second.unmount();
}

#[test]
fn a_deleted_archive_is_read_to_the_end() {
    let scene = Scene::of(plant, OPTIONS);
    let expected = contents(&scene.original());
    let live = scene.mount("a.lma");
    assert_right(live.path(), &expected[..3]);
    fs::remove_file(scene.root().join("a.lma")).unwrap();
    assert_right(live.path(), &expected);
    live.unmount();
}

#[test]
fn a_replaced_archive_is_read_as_it_was() {
    let scene = Scene::of(plant, OPTIONS);
    let expected = contents(&scene.original());
    let live = scene.mount("a.lma");
    fs::create_dir(scene.root().join("other")).unwrap();
    fs::write(scene.root().join("other/text0"), "another archive").unwrap();
    scene.create("b.lma", "other", "--codec zstd");
    fs::rename(scene.root().join("b.lma"), scene.root().join("a.lma")).unwrap();
    assert_right(live.path(), &expected);
    live.unmount();
    let live = scene.mount("a.lma");
    assert_eq!(fs::read_to_string(live.path().join("text0")).unwrap(), "another archive");
    live.unmount();
}

/// The program writes an archive that exists already as a new one too.
#[test]
fn an_archive_that_is_made_anew_beneath_its_mount_is_read_as_it_was() {
    let scene = Scene::of(plant, OPTIONS);
    let expected = contents(&scene.original());
    let live = scene.mount("a.lma");
    assert_right(live.path(), &expected[..2]);
    fs::create_dir(scene.root().join("other")).unwrap();
    fs::write(scene.root().join("other/file"), "x").unwrap();
    scene.create("a.lma", "other", "--codec zstd");
    assert_right(live.path(), &expected);
    live.unmount();
}

#[test]
fn an_archive_whose_directory_vanishes_is_read_to_the_end() {
    let scene = Scene::of(plant, OPTIONS);
    let expected = contents(&scene.original());
    let away = scene.subdir("away");
    fs::copy(scene.root().join("a.lma"), away.join("a.lma")).unwrap();
    // By a path that is relative to a directory that will not be there.
    let point = scene.subdir("mnt");
    let mut command = scene.lma(&["mount", "a.lma", point.to_str().unwrap()]);
    assert!(command.current_dir(&away).status().unwrap().success());
    let live = scene.adopt("mnt");
    fs::remove_dir_all(&away).unwrap();
    assert_right(live.path(), &expected);
    live.unmount();
}

#[test]
fn an_archive_on_a_file_system_that_is_detached_is_read_to_the_end() {
    let scene = Scene::of(plant, OPTIONS);
    let expected = contents(&scene.original());
    let disk = scene.subdir("disk");
    if !rustix::process::geteuid().is_root() {
        return skipped("detached file systems: only root may mount one");
    }
    run(scene.root(), "mount -t tmpfs -o size=4m tmpfs disk && cp a.lma disk/");
    let live = scene.mount("disk/a.lma");
    assert_right(live.path(), &expected[..3]);
    run(scene.root(), "umount -l disk");
    assert!(!is_mounted(&disk) && !disk.join("a.lma").exists());
    assert_right(live.path(), &expected);
    live.unmount();
}

/// Right or `EIO`; how many files were which.
fn read_all(root: &Path, expected: &[(String, Vec<u8>)]) -> (usize, usize) {
    let (mut right, mut lost) = (0, 0);
    for (name, bytes) in expected {
        match fs::read(root.join(name)) {
            Ok(found) => {
                assert!(found == *bytes, "{name} is wrong");
                right += 1;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EIO), "{name}");
                lost += 1;
            }
        }
    }
    (right, lost)
}

#[test]
fn what_a_truncated_archive_has_lost_is_an_error_until_it_is_back() {
    let scene = Scene::of(plant, OPTIONS);
    let expected = contents(&scene.original());
    let whole = fs::read(scene.root().join("a.lma")).unwrap();
    let archive = File::options().write(true).open(scene.root().join("a.lma")).unwrap();
    for keep in [whole.len() / 2, 1000, 0] {
        archive.write_all_at(&whole, 0).unwrap();
        let live = scene.mount("a.lma");
        let early = &expected[..1];
        assert_right(live.path(), early);
        archive.set_len(keep as u64).unwrap();
        let (right, lost) = read_all(live.path(), &expected);
        assert!(lost > 0, "{keep} bytes of {}", whole.len());
        assert_eq!(right > early.len(), keep > 1000, "{right} files of {keep} bytes");
        assert_right(live.path(), early);
        // Names and metadata were read before.
        assert_eq!(walkdir::WalkDir::new(live.path()).into_iter().filter(|e| e.is_ok()).count(), expected.len() + 4);
        assert!(live.is_served());
        if keep == 0 {
            // What is back is read again, once the failure is no longer remembered.
            archive.write_all_at(&whole, 0).unwrap();
            let right = |(name, bytes): &(String, Vec<u8>)| fs::read(live.path().join(name)).is_ok_and(|b| b == *bytes);
            wait("what is back to be read", || expected.iter().all(right));
        }
        live.unmount();
    }
}
