//! Small archives for the container's tests.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use lma::codec::{self, Choice, Level};
use lma::container::{ContainerError, Event, MemorySource, Parser, Reader, Writer};
use lma::format::{
    CodecId, ContextPolicy, Entry, Extent, FileContent, Kind, ModelRecord, Mtime, NumericsProfile, Xattr,
};
use lma::hash::{ChunkDigest, Digest, FileHasher};
use lma::limits::Limits;
use lma::predict::NoModels;

/// An entry with plain metadata.
pub(crate) fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        path: path.into(),
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

/// A model record of no real model.
pub(crate) fn model() -> ModelRecord {
    ModelRecord {
        number: 0,
        sha256: Digest::of(b"gguf"),
        size: 123_456,
        name: "tiny".into(),
        architecture: "llama".into(),
        vocab_size: 300,
        tokens: Digest::of(b"tokens"),
        context: ContextPolicy { window: 64, overlap: 8 },
        numerics: NumericsProfile("test-1".into()),
        canary: Digest::of(b"canary"),
    }
}

/// Writes a chunk with one codec and returns its number.
pub(crate) fn chunk(writer: &mut Writer<Vec<u8>>, raw: &[u8], codec: CodecId) -> u64 {
    let encoded = codec::encode(raw, Choice::Only(codec), Level::default(), None).expect("store and zstd encode");
    writer.chunk(&encoded, None, raw.len() as u32, ChunkDigest::of(raw)).expect("memory is written")
}

/// A file made of extents; `bytes` are those of its data extents.
pub(crate) fn file(path: &str, extents: Vec<Extent>, bytes: &[u8]) -> Entry {
    let size = extents.iter().map(Extent::len).sum();
    entry(path, Kind::File(FileContent { size, extents, digest: Digest::of(bytes) }))
}

pub(crate) fn data(chunk: u64, offset: u32, len: usize) -> Extent {
    Extent::Data { chunk, offset, len: len as u32 }
}

/// Text that zstd makes smaller.
pub(crate) fn text(seed: usize, len: usize) -> Vec<u8> {
    (0..).flat_map(|i| format!("line {} of text {seed}\n", i % 7).into_bytes()).take(len).collect()
}

/// An archive with chunks of both codecs, shared chunks, a file that goes back to an earlier chunk, a
/// sparse file, links, devices, extended attributes, two batches and a model record without chunks.
pub(crate) fn varied() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory is written");
    let (a, b, c) = (text(1, 300), b"stored as it is".to_vec(), text(3, 200));
    writer.model(&model()).expect("memory is written");
    let first = chunk(&mut writer, &a, CodecId::Zstd);
    let second = chunk(&mut writer, &b, CodecId::Store);
    let mut with_xattrs = file("dir/whole", vec![data(first, 0, 300)], &a);
    with_xattrs.xattrs = vec![Xattr { name: b"user.a".to_vec(), value: vec![0, 255] }];
    let batch = [
        entry("dir", Kind::Directory),
        with_xattrs,
        file("dir/part", vec![data(second, 7, 5)], &b[7..12]),
        entry("link", Kind::HardLink(b"dir/whole".to_vec())),
        entry("sym", Kind::Symlink(b"../anywhere".to_vec())),
    ];
    writer.entries(&batch).expect("memory is written");
    let third = chunk(&mut writer, &c, CodecId::Zstd);
    let back = [&c[..], &b].concat();
    let sparse = vec![Extent::Hole { len: 1 << 20 }, data(third, 10, 20), Extent::Hole { len: 5 }];
    let batch = [
        file("back", vec![data(third, 0, 200), data(second, 0, 15)], &back),
        file("sparse", sparse, &c[10..30]),
        file("empty", vec![], b""),
        entry("fifo", Kind::Fifo),
        entry("null", Kind::CharDevice { major: 1, minor: 3 }),
        entry("disk", Kind::BlockDevice { major: 8, minor: 0 }),
    ];
    writer.entries(&batch).expect("memory is written");
    writer.finish().expect("memory is written").0
}

/// One stored chunk, one file.
pub(crate) fn tiny() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory is written");
    let number = chunk(&mut writer, b"tiny", CodecId::Store);
    writer.entries(&[file("t", vec![data(number, 0, 4)], b"tiny")]).expect("memory is written");
    writer.finish().expect("memory is written").0
}

/// No entries.
pub(crate) fn empty() -> Vec<u8> {
    Writer::new(Vec::new()).expect("memory is written").finish().expect("memory is written").0
}

pub(crate) fn source(bytes: &[u8]) -> Arc<MemorySource> {
    Arc::new(MemorySource(bytes.to_vec()))
}

pub(crate) fn open(bytes: &[u8]) -> Result<Reader, ContainerError> {
    Reader::open(source(bytes), Limits::default())
}

pub(crate) fn open_or_scan(bytes: &[u8]) -> Result<Reader, ContainerError> {
    Reader::open_or_scan(source(bytes), Limits::default())
}

/// A file's data bytes, its digest checked by the caller.
pub(crate) fn read_file(reader: &Reader, content: &FileContent) -> Result<Vec<u8>, ContainerError> {
    let mut out = Vec::new();
    for extent in &content.extents {
        if let Extent::Data { chunk, offset, len } = *extent {
            let raw = reader.decode(chunk, &NoModels)?;
            out.extend_from_slice(&raw[offset as usize..][..len as usize]);
        }
    }
    Ok(out)
}

/// Kind and bytes of each path.
pub(crate) type Contents = BTreeMap<Vec<u8>, (Kind, Result<Vec<u8>, ContainerError>)>;

/// All entries by path with their bytes; every digest is checked.
pub(crate) fn contents(reader: &Reader, entries: &[Entry]) -> Contents {
    let bytes = |entry: &Entry| match &entry.kind {
        Kind::File(content) => read_file(reader, content).inspect(|bytes| {
            let mut hasher = FileHasher::new();
            hasher.update(bytes);
            assert_eq!(hasher.finish(), content.digest, "{} has its digest", entry.path.escape_ascii());
        }),
        _ => Ok(vec![]),
    };
    entries.iter().map(|entry| (entry.path.clone(), (entry.kind.clone(), bytes(entry)))).collect()
}

/// The events of a whole input that is pushed at once, and how it ends.
pub(crate) fn parse(bytes: &[u8]) -> (Vec<Event>, Result<(), String>) {
    parse_pieces([bytes])
}

/// The events of an input that is pushed in pieces, and how it ends.
pub(crate) fn parse_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Result<(), String>) {
    let mut parser = Parser::new(Limits::default());
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(piece);
        loop {
            match parser.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.next_event().map_err(|e| e.to_string()), Err(error.to_string()), "errors stay");
                    return (events, Err(error.to_string()));
                }
            }
        }
    }
    (events, parser.finish().map_err(|error| error.to_string()))
}
