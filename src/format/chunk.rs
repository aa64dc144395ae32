//! The head of a chunk record (spec/lma-format.md §5).

use super::FormatError;
use super::extension::read_extensions;
use crate::hash::ChunkDigest;
use crate::wire::{Cursor, put_varint};

const WHAT: &str = "chunk head";

/// How a chunk's raw bytes became its stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CodecId {
    /// The bytes themselves.
    Store = 0,
    /// One zstd frame.
    Zstd = 1,
    /// Tokens under a language model, range coded (spec/lm-codec.md).
    Lm = 2,
    /// Bytes under adaptive context models, range coded (spec/mix-codec.md).
    Cm = 3,
    /// Bytes under a language model mixed with context models, range coded (spec/mix-codec.md).
    Mix = 4,
}

impl CodecId {
    /// The codec with this byte.
    ///
    /// # Errors
    /// Unsupported.
    pub fn from_byte(byte: u8) -> Result<Self, FormatError> {
        [Self::Store, Self::Zstd, Self::Lm, Self::Cm, Self::Mix]
            .into_iter()
            .find(|&codec| codec as u8 == byte)
            .ok_or_else(|| FormatError::unsupported("chunk", format!("codec {byte} is not known")))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Zstd => "zstd",
            Self::Lm => "lm",
            Self::Cm => "cm",
            Self::Mix => "mix",
        }
    }

    /// Whether chunks of this codec name a model record.
    #[must_use]
    pub fn needs_model(self) -> bool {
        matches!(self, Self::Lm | Self::Mix)
    }
}

/// What a chunk record says of its body. The body's length and CRC-32 stand in the record's fixed
/// part and are covered by the same header CRC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// The chunk's number, counted from 0 in the order of writing. Explicit, so that a lost chunk
    /// record does not renumber the ones behind it.
    pub number: u64,
    /// The codec of the body.
    pub codec: CodecId,
    /// The number of the model record that the codec needs, for codecs that need one.
    pub model: Option<u32>,
    /// Length of the decoded bytes, at least 1.
    pub raw_len: u32,
    /// Digest of the decoded bytes: it also catches a wrong model or drifting numerics.
    pub digest: ChunkDigest,
}

impl ChunkHead {
    /// The head's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        put_varint(&mut out, self.number);
        out.push(self.codec as u8);
        put_varint(&mut out, self.model.map_or(0, |model| u64::from(model) + 1));
        put_varint(&mut out, u64::from(self.raw_len));
        out.extend_from_slice(&self.digest.0);
        out
    }

    /// Reads a head whose record has a body of `stored_len` bytes.
    ///
    /// # Errors
    /// Corrupt or unsupported.
    pub fn decode(head: &[u8], stored_len: u32) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(head);
        let malformed = |field| move || FormatError::corrupt(WHAT, format!("its {field} is malformed"));
        let number = cursor.varint().ok_or_else(malformed("number"))?;
        let codec = CodecId::from_byte(cursor.u8().ok_or_else(malformed("codec"))?)?;
        let model = cursor.varint().ok_or_else(malformed("model"))?;
        let model = match model.checked_sub(1) {
            None => None,
            Some(model) => Some(u32::try_from(model).map_err(|_| malformed("model")())?),
        };
        let raw_len = cursor.varint32().ok_or_else(malformed("raw_len"))?;
        let digest = ChunkDigest(cursor.array().ok_or_else(malformed("digest"))?);
        read_extensions(WHAT, &mut cursor)?;
        let chunk = Self { number, codec, model, raw_len, digest };
        chunk.check(stored_len)?;
        Ok(chunk)
    }

    /// Checks the fields against each other and against the length of the stored bytes.
    ///
    /// # Errors
    /// Corrupt.
    pub fn check(&self, stored_len: u32) -> Result<(), FormatError> {
        let corrupt = |why: String| Err(FormatError::corrupt(WHAT, format!("chunk {}: {why}", self.number)));
        if self.raw_len == 0 {
            return corrupt("raw_len is 0, at least 1 is required".into());
        }
        if self.codec.needs_model() != self.model.is_some() {
            return corrupt(format!("codec {:?} with model {:?}", self.codec, self.model));
        }
        if self.codec == CodecId::Store && stored_len != self.raw_len {
            return corrupt(format!("{stored_len} bytes are stored for {} raw ones", self.raw_len));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ChunkHead {
        ChunkHead { number: 300, codec: CodecId::Lm, model: Some(0), raw_len: 65_536, digest: ChunkDigest::of(b"raw") }
    }

    #[test]
    fn round_trips_and_refuses_every_cut() {
        for (codec, model) in [(CodecId::Lm, Some(0)), (CodecId::Cm, None), (CodecId::Mix, Some(200))] {
            let head = ChunkHead { codec, model, ..sample() };
            let bytes = head.encode();
            assert_eq!(ChunkHead::decode(&bytes, 9), Ok(head));
            for cut in 0..bytes.len() {
                assert!(matches!(ChunkHead::decode(&bytes[..cut], 9), Err(FormatError::Corrupt { .. })));
            }
        }
    }

    #[test]
    fn bytes_of_codecs_are_for_ever() {
        let codecs = [CodecId::Store, CodecId::Zstd, CodecId::Lm, CodecId::Cm, CodecId::Mix];
        for (byte, codec) in (0..).zip(codecs) {
            assert_eq!((codec as u8, CodecId::from_byte(byte)), (byte, Ok(codec)));
            assert_eq!(codec.needs_model(), [2, 4].contains(&byte), "{codec:?}");
        }
        assert!((5..=255).all(|byte| CodecId::from_byte(byte).is_err()));
    }

    #[test]
    fn fields_must_agree() {
        let bad = [
            ChunkHead { raw_len: 0, ..sample() },
            ChunkHead { model: None, ..sample() },
            ChunkHead { codec: CodecId::Zstd, ..sample() },
            ChunkHead { codec: CodecId::Cm, ..sample() },
            ChunkHead { codec: CodecId::Mix, model: None, ..sample() },
            ChunkHead { codec: CodecId::Store, model: None, raw_len: 10, ..sample() },
        ];
        for head in bad {
            assert!(matches!(ChunkHead::decode(&head.encode(), 9), Err(FormatError::Corrupt { .. })), "{head:?}");
        }
    }

    #[test]
    fn a_new_codec_is_unsupported() {
        let mut bytes = ChunkHead { number: 1, ..sample() }.encode();
        bytes[1] = 5;
        assert!(matches!(ChunkHead::decode(&bytes, 9), Err(FormatError::Unsupported { .. })));
    }
}
