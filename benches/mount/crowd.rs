//! Many readers at once, names while they wait, and readers that are killed.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Effort;
use super::archives::{Archives, CROWD, IDLE_DIRS, IDLE_FILES, idle, many};
use super::common::{Failure, size_name, table};
use super::figures::{Samples, mebibytes, number, seconds};
use super::live::{Disk, Live};

/// Readers of one file.
const OF_ONE: usize = 32;

/// How long readers get to reach the daemon.
const HEAD_START: Duration = Duration::from_millis(100);

/// Reads each file on a thread of its own; the time until the last is done.
fn together(live: &Live, files: impl Iterator<Item = usize>) -> Result<Duration, Failure> {
    let started = Instant::now();
    let read = |number: usize| {
        let path = live.file("texts").join(many(number));
        thread::spawn(move || fs::read(path).map(drop))
    };
    let readers: Vec<_> = files.map(read).collect();
    for reader in readers {
        reader.join().map_err(|_| "a reader panicked")??;
    }
    Ok(started.elapsed())
}

/// Readers of different files and of one.
///
/// # Errors
/// A mount or a read that fails.
pub(crate) fn readers(archives: &Archives, effort: &Effort) -> Result<String, Failure> {
    let head = ["readers", "time", "chunks decoded", "decoded / requested", "CPU", "memory at most"];
    let mut rows = vec![Vec::from(head.map(String::from))];
    let kinds: [(&str, Vec<usize>); 2] =
        [("16 of different files", (0..CROWD).collect()), ("32 of one file", vec![CROWD / 2; OF_ONE])];
    for (name, files) in kinds {
        let mut samples: [Samples; 5] = Default::default();
        for _ in 0..effort.slow_runs {
            let live = Live::mount(&archives.texts, Disk::None)?;
            let before = live.status();
            samples[0].time(together(&live, files.iter().copied())?);
            // The last bytes are served a moment before their chunk is counted.
            thread::sleep(HEAD_START);
            let spent = live.status().since(before);
            let wanted = spent.requested.filter(|&bytes| bytes > 0.0);
            spent.chunks.into_iter().for_each(|chunks| samples[1].push(chunks));
            spent.decoded.zip(wanted).into_iter().for_each(|(decoded, wanted)| samples[2].push(decoded / wanted));
            samples[3].push(live.cost().0);
            samples[4].push(live.cost().2);
        }
        let [time, chunks, ratio, cpu, memory] = samples;
        rows.push(vec![
            name.into(),
            time.cell(seconds),
            chunks.cell(number),
            ratio.cell(number),
            cpu.cell(seconds),
            memory.cell(mebibytes),
        ]);
    }
    Ok(format!(
        "\n## Many readers\n\nEach reads the whole of its file; files and chunks of {}.\n\n{}",
        size_name(archives.chunk),
        table(&rows)
    ))
}

/// Names that nobody has asked for, while all workers decode.
///
/// # Errors
/// A mount or a read that fails.
pub(crate) fn names_meanwhile(archives: &Archives) -> Result<String, Failure> {
    let mut rows = vec![Vec::from(["", "median", "99 %", "samples"].map(String::from))];
    for busy in [false, true] {
        let live = Live::mount(&archives.texts, Disk::None)?;
        let (mut stats, mut finds) = (Samples::default(), Samples::default());
        let (mut stats_taken, mut finds_taken) = (0, 0);
        thread::scope(|scope| -> Result<(), Failure> {
            let crowd = busy.then(|| scope.spawn(|| together(&live, 0..CROWD)));
            thread::sleep(HEAD_START);
            let waiting = || crowd.as_ref().is_none_or(|crowd| !crowd.is_finished());
            let root = live.file("texts");
            // Half of the directories each: what was told once is never asked for again.
            let names = (0..IDLE_DIRS / 2).flat_map(|dir| (0..IDLE_FILES).map(move |file| idle(dir, file)));
            for name in names.take_while(|_| waiting()) {
                let started = Instant::now();
                fs::metadata(root.join(name))?;
                stats.time(started.elapsed());
                stats_taken += 1;
            }
            for dir in (IDLE_DIRS / 2..IDLE_DIRS).take_while(|_| waiting()) {
                let started = Instant::now();
                let dir = root.join(format!("idle/{dir:02}"));
                Command::new("find").arg(dir).args(["-size", "+1"]).stdout(Stdio::null()).status()?;
                finds.time(started.elapsed());
                finds_taken += 1;
            }
            match crowd.map(thread::ScopedJoinHandle::join) {
                Some(Ok(read)) => read.map(drop),
                Some(Err(_)) => Err("a reader panicked".into()),
                None => Ok(()),
            }
        })?;
        let state = if busy { "while 16 readers wait" } else { "nobody reads" };
        for (what, samples, count) in [("stat", stats, stats_taken), ("find", finds, finds_taken)] {
            let [median, most] = samples.tail();
            rows.push(vec![format!("{what}, {state}"), median, most, count.to_string()]);
        }
    }
    Ok(format!(
        "\n### Names meanwhile\n\n`stat` of one file; `find` in one directory of {IDLE_FILES} files, the start of the process \
         included.\n\n{}",
        table(&rows)
    ))
}

/// How long a reader that waits for a decode lives on after a signal.
///
/// # Errors
/// A mount that fails; a reader that had nothing to wait for.
pub(crate) fn killed(archives: &Archives, effort: &Effort) -> Result<String, Failure> {
    let mut rows = vec![Vec::from(["signal", "gone after"].map(String::from))];
    for signal in ["KILL", "INT"] {
        let mut times = Samples::default();
        for run in 0..effort.slow_runs {
            let live = Live::mount(&archives.texts, Disk::None)?;
            let path = live.file("texts").join(many(3 + run));
            let mut reader = Command::new("cat").arg(path).stdout(Stdio::null()).spawn()?;
            thread::sleep(HEAD_START);
            if reader.try_wait()?.is_some() {
                return Err("the reader did not have to wait".into());
            }
            let started = Instant::now();
            Command::new("kill").args(["-s", signal, &reader.id().to_string()]).status()?;
            reader.wait()?;
            times.time(started.elapsed());
        }
        rows.push(vec![format!("SIG{signal}"), times.cell(seconds)]);
    }
    Ok(format!(
        "\n## A reader that is killed\n\n`cat` of a file whose chunk of {} nobody has read, killed after {} ms.\n\n{}",
        size_name(archives.chunk),
        HEAD_START.as_millis(),
        table(&rows)
    ))
}
