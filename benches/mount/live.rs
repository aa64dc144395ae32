//! A mount that lives as long as its value.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::common::Failure;

/// The program under test.
pub(crate) const LMA: &str = env!("CARGO_BIN_EXE_lma");

/// How long a mount may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mounted archive with its daemon in the foreground.
pub(crate) struct Live {
    daemon: Child,
    dir: TempDir,
}

/// Where decoded chunks go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Disk<'a> {
    /// Nowhere.
    None,
    /// Below this folder.
    At(&'a Path),
}

/// What the daemon says of itself in `.lma-status`, where it does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Status {
    pub(crate) chunks: Option<f64>,
    pub(crate) decoded: Option<f64>,
    pub(crate) requested: Option<f64>,
}

/// Whether `lma mount` knows an option.
pub(crate) fn knows(option: &str) -> bool {
    let help = Command::new(LMA).args(["mount", "--help"]).output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(option))
}

impl Live {
    /// Mounts and waits until the mount is there.
    ///
    /// # Errors
    /// The program's.
    pub(crate) fn mount(archive: &Path, disk: Disk<'_>) -> Result<Self, Failure> {
        let dir = TempDir::new()?;
        let mut command = Command::new(LMA);
        command.args(["mount", "--foreground"]);
        command.args(Some("--status").filter(|option| knows(option)));
        match disk {
            Disk::None => drop(command.args(Some("--no-cache").filter(|option| knows(option)))),
            Disk::At(folder) => drop(command.env("XDG_CACHE_HOME", folder)),
        }
        let outside = dir.path().metadata()?.dev();
        let daemon = command.arg(archive).arg(dir.path()).stdin(Stdio::null()).spawn()?;
        let mut live = Self { daemon, dir };
        let deadline = Instant::now() + PATIENCE;
        while live.path().metadata()?.dev() == outside {
            if live.daemon.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!("{} does not mount", archive.display()).into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(live)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Processor time of the daemon so far, in seconds, and bytes of memory: now, and at most.
    pub(crate) fn cost(&self) -> (f64, f64, f64) {
        cost(self.daemon.id())
    }

    pub(crate) fn status(&self) -> Status {
        let text = std::fs::read_to_string(self.file(".lma-status")).unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let field = |name: &str| value.get(name).and_then(serde_json::Value::as_f64);
        Status { chunks: field("chunks_decoded"), decoded: field("bytes_decoded"), requested: field("bytes_requested") }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        unmount(self.path());
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.daemon.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Dead already, unless a decode takes longer than that.
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

impl Status {
    /// What was added since an earlier one.
    pub(crate) fn since(self, before: Self) -> Self {
        let less = |now: Option<f64>, before: Option<f64>| Some(now? - before?);
        Self {
            chunks: less(self.chunks, before.chunks),
            decoded: less(self.decoded, before.decoded),
            requested: less(self.requested, before.requested),
        }
    }
}

/// Unmounts, at once or as soon as nothing is open.
pub(crate) fn unmount(dir: &Path) {
    for options in [&["-u", "-q"][..], &["-u", "-q", "-z"]] {
        if Command::new("fusermount3").args(options).arg(dir).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        {
            return;
        }
    }
}

/// Of a process: seconds of processor time, bytes in memory now, and at most.
pub(crate) fn cost(process: u32) -> (f64, f64, f64) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
    let stat = read("stat");
    let ticks = stat.rsplit_once(')').map_or(0, |(_, fields)| {
        fields.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    });
    let status = read("status");
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0)
    };
    (ticks as f64 / 100.0, kib("VmRSS:") * 1024.0, kib("VmHWM:") * 1024.0)
}
