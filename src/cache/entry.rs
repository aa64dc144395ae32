//! The bytes of one file of the cache (spec/disk-cache.md §3). No I/O.

use crate::codec;
use crate::format::{ChunkHead, CodecId, ModelRecord};
use crate::hash::{ChunkDigest, Digest};
use crate::predict::NoModels;

/// First bytes of every file; the last of them is the version.
const MAGIC: [u8; 8] = [0x89, b'L', b'm', b'a', b'D', b'C', b'\n', 1];

/// Length of the header: magic 8, encoding 1, reserved 3, raw_len 4, digest 16, model 32.
pub(super) const HEADER_LEN: usize = 64;

/// The fastest level that there is no argument about: a chunk takes a fraction of a millisecond.
const ZSTD_LEVEL: i32 = 1;

/// How the bytes behind a header are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Encoding {
    Plain = 0,
    Zstd = 1,
}

/// What an archive says of a chunk, and what the cache must have under its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkKey {
    /// The chunk's number.
    pub number: u64,
    /// Digest of the decoded bytes.
    pub digest: ChunkDigest,
    /// SHA-256 of the model that decodes the chunk, if one does.
    pub model: Option<Digest>,
    /// Length of the decoded bytes, which the caller has charged to its limits.
    pub raw_len: u32,
}

impl ChunkKey {
    /// The key of the chunk with this head, and of the model record that the head names.
    #[must_use]
    pub fn new(head: &ChunkHead, model: Option<&ModelRecord>) -> Self {
        let ChunkHead { number, digest, raw_len, .. } = *head;
        Self { number, digest, model: model.map(|record| record.sha256), raw_len }
    }

    /// Length of the longest file that can hold this chunk.
    pub(super) fn longest(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.raw_len)
    }

    /// The only header that a file of this chunk in this encoding can have: every field is known beforehand, so
    /// that a reader compares and has nothing to interpret.
    fn header(&self, encoding: Encoding) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8] = encoding as u8;
        out[12..16].copy_from_slice(&self.raw_len.to_le_bytes());
        out[16..32].copy_from_slice(&self.digest.0);
        out[32..].copy_from_slice(&self.model.map_or([0; 32], |model| model.0));
        out
    }
}

/// The file of a chunk whose decoded bytes are `raw`. At most [`ChunkKey::longest`] bytes, if `raw` has `raw_len`.
pub(super) fn encode(key: &ChunkKey, raw: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(raw, ZSTD_LEVEL).ok().filter(|packed| packed.len() < raw.len());
    let (encoding, body) = packed.as_deref().map_or((Encoding::Plain, raw), |packed| (Encoding::Zstd, packed));
    [&key.header(encoding)[..], body].concat()
}

/// The decoded bytes of a chunk out of its file. Allocates `raw_len` bytes at most.
///
/// # Errors
/// Why the file is not one of this chunk, whatever its bytes are.
pub(super) fn decode(key: &ChunkKey, file: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (header, body) = file.split_first_chunk::<HEADER_LEN>().ok_or("it is shorter than a header")?;
    let raw_len = key.raw_len as usize;
    let raw = if *header == key.header(Encoding::Plain) {
        if body.len() == raw_len { body.to_vec() } else { return Err("it has another length") }
    } else if *header == key.header(Encoding::Zstd) {
        let decoded = codec::decode(CodecId::Zstd, None, body, raw_len, &NoModels);
        decoded.map_err(|_| "it does not decompress to the chunk's length")?
    } else {
        return Err("its header is not this chunk's");
    };
    if ChunkDigest::of(&raw) == key.digest { Ok(raw) } else { Err("it has another digest") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(raw: &[u8]) -> ChunkKey {
        let model = Some(Digest::of(b"model"));
        ChunkKey { number: 3, digest: ChunkDigest::of(raw), model, raw_len: raw.len() as u32 }
    }

    #[test]
    fn round_trips_packed_where_that_is_shorter() {
        let noise: Vec<u8> = (0..32u8).flat_map(|n| Digest::of(&[n]).0).collect();
        for (raw, encoding) in [(vec![7; 1000], 1), (noise, 0), (vec![1], 0)] {
            let file = encode(&key(&raw), &raw);
            assert_eq!(file[8], encoding);
            assert!(file.len() as u64 <= key(&raw).longest());
            assert_eq!(decode(&key(&raw), &file).unwrap(), raw);
        }
    }

    #[test]
    fn the_header_is_the_specified_one() {
        let file = encode(&ChunkKey { model: None, ..key(b"abc") }, b"abc");
        assert_eq!(file[..16], *b"\x89LmaDC\n\x01\0\0\0\0\x03\0\0\0");
        assert_eq!(file[16..32], ChunkDigest::of(b"abc").0);
        assert_eq!((&file[32..64], &file[64..]), (&[0; 32][..], &b"abc"[..]));
    }

    #[test]
    fn a_file_of_another_chunk_model_or_length_is_refused() {
        let raw = vec![7; 1000];
        let file = encode(&key(&raw), &raw);
        for other in [
            ChunkKey { model: None, ..key(&raw) },
            ChunkKey { raw_len: 999, ..key(&raw) },
            ChunkKey { raw_len: u32::MAX, ..key(&raw) },
            ChunkKey { digest: ChunkDigest::of(b"other"), ..key(&raw) },
        ] {
            assert!(decode(&other, &file).is_err());
        }
    }

    #[test]
    fn a_frame_that_holds_more_is_refused() {
        let (short, long) = (vec![7; 1000], vec![7; 1 << 24]);
        let bomb = zstd::bulk::compress(&long, 1).unwrap();
        let file = [&key(&short).header(Encoding::Zstd)[..], &bomb].concat();
        assert!(decode(&key(&short), &file).is_err());
    }

    proptest! {
        #[test]
        fn damage_is_never_served(raw in prop::collection::vec(0..4u8, 1..300), at: prop::sample::Index, bit in 0..8u8, cut: bool) {
            let mut file = encode(&key(&raw), &raw);
            let at = at.index(file.len());
            if cut { file.truncate(at) } else { file[at] ^= 1 << bit }
            if let Ok(decoded) = decode(&key(&raw), &file) {
                prop_assert_eq!(decoded, raw);
            }
        }

        #[test]
        fn noise_is_never_served(file in prop::collection::vec(any::<u8>(), 0..200), zstd: bool) {
            let key = key(b"what was archived");
            prop_assert!(decode(&key, &file).is_err());
            let encoding = if zstd { Encoding::Zstd } else { Encoding::Plain };
            prop_assert!(decode(&key, &[&key.header(encoding)[..], &file].concat()).is_err());
        }
    }
}
