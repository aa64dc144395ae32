//! The program itself, run in a directory of its own: trees, archives of them, live mounts, readers that are killed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lma::container::{FileSource, Reader};
use lma::limits::Limits;
use rustix::process::{Pid, Signal, kill_process};

use super::{assert_fuse, is_mounted};

/// How long a process that was killed may live on, whatever its read waits for.
pub const GONE_WITHIN: Duration = Duration::from_secs(1);

/// What anything else may take before it is taken for stuck.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers that look random and are the same in every run (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is above 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Words that compress as text does, and that never repeat as a whole.
pub fn text(len: usize, seed: u64) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "archive", "chunk", "of", "the", "needle", "mount", "reads", "and", "a", "model", "page", "with", "kernel",
        "byte", "is", "in", "decoder", "stream", "or", "file", "that", "waits", "for", "cache",
    ];
    let mut random = Random(seed);
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        out.extend_from_slice(WORDS[random.below(24) as usize].as_bytes());
        match random.below(9) {
            0 => out.extend_from_slice(format!(" {}.\n", random.below(100_000)).as_bytes()),
            _ => out.push(b' '),
        }
    }
    out.truncate(len);
    out
}

/// Says what is not tested here, past the test harness, which shows nothing of a test that passes.
pub fn skipped(why: &str) {
    drop(writeln!(std::io::stderr(), "\nSKIPPED: {why}"));
}

/// Fails where a tool of the tests is missing.
#[track_caller]
pub fn need(tools: &[&str]) {
    for tool in tools {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(tool).is_file()));
        assert!(found, "these tests need {tool}; `scripts/deps.sh test` installs it");
    }
}

/// Runs a line of shell in a directory, in a surrounding that is the same for everybody.
pub fn sh(dir: &Path, line: &str) -> Output {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("set -o pipefail\n{line}")]).current_dir(dir).stdin(Stdio::null());
    for (name, value) in [
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_AUTHOR_DATE", "2024-01-01T00:00:00Z"),
        ("GIT_COMMITTER_DATE", "2024-01-01T00:00:00Z"),
    ] {
        command.env(name, value);
    }
    command.output().unwrap()
}

/// Runs a line that must succeed, and gives its standard output.
#[track_caller]
pub fn run(dir: &Path, line: &str) -> Vec<u8> {
    let output = sh(dir, line);
    assert!(output.status.success(), "{line}\nin {dir:?}: {}\n{:.2000}", output.status, said(&output));
    output.stdout
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until it is so.
#[track_caller]
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Where everything of one test lies.
pub struct Scene {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl Scene {
    /// An empty one.
    pub fn new() -> Self {
        assert_fuse();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        Self { _dir: dir, root }
    }

    /// With a tree `original` and its archive `a.lma`.
    pub fn of(plant: impl FnOnce(&Path), options: &str) -> Self {
        let scene = Self::new();
        plant(&scene.subdir("original"));
        scene.create("a.lma", "original", options);
        scene
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn original(&self) -> PathBuf {
        self.root.join("original")
    }

    /// A new directory.
    pub fn subdir(&self, name: &str) -> PathBuf {
        let dir = self.root.join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// The program, with a home of its own: no model of this machine's user is found.
    pub fn lma(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("lma"));
        command.args(args).current_dir(&self.root).env_clear().env("HOME", &self.root).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Archives what is in a tree; names in the archive begin beneath it.
    #[track_caller]
    pub fn create(&self, archive: &str, tree: &str, options: &str) {
        let line = format!("create {archive} -q -C {tree} . {options}");
        let output = self.lma(&line.split_whitespace().collect::<Vec<_>>()).output().unwrap();
        assert!(output.status.success(), "lma {line}: {}", said(&output));
    }

    /// The archive as a library sees it.
    pub fn reader(&self, archive: &str) -> Reader {
        let file = fs::File::open(self.root.join(archive)).unwrap();
        Reader::open(Arc::new(FileSource::new(file)), Limits::default()).unwrap()
    }

    /// Mounts on `mnt`, in the background, as people do.
    #[track_caller]
    pub fn mount(&self, archive: &str) -> Live {
        self.mount_on(archive, "mnt", "")
    }

    #[track_caller]
    pub fn mount_on(&self, archive: &str, name: &str, options: &str) -> Live {
        let point = self.subdir_unless_stale(name);
        let mut args = vec!["mount", archive, point.to_str().unwrap()];
        args.extend(options.split_whitespace());
        let output = self.lma(&args).output().unwrap();
        assert!(output.status.success(), "lma {}: {}", args.join(" "), said(&output));
        self.adopt(name)
    }

    /// What is mounted there already.
    #[track_caller]
    pub fn adopt(&self, name: &str) -> Live {
        let point = self.root.join(name);
        assert!(is_mounted(&point), "the command returns when the mount is live");
        let server = servers(&point);
        assert_eq!(server.len(), 1, "one process serves {point:?}");
        Live { point, server: server[0] }
    }

    /// As [`Scene::subdir`], but what a killed process has left on it is for the program to clear away.
    fn subdir_unless_stale(&self, name: &str) -> PathBuf {
        let point = self.root.join(name);
        if !is_mounted(&point) {
            fs::create_dir_all(&point).unwrap();
        }
        point
    }
}

impl Drop for Scene {
    /// Nothing that a failed test leaves mounted may be deleted through, or outlive it.
    fn drop(&mut self) {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut points: Vec<_> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        points.retain(|point| Path::new(point).starts_with(&self.root));
        for point in points.into_iter().rev() {
            servers(Path::new(point)).into_iter().for_each(|pid| signal(pid, Signal::KILL));
            // The first is for everybody, the second for what is not FUSE's.
            if !Command::new("fusermount3").args(["-uqz", point]).status().is_ok_and(|status| status.success()) {
                drop(Command::new("umount").args(["-l", point]).status());
            }
        }
    }
}

/// The processes that serve a mount: its directory is among their arguments.
fn servers(point: &Path) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    let serves = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = line.split(|&byte| byte == 0);
        arguments.nth(1) == Some(b"mount")
            && arguments.any(|argument| Some(argument) == point.to_str().map(str::as_bytes))
    };
    processes.filter(serves).collect()
}

/// A process that is gone already is what was wanted.
pub fn signal(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// A live mount.
pub struct Live {
    point: PathBuf,
    server: i32,
}

impl Live {
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// The process that serves it runs.
    pub fn is_served(&self) -> bool {
        servers(&self.point) == [self.server]
    }

    /// Kills the process that serves it, and leaves the rest as it is.
    pub fn kill(self) {
        signal(self.server, Signal::KILL);
        wait("a killed process to be gone", || servers(&self.point).is_empty());
    }

    /// Ends it by the program's own command, and makes sure that nothing is left. The kernel lets go of a file
    /// some time after its last reader has, and until then the answer may be that it is busy.
    #[track_caller]
    pub fn unmount(self) {
        assert!(self.is_served(), "the process that serves {:?} has died", self.point);
        let start = Instant::now();
        loop {
            let mut command = Command::new(assert_cmd::cargo::cargo_bin!("lma"));
            let output = command.arg("unmount").arg(&self.point).output().unwrap();
            if output.status.success() {
                break;
            }
            assert!(said(&output).contains("busy") && start.elapsed() < PATIENCE, "{}", said(&output));
            thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_mounted(&self.point));
        wait("the process of an unmounted archive to end", || servers(&self.point).is_empty());
    }
}

/// A program that reads.
pub struct Running {
    child: Child,
    line: String,
}

impl Running {
    /// Starts a line of arguments, separated by spaces. SIGINT kills it even where the tests themselves ignore it.
    pub fn start(dir: &Path, line: &str) -> Self {
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").args(line.split_whitespace()).current_dir(dir).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, line: line.into() }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Whether it sleeps in a function of the kernel with one of these in its name.
    pub fn waits_in(&self, functions: &[&str]) -> bool {
        let channel = fs::read_to_string(format!("/proc/{}/wchan", self.child.id())).unwrap_or_default();
        functions.iter().any(|function| channel.contains(function))
    }

    /// Kills it; how long it lived on, and what it was.
    pub fn kill(mut self, kind: Signal) -> (Duration, String) {
        let start = Instant::now();
        signal(self.child.id() as i32, kind);
        wait("a killed reader to be gone", || self.child.try_wait().unwrap().is_some());
        (start.elapsed(), std::mem::take(&mut self.line))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// None of the readers that were killed lived on for longer than [`GONE_WITHIN`].
#[track_caller]
pub fn assert_gone_in_time(mut killed: Vec<(Duration, String)>) {
    killed.sort();
    let worst = killed.last().expect("readers were killed");
    assert!(worst.0 < GONE_WITHIN, "killed, `{}` lived on for {:?}", worst.1, worst.0);
}
