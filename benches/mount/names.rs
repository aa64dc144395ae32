//! Names: how soon a mount answers, and how many names it tells in a second; beside other file systems.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use super::Effort;
use super::archives::{self, Archives, DIRS, FILES, PARTS};
use super::common::{Failure, table};
use super::figures::{Samples, mebibytes, per_second, seconds};
use super::live::{LMA, cost, unmount};
use super::trivial::Trivial;

/// Files that are asked for one by one.
const STATS: usize = 2000;

const OURS: &str = "lma";
const BARE: &str = "bare fuser";

/// What is measured of one file system.
#[derive(Default)]
struct Measured {
    mount: Samples,
    stat: Samples,
    walk: Samples,
    find: Samples,
    find_stat: Samples,
    again: Samples,
    cpu: Samples,
    memory: Samples,
}

/// A file system with the tree of names.
struct Contender<'a> {
    name: &'static str,
    /// Program and arguments before the directory; none is the trivial one of this benchmark.
    command: Option<(PathBuf, Vec<&'a Path>)>,
    /// Path of the tree in the mount.
    below: &'static str,
}

/// The rows of all file systems that are installed.
///
/// # Errors
/// A mount that fails.
pub(crate) fn report(archives: &Archives, effort: &Effort) -> Result<String, Failure> {
    let mut contenders = vec![Contender {
        name: OURS,
        command: Some((LMA.into(), vec![Path::new("mount"), &archives.names])),
        below: "tree",
    }];
    if let (Some(image), Some(program)) = (&archives.names_squash, installed("squashfuse")) {
        contenders.push(Contender { name: "squashfuse", command: Some((program, vec![image])), below: "" });
    }
    if let (Some(tar), Some(program)) = (&archives.names_tar, installed("ratarmount")) {
        contenders.push(Contender { name: "ratarmount", command: Some((program, vec![tar])), below: "tree" });
    }
    contenders.push(Contender { name: BARE, command: None, below: "" });
    let mut rows = vec![Vec::from(
        ["", "mount", "stat", "readdir", "find", "find -size", "again", "CPU", "memory"].map(String::from),
    )];
    for contender in contenders {
        // The first mount of some writes an index, which is theirs to keep.
        drop(contender.mount()?);
        let mut measured = Measured::default();
        let ours = matches!(contender.name, OURS | BARE);
        for _ in 0..if ours { effort.runs } else { effort.peer_runs } {
            contender.measure(&mut measured)?;
        }
        rows.push(vec![
            contender.name.into(),
            measured.mount.cell(seconds),
            measured.stat.cell(seconds),
            measured.walk.cell(per_second),
            measured.find.cell(per_second),
            measured.find_stat.cell(per_second),
            measured.again.cell(per_second),
            measured.cpu.cell(seconds),
            measured.memory.cell(mebibytes),
        ]);
    }
    Ok(format!(
        "\n## Names\n\n{} entries. `mount`: from starting the program to the `stat` of one file, its archive in the page cache. \
         `stat`: each of {STATS} files all over the tree, the kernel knowing none. `readdir`, `find`, `find -size` \
         (which stats each file): names a second, each on a fresh mount. `again`: `find -size` once more. CPU of the \
         daemon for both, and its memory at their end. `bare fuser` answers from arithmetic and keeps nothing: what the \
         protocol costs.\n\n{}",
        archives::ENTRIES,
        table(&rows)
    ))
}

/// The program's path.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

impl Contender<'_> {
    /// Mounts in the background, as a user would.
    fn mount(&self) -> Result<Mount, Failure> {
        let dir = TempDir::new()?;
        let Some((program, arguments)) = &self.command else {
            let trivial = Trivial::mount(dir.path())?;
            return Ok(Mount { dir, trivial: Some(trivial) });
        };
        let status = Command::new(program)
            .args(arguments)
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("{} does not mount: {status}", self.name).into());
        }
        Ok(Mount { dir, trivial: None })
    }

    fn measure(&self, measured: &mut Measured) -> Result<(), Failure> {
        let started = Instant::now();
        let mount = self.mount()?;
        let root = mount.dir.path().join(self.below);
        fs::metadata(root.join(archives::name(DIRS / 2, 0, 0)))?;
        measured.mount.time(started.elapsed());

        let paths: Vec<_> = (0..STATS).map(|n| spread(&root, n)).collect();
        let started = Instant::now();
        for path in &paths {
            fs::metadata(path)?;
        }
        measured.stat.push(started.elapsed().as_secs_f64() / STATS as f64);
        drop(mount);

        let mount = self.mount()?;
        let started = Instant::now();
        let count = walk(mount.dir.path())?;
        measured.walk.push(count as f64 / started.elapsed().as_secs_f64());
        drop(mount);

        let mount = self.mount()?;
        measured.find.push(find(mount.dir.path(), &[])?);
        drop(mount);

        let mount = self.mount()?;
        let daemon = daemon(mount.dir.path());
        let before = cost(daemon).0;
        measured.find_stat.push(find(mount.dir.path(), &["-size", "-1000000"])?);
        measured.again.push(find(mount.dir.path(), &["-size", "-1000000"])?);
        let (cpu, memory, _) = cost(daemon);
        // The trivial one has no process of its own.
        if mount.trivial.is_none() {
            measured.cpu.push(cpu - before);
            measured.memory.push(memory);
        }
        Ok(())
    }
}

struct Mount {
    dir: TempDir,
    trivial: Option<Trivial>,
}

impl Drop for Mount {
    fn drop(&mut self) {
        unmount(self.dir.path());
    }
}

/// The newest process with the directory among its arguments.
fn daemon(dir: &Path) -> u32 {
    let dir = dir.as_os_str().as_encoded_bytes();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let serves = |process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.split(|&b| b == 0).any(|argument| argument == dir)
    };
    numbers.filter(serves).max().unwrap_or(0)
}

/// A file all over the tree, never the same for numbers below the count of files.
fn spread(root: &Path, number: usize) -> PathBuf {
    let at = number * 7919 % (DIRS * PARTS * FILES);
    root.join(archives::name(at / (PARTS * FILES), at / FILES % PARTS, at % FILES))
}

/// Reads all directories, stats nothing; the number of names.
fn walk(root: &Path) -> Result<usize, Failure> {
    let (mut count, mut todo) = (0, vec![root.to_path_buf()]);
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            count += 1;
            if entry.file_type()?.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Ok(count)
}

/// Names a second.
fn find(root: &Path, tests: &[&str]) -> Result<f64, Failure> {
    let started = Instant::now();
    let output = Command::new("find").arg(root).args(tests).stderr(Stdio::inherit()).output()?;
    let took = started.elapsed().as_secs_f64();
    let count = output.stdout.iter().filter(|&&byte| byte == b'\n').count();
    if count < archives::ENTRIES {
        return Err(format!("find has seen {count} names of {}", archives::ENTRIES).into());
    }
    Ok(count as f64 / took)
}
