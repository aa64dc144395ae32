//! The background process of a mount: it tells when it is live, it ends when asked to, and what is
//! left of one that was killed does not stand in the way.
#![cfg(all(feature = "cli", feature = "mount"))]
#![allow(clippy::unwrap_used)]

mod mount_support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mount_support::{Packed, assert_fuse, is_mounted, source_tree};
use tempfile::TempDir;

struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        assert_fuse();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("original")).unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        source_tree(&dir.path().join("original"));
        fs::write(dir.path().join("a.lma"), Packed::of(&dir.path().join("original")).archive()).unwrap();
        Self { dir }
    }

    fn mnt(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn lma(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("lma"));
        command.args(args).current_dir(self.dir.path()).env("XDG_CACHE_HOME", self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.lma(args).output().unwrap()
    }

    fn assert_live(&self) {
        assert!(is_mounted(&self.mnt()));
        for path in ["sizes/4097", "many/file049", "deep/a/b/c/d/e/f/leaf"] {
            assert_eq!(
                fs::read(self.mnt().join(path)).unwrap(),
                fs::read(self.dir.path().join("original").join(path)).unwrap()
            );
        }
    }

    /// The processes that serve this scene: they run in its directory.
    fn servers(&self) -> Vec<i32> {
        let here = self.dir.path().canonicalize().unwrap();
        let processes = fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
        processes.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == here)).collect()
    }

    fn wait_until_gone(&self) {
        wait("the mount to go", || !is_mounted(&self.mnt()) && self.servers().is_empty());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if is_mounted(&self.mnt()) {
            drop(Command::new("fusermount3").args(["-u", "-z"]).arg(self.mnt()).status());
        }
    }
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited 20 s for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_command_returns_when_the_mount_is_live_and_unmount_ends_the_process() {
    let scene = Scene::new();
    // `output` waits for the end of both pipes: the background process must have let go of them.
    let output = scene.run(&["mount", "a.lma", "mnt"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((said(&output), output.stdout.len()), (String::new(), 0));
    scene.assert_live();
    let servers = scene.servers();
    assert_eq!(servers.len(), 1);
    let stat = fs::read_to_string(format!("/proc/{}/stat", servers[0])).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!(fields[3], servers[0].to_string(), "it leads a session of its own: {stat}");
    for fd in 0..3 {
        assert_eq!(fs::read_link(format!("/proc/{}/fd/{fd}", servers[0])).unwrap(), Path::new("/dev/null"));
    }
    let output = scene.run(&["unmount", "mnt"]);
    assert!(output.status.success(), "{}", said(&output));
    scene.wait_until_gone();
}

#[test]
fn a_signal_unmounts() {
    for (foreground, kind) in [
        (false, rustix::process::Signal::TERM),
        (true, rustix::process::Signal::INT),
        (true, rustix::process::Signal::HUP),
    ] {
        let scene = Scene::new();
        let mut child = if foreground {
            let child = scene.lma(&["mount", "-f", "a.lma", "mnt"]).spawn().unwrap();
            wait("the mount", || is_mounted(&scene.mnt()));
            Some(child)
        } else {
            assert!(scene.run(&["mount", "a.lma", "mnt"]).status.success());
            None
        };
        scene.assert_live();
        signal(child.as_ref().map_or_else(|| scene.servers()[0], |c| c.id() as i32), kind);
        if let Some(child) = &mut child {
            assert!(child.wait().unwrap().success());
        }
        scene.wait_until_gone();
    }
}

#[test]
fn a_signal_ends_the_process_even_while_files_are_open() {
    let scene = Scene::new();
    assert!(scene.run(&["mount", "a.lma", "mnt"]).status.success());
    let open = File::open(scene.mnt().join("sizes/4097")).unwrap();
    signal(scene.servers()[0], rustix::process::Signal::TERM);
    scene.wait_until_gone();
    drop(open);
}

#[test]
fn what_a_killed_process_leaves_is_replaced() {
    let scene = Scene::new();
    assert!(scene.run(&["mount", "a.lma", "mnt"]).status.success());
    signal(scene.servers()[0], rustix::process::Signal::KILL);
    wait("the process to die", || scene.servers().is_empty());
    assert!(fs::metadata(scene.mnt()).is_err(), "nobody answers");
    let output = scene.run(&["mount", "a.lma", "mnt"]);
    assert!(output.status.success(), "{}", said(&output));
    scene.assert_live();
    assert!(scene.run(&["unmount", "mnt"]).status.success());
    scene.wait_until_gone();
}

#[test]
fn a_mount_that_fails_says_why_and_leaves_nothing() {
    let scene = Scene::new();
    fs::write(scene.dir.path().join("bad.lma"), b"no archive").unwrap();
    for (args, code, why) in [
        (["mount", "a.lma", "original"], 2, "not empty"),
        (["mount", "a.lma", "a.lma"], 2, "not a directory"),
        (["mount", "a.lma", "absent"], 2, "No such file"),
        (["mount", "absent.lma", "mnt"], 2, "No such file"),
        (["mount", "bad.lma", "mnt"], 3, "not an lma archive"),
    ] {
        let output = scene.run(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(why), "{args:?}: {}", said(&output));
        assert_eq!(said(&output).lines().filter(|l| l.starts_with("lma: ") && !l.contains("hint")).count(), 1);
    }
    assert!(!is_mounted(&scene.mnt()) && scene.servers().is_empty());
}

#[test]
fn what_is_in_the_way_of_mounting_and_unmounting_is_said() {
    let scene = Scene::new();
    let refused = |args: &[&str], why: &str| {
        let output = scene.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(why), "{args:?}: {}", said(&output));
    };
    refused(&["unmount", "mnt"], "nothing is mounted there");
    refused(&["unmount", "absent"], "No such file");
    assert!(scene.run(&["mount", "a.lma", "mnt"]).status.success());
    refused(&["mount", "a.lma", "mnt"], "mounted there already; `lma unmount`");
    let open = File::open(scene.mnt().join("sizes/4097")).unwrap();
    refused(&["unmount", "mnt"], "files in it are open");
    drop(open);
    // The kernel closes a file of a mount some time after the program does.
    wait("the file to be closed", || scene.run(&["unmount", "mnt"]).status.success());
    scene.wait_until_gone();
}

#[test]
fn two_mounts_of_one_archive_stand_side_by_side() {
    let scene = Scene::new();
    let second = scene.dir.path().join("second");
    fs::create_dir(&second).unwrap();
    assert!(scene.run(&["mount", "a.lma", "mnt"]).status.success());
    assert!(scene.run(&["mount", "a.lma", "second"]).status.success());
    assert_eq!(scene.servers().len(), 2);
    assert!(scene.run(&["unmount", "mnt"]).status.success());
    assert_eq!(fs::read(second.join("deep/a/b/c/d/e/f/leaf")).unwrap(), b"leaf\n");
    assert!(scene.run(&["unmount", "second"]).status.success());
    scene.wait_until_gone();
}
