//! Finding records without an index (spec/lma-format.md §9.3).

use super::reader::source_len;
use super::record::{past_end, read_at, read_head};
use super::{ContainerError, Source};
use crate::format::{
    BatchHead, BatchSlot, ChunkHead, ChunkSlot, FOOTER_LEN, FOOTER_MAGIC, Footer, FormatError, HEADER_LEN, Index,
    MARKER, ModelRecord, ModelSlot, RecordHead, RecordType,
};
use crate::limits::Limits;

/// Bytes searched for a marker at a time.
const WINDOW: u64 = 1 << 20;

/// What stands at a place in the stream.
#[derive(Debug)]
pub(super) enum Found {
    /// A record whose header is intact and whose body fits into the archive. The body is unread.
    Record { position: u64, head: RecordHead },
    /// Bytes that are no record, from `start` to `end`.
    Damage { start: u64, end: u64, error: ContainerError },
}

/// Walks the stream from record to record; behind damage, goes on at the next valid record.
pub(super) struct Scanner<'a> {
    source: &'a dyn Source,
    position: u64,
    len: u64,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Result<Self, ContainerError> {
        let len = source_len(source)?;
        Ok(Self { source, position: (HEADER_LEN as u64).min(len), len })
    }

    /// The next record or damage, `None` at the end: the footer or the end of the input. The index
    /// record is found like any other.
    pub(super) fn next(&mut self) -> Result<Option<Found>, ContainerError> {
        let start = self.position;
        if start >= self.len || self.is_footer(start)? {
            self.position = self.len;
            return Ok(None);
        }
        match self.record(start)? {
            Ok(head) => {
                self.position = start + head.record_len();
                Ok(Some(Found::Record { position: start, head }))
            }
            Err(error) => {
                self.position = self.resync(start + 1)?;
                Ok(Some(Found::Damage { start, end: self.position, error }))
            }
        }
    }

    fn is_footer(&self, position: u64) -> Result<bool, ContainerError> {
        if self.len - position != FOOTER_LEN as u64 {
            return Ok(false);
        }
        let bytes = read_at(self.source, position, FOOTER_LEN as u64)?;
        let Ok(bytes) = <&[u8; FOOTER_LEN]>::try_from(&bytes[..]) else { return Ok(false) };
        Ok(bytes.ends_with(&FOOTER_MAGIC) && Footer::decode(bytes).is_ok())
    }

    /// The record at `position`: outer errors stop the scan, inner ones are damage.
    fn record(&self, position: u64) -> Result<Result<RecordHead, ContainerError>, ContainerError> {
        let head = match read_head(self.source, position, self.len) {
            Ok(head) => head,
            Err(error @ ContainerError::Read { .. }) => return Err(error),
            Err(error) => return Ok(Err(error)),
        };
        let room = self.len - position;
        Ok(if head.record_len() > room { Err(past_end(position, &head, room)) } else { Ok(head) })
    }

    /// The first valid record or footer at `from` or behind, else the end.
    fn resync(&self, from: u64) -> Result<u64, ContainerError> {
        let mut at = from;
        while at < self.len {
            let window = read_at(self.source, at, WINDOW.min(self.len - at))?;
            for offset in 0..window.len() {
                let here = at + offset as u64;
                let rest = &window[offset..];
                let marked = rest.starts_with(&MARKER) || (rest.len() < MARKER.len() && MARKER.starts_with(rest));
                if (marked && self.record(here)?.is_ok()) || self.is_footer(here)? {
                    return Ok(here);
                }
            }
            at += window.len() as u64;
        }
        Ok(self.len)
    }
}

/// Slots and model records of everything that a scan finds, numbers ascending. Records that number
/// backwards are left out: they are not of this archive.
pub(super) fn scan_index(source: &dyn Source, limits: &Limits) -> Result<(Index, Vec<ModelRecord>), ContainerError> {
    let mut scanner = Scanner::new(source)?;
    let (mut index, mut models) = (Index::default(), Vec::new());
    while let Some(found) = scanner.next()? {
        let Found::Record { position, head } = found else { continue };
        match head.record_type() {
            Some(RecordType::Model) => {
                let Ok(record) = ModelRecord::decode(&head.head) else { continue };
                if index.models.last().is_none_or(|last| last.number < record.number) {
                    FormatError::charge("model records", index.models.len() as u64 + 1, limits.models)?;
                    index.models.push(ModelSlot { position, number: record.number });
                    models.push(record);
                }
            }
            Some(RecordType::Chunk) => {
                if let Ok(chunk) = ChunkHead::decode(&head.head, head.body_len) {
                    push_chunk(&mut index.chunks, position, &head, &chunk);
                }
            }
            Some(RecordType::Entries) => {
                let Ok(batch) = BatchHead::decode(&head.head) else { continue };
                let next = index.batches.last().map_or(0, |last| last.first + last.count);
                if batch.first >= next {
                    index.batches.push(BatchSlot { position, first: batch.first, count: batch.count });
                }
            }
            Some(RecordType::Index) | None => {}
        }
    }
    Ok((index, models))
}

/// Appends the slot of a chunk record unless its number does not ascend.
pub(super) fn push_chunk(slots: &mut Vec<ChunkSlot>, position: u64, head: &RecordHead, chunk: &ChunkHead) -> bool {
    let ascends = slots.last().is_none_or(|last| last.number < chunk.number);
    if ascends {
        let ChunkHead { number, codec, model, raw_len, .. } = *chunk;
        slots.push(ChunkSlot { number, position, stored_len: head.body_len, raw_len, codec, model });
    }
    ascends
}
