//! Writes an archive front to back. Never seeks, so a pipe will do.

use std::io::Write;

use super::ContainerError;
use super::rules::EntryRules;
use crate::codec::Encoded;
use crate::format::{
    BATCH_ENTRIES, BATCH_RAW_TARGET, BatchSlot, ChunkHead, ChunkSlot, Entry, EntryBatch, FOOTER_LEN, Footer,
    FormatError, Index, ModelRecord, ModelSlot, RecordHead, RecordType, StreamHeader,
};
use crate::hash::ChunkDigest;
use crate::limits::Limits;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteSummary {
    /// Bytes of the archive.
    pub archive_len: u64,
    /// Chunks.
    pub chunks: u64,
    /// Entries.
    pub entries: u64,
}

/// The writer. Dropped without [`Writer::finish`], it leaves an archive without index and footer,
/// readable by a scan up to its last entry batch. It refuses to write what a reader with the default
/// [`Limits`] would refuse to read. After an error it is good for nothing but being dropped.
pub struct Writer<W: Write> {
    out: W,
    position: u64,
    index: Index,
    rules: EntryRules,
    limits: Limits,
}

impl<W: Write> Writer<W> {
    /// Writes the stream header.
    ///
    /// # Errors
    /// [`ContainerError::Write`].
    pub fn new(out: W) -> Result<Self, ContainerError> {
        let limits = Limits::default();
        let rules = EntryRules::new(&limits);
        let mut writer = Self { out, position: 0, index: Index::default(), rules, limits };
        writer.write(&StreamHeader::default().encode())?;
        Ok(writer)
    }

    /// Writes a model record; its `number` is assigned here and returned.
    ///
    /// # Errors
    /// [`ContainerError::Write`], [`ContainerError::Unwritable`].
    pub fn model(&mut self, record: &ModelRecord) -> Result<u32, ContainerError> {
        let count = self.index.models.len() as u64;
        FormatError::charge("model records", count + 1, self.limits.models).map_err(ContainerError::Unwritable)?;
        let number = count as u32;
        let record = ModelRecord { number, ..record.clone() };
        record.check().map_err(ContainerError::Unwritable)?;
        let position = self.record(RecordType::Model, record.encode(), &[])?;
        self.index.models.push(ModelSlot { position, number });
        Ok(number)
    }

    /// Writes a chunk and returns its number. `model` is the model record's number where the codec needs one.
    ///
    /// # Errors
    /// [`ContainerError::Write`], [`ContainerError::Unwritable`].
    pub fn chunk(
        &mut self,
        encoded: &Encoded,
        model: Option<u32>,
        raw_len: u32,
        digest: ChunkDigest,
    ) -> Result<u64, ContainerError> {
        let number = self.index.chunks.len() as u64;
        let model = model.filter(|_| encoded.codec.needs_model());
        let head = ChunkHead { number, codec: encoded.codec, model, raw_len, digest };
        let stored_len = self.check_chunk(&head, encoded.stored.len()).map_err(ContainerError::Unwritable)?;
        let position = self.record(RecordType::Chunk, head.encode(), &encoded.stored)?;
        self.index.chunks.push(ChunkSlot { number, position, stored_len, raw_len, codec: head.codec, model });
        Ok(number)
    }

    /// Writes an entry batch, splitting it where it would exceed the batch size of the format.
    ///
    /// # Errors
    /// [`ContainerError::Write`], [`ContainerError::Unwritable`].
    pub fn entries(&mut self, entries: &[Entry]) -> Result<(), ContainerError> {
        let mut raw = Vec::new();
        let mut count = 0;
        for entry in entries {
            self.check_entry(entry).map_err(ContainerError::Unwritable)?;
            let before = raw.len();
            EntryBatch::push_entry(&mut raw, entry);
            if count > 0 && raw.len() > BATCH_RAW_TARGET {
                let next = raw.split_off(before);
                self.batch(count, &raw)?;
                (count, raw) = (0, next);
            }
            count += 1;
            if count == BATCH_ENTRIES as u64 {
                self.batch(count, &raw)?;
                (count, raw) = (0, Vec::new());
            }
        }
        if count > 0 { self.batch(count, &raw) } else { Ok(()) }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Writes the index and the footer, flushes, and gives the output back.
    ///
    /// # Errors
    /// [`ContainerError::Write`], [`ContainerError::Unwritable`].
    pub fn finish(mut self) -> Result<(W, WriteSummary), ContainerError> {
        let (head, body) = self.index.pack();
        FormatError::charge("index", head.raw_len, self.limits.index_raw).map_err(ContainerError::Unwritable)?;
        let index_position = self.record(RecordType::Index, head.encode(), &body)?;
        let archive_len = self.position + FOOTER_LEN as u64;
        self.write(&Footer { index_position, archive_len }.encode())?;
        self.out.flush().map_err(ContainerError::Write)?;
        let summary =
            WriteSummary { archive_len, chunks: self.index.chunks.len() as u64, entries: self.rules.entries() };
        Ok((self.out, summary))
    }

    fn check_chunk(&self, head: &ChunkHead, stored_len: usize) -> Result<u32, FormatError> {
        FormatError::charge("raw chunk", u64::from(head.raw_len), self.limits.chunk_raw)?;
        FormatError::charge("stored chunk", stored_len as u64, self.limits.chunk_stored)?;
        if head.model.is_some_and(|model| model as usize >= self.index.models.len()) {
            return Err(FormatError::corrupt("chunk head", format!("model {:?} was not written", head.model)));
        }
        head.check(stored_len as u32)?;
        Ok(stored_len as u32)
    }

    fn check_entry(&mut self, entry: &Entry) -> Result<(), FormatError> {
        entry.validate(&self.limits)?;
        let chunks = &self.index.chunks;
        let raw_len = |number: u64| usize::try_from(number).ok().and_then(|i| chunks.get(i)).map(|slot| slot.raw_len);
        self.rules.entry(entry, &raw_len)
    }

    fn batch(&mut self, count: u64, raw: &[u8]) -> Result<(), ContainerError> {
        let first = self.rules.entries();
        let raw_len = raw.len() as u64;
        FormatError::charge("entry batch", raw_len, self.limits.batch_raw)
            .and_then(|()| self.rules.charge(raw_len))
            .and_then(|()| self.rules.follow(first, count))
            .map_err(ContainerError::Unwritable)?;
        let (head, body) = EntryBatch::pack(first, count, raw);
        let position = self.record(RecordType::Entries, head.encode(), &body)?;
        self.index.batches.push(BatchSlot { position, first, count });
        Ok(())
    }

    /// Writes a record and returns its position.
    fn record(&mut self, kind: RecordType, head: Vec<u8>, body: &[u8]) -> Result<u64, ContainerError> {
        let position = self.position;
        let head = RecordHead::new(kind, head, body).map_err(ContainerError::Unwritable)?;
        self.write(&head.encode(position))?;
        self.write(body)?;
        Ok(position)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ContainerError> {
        self.out.write_all(bytes).map_err(ContainerError::Write)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{CodecId, Kind, Mtime};

    fn fifo(path: String) -> Entry {
        Entry {
            path: path.into_bytes(),
            kind: Kind::Fifo,
            mode: 0,
            uid: 0,
            gid: 0,
            user: vec![],
            group: vec![],
            mtime: Mtime::default(),
            xattrs: vec![],
        }
    }

    #[test]
    fn batches_are_split_by_count_and_by_size() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.entries(&(0..2050).map(|i| fifo(format!("f{i}"))).collect::<Vec<_>>()).unwrap();
        let counts = |writer: &Writer<_>| writer.index.batches.iter().map(|slot| slot.count).collect::<Vec<_>>();
        assert_eq!(counts(&writer), [1024, 1024, 2]);
        let long: Vec<_> = (0..40).map(|i| fifo(format!("{i}/{}x", "p/".repeat(25_000)))).collect();
        writer.entries(&long).unwrap();
        assert_eq!(counts(&writer)[3..], [20, 20]);
        let (bytes, summary) = writer.finish().unwrap();
        assert_eq!((summary.archive_len, summary.entries), (bytes.len() as u64, 2090));
    }

    #[test]
    fn nothing_unreadable_is_written() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        let digest = ChunkDigest::of(b"x");
        let encoded = |codec| Encoded { codec, stored: vec![1, 2] };
        for (codec, model, raw_len) in [
            (CodecId::Store, None, 1),
            (CodecId::Zstd, None, 0),
            (CodecId::Cm, None, 0),
            (CodecId::Lm, None, 9),
            (CodecId::Lm, Some(0), 9),
            (CodecId::Mix, None, 9),
            (CodecId::Mix, Some(0), 9),
        ] {
            let outcome = writer.chunk(&encoded(codec), model, raw_len, digest);
            assert!(matches!(outcome, Err(ContainerError::Unwritable(_))), "{codec:?}");
        }
        assert_eq!(writer.chunk(&encoded(CodecId::Store), Some(7), 2, digest).unwrap(), 0);
        writer.entries(&[fifo("a".into())]).unwrap();
        assert!(writer.entries(&[fifo("a".into())]).is_err());
        assert!(writer.entries(&[fifo("../b".into())]).is_err());
    }
}
