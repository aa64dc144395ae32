//! Random access to an archive through its index, or through a scan where the index is lost.

use std::sync::Arc;

use super::record::{read_at, read_head, read_record};
use super::scan::scan_index;
use super::{ContainerError, Source};
use crate::codec;
use crate::format::{
    ChunkHead, ChunkSlot, FOOTER_LEN, FOOTER_MAGIC, Footer, FormatError, HEADER_LEN, Index, ModelRecord,
    RECORD_MIN_LEN, RecordHead, RecordType, StreamHeader,
};
use crate::hash::{ChunkDigest, Digest, FileHasher};
use crate::limits::Limits;
use crate::predict::{Audience, Models, whole};

/// How an archive was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Through the footer and the index.
    Index,
    /// By scanning the stream, because of this.
    Scan(String),
}

/// Bytes of the index record that are hashed at a time.
const IDENTITY_PIECE: u64 = 1 << 20;

/// An open archive: its tables in memory, its chunks on demand. `Send + Sync`, methods take `&self`.
pub struct Reader {
    source: Arc<dyn Source>,
    pub(super) limits: Limits,
    opened: Opened,
    /// Where the index record stands; `None` after a scan.
    index_position: Option<u64>,
    index: Index,
    models: Vec<ModelRecord>,
    archive_len: u64,
}

impl Reader {
    /// Opens through the index: reads the header, the footer, the index and the model records, not the
    /// chunks and not the entries.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn open(source: Arc<dyn Source>, limits: Limits) -> Result<Self, ContainerError> {
        let archive_len = source_len(&*source)?;
        read_header(&*source, archive_len)?;
        let footer = read_footer(&*source, archive_len)?;
        let index = read_index(&*source, &footer, &limits)?;
        let mut models = Vec::new();
        for slot in &index.models {
            let (head, _) = read_record(&*source, slot.position, footer.index_position, 0, 0)?;
            let at = || ContainerError::at(slot.position);
            expect_type(&head, RecordType::Model).map_err(at())?;
            let record = ModelRecord::decode(&head.head).map_err(at())?;
            if record.number != slot.number {
                return Err(at()(disagreement("model record", record.number.into(), slot.number.into())));
            }
            models.push(record);
        }
        let index_position = Some(footer.index_position);
        Ok(Self { source, limits, opened: Opened::Index, index_position, index, models, archive_len })
    }

    /// Opens through the index if it is whole, else rebuilds it by scanning: records after damage are
    /// found again by their marker.
    ///
    /// # Errors
    /// [`ContainerError`] where neither the header nor the footer is an archive's (another large file is
    /// not searched for records; [`recover`](super::recover()) does that), and where the archive is not
    /// damaged but unsupported, beyond a limit, or cannot be read.
    pub fn open_or_scan(source: Arc<dyn Source>, limits: Limits) -> Result<Self, ContainerError> {
        let error = match Self::open(Arc::clone(&source), limits.clone()) {
            Ok(reader) => return Ok(reader),
            Err(error) if error.is_damage() => error,
            Err(error) => return Err(error),
        };
        let len = source_len(&*source)?;
        if read_header(&*source, len).is_err() && read_footer(&*source, len).is_err() {
            return Err(error);
        }
        match Self::scan(source, limits) {
            Ok(reader) => Ok(Self { opened: Opened::Scan(error.to_string()), ..reader }),
            Err(scan) if scan.is_damage() => Err(error),
            Err(scan) => Err(scan),
        }
    }

    /// Opens by a scan, whatever the index says.
    pub(super) fn scan(source: Arc<dyn Source>, limits: Limits) -> Result<Self, ContainerError> {
        let archive_len = source_len(&*source)?;
        let header = read_header(&*source, archive_len);
        let (index, models) = scan_index(&*source, &limits)?;
        match header {
            Err(error) if index == Index::default() || !error.is_damage() => Err(error),
            _ => {
                let opened = Opened::Scan(String::new());
                Ok(Self { source, limits, opened, index_position: None, index, models, archive_len })
            }
        }
    }

    /// How the archive was opened.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The tables.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The model records, by number (ascending).
    #[must_use]
    pub fn models(&self) -> &[ModelRecord] {
        &self.models
    }

    /// The model record with this number, by binary search.
    #[must_use]
    pub fn model(&self, number: u32) -> Option<&ModelRecord> {
        self.models.binary_search_by_key(&number, |record| record.number).ok().map(|i| &self.models[i])
    }

    /// Length of the archive in bytes.
    #[must_use]
    pub fn archive_len(&self) -> u64 {
        self.archive_len
    }

    /// What tells this archive from others: a digest of its length, its index record and its footer. `None` where
    /// it was opened by a scan, and where these bytes cannot be read. Archives with the same identity have chunks
    /// of the same numbers, lengths and codecs at the same places; only the digests in their heads can differ.
    #[must_use]
    pub fn identity(&self) -> Option<Digest> {
        let mut position = self.index_position?;
        let mut hasher = FileHasher::new();
        hasher.update(b"lma archive identity 1\0");
        hasher.update(&self.archive_len.to_le_bytes());
        while position < self.archive_len {
            let piece = read_at(&*self.source, position, IDENTITY_PIECE.min(self.archive_len - position)).ok()?;
            hasher.update(&piece);
            position += piece.len() as u64;
        }
        Some(hasher.finish())
    }

    /// The raw length of a chunk that stands before `position`.
    pub(super) fn chunk_before(&self, number: u64, position: u64) -> Option<u32> {
        self.slot(number).filter(|slot| slot.position < position).map(|slot| slot.raw_len)
    }

    /// The chunk's slot: at its number, or by binary search where chunks before it are lost.
    #[must_use]
    pub fn slot(&self, number: u64) -> Option<&ChunkSlot> {
        let chunks = &self.index.chunks;
        // Without losses a chunk's place is its number.
        let guess = usize::try_from(number).ok().and_then(|place| chunks.get(place));
        if guess.is_some_and(|slot| slot.number == number) {
            return guess;
        }
        chunks.binary_search_by_key(&number, |slot| slot.number).ok().map(|place| &chunks[place])
    }

    /// Reads a chunk's head alone; its CRC and its agreement with the index are checked.
    ///
    /// # Errors
    /// As [`Reader::stored`].
    pub fn chunk_head(&self, number: u64) -> Result<ChunkHead, ContainerError> {
        let slot = self.charged(number)?;
        let head = read_head(&*self.source, slot.position, self.archive_len)?;
        expect_type(&head, RecordType::Chunk)
            .and_then(|()| agreed(&head, slot))
            .map_err(ContainerError::at(slot.position))
    }

    /// Reads a chunk's stored bytes; head, CRCs and agreement with the index are checked.
    ///
    /// # Errors
    /// [`ContainerError::MissingChunk`], [`ContainerError::Read`], [`ContainerError::Format`].
    pub fn stored(&self, number: u64) -> Result<(ChunkHead, Vec<u8>), ContainerError> {
        let slot = self.charged(number)?;
        let (head, body) =
            self.record(slot.position, slot.stored_len.into(), self.limits.chunk_stored, RecordType::Chunk)?;
        let chunk = agreed(&head, slot).map_err(ContainerError::at(slot.position))?;
        Ok((chunk, body))
    }

    /// The chunk's slot, if the lengths in it are within the limits.
    fn charged(&self, number: u64) -> Result<&ChunkSlot, ContainerError> {
        let slot = self.slot(number).ok_or(ContainerError::MissingChunk(number))?;
        let at = || ContainerError::at(slot.position);
        FormatError::charge("raw chunk", slot.raw_len.into(), self.limits.chunk_raw).map_err(at())?;
        FormatError::charge("stored chunk", slot.stored_len.into(), self.limits.chunk_stored).map_err(at())?;
        Ok(slot)
    }

    /// Reads, decodes and checks one chunk; no cache.
    ///
    /// # Errors
    /// [`ContainerError::Chunk`] and those of [`Reader::stored`].
    pub fn decode(&self, number: u64, models: &dyn Models) -> Result<Arc<[u8]>, ContainerError> {
        self.decode_for(number, models, &whole())
    }

    /// Decodes as [`Reader::decode`] does, for an audience that may want the first bytes early or go away.
    /// What it hears of is checked by the record's checksum already, and by the chunk's digest not yet.
    ///
    /// # Errors
    /// Those of [`Reader::decode`]; [`CodecError::Dropped`](codec::CodecError::Dropped).
    pub fn decode_for(
        &self,
        number: u64,
        models: &dyn Models,
        audience: &Arc<dyn Audience>,
    ) -> Result<Arc<[u8]>, ContainerError> {
        let (head, stored) = self.stored(number)?;
        let model = head.model.and_then(|model| self.model(model));
        decode_chunk(&head, model, &stored, models, audience).map(Arc::from)
    }

    pub(super) fn record(
        &self,
        position: u64,
        body_hint: u64,
        max_body: u64,
        kind: RecordType,
    ) -> Result<(RecordHead, Vec<u8>), ContainerError> {
        let (head, body) = read_record(&*self.source, position, self.archive_len, body_hint, max_body)?;
        expect_type(&head, kind).map_err(ContainerError::at(position))?;
        Ok((head, body))
    }
}

/// The chunk's head in a record that stands where the index says, if it says the same as the index.
fn agreed(head: &RecordHead, slot: &ChunkSlot) -> Result<ChunkHead, FormatError> {
    let chunk = ChunkHead::decode(&head.head, head.body_len)?;
    let ChunkHead { number, codec, model, raw_len, .. } = chunk;
    let (position, stored_len) = (slot.position, head.body_len);
    if (ChunkSlot { number, position, stored_len, raw_len, codec, model }) != *slot {
        return Err(disagreement("chunk", number, slot.number));
    }
    Ok(chunk)
}

/// Decodes a chunk's stored bytes and checks the result against the head's length and digest.
///
/// # Errors
/// [`ContainerError::Chunk`].
pub fn decode_chunk(
    head: &ChunkHead,
    model: Option<&ModelRecord>,
    stored: &[u8],
    models: &dyn Models,
    audience: &Arc<dyn Audience>,
) -> Result<Vec<u8>, ContainerError> {
    let number = head.number;
    let failed = |error| ContainerError::Chunk { number, error };
    let raw = codec::decode_for(head.codec, model, stored, head.raw_len as usize, models, audience).map_err(failed)?;
    let wrong = |why: String| failed(codec::CodecError::Corrupt { codec: head.codec, why });
    if raw.len() != head.raw_len as usize {
        return Err(wrong(format!("{} bytes came out, {} are declared", raw.len(), head.raw_len)));
    }
    let digest = ChunkDigest::of(&raw);
    if digest != head.digest {
        return Err(wrong(format!("its digest is {digest}, {} is recorded", head.digest)));
    }
    Ok(raw)
}

pub(super) fn source_len(source: &dyn Source) -> Result<u64, ContainerError> {
    source.len().map_err(|source| ContainerError::Read { position: 0, source })
}

pub(super) fn read_header(source: &dyn Source, len: u64) -> Result<StreamHeader, ContainerError> {
    if len < HEADER_LEN as u64 {
        return Err(ContainerError::Truncated(len));
    }
    let bytes = read_at(source, 0, HEADER_LEN as u64)?;
    let short = |_| ContainerError::Truncated(len);
    StreamHeader::decode(bytes[..].try_into().map_err(short)?).map_err(ContainerError::at(0))
}

pub(super) fn read_footer(source: &dyn Source, len: u64) -> Result<Footer, ContainerError> {
    let position = len
        .checked_sub(FOOTER_LEN as u64)
        .filter(|&at| at >= (HEADER_LEN + RECORD_MIN_LEN) as u64)
        .ok_or(ContainerError::Truncated(len))?;
    let bytes = read_at(source, position, FOOTER_LEN as u64)?;
    let bytes: &[u8; FOOTER_LEN] = bytes[..].try_into().map_err(|_| ContainerError::Truncated(len))?;
    if !bytes.ends_with(&FOOTER_MAGIC) {
        return Err(ContainerError::Truncated(len));
    }
    let at = || ContainerError::at(position);
    let footer = Footer::decode(bytes).map_err(at())?;
    if footer.archive_len != len {
        let why = format!("the archive has {len} bytes, {} are recorded", footer.archive_len);
        return Err(at()(FormatError::corrupt("footer", why)));
    }
    if footer.index_position > position - RECORD_MIN_LEN as u64 || footer.index_position < HEADER_LEN as u64 {
        let why = format!("the index cannot stand at byte {}", footer.index_position);
        return Err(at()(FormatError::corrupt("footer", why)));
    }
    Ok(footer)
}

/// Reads the index record that the footer names; it ends where the footer starts.
pub(super) fn read_index(source: &dyn Source, footer: &Footer, limits: &Limits) -> Result<Index, ContainerError> {
    let position = footer.index_position;
    let end = footer.archive_len - FOOTER_LEN as u64;
    let at = || ContainerError::at(position);
    let (head, body) = read_record(source, position, end, end - position, limits.index_raw)?;
    expect_type(&head, RecordType::Index).map_err(at())?;
    if position + head.record_len() != end {
        return Err(at()(FormatError::corrupt("index", "the footer does not follow it directly")));
    }
    Index::decode(&head.head, &body, position, limits).map_err(at())
}

fn expect_type(head: &RecordHead, kind: RecordType) -> Result<(), FormatError> {
    if head.record_type() == Some(kind) {
        return Ok(());
    }
    Err(FormatError::corrupt("index", format!("a {kind:?} record is indexed, type {} is there", head.kind)))
}

pub(super) fn disagreement(what: &str, stream: u64, index: u64) -> FormatError {
    FormatError::corrupt("index", format!("{what} {stream} of the stream is not what the index says of {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Encoded;
    use crate::container::{MemorySource, Writer};
    use crate::format::{CodecId, Entry, Extent, FileContent, Kind, Mtime};

    fn sample() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for (i, raw) in [&b"hello "[..], b"world"].into_iter().enumerate() {
            let encoded = Encoded { codec: CodecId::Store, stored: raw.to_vec() };
            writer.chunk(&encoded, None, raw.len() as u32, ChunkDigest::of(raw)).unwrap();
            let extents = vec![Extent::Data { chunk: i as u64, offset: 0, len: raw.len() as u32 }];
            let content = FileContent { size: raw.len() as u64, extents, digest: Digest::of(raw) };
            writer.entries(&[entry(&format!("d/{i}"), Kind::File(content))]).unwrap();
        }
        writer.finish().unwrap().0
    }

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            user: vec![],
            group: vec![],
            mtime: Mtime::default(),
            xattrs: vec![],
        }
    }

    fn open_or_scan(bytes: &[u8]) -> Result<Reader, ContainerError> {
        Reader::open_or_scan(Arc::new(MemorySource(bytes.to_vec())), Limits::default())
    }

    #[test]
    fn the_index_and_a_scan_find_the_same() {
        let bytes = sample();
        let whole = open_or_scan(&bytes).unwrap();
        assert_eq!(*whole.opened(), Opened::Index);
        assert_eq!(whole.entries().unwrap().len(), 2);
        assert_eq!(whole.stored(1).unwrap().1, b"world");
        assert!(matches!(whole.stored(2), Err(ContainerError::MissingChunk(2))));
        let cut = open_or_scan(&bytes[..bytes.len() - 1]).unwrap();
        assert!(matches!(cut.opened(), Opened::Scan(_)));
        assert_eq!(cut.index(), whole.index());
        assert_eq!(cut.entries().unwrap(), whole.entries().unwrap());
    }

    #[test]
    fn a_head_is_read_without_its_body() {
        let mut bytes = sample();
        let whole = open_or_scan(&bytes).unwrap();
        let (head, body) = whole.stored(1).unwrap();
        assert_eq!(whole.chunk_head(1).unwrap(), head);
        assert!(matches!(whole.chunk_head(2), Err(ContainerError::MissingChunk(2))));
        let at = bytes.windows(body.len()).position(|window| window == body).unwrap();
        bytes[at] ^= 1;
        let damaged = open_or_scan(&bytes).unwrap();
        assert!(damaged.stored(1).is_err());
        assert_eq!(damaged.chunk_head(1).unwrap(), head);
    }

    #[test]
    fn an_archive_is_known_by_its_index() {
        let bytes = sample();
        let identity = |bytes: &[u8]| open_or_scan(bytes).unwrap().identity();
        let known = identity(&bytes);
        assert!(known.is_some());
        assert_eq!(identity(&bytes), known);
        assert_eq!(identity(&bytes[..bytes.len() - 1]), None, "a scan gives no identity");
        let empty = Writer::new(Vec::new()).unwrap().finish().unwrap().0;
        assert_ne!(identity(&empty), known);
    }

    #[test]
    fn an_empty_archive_is_one() {
        let bytes = Writer::new(Vec::new()).unwrap().finish().unwrap().0;
        let reader = open_or_scan(&bytes).unwrap();
        assert_eq!(*reader.opened(), Opened::Index);
        assert!(reader.entries().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        for bytes in [&b""[..], b"#!/bin/sh\necho this is not an archive, not even a damaged one\n"] {
            assert!(open_or_scan(bytes).is_err());
        }
    }

    #[test]
    fn a_lost_chunk_is_missing_and_renumbers_nothing() {
        let mut bytes = sample();
        let position = open_or_scan(&bytes).unwrap().slot(0).unwrap().position as usize;
        bytes[position + 5] ^= 1;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let reader = open_or_scan(&bytes).unwrap();
        assert!(matches!(reader.stored(0), Err(ContainerError::MissingChunk(0))));
        assert_eq!(reader.stored(1).unwrap().1, b"world");
        assert!(reader.entries().is_err());
        let (entries, errors) = reader.entries_lossy();
        assert_eq!((entries.len(), errors.len()), (2, 0));
    }
}
