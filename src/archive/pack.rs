//! Cuts files into chunks: small files of one class share them, large files are split, and nothing is
//! stored twice.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Write;
use std::sync::Arc;

use super::Outcome;
use super::group::Class;
use super::notes::Notes;
use super::sink::Sink;
use crate::Result;
use crate::format::{Entry, Extent, FileContent, Kind};
use crate::hash::{Digest, FileHasher};

/// Entries that make a batch.
const BATCH_ENTRIES: usize = 256;
/// Raw bytes behind which a batch is written even if it is smaller: an archive that is cut off lacks no more.
const BATCH_RAW: u64 = 4 << 20;
/// Entries and raw bytes that may wait for a shared chunk to fill before it is closed as it is.
const WAIT_ENTRIES: usize = 2048;
const WAIT_RAW: u64 = 16 << 20;

/// A chunk that has a number, or will have one: an index of [`Packer::slots`].
type Slot = u64;
/// In [`Packer::slots`]: the chunk is still being filled.
const OPEN: u64 = u64::MAX;

/// Bytes of a chunk.
#[derive(Clone, Copy)]
struct Piece {
    slot: Slot,
    offset: u32,
    len: u32,
}

/// A shared chunk that is being filled.
struct Shared {
    slot: Slot,
    bytes: Vec<u8>,
}

/// A file that is being read.
struct Current {
    class: Class,
    hasher: FileHasher,
    size: u64,
    /// Read, not in a chunk yet.
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// Whether it has filled a chunk of its own.
    large: bool,
    /// Lengths of data (`false`) and holes (`true`) in turn.
    layout: Vec<(bool, u64)>,
}

pub(super) struct Packer<'a, W: Write> {
    sink: Sink<'a, W>,
    notes: &'a Notes<'a>,
    chunk_size: usize,
    slots: Vec<u64>,
    /// Numbers of chunks by their raw bytes.
    chunks: HashMap<Digest, u64>,
    /// Small files by content.
    files: HashMap<Digest, Arc<[Piece]>>,
    shared: BTreeMap<Class, Shared>,
    /// Entries in order; extents name slots until they leave.
    pending: VecDeque<Entry>,
    raw_since: u64,
    current: Option<Current>,
    outcome: Outcome,
}

impl<'a, W: Write> Packer<'a, W> {
    pub(super) fn new(sink: Sink<'a, W>, notes: &'a Notes<'a>, chunk_size: u32) -> Self {
        Self {
            sink,
            notes,
            chunk_size: chunk_size as usize,
            slots: Vec::new(),
            chunks: HashMap::new(),
            files: HashMap::new(),
            shared: BTreeMap::new(),
            pending: VecDeque::new(),
            raw_since: 0,
            current: None,
            outcome: Outcome::default(),
        }
    }

    /// Starts a file. What was given of a file that is not finished is forgotten.
    pub(super) fn begin(&mut self, class: Class) {
        let (bytes, pieces, layout) = (Vec::new(), Vec::new(), Vec::new());
        let hasher = FileHasher::new();
        self.current = Some(Current { class, hasher, size: 0, bytes, pieces, large: false, layout });
    }

    /// Appends bytes to the file.
    pub(super) fn data(&mut self, mut data: &[u8]) -> Result<()> {
        self.sink.poll()?;
        let Some(mut file) = self.current.take() else { return Ok(()) };
        file.hasher.update(data);
        file.run(false, data.len() as u64);
        // A piece is cut off only when a quarter of a chunk stands behind it: the tail is never a crumb.
        let keep = self.chunk_size + self.chunk_size / 4;
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(keep - file.bytes.len()));
            file.bytes.extend_from_slice(now);
            data = later;
            if file.bytes.len() == keep {
                let rest = file.bytes.split_off(self.chunk_size);
                let piece = std::mem::replace(&mut file.bytes, rest);
                file.large = true;
                file.pieces.push(self.own_chunk(piece)?);
            }
        }
        self.current = Some(file);
        Ok(())
    }

    /// Appends a hole to the file.
    pub(super) fn hole(&mut self, len: u64) {
        self.notes.progress.advance(len, 0);
        if let Some(file) = &mut self.current {
            file.run(true, len);
        }
    }

    /// Ends the file and takes its entry, whose content it fills in.
    pub(super) fn finish_file(&mut self, mut entry: Entry) -> Result<()> {
        let Some(mut file) = self.current.take() else { return Ok(()) };
        let digest = file.hasher.finish();
        let bytes = std::mem::take(&mut file.bytes);
        if file.large || bytes.len() >= self.chunk_size {
            if !bytes.is_empty() {
                file.pieces.push(self.own_chunk(bytes)?);
            }
        } else if !bytes.is_empty() {
            file.pieces = self.small_file(file.class, &bytes, digest)?;
        }
        self.outcome.files += 1;
        self.outcome.raw_bytes += file.size;
        entry.kind = Kind::File(FileContent { size: file.size, extents: file.extents(), digest });
        self.entry(entry)
    }

    /// Takes an entry that has no content of its own.
    pub(super) fn entry(&mut self, entry: Entry) -> Result<()> {
        self.outcome.entries += 1;
        self.pending.push_back(entry);
        self.write_entries(false)
    }

    /// The pieces of a file that fills no chunk: where its content was stored before, or in the class's chunk.
    fn small_file(&mut self, class: Class, mut bytes: &[u8], digest: Digest) -> Result<Vec<Piece>> {
        if let Some(known) = self.files.get(&digest) {
            self.notes.progress.advance(bytes.len() as u64, 0);
            return Ok(known.to_vec());
        }
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let slots = &mut self.slots;
            let shared = self.shared.entry(class).or_insert_with(|| {
                slots.push(OPEN);
                Shared { slot: slots.len() as u64 - 1, bytes: Vec::new() }
            });
            let (now, later) = bytes.split_at(bytes.len().min(self.chunk_size - shared.bytes.len()));
            pieces.push(Piece { slot: shared.slot, offset: shared.bytes.len() as u32, len: now.len() as u32 });
            shared.bytes.extend_from_slice(now);
            bytes = later;
            if shared.bytes.len() == self.chunk_size {
                self.close(class)?;
            }
        }
        self.files.insert(digest, pieces.as_slice().into());
        Ok(pieces)
    }

    /// Ends the class's shared chunk, full or not.
    pub(super) fn close(&mut self, class: Class) -> Result<()> {
        if let Some(shared) = self.shared.remove(&class) {
            self.slots[shared.slot as usize] = self.number(shared.bytes)?;
        }
        Ok(())
    }

    fn own_chunk(&mut self, bytes: Vec<u8>) -> Result<Piece> {
        let len = bytes.len() as u32;
        let number = self.number(bytes)?;
        self.slots.push(number);
        Ok(Piece { slot: self.slots.len() as u64 - 1, offset: 0, len })
    }

    /// The number of the chunk that holds just these bytes: an earlier one, or a new one.
    fn number(&mut self, bytes: Vec<u8>) -> Result<u64> {
        let digest = Digest::of(&bytes);
        self.raw_since += bytes.len() as u64;
        if let Some(&number) = self.chunks.get(&digest) {
            self.notes.progress.advance(bytes.len() as u64, 0);
            return Ok(number);
        }
        let number = self.sink.chunk(bytes, digest)?;
        self.chunks.insert(digest, number);
        Ok(number)
    }

    /// Sends a batch of entries off, if there is enough for one or `all` are to go.
    fn write_entries(&mut self, all: bool) -> Result<()> {
        if !all && self.pending.len() < BATCH_ENTRIES && self.raw_since < BATCH_RAW {
            return Ok(());
        }
        if all || self.pending.len() >= WAIT_ENTRIES || self.raw_since >= WAIT_RAW {
            while let Some((&class, _)) = self.shared.first_key_value() {
                self.close(class)?;
            }
        }
        let ready = self.pending.iter().take_while(|entry| self.is_ready(entry)).count();
        if ready == 0 {
            return Ok(());
        }
        let mut batch: Vec<Entry> = self.pending.drain(..ready).collect();
        for entry in &mut batch {
            if let Kind::File(content) = &mut entry.kind {
                for extent in &mut content.extents {
                    if let Extent::Data { chunk, .. } = extent {
                        *chunk = self.slots[*chunk as usize];
                    }
                }
            }
        }
        self.raw_since = 0;
        self.sink.entries(batch)
    }

    /// Whether all chunks of the entry have numbers. A file's last piece is in the chunk that is closed last.
    fn is_ready(&self, entry: &Entry) -> bool {
        let Kind::File(content) = &entry.kind else { return true };
        let last = content.extents.iter().rev().find_map(|extent| match extent {
            Extent::Data { chunk, .. } => Some(*chunk),
            Extent::Hole { .. } => None,
        });
        last.is_none_or(|slot| self.slots[slot as usize] != OPEN)
    }

    /// Writes all that is left. The outcome lacks the warnings.
    pub(super) fn finish(mut self) -> Result<Outcome> {
        self.write_entries(true)?;
        self.outcome.archive_bytes = self.sink.finish()?;
        Ok(self.outcome)
    }
}

impl Current {
    fn run(&mut self, hole: bool, len: u64) {
        self.size += len;
        match self.layout.last_mut() {
            Some((same, total)) if *same == hole => *total += len,
            _ if len > 0 => self.layout.push((hole, len)),
            _ => {}
        }
    }

    /// The layout with the data runs replaced by the pieces, which have the same total length.
    fn extents(&self) -> Vec<Extent> {
        let mut out = Vec::with_capacity(self.pieces.len() + self.layout.len());
        let mut pieces = self.pieces.iter().copied();
        let mut piece: Option<Piece> = None;
        for &(hole, len) in &self.layout {
            if hole {
                out.push(Extent::Hole { len });
                continue;
            }
            let mut left = len;
            while left > 0 {
                let Some(from) = piece.take().or_else(|| pieces.next()) else { break };
                let now = u32::try_from(left).unwrap_or(u32::MAX).min(from.len);
                out.push(Extent::Data { chunk: from.slot, offset: from.offset, len: now });
                left -= u64::from(now);
                if now < from.len {
                    piece = Some(Piece { offset: from.offset + now, len: from.len - now, ..from });
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_cut_pieces() {
        let piece = |slot, len| Piece { slot, offset: 0, len };
        let file = Current {
            class: Class::Data,
            hasher: FileHasher::new(),
            size: 0,
            bytes: Vec::new(),
            pieces: vec![piece(7, 10), piece(8, 5)],
            large: true,
            layout: vec![(true, 3), (false, 4), (true, 1), (false, 11)],
        };
        let data = |chunk, offset, len| Extent::Data { chunk, offset, len };
        let expected = [Extent::Hole { len: 3 }, data(7, 0, 4), Extent::Hole { len: 1 }, data(7, 4, 6), data(8, 0, 5)];
        assert_eq!(file.extents(), expected);
    }
}
