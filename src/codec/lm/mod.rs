//! Tokens under a language model, range coded (spec/lm-codec.md).
//!
//! Both directions are [`crate::predict::Stream`]s: state machines that say which tokens to feed
//! and turn distributions into bytes or bytes into tokens. They never wait and never see a model.

mod decode;
mod encode;
pub(super) mod symbols;
pub(super) mod window;

pub use decode::DecodeStream;
pub use encode::EncodeStream;

use super::CodecError;
use crate::format::{CodecId, ContextPolicy};
use crate::predict::{LoadedModel, PredictError, RunError, Stream};

/// Bits of the raw byte behind an escape symbol (spec/lm-codec.md §3).
const ESCAPED_BITS: u32 = 8;

/// Decodes one chunk; `context` is what the archive's model record says.
pub(super) fn decode(
    model: &LoadedModel,
    context: ContextPolicy,
    stored: &[u8],
    raw_len: usize,
) -> Result<Vec<u8>, CodecError> {
    let corrupt = |why: String| CodecError::Corrupt { codec: CodecId::Lm, why };
    let stream =
        DecodeStream::new(model.table.clone(), context, stored.to_vec(), raw_len).map_err(|error| corrupt(error.0))?;
    match run(model, stream) {
        Ok(stream) => Ok(stream.into_decoded()),
        Err(RunError::Predict(error)) => Err(error.into()),
        Err(RunError::Stream(error)) => Err(corrupt(error.0)),
    }
}

/// Encodes one chunk. `None`: it would take `budget` bytes or more; the model is not run further
/// than it takes to know.
///
/// # Errors
/// The engine's.
pub(super) fn encode(model: &LoadedModel, raw: &[u8], budget: usize) -> Result<Option<Vec<u8>>, PredictError> {
    let failed = |error: RunError| match error {
        RunError::Predict(error) => error,
        RunError::Stream(error) => PredictError::Engine(error.0),
    };
    let stream = EncodeStream::new(model, raw, budget).map_err(|error| failed(error.into()))?;
    run(model, stream).map(EncodeStream::finish).map_err(failed)
}

fn run<S: Stream + 'static>(model: &LoadedModel, stream: S) -> Result<S, RunError> {
    let stream = model.runner.run(Box::new(stream))?;
    let stream = stream.into_any().downcast::<S>();
    Ok(*stream.map_err(|_| PredictError::Engine("the runner gave another stream back".into()))?)
}
