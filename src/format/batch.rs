//! Entry batches (spec/lma-format.md §7): entries written together, each delimited by its length.

use super::extension::read_extensions;
use super::pack::{pack, unpack};
use super::{Entry, EntryBatch, FormatError, Owners};
use crate::limits::Limits;
use crate::wire::{Cursor, put_bytes, put_varint};

/// Most entries in one batch.
pub const BATCH_ENTRIES: usize = 1024;

/// A writer closes a batch that has reached this many bytes before packing. One entry may take more.
pub const BATCH_RAW_TARGET: usize = 1 << 20;

const WHAT: &str = "entry batch";

/// The head of an entries record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// Number of entries in all batches before this one.
    pub first: u64,
    /// Number of entries in this batch, from 1 to [`BATCH_ENTRIES`].
    pub count: u64,
    /// How the body is packed.
    pub encoding: u8,
    /// Length of the unpacked body.
    pub raw_len: u64,
}

impl BatchHead {
    /// The head's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.first);
        put_varint(&mut out, self.count);
        out.push(self.encoding);
        put_varint(&mut out, self.raw_len);
        out
    }

    /// Reads the head of an entries record.
    ///
    /// # Errors
    /// Corrupt or unsupported.
    pub fn decode(head: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(head);
        let mut read = || {
            Some(Self {
                first: cursor.varint()?,
                count: cursor.varint()?,
                encoding: cursor.u8()?,
                raw_len: cursor.varint()?,
            })
        };
        let batch = read().ok_or_else(|| FormatError::corrupt(WHAT, "its head is malformed"))?;
        read_extensions(WHAT, &mut cursor)?;
        if batch.count == 0 || batch.count > BATCH_ENTRIES as u64 {
            let why = format!("{} entries, from 1 to {BATCH_ENTRIES} allowed", batch.count);
            return Err(FormatError::corrupt(WHAT, why));
        }
        if batch.first.checked_add(batch.count).is_none() {
            return Err(FormatError::corrupt(WHAT, "its entries are numbered beyond 64 bits"));
        }
        Ok(batch)
    }
}

impl EntryBatch {
    /// The head and the body of the record that holds `count` entries, `raw` being their bytes, each
    /// entry's behind their length.
    #[must_use]
    pub fn pack(first: u64, count: u64, raw: &[u8]) -> (BatchHead, Vec<u8>) {
        let (encoding, body) = pack(raw);
        (BatchHead { first, count, encoding, raw_len: raw.len() as u64 }, body)
    }

    /// Appends `entry` to the unpacked body of a batch.
    pub fn push_entry(raw: &mut Vec<u8>, entry: &Entry) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        put_bytes(raw, &bytes);
    }

    /// Reads the batch of a record's head and body.
    ///
    /// # Errors
    /// Corrupt, unsupported, or a limit.
    pub fn decode(head: &[u8], body: &[u8], limits: &Limits) -> Result<Self, FormatError> {
        Self::decode_with(head, body, limits, Owners::Named)
    }

    /// [`EntryBatch::decode`], perhaps without the owners' names.
    ///
    /// # Errors
    /// Corrupt, unsupported, or a limit.
    pub fn decode_with(head: &[u8], body: &[u8], limits: &Limits, owners: Owners) -> Result<Self, FormatError> {
        let head = BatchHead::decode(head)?;
        FormatError::charge("entry batch", head.raw_len, limits.batch_raw)?;
        let raw = unpack(WHAT, head.encoding, body, head.raw_len)?;
        let mut cursor = Cursor::new(&raw);
        let mut entries = Vec::new();
        for _ in 0..head.count {
            let bytes = cursor.bytes(u64::MAX).ok_or_else(|| {
                FormatError::corrupt(WHAT, format!("it ends within entry {} of {}", entries.len(), head.count))
            })?;
            entries.push(Entry::decode_with(bytes, limits, owners)?);
        }
        if !cursor.is_empty() {
            return Err(FormatError::corrupt(WHAT, format!("bytes follow its {} entries", head.count)));
        }
        Ok(Self { first: head.first, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry_wire::tests::entry;
    use super::*;
    use crate::format::Kind;

    fn packed(entries: &[Entry]) -> (Vec<u8>, Vec<u8>) {
        let mut raw = Vec::new();
        entries.iter().for_each(|entry| EntryBatch::push_entry(&mut raw, entry));
        let (head, body) = EntryBatch::pack(40, entries.len() as u64, &raw);
        (head.encode(), body)
    }

    #[test]
    fn round_trips_plain_and_packed() {
        let one = vec![entry(b"a", Kind::Fifo)];
        let many: Vec<_> = (0..100).map(|i| entry(format!("dir/file-{i}").as_bytes(), Kind::Directory)).collect();
        for entries in [one, many] {
            let (head, body) = packed(&entries);
            let batch = EntryBatch::decode(&head, &body, &Limits::default());
            assert_eq!(batch, Ok(EntryBatch { first: 40, entries }));
        }
    }

    #[test]
    fn a_wrong_count_is_corrupt() {
        let (_, body) = packed(&[entry(b"a", Kind::Fifo)]);
        let raw_len = body.len() as u64;
        for count in [0, 2, 1025, u64::MAX] {
            let head = BatchHead { first: 0, count, encoding: 0, raw_len }.encode();
            let outcome = EntryBatch::decode(&head, &body, &Limits::default());
            assert!(matches!(outcome, Err(FormatError::Corrupt { .. })), "{count}");
        }
        let head = BatchHead { first: u64::MAX, count: 1, encoding: 0, raw_len }.encode();
        assert!(EntryBatch::decode(&head, &body, &Limits::default()).is_err());
        let longer = [body, vec![0]].concat();
        let head = BatchHead { first: 0, count: 1, encoding: 0, raw_len: raw_len + 1 }.encode();
        assert!(EntryBatch::decode(&head, &longer, &Limits::default()).is_err());
    }

    #[test]
    fn the_declared_size_is_charged() {
        let head = BatchHead { first: 0, count: 1, encoding: 1, raw_len: 1 << 40 }.encode();
        let outcome = EntryBatch::decode(&head, b"", &Limits::default());
        assert!(matches!(outcome, Err(FormatError::Limit { .. })));
    }
}
