//! What a mount does before it is live, step by step, in this process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use lma::codec::Encoded;
use lma::container::{FileSource, Reader, Source, Writer};
use lma::format::{CodecId, Owners};
use lma::hash::ChunkDigest;
use lma::limits::Limits;
use lma::mount::{ImpliedDir, Tree};

use super::Effort;
use super::archives::{Archives, ENTRIES};
use super::common::{Failure, table};
use super::figures::{Samples, mebibytes, number, seconds};
use super::live::{LMA, cost};

/// Chunks of the archive that has nothing else.
const CHUNKS: usize = 1_000_000;

/// The rows.
///
/// # Errors
/// An archive that cannot be read.
pub(crate) fn report(archives: &Archives, effort: &Effort) -> Result<String, Failure> {
    let mut phases: [Samples; 5] = Default::default();
    for _ in 0..effort.runs {
        let started = Instant::now();
        Command::new(LMA).arg("--version").stdout(Stdio::null()).status()?;
        phases[0].time(started.elapsed());
        let started = Instant::now();
        let reader = open(&archives.names)?;
        phases[1].time(started.elapsed());
        let started = Instant::now();
        reader.for_each_entry(Owners::Numbers, |_| ())?;
        phases[2].time(started.elapsed());
        let entries = reader.entries()?;
        let started = Instant::now();
        let (tree, problems) = Tree::build(entries, ImpliedDir::default());
        phases[3].time(started.elapsed());
        assert!(problems.is_empty());
        phases[4].push(tree.memory() as f64 / tree.len() as f64);
    }
    let [start, opening, entries, build, memory] = phases;
    let million = million(archives.folder())?;
    let (mut open_million, mut memory_million) = (Samples::default(), Samples::default());
    for _ in 0..effort.runs {
        let before = cost(std::process::id()).1;
        let started = Instant::now();
        let reader = open(&million)?;
        open_million.time(started.elapsed());
        memory_million.push(cost(std::process::id()).1 - before);
        assert_eq!(reader.index().chunks.len(), CHUNKS);
    }
    let row = |what: &str, cell: String| vec![what.to_owned(), cell];
    let rows = [
        row("", "".into()),
        row("start of the program, twice in a mount in the background", start.cell(seconds)),
        row("open: header, footer, index", opening.cell(seconds)),
        row("read, unpack and check all entries", entries.cell(seconds)),
        row("build the tree of them", build.cell(seconds)),
        row("bytes of the tree for each entry", memory.cell(number)),
        row("open an archive of a million chunks", open_million.cell(seconds)),
        row("memory that it takes", memory_million.cell(mebibytes)),
    ];
    Ok(format!(
        "\n### Before a mount is live\n\n{ENTRIES} entries; in a mount, the tree is built while the entries are read.\n\n{}",
        table(&rows)
    ))
}

fn open(path: &Path) -> Result<Reader, Failure> {
    let source: Arc<dyn Source> = Arc::new(FileSource::new(std::fs::File::open(path)?));
    Ok(Reader::open(source, Limits::default())?)
}

/// An archive of a million chunks of one byte.
fn million(folder: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join("million.lma");
    if !path.exists() {
        let file = tempfile::NamedTempFile::new_in(folder)?;
        let mut writer = Writer::new(std::io::BufWriter::new(file.reopen()?))?;
        for number in 0..CHUNKS {
            let raw = [number as u8];
            let encoded = Encoded { codec: CodecId::Store, stored: raw.to_vec() };
            writer.chunk(&encoded, None, 1, ChunkDigest::of(&raw))?;
        }
        writer.finish()?;
        file.persist(&path)?;
    }
    Ok(path)
}
