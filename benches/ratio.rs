//! Sizes and speeds of lma and of other compressors on the evaluation corpus, at several chunk sizes.
//!
//! ```text
//! cargo bench --bench ratio -- [--files quick|table|all] [--sizes 16K,64K,256K,1M] [--limit BYTES]
//!     [--corpus DIR] [--threads N] [--streams N] [--no-decode] [--no-peers] [--md OUT.md]
//! ```
//!
//! `quick`: 13 files of all kinds, each cut to 256 KiB unless `--limit` says otherwise; `table`: the same, whole;
//! `all`: every file of the corpus. `--no-decode`: lma's archives are not decoded again (the slow half).
//!
//! lma makes real archives, one of each file: sizes hold the container, names and digests, and `verify`
//! decodes every chunk again. The other compressors get the same independent blocks, and their sizes are those
//! of the bare streams, without the headers of an archive.

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::peers::{Cost, PEERS, Peer};
use common::{Arguments, Failure, size_name, table};
use lma::archive::{self, CreateOptions, Input, MAX_CHUNK_SIZE, MIN_CHUNK_SIZE};
use lma::container::{MemorySource, Reader, verify};
use lma::format::CodecId;
use lma::limits::Limits;
use lma::model::Engines;
use lma::predict::{LoadedModel, Models};
use lma::progress::{Interrupt, Silent};

/// Text, structured text, source code, another language, and one program.
const TABLE: [&str; 13] = [
    "canterbury/alice29.txt",
    "canterbury/lcet10.txt",
    "calgary/book1",
    "silesia/dickens",
    "enwik/enwik6",
    "multilang/deu-freytag.txt",
    "tree/zlib.tar",
    "tree/json.tar",
    "json/twitter.json",
    "silesia/xml",
    "loghub/Hadoop_2k.log",
    "csv/birdstrikes.csv",
    "silesia/ooffice",
];

/// What counts for the mean of English text, wherever it is in the corpus.
const ENGLISH: [&str; 14] = [
    "alice29.txt",
    "asyoulik.txt",
    "lcet10.txt",
    "plrabn12.txt",
    "book1",
    "book2",
    "news",
    "bible.txt",
    "world192.txt",
    "dickens",
    "enwik5",
    "enwik6",
    "enwik_4M",
    "Mark.Twain-Tom.Sawyer.txt",
];

/// Archives that are made at the same time, so that files shorter than the lanes together fill them.
const TOGETHER: usize = 16;

fn main() -> ExitCode {
    common::exit("ratio", run())
}

fn run() -> Result<(), Failure> {
    let valued = ["files", "sizes", "limit", "corpus", "threads", "streams", "md"];
    let arguments = Arguments::parse(&valued, &["no-decode", "no-peers"])?;
    let corpus = arguments.corpus()?;
    let files = Files::choose(&corpus, &arguments)?;
    let sizes = arguments.sizes("sizes", "16K,64K,256K,1M")?;
    if let Some(size) = sizes.iter().find(|&&size| !(MIN_CHUNK_SIZE as usize..=MAX_CHUNK_SIZE as usize).contains(&size))
    {
        return Err(format!("a chunk size of {size} is not between {MIN_CHUNK_SIZE} and {MAX_CHUNK_SIZE}").into());
    }
    let decode = !arguments.has("no-decode");
    let machine = common::machine();
    let (threads, streams) = (arguments.threads()?, arguments.size("streams", "16")?);
    let (engines, model) = common::models(threads, streams)?;
    let lma = Lma { engines, model, streams, decode };
    let peers: Vec<Option<String>> =
        PEERS.iter().map(|peer| peer.version().filter(|_| !arguments.has("no-peers"))).collect();

    let mut rounds = Vec::new();
    for block in sizes.into_iter().map(Some).chain([None]) {
        let started = Instant::now();
        let mut round = Round { block, ours: None, theirs: Vec::new() };
        if let Some(size) = block {
            round.ours = Some(lma.measure(&files, size)?);
            eprintln!("{}: lma in {:.0} s", round.name(), started.elapsed().as_secs_f64());
        }
        for (peer, version) in PEERS.iter().zip(&peers) {
            let column = version.as_ref().map(|_| of_peer(peer, &files, block)).transpose()?;
            round.theirs.push(column);
        }
        eprintln!("{}: all in {:.0} s", round.name(), started.elapsed().as_secs_f64());
        rounds.push(round);
    }
    let versions: Vec<String> = peers.into_iter().flatten().collect();
    let head = format!(
        "`{}`\n\n{machine}; {threads} threads, {streams} streams; model {}; {}.\n",
        common::command("ratio"),
        lma.model.record.name,
        if versions.is_empty() { "no other compressors".to_owned() } else { versions.join(", ") },
    );
    common::publish(&report(&head, &files, &rounds), &arguments)
}

/// The files to measure, cut to a limit, in a folder of their own.
struct Files {
    folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
    contents: Vec<Vec<u8>>,
}

impl Files {
    fn choose(corpus: &Path, arguments: &Arguments) -> Result<Self, Failure> {
        let which = arguments.get("files").unwrap_or("quick");
        let limit = match (which, arguments.has("limit")) {
            ("quick", false) => 256 << 10,
            (_, false) => usize::MAX,
            _ => arguments.size("limit", "")?,
        };
        let paths = match which {
            "quick" | "table" => TABLE.iter().map(PathBuf::from).filter(|path| corpus.join(path).is_file()).collect(),
            "all" => below(corpus)?,
            _ => return Err(format!("--files is quick, table or all, not {which}").into()),
        };
        if paths.is_empty() {
            return Err(format!("{} has none of the files to measure", corpus.display()).into());
        }
        let folder = tempfile::tempdir()?;
        let mut contents = Vec::new();
        for path in &paths {
            let mut content = std::fs::read(corpus.join(path))?;
            content.truncate(limit);
            let copy = folder.path().join(path);
            std::fs::create_dir_all(copy.parent().unwrap_or(folder.path()))?;
            std::fs::write(copy, &content)?;
            contents.push(content);
        }
        Ok(Self { folder, paths, contents })
    }

    fn bytes(&self) -> u64 {
        self.contents.iter().map(|content| content.len() as u64).sum()
    }

    fn is_english(&self, number: usize) -> bool {
        self.paths[number].file_name().is_some_and(|name| ENGLISH.iter().any(|english| name == *english))
    }
}

/// Every file with content in the folders of the corpus; its own notes, at the top, are none of it.
fn below(corpus: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for entry in walkdir::WalkDir::new(corpus).min_depth(2).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() && entry.metadata()?.len() > 0 {
            paths.push(entry.path().strip_prefix(corpus)?.to_owned());
        }
    }
    Ok(paths)
}

/// What one compressor made of all files.
struct Column {
    /// By file.
    bytes: Vec<u64>,
    /// By file: chunks of the `lm` codec, and all.
    chunks: Vec<(usize, usize)>,
    encode: Duration,
    decode: Duration,
}

/// All compressors at one size of blocks; `None`: whole files.
struct Round {
    block: Option<usize>,
    ours: Option<Column>,
    theirs: Vec<Option<Column>>,
}

impl Round {
    fn name(&self) -> String {
        self.block.map_or("whole files".into(), size_name)
    }

    /// lma's column, then the others'.
    fn columns(&self) -> impl Iterator<Item = Option<&Column>> {
        std::iter::once(self.ours.as_ref()).chain(self.theirs.iter().map(Option::as_ref))
    }
}

struct Lma {
    engines: Arc<Engines>,
    model: Arc<LoadedModel>,
    streams: usize,
    decode: bool,
}

impl Lma {
    /// An archive of each file, many at a time.
    fn measure(&self, files: &Files, chunk_size: usize) -> Result<Column, Failure> {
        let start = Instant::now();
        let archives = side_by_side(files.paths.len(), |number| self.create(files, number, chunk_size))?;
        let encode = start.elapsed();
        let bytes = archives.iter().map(|archive| archive.len() as u64).collect();
        let sources: Vec<Arc<MemorySource>> =
            archives.into_iter().map(|archive| Arc::new(MemorySource(archive))).collect();
        let mut chunks = Vec::new();
        for source in &sources {
            let reader = Reader::open(Arc::clone(source) as _, Limits::default())?;
            let slots = &reader.index().chunks;
            chunks.push((slots.iter().filter(|slot| slot.codec == CodecId::Lm).count(), slots.len()));
        }
        let start = Instant::now();
        if self.decode {
            side_by_side(sources.len(), |number| self.verify(&sources[number], &files.paths[number]))?;
        }
        Ok(Column { bytes, chunks, encode, decode: start.elapsed() })
    }

    fn create(&self, files: &Files, number: usize, chunk_size: usize) -> Result<Vec<u8>, Failure> {
        let options = CreateOptions {
            chunk_size: u32::try_from(chunk_size)?,
            model: Some(Arc::clone(&self.model)),
            workers: self.streams,
            ..CreateOptions::default()
        };
        let mut out = Vec::new();
        let inputs = [Input::within(files.folder.path(), &files.paths[number])];
        archive::create(&mut out, &inputs, &options, &Silent, &Interrupt::default())?;
        Ok(out)
    }

    fn verify(&self, source: &Arc<MemorySource>, path: &Path) -> Result<(), Failure> {
        let (source, limits): (Arc<MemorySource>, _) = (Arc::clone(source), Limits::default());
        let models: &dyn Models = &*self.engines;
        let report = verify(source, &limits, models, self.streams, &Silent, &Interrupt::default())?;
        if report.is_good() {
            Ok(())
        } else {
            Err(format!("the archive of {} is damaged: {report:?}", path.display()).into())
        }
    }
}

/// `work(0..count)` on several threads, results in order.
fn side_by_side<T: Send>(count: usize, work: impl Fn(usize) -> Result<T, Failure> + Sync) -> Result<Vec<T>, Failure> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER.min(count) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let result = work(number);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

fn of_peer(peer: &Peer, files: &Files, block: Option<usize>) -> Result<Column, Failure> {
    let (mut bytes, mut total) = (Vec::new(), Cost::default());
    for content in &files.contents {
        let cost = peer.measure(content, block.unwrap_or(content.len()))?;
        bytes.push(cost.bytes);
        total.add(cost);
    }
    Ok(Column { bytes, chunks: Vec::new(), encode: total.encode, decode: total.decode })
}

fn report(head: &str, files: &Files, rounds: &[Round]) -> String {
    let mut out = format!("# Sizes and speeds\n\n{head}\n");
    out += &format!(
        "{} files, {} bytes together. Bits per byte; the smallest is bold.\n",
        files.paths.len(),
        files.bytes()
    );
    out += "Every block is coded by itself. lma: whole archives with names, digests and index; the others: bare streams.\n";
    out += "\n## Means\n\n";
    out += &table(&means(files, rounds));
    for round in rounds {
        out += &format!("\n## {}\n\n{}", round.name(), table(&of_files(files, round)));
        out += &against_xz(files, round);
    }
    out += "\n## Speed\n\nKB/s to encode / to decode. lma: on all cores, all files together, container included.\n";
    out += "The others: on one core, the start of a process for each block included.\n\n";
    out += &table(&speeds(files, rounds));
    out
}

fn header(first: &str) -> Vec<String> {
    [first, "lma"].into_iter().chain(PEERS.iter().map(|peer| peer.name)).map(str::to_owned).collect()
}

fn bits(bytes: u64, raw: usize) -> f64 {
    bytes as f64 * 8.0 / raw.max(1) as f64
}

/// Mean of the files' bits per byte.
fn mean(column: &Column, files: &Files, wanted: impl Fn(usize) -> bool) -> Option<f64> {
    let each: Vec<f64> = (0..files.paths.len())
        .filter(|&number| wanted(number))
        .map(|number| bits(column.bytes[number], files.contents[number].len()))
        .collect();
    (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
}

/// Numbers as cells, the least bold.
fn cells(first: String, values: &[Option<f64>]) -> Vec<String> {
    let least = values.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let cell = |value: &Option<f64>| match *value {
        None => "-".to_owned(),
        Some(value) if value <= least => format!("**{value:.3}**"),
        Some(value) => format!("{value:.3}"),
    };
    std::iter::once(first).chain(values.iter().map(cell)).collect()
}

fn means(files: &Files, rounds: &[Round]) -> Vec<Vec<String>> {
    let mut rows = vec![header("blocks")];
    for (what, english) in [("all", false), ("English", true)] {
        for round in rounds {
            let wanted = |number: usize| !english || files.is_english(number);
            let values: Vec<_> = round.columns().map(|column| column.and_then(|c| mean(c, files, wanted))).collect();
            rows.push(cells(format!("{what}, {}", round.name()), &values));
        }
    }
    rows
}

fn of_files(files: &Files, round: &Round) -> Vec<Vec<String>> {
    let mut first = header("file");
    first.push("chunks with model".into());
    let mut rows = vec![first];
    for (number, path) in files.paths.iter().enumerate() {
        let raw = files.contents[number].len();
        let values: Vec<_> = round.columns().map(|column| column.map(|c| bits(c.bytes[number], raw))).collect();
        let mut row = cells(path.display().to_string(), &values);
        row.push(match &round.ours {
            Some(ours) => format!("{} of {}", ours.chunks[number].0, ours.chunks[number].1),
            None => "-".into(),
        });
        rows.push(row);
    }
    for (what, english) in [("mean", false), ("English mean", true)] {
        let wanted = |number: usize| !english || files.is_english(number);
        let values: Vec<_> = round.columns().map(|column| column.and_then(|c| mean(c, files, wanted))).collect();
        let mut row = cells(what.into(), &values);
        row.push(String::new());
        rows.push(row);
    }
    rows
}

/// In words: which files lma makes smaller than xz does.
fn against_xz(files: &Files, round: &Round) -> String {
    let xz = PEERS.iter().position(|peer| peer.name.starts_with("xz")).and_then(|at| round.theirs[at].as_ref());
    let (Some(ours), Some(xz)) = (&round.ours, xz) else { return String::new() };
    let name = |number: usize| files.paths[number].file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (smaller, larger): (Vec<usize>, Vec<usize>) =
        (0..files.paths.len()).partition(|&number| ours.bytes[number] < xz.bytes[number]);
    let names = |numbers: Vec<usize>| numbers.into_iter().map(name).collect::<Vec<_>>().join(", ");
    format!("\nSmaller than xz -9e: {}. Not smaller: {}.\n", names(smaller), names(larger))
}

fn speeds(files: &Files, rounds: &[Round]) -> Vec<Vec<String>> {
    let rate = |time: Duration| match time.as_secs_f64() {
        seconds if seconds > 1e-3 => format!("{:.0}", files.bytes() as f64 / 1000.0 / seconds),
        _ => "-".to_owned(),
    };
    let mut rows = vec![header("blocks")];
    for round in rounds {
        let cell = |column: Option<&Column>| {
            column.map_or("-".into(), |column| format!("{} / {}", rate(column.encode), rate(column.decode)))
        };
        rows.push(std::iter::once(round.name()).chain(round.columns().map(cell)).collect());
    }
    rows
}
