//! The model record (spec/lma-format.md §6): which probabilities the chunks were coded with.

use super::FormatError;
use super::extension::read_extensions;
use crate::hash::Digest;
use crate::wire::{Cursor, put_bytes, put_varint};

/// Longest string of a model record in bytes.
pub const MAX_MODEL_STRING: usize = 255;

const WHAT: &str = "model record";

/// How much of a stream's past a model sees (spec/lm-codec.md §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContextPolicy {
    /// Tokens fed in one window at most; at least 2.
    pub window: u32,
    /// Tokens of the past fed again at the start of a following window, less than `window`. None: there are no
    /// following windows; the one window slides, each token attending to the `window - 1` before it.
    pub overlap: u32,
}

impl ContextPolicy {
    /// Whether the window slides.
    #[must_use]
    pub fn slides(self) -> bool {
        self.overlap == 0
    }

    /// Whether the numbers are a policy.
    #[must_use]
    pub fn is_sound(self) -> bool {
        self.window >= 2 && self.overlap < self.window
    }
}

impl std::fmt::Display for ContextPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { window, overlap } = self;
        if self.slides() {
            write!(f, "{window} tokens, sliding")
        } else {
            write!(f, "{window} tokens, {overlap} of them repeated")
        }
    }
}

/// The arithmetic that turned weights and tokens into probabilities, by name and version
/// (spec/numerics.md), for example `exact-1`. Equal names promise equal bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NumericsProfile(pub String);

/// Everything a decoder must match before it decodes a chunk of this model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRecord {
    /// The record's number, counted from 0 in the order of writing.
    pub number: u32,
    /// SHA-256 of the GGUF file.
    pub sha256: Digest,
    /// Size of the GGUF file in bytes.
    pub size: u64,
    /// The model's own name (`general.name`), for messages only.
    pub name: String,
    /// `general.architecture`, for messages only.
    pub architecture: String,
    /// Number of tokens.
    pub vocab_size: u32,
    /// BLAKE3 of the token to bytes table (spec/lm-codec.md §2).
    pub tokens: Digest,
    /// How streams are cut into windows.
    pub context: ContextPolicy,
    /// The arithmetic.
    pub numerics: NumericsProfile,
    /// Digest of the quantised probabilities on the fixed probe (spec/numerics.md).
    pub canary: Digest,
}

impl ModelRecord {
    /// The bytes of the record's head; its body is empty. `name` and `architecture` are cut at a
    /// character boundary to [`MAX_MODEL_STRING`] bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        put_varint(&mut out, u64::from(self.number));
        out.extend_from_slice(&self.sha256.0);
        put_varint(&mut out, self.size);
        put_bytes(&mut out, shortened(&self.name).as_bytes());
        put_bytes(&mut out, shortened(&self.architecture).as_bytes());
        put_varint(&mut out, u64::from(self.vocab_size));
        out.extend_from_slice(&self.tokens.0);
        put_varint(&mut out, u64::from(self.context.window));
        put_varint(&mut out, u64::from(self.context.overlap));
        put_bytes(&mut out, self.numerics.0.as_bytes());
        out.extend_from_slice(&self.canary.0);
        out
    }

    /// Reads the head of a model record.
    ///
    /// # Errors
    /// Corrupt or unsupported.
    pub fn decode(head: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(head);
        let malformed = |field| move || FormatError::corrupt(WHAT, format!("its {field} is malformed"));
        let record = Self {
            number: cursor.varint32().ok_or_else(malformed("number"))?,
            sha256: Digest(cursor.array().ok_or_else(malformed("sha256"))?),
            size: cursor.varint().ok_or_else(malformed("size"))?,
            name: string(&mut cursor).ok_or_else(malformed("name"))?,
            architecture: string(&mut cursor).ok_or_else(malformed("architecture"))?,
            vocab_size: cursor.varint32().ok_or_else(malformed("vocab_size"))?,
            tokens: Digest(cursor.array().ok_or_else(malformed("tokens"))?),
            context: ContextPolicy {
                window: cursor.varint32().ok_or_else(malformed("window"))?,
                overlap: cursor.varint32().ok_or_else(malformed("overlap"))?,
            },
            numerics: NumericsProfile(string(&mut cursor).ok_or_else(malformed("numerics"))?),
            canary: Digest(cursor.array().ok_or_else(malformed("canary"))?),
        };
        read_extensions(WHAT, &mut cursor)?;
        record.check()?;
        Ok(record)
    }

    /// Checks the fields that a reader relies on.
    ///
    /// # Errors
    /// Corrupt.
    pub fn check(&self) -> Result<(), FormatError> {
        if !self.context.is_sound() {
            let ContextPolicy { window, overlap } = self.context;
            return Err(FormatError::corrupt(WHAT, format!("window {window} with overlap {overlap}")));
        }
        if self.vocab_size == 0 {
            return Err(FormatError::corrupt(WHAT, "vocab_size is 0"));
        }
        if self.numerics.0.is_empty() || self.numerics.0.len() > MAX_MODEL_STRING {
            return Err(FormatError::corrupt(WHAT, "numerics is empty or too long"));
        }
        Ok(())
    }
}

fn string(cursor: &mut Cursor<'_>) -> Option<String> {
    String::from_utf8(cursor.bytes(MAX_MODEL_STRING as u64)?.to_vec()).ok()
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_MODEL_STRING);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn sample() -> ModelRecord {
        ModelRecord {
            number: 0,
            sha256: Digest::of(b"gguf"),
            size: 123_456_789,
            name: "tiny".into(),
            architecture: "llama".into(),
            vocab_size: 4096,
            tokens: Digest::of(b"tokens"),
            context: ContextPolicy { window: 512, overlap: 64 },
            numerics: NumericsProfile("exact-1".into()),
            canary: Digest::of(b"canary"),
        }
    }

    #[test]
    fn round_trips_and_refuses_every_cut() {
        let bytes = sample().encode();
        assert_eq!(ModelRecord::decode(&bytes), Ok(sample()));
        for cut in 0..bytes.len() {
            assert!(matches!(ModelRecord::decode(&bytes[..cut]), Err(FormatError::Corrupt { .. })), "{cut}");
        }
    }

    #[test]
    fn long_names_are_cut_and_bad_windows_refused() {
        let long = ModelRecord { name: "ä".repeat(200), ..sample() };
        assert_eq!(ModelRecord::decode(&long.encode()).unwrap().name, "ä".repeat(127));
        for (window, overlap) in [(0, 0), (1, 0), (1, 1), (64, 64)] {
            let bad = ModelRecord { context: ContextPolicy { window, overlap }, ..sample() };
            assert!(ModelRecord::decode(&bad.encode()).is_err());
        }
    }
}
