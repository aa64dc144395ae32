//! One zstd frame (RFC 8878), without dictionary or checksum: the chunk digest stands for it.

use ::zstd::bulk::{Compressor, Decompressor};
use ::zstd::zstd_safe::{self, CParameter};

use super::CodecError;
use crate::format::CodecId;

/// How hard a frame is searched for: a level of zstd's, part of the format's determinism, since equal input must
/// give equal archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// More than ten times as fast as [`Self::Most`], for some 5 % more bytes.
    Little = 9,
    /// The highest level that needs no special decoder memory.
    Most = 19,
}

/// First bytes of a frame. Skippable and legacy frames have others and are not chunks.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// The frame, or `None` where the library has no memory for it.
pub(super) fn encode(raw: &[u8], effort: Effort) -> Option<Vec<u8>> {
    let mut compressor = Compressor::new(effort as i32).ok()?;
    for parameter in
        [CParameter::ContentSizeFlag(false), CParameter::ChecksumFlag(false), CParameter::DictIdFlag(false)]
    {
        compressor.set_parameter(parameter).ok()?;
    }
    compressor.compress(raw).ok()
}

pub(super) fn decode(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, CodecError> {
    let corrupt = |why: String| CodecError::Corrupt { codec: CodecId::Zstd, why };
    if !stored.starts_with(&MAGIC) {
        return Err(corrupt("it does not start with a zstd frame's magic number".into()));
    }
    let frame = zstd_safe::find_frame_compressed_size(stored)
        .map_err(|code| corrupt(zstd_safe::get_error_name(code).to_owned()))?;
    if frame != stored.len() {
        return Err(corrupt(format!("a frame of {frame} bytes expected, {} stored", stored.len())));
    }
    // The buffer is the bound: a frame that holds more is an error of the library.
    let mut raw = vec![0; raw_len];
    let len = Decompressor::new()
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(stored, &mut raw[..]))
        .map_err(|error| corrupt(error.to_string()))?;
    if len == raw_len { Ok(raw) } else { Err(corrupt(format!("{raw_len} bytes expected, {len} decoded"))) }
}
