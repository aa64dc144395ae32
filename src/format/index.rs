//! The index (spec/lma-format.md §8): where each record stands. A cache of the stream, never the truth.

use super::extension::read_extensions;
use super::pack::{pack, unpack};
use super::{CodecId, FormatError, HEADER_LEN, RECORD_MIN_LEN};
use crate::limits::Limits;
use crate::wire::{Cursor, put_varint};

const WHAT: &str = "index";

/// What the tables take beyond the records that they list, at most: their three counts.
const RAW_SLACK: u64 = 64;

/// Fewest bytes of a chunk in the index: one for each of its fields but the model.
const CHUNK_SLOT_MIN: u64 = 4;

/// Where a chunk record stands and what its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSlot {
    /// The chunk's number.
    pub number: u64,
    /// Position of the record's marker in the archive.
    pub position: u64,
    /// Length of the stored bytes.
    pub stored_len: u32,
    /// Length of the decoded bytes.
    pub raw_len: u32,
    /// The codec.
    pub codec: CodecId,
    /// The model record's number.
    pub model: Option<u32>,
}

/// Where an entry batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSlot {
    /// Position of the record's marker.
    pub position: u64,
    /// The batch's [`first`](super::EntryBatch::first).
    pub first: u64,
    /// Number of entries in the batch.
    pub count: u64,
}

/// Where a model record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSlot {
    /// Position of the record's marker.
    pub position: u64,
    /// The record's number.
    pub number: u32,
}

/// All records of an archive in stream order, by type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Model records, ascending by position and number.
    pub models: Vec<ModelSlot>,
    /// Chunk records, ascending by position and number.
    pub chunks: Vec<ChunkSlot>,
    /// Entry batches, ascending by position and first.
    pub batches: Vec<BatchSlot>,
}

/// The head of an index record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexHead {
    /// How the body is packed.
    pub encoding: u8,
    /// Length of the unpacked body.
    pub raw_len: u64,
}

impl IndexHead {
    /// The head's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.encoding];
        put_varint(&mut out, self.raw_len);
        out
    }

    /// Reads the head of an index record.
    ///
    /// # Errors
    /// Corrupt or unsupported.
    pub fn decode(head: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(head);
        let mut read = || Some(Self { encoding: cursor.u8()?, raw_len: cursor.varint()? });
        let index = read().ok_or_else(|| FormatError::corrupt(WHAT, "its head is malformed"))?;
        read_extensions(WHAT, &mut cursor)?;
        Ok(index)
    }
}

impl Index {
    /// The head and the body of the index record.
    #[must_use]
    pub fn pack(&self) -> (IndexHead, Vec<u8>) {
        let raw = self.encode();
        let (encoding, body) = pack(&raw);
        (IndexHead { encoding, raw_len: raw.len() as u64 }, body)
    }

    /// The unpacked body. Numbers are not written: they count from 0 in each table.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.models.len() as u64);
        let mut end = 0;
        for slot in &self.models {
            put_varint(&mut out, slot.position.wrapping_sub(end));
            end = slot.position;
        }
        put_varint(&mut out, self.chunks.len() as u64);
        let mut end = 0;
        for slot in &self.chunks {
            put_varint(&mut out, slot.position.wrapping_sub(end));
            put_varint(&mut out, u64::from(slot.stored_len));
            put_varint(&mut out, u64::from(slot.raw_len));
            out.push(slot.codec as u8);
            if let Some(model) = slot.model {
                put_varint(&mut out, u64::from(model));
            }
            end = slot.position.wrapping_add(u64::from(slot.stored_len));
        }
        put_varint(&mut out, self.batches.len() as u64);
        let mut end = 0;
        for slot in &self.batches {
            put_varint(&mut out, slot.position.wrapping_sub(end));
            put_varint(&mut out, slot.count);
            end = slot.position;
        }
        out
    }

    /// Reads the index of a record's head and body. `position` is the index record's own: all records
    /// that it lists end before it, which bounds their number.
    ///
    /// # Errors
    /// Corrupt, unsupported, or a limit.
    pub fn decode(head: &[u8], body: &[u8], position: u64, limits: &Limits) -> Result<Self, FormatError> {
        let head = IndexHead::decode(head)?;
        FormatError::charge(WHAT, head.raw_len, limits.index_raw)?;
        if head.raw_len > position.saturating_add(RAW_SLACK) {
            let why = format!("{} bytes of tables for an archive of {position} bytes", head.raw_len);
            return Err(FormatError::corrupt(WHAT, why));
        }
        let raw = unpack(WHAT, head.encoding, body, head.raw_len)?;
        let mut tables = Tables { cursor: Cursor::new(&raw), position };
        let index = Self { models: tables.models(limits)?, chunks: tables.chunks()?, batches: tables.batches(limits)? };
        if !tables.cursor.is_empty() {
            return Err(FormatError::corrupt(WHAT, "bytes follow its tables"));
        }
        for slot in &index.chunks {
            if slot.model.is_some_and(|model| u64::from(model) >= index.models.len() as u64) {
                return Err(FormatError::corrupt(WHAT, format!("chunk {} names an absent model", slot.number)));
            }
        }
        Ok(index)
    }
}

/// Reads the tables. Vectors grow with the slots read: each is checked to lie behind the one before
/// it and before the index, so that they take no more than a small multiple of the archive.
struct Tables<'a> {
    cursor: Cursor<'a>,
    position: u64,
}

impl Tables<'_> {
    fn varint(&mut self, field: &str) -> Result<u64, FormatError> {
        self.cursor.varint().ok_or_else(|| FormatError::corrupt(WHAT, format!("a {field} is malformed")))
    }

    fn varint32(&mut self, field: &str) -> Result<u32, FormatError> {
        self.cursor.varint32().ok_or_else(|| FormatError::corrupt(WHAT, format!("a {field} is malformed")))
    }

    /// The position of a record that follows a record whose body ends no earlier than `end`
    /// (0 before the first), and which is itself followed by `stored_len` bytes at least.
    fn position(
        &mut self,
        end: u64,
        stored_len: impl FnOnce(&mut Self) -> Result<u32, FormatError>,
    ) -> Result<(u64, u32), FormatError> {
        let gap = self.varint("position")?;
        let stored_len = stored_len(self)?;
        let least = if end == 0 { HEADER_LEN } else { RECORD_MIN_LEN } as u64;
        let position = end.checked_add(gap).filter(|_| gap >= least);
        let fits = |&at: &u64| {
            at.checked_add(RECORD_MIN_LEN as u64 + u64::from(stored_len)).is_some_and(|end| end <= self.position)
        };
        position
            .filter(fits)
            .map(|position| (position, stored_len))
            .ok_or_else(|| FormatError::corrupt(WHAT, "a record lies outside the archive or over another record"))
    }

    fn models(&mut self, limits: &Limits) -> Result<Vec<ModelSlot>, FormatError> {
        let count = self.varint("model count")?;
        FormatError::charge("model records", count, limits.models)?;
        let mut slots = Vec::new();
        let mut end = 0;
        for number in 0..count {
            let (position, _) = self.position(end, |_| Ok(0))?;
            let number = u32::try_from(number).map_err(|_| FormatError::corrupt(WHAT, "too many models"))?;
            slots.push(ModelSlot { position, number });
            end = position;
        }
        Ok(slots)
    }

    fn chunks(&mut self) -> Result<Vec<ChunkSlot>, FormatError> {
        let count = self.varint("chunk count")?;
        // The count is a claim: reserved is what the bytes that are there can hold.
        let fit = self.cursor.rest().len() as u64 / CHUNK_SLOT_MIN;
        let mut slots = Vec::with_capacity(usize::try_from(count.min(fit)).unwrap_or(0));
        let mut end = 0;
        for number in 0..count {
            let (position, stored_len) = self.position(end, |tables| tables.varint32("stored_len"))?;
            let raw_len = self.varint32("raw_len")?;
            let codec = self.cursor.u8().ok_or_else(|| FormatError::corrupt(WHAT, "a codec is malformed"))?;
            let codec = CodecId::from_byte(codec)?;
            let model = if codec.needs_model() { Some(self.varint32("model")?) } else { None };
            slots.push(ChunkSlot { number, position, stored_len, raw_len, codec, model });
            end = position + u64::from(stored_len);
        }
        Ok(slots)
    }

    fn batches(&mut self, limits: &Limits) -> Result<Vec<BatchSlot>, FormatError> {
        let slots_count = self.varint("batch count")?;
        let mut slots = Vec::new();
        let (mut end, mut first) = (0, 0u64);
        for _ in 0..slots_count {
            let (position, _) = self.position(end, |_| Ok(0))?;
            let count = self.varint("entry count")?;
            slots.push(BatchSlot { position, first, count });
            first = first.saturating_add(count);
            FormatError::charge("entries", first, limits.entries)?;
            end = position;
        }
        Ok(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Index {
        Index {
            models: vec![ModelSlot { position: 24, number: 0 }],
            chunks: vec![
                chunk(0, 200, 500, CodecId::Lm, Some(0)),
                chunk(1, 800, 50, CodecId::Store, None),
                chunk(2, 900, 300, CodecId::Cm, None),
                chunk(3, 1300, 70, CodecId::Mix, Some(0)),
            ],
            batches: vec![
                BatchSlot { position: 1400, first: 0, count: 3 },
                BatchSlot { position: 1500, first: 3, count: 1024 },
            ],
        }
    }

    fn chunk(number: u64, position: u64, stored_len: u32, codec: CodecId, model: Option<u32>) -> ChunkSlot {
        ChunkSlot { number, position, stored_len, raw_len: 900, codec, model }
    }

    fn decode(index: &Index, position: u64) -> Result<Index, FormatError> {
        let (head, body) = index.pack();
        Index::decode(&head.encode(), &body, position, &Limits::default())
    }

    #[test]
    fn round_trips() {
        assert_eq!(decode(&sample(), 1600), Ok(sample()));
        assert_eq!(decode(&Index::default(), 24), Ok(Index::default()));
    }

    #[test]
    fn records_outside_or_over_each_other_are_corrupt() {
        let mut bad = vec![sample(); 7];
        bad[0].models[0].position = 23;
        bad[1].chunks[1].position = 700;
        bad[2].chunks[1].position = 150;
        bad[3].batches[1].position = 1590;
        bad[4].batches[1].position = 1400;
        bad[5].chunks[0].model = Some(1);
        bad[6].chunks[3].model = Some(1);
        for index in bad {
            assert!(matches!(decode(&index, 1600), Err(FormatError::Corrupt { .. })), "{index:?}");
        }
    }

    #[test]
    fn a_huge_claim_is_refused() {
        let head = IndexHead { encoding: 1, raw_len: 1 << 20 }.encode();
        assert!(matches!(Index::decode(&head, b"", 1000, &Limits::default()), Err(FormatError::Corrupt { .. })));
        let head = IndexHead { encoding: 1, raw_len: 1 << 40 }.encode();
        assert!(matches!(Index::decode(&head, b"", 1000, &Limits::default()), Err(FormatError::Limit { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(body in prop::collection::vec(any::<u8>(), 0..100)) {
            let head = IndexHead { encoding: 0, raw_len: body.len() as u64 }.encode();
            if let Ok(index) = Index::decode(&head, &body, 10_000, &Limits::default()) {
                prop_assert_eq!(decode(&index, 10_000), Ok(index));
            }
        }
    }
}
