//! The bytes themselves.

use super::CodecError;

pub(super) fn decode(_stored: &[u8], _raw_len: usize) -> Result<Vec<u8>, CodecError> {
    unimplemented!()
}
