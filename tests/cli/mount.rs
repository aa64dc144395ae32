//! A real mount, where this machine can mount.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::support::{expect, noise, plant, run, text};

/// Whether FUSE is there. With `LMA_TEST_FUSE=1` it has to be.
fn can_mount() -> bool {
    let can = fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    assert!(can || std::env::var_os("LMA_TEST_FUSE").is_none(), "/dev/fuse cannot be opened");
    if !can {
        eprintln!("skipped: /dev/fuse cannot be opened");
    }
    can
}

/// Unmounts when dropped, so that a failed test leaves no mount behind.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if is_mounted(self.0) {
            let _ = Command::new("fusermount3").arg("-uz").arg(self.0).status();
        }
    }
}

fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    table.lines().any(|line| line.split(' ').nth(1) == point.to_str())
}

#[test]
fn a_mount_shows_what_was_archived() {
    if !can_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let tree = plant(&root);
    // diff opens pipes and waits for a writer, and takes dangling links for errors.
    fs::remove_file(tree.join("pipe")).unwrap();
    fs::remove_file(tree.join("docs/dangling")).unwrap();
    expect(&root, 0, "create a.lma tree --codec zstd --chunk-size 16K");
    let point = root.join("mnt");
    fs::create_dir(&point).unwrap();
    expect(&root, 0, "mount a.lma mnt");
    let mounted = Mounted(&point);
    assert!(is_mounted(&point), "the command returns when the mount is live");

    let diff = Command::new("diff").arg("-r").args([&tree, &point.join("tree")]).output().unwrap();
    assert!(diff.status.success() && diff.stdout.is_empty(), "{}", String::from_utf8_lossy(&diff.stdout));
    let denied = fs::write(point.join("tree/new"), "").unwrap_err();
    assert_eq!(denied.raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));

    expect(&root, 0, "unmount mnt");
    assert!(!is_mounted(&point));
    drop(mounted);
}

#[test]
fn reads_are_at_random_and_side_by_side() {
    if !can_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let content = [text(20_000).into_bytes(), noise(300_000, 3)].concat();
    fs::write(root.join("file"), &content).unwrap();
    expect(&root, 0, "create a.lma file --codec zstd --chunk-size 16K");
    let point = root.join("mnt");
    fs::create_dir(&point).unwrap();
    expect(&root, 0, "mount a.lma mnt --cache-size 100K");
    let _mounted = Mounted(&point);
    std::thread::scope(|scope| {
        for reader in 0..16u64 {
            let (point, content) = (&point, &content);
            scope.spawn(move || {
                let file = fs::File::open(point.join("file")).unwrap();
                let starts = noise(60, reader + 77);
                for pair in starts.chunks_exact(2) {
                    let start = usize::from(u16::from_le_bytes([pair[0], pair[1]])) * content.len() / 65_536;
                    let len = 10_000.min(content.len() - start);
                    let mut buf = vec![0; len];
                    file.read_exact_at(&mut buf, start as u64).unwrap();
                    assert!(buf == content[start..start + len], "{start}");
                }
            });
        }
    });
}

#[test]
fn a_model_that_is_absent_is_said_when_mounting() {
    if !can_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.gguf");
    fs::write(root.join("file"), text(50)).unwrap();
    expect(&root, 0, &format!("create a.lma file --codec lm --model {}", tiny.display()));
    let point = root.join("mnt");
    fs::create_dir(&point).unwrap();
    for (model, warned) in [(String::new(), true), (format!(" --model {}", tiny.display()), false)] {
        let output = run(&root, &format!("mount a.lma mnt{model}"));
        let _mounted = Mounted(&point);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), said.contains("LMA_MODEL_PATH")),
            (Some(i32::from(warned)), warned),
            "{said}"
        );
        assert_eq!(fs::read_to_string(point.join("file")).ok(), (!warned).then(|| text(50)));
        expect(&root, 0, "unmount mnt");
    }
}

#[test]
fn mounting_fails_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "content").unwrap();
    expect(dir.path(), 0, "create a.lma file --codec zstd");
    fs::create_dir(dir.path().join("mnt")).unwrap();
    for line in ["mount absent.lma mnt", "mount a.lma absent", "mount a.lma file", "mount -f a.lma absent"] {
        let output = run(dir.path(), line);
        assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
        assert!(!output.stderr.is_empty(), "{line}");
    }
    expect(dir.path(), 3, "mount file mnt");
    expect(dir.path(), 64, "mount a.lma mnt -o rw");
}
