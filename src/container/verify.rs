//! `test`: reads the whole stream front to back, decodes every chunk, checks every digest, and proves
//! that the index agrees with the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use super::files::{FilePass, content, hash_file};
use super::parse::Parser;
use super::reader::{Reader, source_len};
use super::record::read_at;
use super::scan::{Found, Scanner};
use super::{ContainerError, Source};
use crate::codec::CodecError;
use crate::error::Error;
use crate::format::Entry;
use crate::limits::Limits;
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};

/// Bytes of the archive read at a time.
const PIECE: u64 = 1 << 20;

/// Decoded bytes kept for files whose extents go back to earlier chunks.
const KEPT: usize = 64 << 20;

/// What a verification found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Chunks that decode to their digest.
    pub chunks_good: u64,
    /// Damaged or missing chunks with the reason.
    pub chunks_bad: Vec<(u64, ContainerError)>,
    /// Damage outside chunks: header, records, index, footer, entries.
    pub structure: Vec<ContainerError>,
    /// Paths of files that cannot be delivered whole.
    pub files_bad: Vec<Vec<u8>>,
    /// Files whose whole-file digest holds.
    pub files_good: u64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.chunks_bad.is_empty() && self.structure.is_empty() && self.files_bad.is_empty()
    }
}

/// Verifies an archive with `workers` chunks in flight at a time. The stream is read twice: once by the
/// push parser, for its structure and checksums, and once to decode it.
///
/// # Errors
/// Only what prevents a verdict: a missing model or other numerics, I/O, an archive that needs a newer
/// reader or exceeds a limit, an interruption. Damage is in the report.
pub fn verify(
    source: Arc<dyn Source>,
    limits: &Limits,
    models: &dyn Models,
    workers: usize,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> crate::Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let first = parse_all(&*source, limits, interrupt)?.err();
    let reader = match &first {
        None => Reader::open(source, limits.clone())?,
        Some(_) => match Reader::scan(Arc::clone(&source), limits.clone()) {
            Ok(reader) => {
                report.structure = damages(&*source, interrupt)?;
                reader
            }
            Err(error) if error.is_damage() => {
                report.structure = vec![error];
                return Ok(report);
            }
            Err(error) => return Err(error.into()),
        },
    };
    let (entries, errors) = reader.entries_lossy();
    for error in errors {
        if error.is_damage() { report.structure.push(error) } else { return Err(error.into()) }
    }
    open_models(&reader, models)?;
    progress.total(reader.index().chunks.iter().map(|slot| u64::from(slot.raw_len)).sum());

    let mut pass = FilePass::new(&entries, interrupt);
    decode_all(&reader, models, workers.max(1), interrupt, |number, outcome| {
        let raw = outcome.as_ref().ok().map(|raw| &raw[..]);
        let stored = reader.slot(number).map_or(0, |slot| u64::from(slot.stored_len));
        progress.advance(raw.map_or(0, |raw| raw.len() as u64), stored);
        pass.chunk(number, raw);
        match outcome {
            Ok(_) => report.chunks_good += 1,
            Err(error) => report.chunks_bad.push((number, error)),
        }
    })?;
    pass.end();
    stop_if(interrupt)?;
    let FilePass { verdicts, left_over, .. } = pass;
    let mut bad: BTreeSet<usize> = verdicts.bad.into_iter().collect();
    report.files_good = verdicts.good.len() as u64;
    report.files_good += hash_left_over(&reader, models, &entries, &left_over, interrupt, &mut bad)?;
    report.files_bad = bad.into_iter().map(|entry| entries[entry].path.clone()).collect();
    add_missing(&reader, &entries, &mut report);
    add_first(first, &mut report);
    Ok(report)
}

/// Adds what stopped the push parser, unless the same place was reported by what came after.
fn add_first(first: Option<ContainerError>, report: &mut VerifyReport) {
    let place = |error: &ContainerError| match error {
        ContainerError::Format { position, .. } => Some(*position),
        _ => None,
    };
    let Some(first) = first else { return };
    let mut others = report.structure.iter().chain(report.chunks_bad.iter().map(|(_, error)| error));
    if place(&first).is_none() || others.all(|other| place(other) != place(&first)) {
        report.structure.insert(0, first);
    }
}

/// Runs the push parser over the whole source. The inner error is damage.
fn parse_all(source: &dyn Source, limits: &Limits, interrupt: &Interrupt) -> crate::Result<Result<(), ContainerError>> {
    let len = source_len(source)?;
    let mut parser = Parser::new(limits.clone());
    let mut position = 0;
    while position < len {
        stop_if(interrupt)?;
        let piece = read_at(source, position, PIECE.min(len - position))?;
        position += piece.len() as u64;
        parser.push(&piece);
        loop {
            match parser.next_event() {
                Ok(None) => break,
                Ok(Some(_)) => {}
                Err(error) if error.is_damage() => return Ok(Err(error)),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(parser.finish())
}

/// Every stretch of the stream that is no record.
fn damages(source: &dyn Source, interrupt: &Interrupt) -> crate::Result<Vec<ContainerError>> {
    let mut scanner = Scanner::new(source)?;
    let mut errors = Vec::new();
    while let Some(found) = scanner.next()? {
        stop_if(interrupt)?;
        if let Found::Damage { error, .. } = found {
            errors.push(error);
        }
    }
    Ok(errors)
}

/// Opens every model that a chunk needs before any chunk is decoded, so that a missing model or other
/// numerics are told apart from damage.
fn open_models(reader: &Reader, models: &dyn Models) -> crate::Result<()> {
    let needed: BTreeSet<u32> = reader.index().chunks.iter().filter_map(|slot| slot.model).collect();
    for record in needed.into_iter().filter_map(|number| reader.model(number)) {
        models.open(record)?;
    }
    Ok(())
}

/// Decodes all chunks on `workers` threads and hands them out in ascending order. At most twice as many
/// chunks as workers are in memory.
fn decode_all(
    reader: &Reader,
    models: &dyn Models,
    workers: usize,
    interrupt: &Interrupt,
    mut take: impl FnMut(u64, Result<Arc<[u8]>, ContainerError>),
) -> crate::Result<()> {
    let ahead = workers.saturating_mul(2);
    let (send_job, jobs) = mpsc::sync_channel::<u64>(ahead);
    let (send_done, done) = mpsc::sync_channel(ahead);
    let jobs = Mutex::new(jobs);
    let stopped = Interrupt::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (jobs, send_done, stopped) = (&jobs, send_done.clone(), &stopped);
            scope.spawn(move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(number) = job else { return };
                    if stopped.raised() {
                        return;
                    }
                    // A panic is passed on to the caller, who would otherwise wait for ever.
                    let outcome = catch_unwind(AssertUnwindSafe(|| reader.decode(number, models)));
                    if send_done.send((number, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send_done);
        // However this closure is left, the workers end: the guard tells them, and the job sender is
        // dropped. `done` outlives them with room for every result in flight, so that none blocks.
        let _guard = StopOnDrop(&stopped);
        let send_job = send_job;
        let mut numbers = reader.index().chunks.iter().map(|slot| slot.number);
        let mut wanted = reader.index().chunks.iter().map(|slot| slot.number);
        for number in numbers.by_ref().take(ahead) {
            // The channel has room for `ahead` jobs and fails only when all workers are gone.
            let _ = send_job.send(number);
        }
        let mut early = BTreeMap::new();
        let mut next = wanted.next();
        while let Some(number) = next {
            stop_if(interrupt)?;
            let Some(outcome) = early.remove(&number) else {
                let Ok((number, outcome)) = done.recv() else {
                    return Err(Error::Refused("the decoding threads ended before their work was done".into()));
                };
                early.insert(number, outcome);
                continue;
            };
            take(number, prevents(outcome.unwrap_or_else(|panic| resume_unwind(panic)))?);
            if let Some(number) = numbers.next() {
                let _ = send_job.send(number);
            }
            next = wanted.next();
        }
        Ok(())
    })
}

/// Raises its flag when it goes out of scope.
struct StopOnDrop<'a>(&'a Interrupt);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// Sorts out the failures that prevent a verdict from damage.
fn prevents(outcome: Result<Arc<[u8]>, ContainerError>) -> crate::Result<Result<Arc<[u8]>, ContainerError>> {
    match outcome {
        Err(ContainerError::Chunk { error: CodecError::Predict(error), .. }) => Err(error.into()),
        Err(error) if !error.is_damage() => Err(error.into()),
        outcome => Ok(outcome),
    }
}

/// Hashes files that need chunks in another order than the archive's, and returns how many are good.
fn hash_left_over(
    reader: &Reader,
    models: &dyn Models,
    entries: &[Entry],
    left_over: &[usize],
    interrupt: &Interrupt,
    bad: &mut BTreeSet<usize>,
) -> crate::Result<u64> {
    let mut kept = Kept::default();
    let mut good = 0;
    for &entry in left_over {
        let Some(content) = content(&entries[entry]) else { continue };
        let holds = hash_file(content, |number| {
            stop_if(interrupt)?;
            if let Some(raw) = kept.get(number) {
                return Ok(Some(raw));
            }
            let raw = prevents(reader.decode(number, models))?.ok();
            raw.iter().for_each(|raw| kept.insert(number, raw));
            Ok::<_, Error>(raw)
        })?;
        if holds {
            good += 1;
        } else {
            bad.insert(entry);
        }
    }
    Ok(good)
}

/// The chunks decoded last, up to [`KEPT`] bytes.
#[derive(Default)]
struct Kept {
    chunks: BTreeMap<u64, Arc<[u8]>>,
    order: std::collections::VecDeque<u64>,
    bytes: usize,
}

impl Kept {
    fn get(&self, number: u64) -> Option<Arc<[u8]>> {
        self.chunks.get(&number).cloned()
    }

    fn insert(&mut self, number: u64, raw: &Arc<[u8]>) {
        self.bytes += raw.len();
        self.chunks.insert(number, Arc::clone(raw));
        self.order.push_back(number);
        while self.bytes > KEPT && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.chunks.remove(&oldest).map_or(0, |raw| raw.len());
        }
    }
}

/// Adds chunks that files refer to and that are not in the archive.
fn add_missing(reader: &Reader, entries: &[Entry], report: &mut VerifyReport) {
    let missing: BTreeSet<u64> = entries
        .iter()
        .filter_map(content)
        .flat_map(|content| &content.extents)
        .filter_map(|extent| match *extent {
            crate::format::Extent::Data { chunk, .. } if reader.slot(chunk).is_none() => Some(chunk),
            _ => None,
        })
        .collect();
    report.chunks_bad.extend(missing.into_iter().map(|number| (number, ContainerError::MissingChunk(number))));
}

fn stop_if(interrupt: &Interrupt) -> crate::Result<()> {
    if interrupt.raised() { Err(Error::Interrupted) } else { Ok(()) }
}
