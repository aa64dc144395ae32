//! Which codec a chunk gets.

use super::{Choice, CodecError, Encoded, zstd};
use crate::format::CodecId;
use crate::predict::LoadedModel;

pub(super) fn encode(raw: &[u8], choice: Choice, _model: Option<&LoadedModel>) -> Result<Encoded, CodecError> {
    let mut best = Encoded { codec: CodecId::Store, stored: raw.to_vec() };
    let mut offer = |codec, stored: Option<Vec<u8>>| {
        if let Some(stored) = stored.filter(|stored| stored.len() < best.stored.len()) {
            best = Encoded { codec, stored };
        }
    };
    if matches!(choice, Choice::Auto | Choice::Only(CodecId::Zstd)) {
        offer(CodecId::Zstd, zstd::encode(raw));
    }
    Ok(best)
}
