//! A mount as the lower directory of an overlay: everything can be changed, and the archive stays as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::mount_support::is_mounted;
use super::mount_support::scene::{Scene, run, sh, skipped, wait};
use super::{assert_right, contents, plant};

/// An overlay over `lower`; its changes lie on a file system in memory, since not every one will do.
struct Overlay {
    merged: PathBuf,
    mount: String,
}

impl Overlay {
    /// `None` where this process may not mount, which is said.
    fn over(scene: &Scene, lower: &Path) -> Option<Self> {
        let changes = scene.subdir("changes");
        let merged = scene.subdir("merged");
        let memory = sh(scene.root(), "mount -t tmpfs -o size=16m tmpfs changes");
        if !memory.status.success() {
            skipped(&format!("overlays: {}", String::from_utf8_lossy(&memory.stderr)));
            return None;
        }
        fs::create_dir(changes.join("upper")).unwrap();
        fs::create_dir(changes.join("work")).unwrap();
        let (lower, changes) = (lower.display(), changes.display());
        let options = format!("lowerdir={lower},upperdir={changes}/upper,workdir={changes}/work");
        let mount = format!("mount -t overlay -o {options} overlay {}", merged.display());
        let output = sh(scene.root(), &mount);
        if !output.status.success() {
            let known = fs::read_to_string("/proc/filesystems").unwrap();
            assert!(!known.contains("\toverlay"), "{}", String::from_utf8_lossy(&output.stderr));
            skipped("overlays: this kernel has none");
            return None;
        }
        Some(Self { merged, mount })
    }

    /// Takes it down and up again: nothing is in the kernel's memory.
    fn again(&self) {
        run(Path::new("/"), &format!("umount {}", self.merged.display()));
        run(Path::new("/"), &self.mount);
    }
}

#[test]
fn an_overlay_changes_everything_and_the_archive_nothing() {
    let scene = Scene::of(plant, "--codec zstd --chunk-size 8K");
    let expected = contents(&scene.original());
    let live = scene.mount("a.lma");
    let Some(overlay) = Overlay::over(&scene, live.path()) else { return live.unmount() };
    let merged = &overlay.merged;
    let same = format!("diff -r --no-dereference {} .", scene.original().display());
    run(merged, &same);

    // The same changes here and in a copy of the tree.
    run(scene.root(), "cp -a original copy");
    for root in [merged.clone(), scene.root().join("copy")] {
        for line in [
            "echo appended >>text0",
            "printf middle | dd of=text1 bs=1 seek=9999 conv=notrunc status=none",
            "truncate -s 5000 dir/noise1",
            "truncate -s 100000 dir/noise2",
            "echo new >dir/noise3",
            "rm text2 && rm -r dir/deep",
            "mkdir dir/deep && echo other >dir/deep/small1",
            "mv text3 dir/moved && mv dir moved-dir",
            "chmod 4750 text4 && touch -d 2020-02-02 text5",
            "ln text4 hard && ln -s hard soft && echo through >>hard",
        ] {
            run(&root, line);
        }
    }
    let changed = format!("diff -r --no-dereference {}/copy .", scene.root().display());
    run(merged, &changed);
    overlay.again();
    run(merged, &changed);
    assert_eq!(fs::metadata(merged.join("hard")).unwrap().permissions().mode() & 0o7777, 0o4750);
    assert!(!sh(merged, &same).status.success(), "the changes are seen");

    assert_right(live.path(), &expected);
    run(live.path(), &same);

    // The overlay keeps what lies beneath it, and with it the process, also when its directory is free again.
    overlay.again();
    assert!(scene.lma(&["unmount", "mnt"]).status().unwrap().success());
    assert!(!is_mounted(live.path()) && live.is_served());
    run(merged, &changed);
    run(scene.root(), "umount merged && umount changes");
    wait("the process to end", || !live.is_served());
}

#[test]
fn a_change_in_an_overlay_of_a_file_that_is_damaged_fails_and_leaves_it() {
    let scene = Scene::of(plant, "--codec store --chunk-size 8K");
    let victim = fs::read(scene.original().join("dir/noise5")).unwrap();
    let mut archive = fs::read(scene.root().join("a.lma")).unwrap();
    let at = archive.windows(64).position(|window| *window == victim[20_000..20_064]).unwrap();
    archive[at] ^= 0x10;
    fs::write(scene.root().join("a.lma"), archive).unwrap();
    let live = scene.mount("a.lma");
    let Some(overlay) = Overlay::over(&scene, live.path()) else { return live.unmount() };
    for _ in 0..2 {
        let error = fs::File::options().append(true).open(overlay.merged.join("dir/noise5")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        assert!(!scene.root().join("changes/upper/dir/noise5").exists(), "no half copy");
    }
    run(&overlay.merged, "echo appended >>dir/noise4 && rm dir/noise5");
    run(scene.root(), "umount merged && umount changes");
    live.unmount();
}
