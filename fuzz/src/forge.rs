//! Archives with right checksums around whatever content.

use std::sync::OnceLock;

use lma::codec::{self, Choice, Encoded, Level};
use lma::container::Writer;
use lma::format::{
    BatchHead, BatchSlot, ChunkHead, ChunkSlot, CodecId, Entry, EntryBatch, Extent, FOOTER_LEN, FileContent, Footer,
    HEADER_LEN, Index, Kind, MARKER, ModelSlot, Mtime, RECORD_FIXED_LEN, RECORD_MIN_LEN, RecordHead, RecordType,
    StreamHeader, Xattr,
};
use lma::hash::{ChunkDigest, Digest, crc32};
use lma::limits::Limits;
use lma::predict::toy;

/// A record's head and body; the body's length and checksum in the head need not be right.
pub type Record = (RecordHead, Vec<u8>);

/// Limits that keep one run short.
pub fn limits() -> Limits {
    Limits {
        chunk_raw: 1 << 15,
        chunk_stored: 1 << 16,
        batch_raw: 1 << 18,
        index_raw: 1 << 18,
        entries: 10_000,
        entries_raw: 1 << 20,
        ..Limits::default()
    }
}

/// `bytes` as they are, with all checksums made right, and with an index and a footer that fit as well.
pub fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mended = mend(bytes);
    let mut records = records(&mended);
    records.retain(|(head, _)| head.record_type() != Some(RecordType::Index));
    records.push(indexed(&records));
    let again = assemble(&mended, &records);
    let mut forms = vec![bytes.to_vec(), mended, again];
    forms.dedup();
    forms
}

/// Where the records of `bytes` start and end, followed by their length fields alone.
fn spans(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut at, mut spans) = (HEADER_LEN, Vec::new());
    while let Some(fixed) = bytes.get(at..at + RECORD_FIXED_LEN).filter(|fixed| fixed.starts_with(&MARKER)) {
        let head_len = usize::from(u16::from_le_bytes([fixed[6], fixed[7]]));
        let body_len = u32::from_le_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]) as usize;
        let end = at + RECORD_MIN_LEN + head_len + body_len;
        if end > bytes.len() {
            break;
        }
        spans.push((at, end));
        at = end;
    }
    spans
}

/// Makes the checksums of the header, of all records that can be followed, and of the footer right,
/// and the positions in the footer.
pub fn mend(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    if out.len() < HEADER_LEN {
        return out;
    }
    put_crc(&mut out, 0, HEADER_LEN - 4);
    let spans = spans(&out);
    for &(start, end) in &spans {
        let head_len = usize::from(u16::from_le_bytes([out[start + 6], out[start + 7]]));
        let crc_at = start + RECORD_FIXED_LEN + head_len;
        let body_crc = crc32(&[&out[crc_at + 4..end]]);
        out[start + 12..start + 16].copy_from_slice(&body_crc.to_le_bytes());
        let crc = crc32(&[&out[start..crc_at], &(start as u64).to_le_bytes()]);
        out[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    let behind = spans.last().map_or(HEADER_LEN, |&(_, end)| end);
    if let Some(footer) = out.len().checked_sub(FOOTER_LEN).filter(|&at| at >= behind) {
        let index_position = spans.last().map_or(0, |&(start, _)| start as u64);
        let fitting = Footer { index_position, archive_len: out.len() as u64 }.encode();
        out[footer..footer + 16].copy_from_slice(&fitting[..16]);
        put_crc(&mut out, footer, footer + 20);
    }
    out
}

/// Puts the checksum of `start..at` at `at`.
fn put_crc(out: &mut [u8], start: usize, at: usize) {
    let crc = crc32(&[&out[start..at]]);
    out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The records that can be followed and whose header is valid.
pub fn records(bytes: &[u8]) -> Vec<Record> {
    let decode = |(start, end): (usize, usize)| {
        let (head, taken) = RecordHead::decode(&bytes[start..end], start as u64).ok()??;
        Some((head, bytes[start + taken..end].to_vec()))
    };
    spans(bytes).into_iter().filter_map(decode).collect()
}

/// An index record that says what the heads of `records` say, as they will stand behind each other.
pub fn indexed(records: &[Record]) -> Record {
    let (mut index, mut position) = (Index::default(), HEADER_LEN as u64);
    for (head, body) in records {
        let stored_len = body.len() as u32;
        match head.record_type() {
            Some(RecordType::Model) => {
                let number = index.models.len() as u32;
                index.models.push(ModelSlot { position, number });
            }
            Some(RecordType::Chunk) => {
                if let Ok(ChunkHead { number, codec, model, raw_len, .. }) = ChunkHead::decode(&head.head, stored_len) {
                    index.chunks.push(ChunkSlot { number, position, stored_len, raw_len, codec, model });
                }
            }
            Some(RecordType::Entries) => {
                if let Ok(BatchHead { first, count, .. }) = BatchHead::decode(&head.head) {
                    index.batches.push(BatchSlot { position, first, count });
                }
            }
            _ => {}
        }
        position += head.header_len() + u64::from(stored_len);
    }
    let (head, body) = index.pack();
    (record(RecordType::Index, head.encode(), &body), body)
}

fn record(kind: RecordType, head: Vec<u8>, body: &[u8]) -> RecordHead {
    RecordHead::new(kind, head, body).expect("heads and bodies are small")
}

/// The header of `bytes`, or a plain one, then the records and a footer, all with right checksums.
pub fn assemble(bytes: &[u8], records: &[Record]) -> Vec<u8> {
    let header = bytes.get(..HEADER_LEN).map_or(StreamHeader::default().encode().to_vec(), <[u8]>::to_vec);
    let (mut out, mut last) = (header, 0);
    for (head, body) in records {
        last = out.len() as u64;
        let head = RecordHead { body_len: body.len() as u32, body_crc: crc32(&[body]), ..head.clone() };
        out.extend(head.encode(last));
        out.extend(body);
    }
    let archive_len = (out.len() + FOOTER_LEN) as u64;
    out.extend(Footer { index_position: last, archive_len }.encode());
    out
}

/// An archive of stored chunks and of batches of entries, with no rule checked.
pub fn archive(chunks: &[Vec<u8>], batches: &[Vec<Entry>]) -> Vec<u8> {
    let mut records = Vec::new();
    for (number, raw) in (0..).zip(chunks) {
        let (codec, digest) = (CodecId::Store, ChunkDigest::of(raw));
        let head = ChunkHead { number, codec, model: None, raw_len: raw.len() as u32, digest };
        records.push((record(RecordType::Chunk, head.encode(), raw), raw.clone()));
    }
    let mut first = 0;
    for entries in batches.iter().filter(|entries| !entries.is_empty()) {
        let body = plain_body(entries);
        let (count, raw_len) = (entries.len() as u64, body.len() as u64);
        let head = BatchHead { first, count, encoding: 0, raw_len };
        records.push((record(RecordType::Entries, head.encode(), &body), body));
        first += count;
    }
    records.push(indexed(&records));
    assemble(&[], &records)
}

fn plain_body(entries: &[Entry]) -> Vec<u8> {
    let mut body = Vec::new();
    entries.iter().for_each(|entry| EntryBatch::push_entry(&mut body, entry));
    body
}

/// An entry with plain metadata.
pub fn entry(path: &[u8], kind: Kind) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: 0o644,
        uid: 1000,
        gid: 100,
        user: b"anna".to_vec(),
        group: b"users".to_vec(),
        mtime: Mtime { secs: 1_700_000_000, nanos: 123_456_789 },
        xattrs: vec![],
    }
}

/// Small whole archives: empty, one file, one of everything, and the last again with plain batches.
pub fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let varied = varied().expect("memory is written");
        let plain = plain(&varied);
        let tiny = archive(&[b"tiny".to_vec()], &[vec![file(b"t", vec![data(0, 0, 4)], b"tiny")]]);
        vec![archive(&[], &[]), tiny, varied, plain]
    })
}

fn file(path: &[u8], extents: Vec<Extent>, bytes: &[u8]) -> Entry {
    let size = extents.iter().map(Extent::len).sum();
    entry(path, Kind::File(FileContent { size, extents, digest: Digest::of(bytes) }))
}

fn data(chunk: u64, offset: u32, len: u32) -> Extent {
    Extent::Data { chunk, offset, len }
}

/// Chunks of every codec, shared and revisited, links, devices, attributes, a sparse file, two batches.
fn varied() -> Result<Vec<u8>, lma::container::ContainerError> {
    let model = toy::model();
    let repeated: Vec<u8> = b"again and ".iter().copied().cycle().take(300).collect();
    let stored = b"stored as it is".to_vec();
    let text = toy::text(200, 1);
    let mut writer = Writer::new(Vec::new())?;
    let number = writer.model(&model.record)?;
    let chunk = |writer: &mut Writer<Vec<u8>>, raw: &[u8], codec| -> Result<u64, lma::container::ContainerError> {
        let encoded: Encoded = codec::encode(raw, Choice::Only(codec), Level::default(), Some(&model))?;
        writer.chunk(&encoded, Some(number), raw.len() as u32, ChunkDigest::of(raw))
    };
    let a = chunk(&mut writer, &repeated, CodecId::Zstd)?;
    let b = chunk(&mut writer, &stored, CodecId::Store)?;
    let mut whole = file(b"dir/whole", vec![data(a, 0, 300)], &repeated);
    whole.xattrs = vec![Xattr { name: b"user.a".to_vec(), value: vec![0, 255] }];
    writer.entries(&[
        entry(b"dir", Kind::Directory),
        whole,
        file(b"dir/part", vec![data(b, 7, 5)], &stored[7..12]),
        entry(b"link", Kind::HardLink(b"dir/whole".to_vec())),
        entry(b"sym", Kind::Symlink(b"../anywhere".to_vec())),
    ])?;
    let c = chunk(&mut writer, &text, CodecId::Lm)?;
    let sparse = vec![Extent::Hole { len: 5000 }, data(c, 10, 20), Extent::Hole { len: 5 }];
    writer.entries(&[
        file(b"back", vec![data(c, 0, 200), data(b, 0, 15)], &[&text[..], &stored].concat()),
        file(b"sparse", sparse, &text[10..30]),
        file(b"empty", vec![], b""),
        entry(b"fifo", Kind::Fifo),
        entry(b"null", Kind::CharDevice { major: 1, minor: 3 }),
    ])?;
    Ok(writer.finish()?.0)
}

/// `bytes` with its batches plain, so that changes reach their fields.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut records = records(bytes);
    records.pop();
    for (head, body) in records.iter_mut().filter(|(head, _)| head.record_type() == Some(RecordType::Entries)) {
        let batch = EntryBatch::decode(&head.head, body, &Limits::default()).expect("the batch was just written");
        *body = plain_body(&batch.entries);
        let head_fields = BatchHead {
            first: batch.first,
            count: batch.entries.len() as u64,
            encoding: 0,
            raw_len: body.len() as u64,
        };
        *head = record(RecordType::Entries, head_fields.encode(), body);
    }
    records.push(indexed(&records));
    assemble(bytes, &records)
}
