//! Bytes: the first ones, random ones, and all of them.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Effort;
use super::archives::{Archives, CROWD, many};
use super::common::{Failure, size_name, table};
use super::figures::{Samples, mebibytes, number, rate, seconds};
use super::live::{Disk, LMA, Live, knows};

/// Bytes of a random read.
const PAGE: usize = 4096;

/// How a file's first bytes are asked for.
const WAYS: [(&str, Option<usize>); 3] =
    [("pread of 1 byte", Some(1)), ("pread of 4096 bytes", Some(4096)), ("head -n1", None)];

/// Time to the first byte of a file whose chunk nobody has read.
///
/// # Errors
/// A mount or a read that fails.
pub(crate) fn first_byte(archives: &Archives, effort: &Effort) -> Result<String, Failure> {
    let mut rows = vec![Vec::from(["", "cold", "warm model"].map(String::from))];
    for (name, way) in WAYS {
        let (mut cold, mut warm) = (Samples::default(), Samples::default());
        for _ in 0..effort.slow_runs {
            let live = Live::mount(&archives.texts, Disk::None)?;
            let file = |number: usize| live.file("texts").join(many(number));
            cold.time(first(&file(2), way)?);
            // Far from the first, for it to be in no chunk that was read ahead.
            warm.time(first(&file(CROWD - 2), way)?);
        }
        rows.push(vec![name.into(), cold.cell(seconds), warm.cell(seconds)]);
    }
    Ok(format!(
        "\n## First byte\n\nEnglish text, chunks of {}, the built-in model. Cold: the first read of a mount; warm: another chunk was \
         read before.\n\n{}",
        size_name(archives.chunk),
        table(&rows)
    ))
}

fn first(path: &Path, way: Option<usize>) -> Result<Duration, Failure> {
    let started = Instant::now();
    match way {
        Some(len) => File::open(path)?.read_exact_at(&mut vec![0; len], 0)?,
        None => {
            let head = Command::new("head").arg("-n1").arg(path).stdout(Stdio::null()).status()?;
            if !head.success() {
                return Err(format!("head {}: {head}", path.display()).into());
            }
        }
    }
    Ok(started.elapsed())
}

/// Reads of 4 KiB at places that have no order.
struct Random<'a> {
    archives: &'a Archives,
    /// Of a linear congruential generator.
    state: u64,
}

impl Random<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % bound
    }

    /// Times of `count` reads. Each goes to a daemon, not to pages that the kernel has kept.
    fn read(&mut self, live: &Live, count: usize) -> Result<Samples, Failure> {
        let mut times = Samples::default();
        let mut page = [0; PAGE];
        for _ in 0..count {
            let file = File::open(live.file("texts").join(many(self.below(CROWD))))?;
            let offset = self.below(self.archives.chunk / PAGE) * PAGE;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
            let started = Instant::now();
            file.read_exact_at(&mut page, offset as u64)?;
            times.time(started.elapsed());
        }
        Ok(times)
    }
}

/// Random reads: cold, from memory, and from a disk cache where there is one.
///
/// # Errors
/// A mount or a read that fails.
pub(crate) fn random(archives: &Archives, effort: &Effort) -> Result<String, Failure> {
    const WARM: usize = 2000;
    let head = ["", "median", "99 %", "reads", "chunks decoded a read", "decoded / requested", "CPU", "memory at most"];
    let mut rows = vec![Vec::from(head.map(String::from))];
    let mut row = |name: &str, live: &Live, count: usize, seed: u64| -> Result<(), Failure> {
        let (before, cpu) = (live.status(), live.cost().0);
        let [median, most] = Random { archives, state: seed }.read(live, count)?.tail();
        let spent = live.status().since(before);
        let (after, _, memory) = live.cost();
        let cell = |value: Option<f64>| value.map_or("-".into(), number);
        let wanted = spent.requested.filter(|&bytes| bytes > 0.0);
        rows.push(vec![
            name.into(),
            median,
            most,
            count.to_string(),
            cell(spent.chunks.map(|chunks| chunks / count as f64)),
            cell(spent.decoded.zip(wanted).map(|(decoded, wanted)| decoded / wanted)),
            seconds(after - cpu),
            mebibytes(memory),
        ]);
        Ok(())
    };
    {
        let live = Live::mount(&archives.texts, Disk::None)?;
        row("cold", &live, effort.cold_reads, 1)?;
        read_all(&live)?;
        row("warm in memory", &live, WARM, 2)?;
    }
    if knows("--no-cache") {
        let folder = TempDir::new_in(archives.folder())?;
        let live = Live::mount(&archives.texts, Disk::At(folder.path()))?;
        read_all(&live)?;
        drop(live);
        let live = Live::mount(&archives.texts, Disk::At(folder.path()))?;
        row("warm on disk", &live, CROWD, 3)?;
    }
    let note = "Cold reads: the first are of chunks that nobody has read, later ones may hit.";
    Ok(format!(
        "\n## Random reads of 4 KiB\n\n{CROWD} files of {} each. {note}\n\n{}",
        size_name(archives.chunk),
        table(&rows)
    ))
}

fn read_all(live: &Live) -> Result<(), Failure> {
    (0..CROWD).try_for_each(|number| sequential(&live.file("texts").join(many(number))).map(drop))
}

/// Reads a file from front to back; bytes and time.
fn sequential(path: &Path) -> Result<(u64, Duration), Failure> {
    let started = Instant::now();
    let (mut file, mut buf, mut bytes) = (File::open(path)?, vec![0; 128 << 10], 0);
    loop {
        match file.read(&mut buf)? {
            0 => return Ok((bytes, started.elapsed())),
            read => bytes += read as u64,
        }
    }
}

/// A large file from front to back, beside `lma extract` of the whole archive.
///
/// # Errors
/// A mount, a read or an extraction that fails.
pub(crate) fn whole(archives: &Archives, effort: &Effort) -> Result<String, Failure> {
    let head = ["", "bytes", "mount", "extract", "mount / extract", "again", "CPU", "memory at most"];
    let mut rows = vec![Vec::from(head.map(String::from))];
    let files = [
        ("text, the built-in model", &archives.texts, "texts/text.txt", effort.slow_runs.min(2)),
        ("zstd", &archives.big, "big", effort.slow_runs),
    ];
    for (name, archive, path, runs) in files {
        let (mut mount, mut extract, mut again) = (Samples::default(), Samples::default(), Samples::default());
        let (mut cpu, mut memory, mut size) = (Samples::default(), Samples::default(), 0);
        for _ in 0..runs {
            let live = Live::mount(archive, Disk::None)?;
            let (bytes, took) = sequential(&live.file(path))?;
            size = bytes;
            mount.push(bytes as f64 / took.as_secs_f64());
            cpu.push(live.cost().0);
            memory.push(live.cost().2);
            // The first time after the first has the pages that the kernel kept.
            let (bytes, took) = sequential(&live.file(path))?;
            again.push(bytes as f64 / took.as_secs_f64());
            drop(live);
            let folder = TempDir::new_in(archives.folder())?;
            let started = Instant::now();
            let done = Command::new(LMA)
                .arg("extract")
                .arg("-q")
                .arg(archive)
                .arg("-C")
                .arg(folder.path())
                .arg(path)
                .status()?;
            if !done.success() {
                return Err(format!("extract {}: {done}", archive.display()).into());
            }
            extract.push(bytes as f64 / started.elapsed().as_secs_f64());
        }
        let ratio = mount.median().zip(extract.median()).map_or("-".into(), |(mount, extract)| number(mount / extract));
        rows.push(vec![
            name.into(),
            size.to_string(),
            mount.cell(rate),
            extract.cell(rate),
            ratio,
            again.cell(rate),
            cpu.cell(seconds),
            memory.cell(mebibytes),
        ]);
    }
    Ok(format!(
        "\n## A file from front to back\n\nReads of 128 KiB, each run on a fresh mount; beside `lma extract` of that file, from start \
         to end of the process. `again`: the same file a second time. CPU: the daemon's, for the first time.\n\n{}",
        table(&rows)
    ))
}
