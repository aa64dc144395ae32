//! Which codec a chunk gets.

use super::{Choice, CodecError, Encoded};
use crate::predict::LoadedModel;

pub(super) fn encode(_raw: &[u8], _choice: Choice, _model: Option<&LoadedModel>) -> Result<Encoded, CodecError> {
    unimplemented!()
}
