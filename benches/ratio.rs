//! Sizes and speeds of lma and of other compressors on the evaluation corpus, at several chunk sizes.
//!
//! ```text
//! cargo bench --bench ratio -- [--files quick|table|all|none|PATH,PATH...] [--media DIR] [--corpus DIR]
//!     [--sizes 16K,64K,256K,1M] [--limit BYTES] [--codecs auto,lm,...] [--levels 1-9] [--threads N] [--streams N]
//!     [--alone] [--peers NAME,NAME... | --no-peers | --peers-only] [--cache DIR] [--fresh] [--no-decode]
//!     [--goals] [--md OUT.md] [--json OUT.json [--resume]]
//! cargo bench --bench ratio -- --from OUT.json[,OTHER.json...] [--goals] [--md OUT.md]
//! ```
//!
//! `quick`: 13 files of all kinds, each cut to 256 KiB unless `--limit` says otherwise; `table`: the same, whole;
//! `all`: every file of the corpus; `none`: only `--media`, a folder with `images` and `audio`, which are left
//! whole. Each file belongs to a class ([`common::classes`]), and each class has its mean.
//!
//! lma makes real archives, one of each file: sizes hold the container, names and digests, and `verify` decodes
//! every chunk again. The other compressors get whole files, and the same independent blocks; their sizes
//! are those of the bare streams, without the headers of an archive. What they made is kept below
//! `target/ratio-cache`, so that a second run costs nothing; those that are not installed are left out
//! (`scripts/deps.sh bench` installs them), and `--peers xz,zpaq` measures these alone.
//!
//! `--levels` makes the archives of `create -1` to `-9`, in chunks of the level's own size as far as `--sizes` names it;
//! without `--codecs` these alone.
//!
//! Speeds are per second of processor time, so per core. Files of a class are made into archives side by side, because
//! they share the lanes of the model; with `--alone` each has its own turn, and the tables its speed. `--no-decode`
//! leaves out the slow half. `--goals` adds what the sizes shall reach, and whether they do; `--json` writes one
//! object a line for each measurement as it comes, `--resume` goes on where such a file ends, and `--from` makes the
//! tables and goals of such files again.

#[path = "ratio/cache.rs"]
mod cache;
mod common;
#[path = "ratio/files.rs"]
mod files;
#[path = "ratio/goals.rs"]
mod goals;
#[path = "ratio/measures.rs"]
mod measures;
#[path = "ratio/ours.rs"]
mod ours;
#[path = "ratio/reference.rs"]
mod reference;
#[path = "ratio/report.rs"]
mod report;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cache::Cache;
use common::peers::{PEERS, Peer};
use common::{Arguments, Failure, size_name};
use files::{Files, Sample};
use lma::archive::{MAX_CHUNK_SIZE, MIN_CHUNK_SIZE};
use measures::{Measure, Measures};
use ours::Lma;

const VALUED: [&str; 14] = [
    "files", "media", "corpus", "sizes", "limit", "codecs", "levels", "threads", "streams", "peers", "cache", "md",
    "json", "from",
];

const FLAGS: [&str; 7] = ["alone", "no-peers", "peers-only", "fresh", "no-decode", "goals", "resume"];

fn main() -> ExitCode {
    common::exit("ratio", run())
}

fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse(&VALUED, &FLAGS)?;
    let (head, measures) = match arguments.get("from") {
        Some(paths) => {
            let mut measures = Measures::read(paths)?;
            if let Some(path) = arguments.get("json") {
                measures.journal(path)?;
            }
            (format!("Measured earlier: {paths}."), measures)
        }
        None => measure(&arguments)?,
    };
    let mut report = report::report(&head, &measures, arguments.has("alone"));
    if arguments.has("goals") {
        report += &goals::report(&measures);
    }
    common::publish(&report, &arguments)
}

/// Everything that was asked for, and how it was measured, in words.
fn measure(arguments: &Arguments) -> Result<(String, Measures), Failure> {
    let sizes = arguments.sizes("sizes", "16K,64K,256K,1M")?;
    if let Some(size) = sizes.iter().find(|&&size| !(MIN_CHUNK_SIZE as usize..=MAX_CHUNK_SIZE as usize).contains(&size))
    {
        return Err(format!("a chunk size of {size} is not between {MIN_CHUNK_SIZE} and {MAX_CHUNK_SIZE}").into());
    }
    let files = Files::choose(arguments)?;
    let machine = common::machine();
    let lma = if arguments.has("peers-only") { None } else { Some(Lma::new(arguments)?) };
    let (peers, missing) = peers(arguments);
    let mut cache = Cache::open(arguments)?;
    let journal = arguments.get("json");
    let mut measures = match journal.filter(|path| arguments.has("resume") && Path::new(path).exists()) {
        Some(path) => Measures::read(path)?,
        None => Measures::default(),
    };
    if let Some(path) = journal {
        measures.journal(path)?;
    }
    for block in std::iter::once(None).chain(sizes.into_iter().map(Some)) {
        let started = Instant::now();
        let progress = |who: &str| {
            let block = block.map_or("whole files".into(), size_name);
            eprintln!("{block}: {who} after {:.0} s", started.elapsed().as_secs_f64());
        };
        if let (Some(lma), Some(size)) = (&lma, block) {
            lma.measure(&files, size, &mut measures)?;
            progress("lma");
        }
        for (peer, version) in &peers {
            let samples: Vec<&Sample> = files.samples.iter().filter(|sample| suits(peer, sample, block)).collect();
            if samples.is_empty() {
                continue;
            }
            for sample in samples {
                match cache.measure(peer, version, &sample.content, block, !arguments.has("no-decode")) {
                    Ok(cost) => measures.add(Measure::new(sample, peer.name, version, block, cost))?,
                    // Formats for media have many variants, not all of which every program takes.
                    Err(error) if peer.media().is_some() => eprintln!("{} without {}: {error}", sample.name, peer.name),
                    Err(error) => return Err(error),
                }
            }
            progress(peer.name);
        }
    }
    let missing = if missing.is_empty() { String::new() } else { format!(" Not installed: {}.", missing.join(", ")) };
    let streams = arguments.size("streams", "16")?;
    let threads = arguments.threads()?;
    let cut = files.limit.map_or("whole files".into(), |limit| format!("files cut to {}", size_name(limit)));
    let head =
        format!("`{}`\n\n{machine}; {threads} threads, {streams} streams; {cut}.{missing}\n", common::command("ratio"));
    Ok((head, measures))
}

/// The other compressors with their versions, and the names of those that are not installed.
fn peers(arguments: &Arguments) -> (Vec<(&'static Peer, String)>, Vec<&'static str>) {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for peer in PEERS.iter().filter(|peer| wanted(peer, arguments)) {
        match peer.version() {
            Some(version) => peers.push((peer, version)),
            None => missing.push(peer.name),
        }
    }
    (peers, missing)
}

fn wanted(peer: &Peer, arguments: &Arguments) -> bool {
    let named = |name: &str| peer.name.split(' ').any(|word| word == name);
    !arguments.has("no-peers") && arguments.get("peers").is_none_or(|names| names.split(',').any(named))
}

/// Formats for media get whole files of their class, and nothing that was cut.
fn suits(peer: &Peer, sample: &Sample, block: Option<usize>) -> bool {
    peer.media().is_none_or(|class| class == sample.class && block.is_none() && !sample.cut)
}
