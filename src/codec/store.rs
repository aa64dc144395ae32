//! The bytes themselves.

use super::CodecError;
use crate::format::CodecId;

pub(super) fn decode(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, CodecError> {
    if stored.len() == raw_len {
        return Ok(stored.to_vec());
    }
    let why = format!("{raw_len} bytes expected, {} stored", stored.len());
    Err(CodecError::Corrupt { codec: CodecId::Store, why })
}
