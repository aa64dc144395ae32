//! Tokens under a language model, range coded (spec/lm-codec.md).

use super::CodecError;
use crate::predict::LoadedModel;

pub(super) fn decode(_model: &LoadedModel, _stored: &[u8], _raw_len: usize) -> Result<Vec<u8>, CodecError> {
    unimplemented!()
}
