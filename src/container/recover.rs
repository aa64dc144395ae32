//! `recover`: a new, whole archive from everything intact in a damaged one. Chunks are copied as stored,
//! never re-encoded; a chunk that is copied has a valid CRC.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use super::reader::{read_footer, read_header, read_index, source_len};
use super::record::read_record;
use super::rules::EntryRules;
use super::scan::{Found, Scanner};
use super::{ContainerError, Source, WriteSummary, Writer};
use crate::codec::Encoded;
use crate::error::Error;
use crate::format::{
    BatchHead, ChunkHead, Entry, EntryBatch, Extent, FormatError, Index, Kind, ModelRecord, RecordHead, RecordType,
};
use crate::limits::Limits;
use crate::progress::{Interrupt, Progress};

/// What was saved and what was lost.
#[derive(Debug, Default)]
pub struct RecoverReport {
    /// The new archive.
    pub written: WriteSummary,
    /// Chunk numbers (of the damaged archive) that are lost and known: by an entry that refers to them, by
    /// the index, or by a record whose body is damaged.
    pub chunks_lost: Vec<u64>,
    /// Paths of files that were left out because a chunk of theirs is lost, and of other entries that
    /// depend on a lost one.
    pub files_lost: Vec<Vec<u8>>,
    /// Byte ranges of the damaged archive that were skipped.
    pub skipped: Vec<(u64, u64)>,
    /// Entries known to be missing because their batch is lost.
    pub entries_lost: u64,
}

/// Recovers `source` into `out`.
///
/// # Errors
/// I/O, limits, interruption, an archive of a later version; a source without a single intact record is refused.
pub fn recover<W: Write>(
    source: Arc<dyn Source>,
    limits: &Limits,
    out: W,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> crate::Result<RecoverReport> {
    let len = source_len(&*source)?;
    match read_header(&*source, len) {
        // An archive of a later version is not for this reader to take apart.
        Err(error) if !error.is_damage() => return Err(error.into()),
        _ => {}
    }
    progress.total(len);
    let scanned = Arc::clone(&source);
    let mut scanner = Scanner::new(&*scanned)?;
    let mut salvage = Salvage {
        source,
        limits,
        len,
        writer: Writer::new(out)?,
        rules: EntryRules::new(limits),
        models: BTreeMap::new(),
        chunks: BTreeMap::new(),
        next_chunk: 0,
        chunks_lost: BTreeSet::new(),
        report: RecoverReport::default(),
    };
    let mut records = 0u64;
    while let Some(found) = scanner.next()? {
        if interrupt.raised() {
            return Err(Error::Interrupted);
        }
        match found {
            Found::Damage { start, end, .. } => salvage.report.skipped.push((start, end)),
            Found::Record { position, head } => {
                progress.advance(head.record_len(), head.record_len());
                records += u64::from(salvage.record(position, &head)?);
            }
        }
    }
    if records == 0 {
        return Err(Error::Refused("nothing to recover: not one intact record of an lma archive was found".into()));
    }
    salvage.lost_by_index(limits);
    salvage.finish()
}

/// What is carried over from the damaged archive to the new one.
struct Salvage<'a, W: Write> {
    source: Arc<dyn Source>,
    limits: &'a Limits,
    len: u64,
    writer: Writer<W>,
    /// Over the entries of the damaged archive that were carried over.
    rules: EntryRules,
    /// Numbers in the damaged archive to numbers in the new one.
    models: BTreeMap<u32, u32>,
    /// The same for chunks, with the raw length.
    chunks: BTreeMap<u64, (u64, u32)>,
    /// The lowest number that a following chunk record may have.
    next_chunk: u64,
    chunks_lost: BTreeSet<u64>,
    report: RecoverReport,
}

impl<W: Write> Salvage<'_, W> {
    /// Carries over one record. `false` where it is not intact; errors are those that end the work.
    fn record(&mut self, position: u64, head: &RecordHead) -> crate::Result<bool> {
        let carried = match head.record_type() {
            Some(RecordType::Model) => self.model(&head.head),
            Some(RecordType::Chunk) => self.chunk(position, head),
            Some(RecordType::Entries) => self.entries(position, head),
            Some(RecordType::Index) | None => Ok(()),
        };
        match carried {
            Ok(()) => Ok(true),
            Err(error) if error.is_damage() => {
                self.report.skipped.push((position, position + head.record_len()));
                Ok(false)
            }
            // A record that only a newer reader understands is skipped like a damaged one.
            Err(ContainerError::Format { error: FormatError::Unsupported { .. }, .. }) => {
                self.report.skipped.push((position, position + head.record_len()));
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn model(&mut self, head: &[u8]) -> Result<(), ContainerError> {
        let record = ModelRecord::decode(head)?;
        if !self.models.contains_key(&record.number) {
            let number = self.writer.model(&record)?;
            self.models.insert(record.number, number);
        }
        Ok(())
    }

    fn chunk(&mut self, position: u64, head: &RecordHead) -> Result<(), ContainerError> {
        let at = || ContainerError::at(position);
        let chunk = ChunkHead::decode(&head.head, head.body_len).map_err(at())?;
        if chunk.number < self.next_chunk {
            let why = format!("chunk {} comes behind chunk {}", chunk.number, self.next_chunk - 1);
            return Err(at()(FormatError::corrupt("chunk head", why)));
        }
        self.chunks_lost.insert(chunk.number);
        FormatError::charge("raw chunk", chunk.raw_len.into(), self.limits.chunk_raw).map_err(at())?;
        let body_len = u64::from(head.body_len);
        let (_, stored) = read_record(&*self.source, position, self.len, body_len, self.limits.chunk_stored)?;
        let model = match chunk.model.map(|model| self.models.get(&model).copied()) {
            None => None,
            Some(Some(model)) => Some(model),
            Some(None) => return Err(at()(FormatError::corrupt("chunk head", "its model record is lost"))),
        };
        let encoded = Encoded { codec: chunk.codec, stored };
        let number = self.writer.chunk(&encoded, model, chunk.raw_len, chunk.digest)?;
        self.chunks.insert(chunk.number, (number, chunk.raw_len));
        self.chunks_lost.remove(&chunk.number);
        self.next_chunk = chunk.number.saturating_add(1);
        Ok(())
    }

    fn entries(&mut self, position: u64, head: &RecordHead) -> Result<(), ContainerError> {
        let at = || ContainerError::at(position);
        let BatchHead { first, count, raw_len, .. } = BatchHead::decode(&head.head).map_err(at())?;
        let Some(gap) = first.checked_sub(self.rules.entries()) else {
            return Err(at()(FormatError::corrupt("entry batch", "it repeats entries of an earlier batch")));
        };
        let max_body = self.limits.batch_raw;
        let (_, body) = read_record(&*self.source, position, self.len, head.body_len.into(), max_body)?;
        self.rules.charge(raw_len).map_err(at())?;
        let batch = EntryBatch::decode(&head.head, &body, self.limits).map_err(at())?;
        self.rules.jump(first, count).map_err(at())?;
        self.report.entries_lost += gap;
        let mut saved = Vec::with_capacity(batch.entries.len());
        for entry in batch.entries {
            let path = entry.path.clone();
            match self.entry(entry) {
                Some(entry) => saved.push(entry),
                None => self.report.files_lost.push(path),
            }
        }
        self.writer.entries(&saved)
    }

    /// The entry as it goes into the new archive, `None` where something that it needs is lost or it
    /// breaks a rule.
    fn entry(&mut self, mut entry: Entry) -> Option<Entry> {
        let chunks = &self.chunks;
        if let Kind::File(content) = &entry.kind {
            let referred = content.extents.iter().filter_map(|extent| match *extent {
                Extent::Data { chunk, .. } => Some(chunk),
                Extent::Hole { .. } => None,
            });
            self.chunks_lost.extend(referred.filter(|chunk| !chunks.contains_key(chunk)));
        }
        let raw_len = |chunk| chunks.get(&chunk).map(|&(_, raw_len)| raw_len);
        self.rules.entry(&entry, &raw_len).ok()?;
        if let Kind::File(content) = &mut entry.kind {
            for extent in &mut content.extents {
                if let Extent::Data { chunk, .. } = extent {
                    *chunk = chunks.get(chunk)?.0;
                }
            }
        }
        Some(entry)
    }

    /// What the index, where it is intact, knows beyond the records found.
    fn lost_by_index(&mut self, limits: &Limits) {
        let Some(index) = self.old_index(limits) else { return };
        let all = index.batches.last().map_or(0, |slot| slot.first.saturating_add(slot.count));
        self.report.entries_lost += all.saturating_sub(self.rules.entries());
        let numbers = index.chunks.iter().map(|slot| slot.number);
        self.chunks_lost.extend(numbers.filter(|number| !self.chunks.contains_key(number)));
    }

    fn old_index(&self, limits: &Limits) -> Option<Index> {
        let footer = read_footer(&*self.source, self.len).ok()?;
        read_index(&*self.source, &footer, limits).ok()
    }

    fn finish(mut self) -> crate::Result<RecoverReport> {
        let (_, written) = self.writer.finish()?;
        self.report.written = written;
        self.report.chunks_lost = self.chunks_lost.into_iter().collect();
        Ok(self.report)
    }
}
