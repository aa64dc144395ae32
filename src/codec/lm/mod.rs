//! Tokens under a language model, range coded (spec/lm-codec.md).
//!
//! Both directions are [`crate::predict::Stream`]s: state machines that say which tokens to feed
//! and turn distributions into bytes or bytes into tokens. They never wait and never see a model.

mod decode;
pub(super) mod drive;
mod encode;
pub(super) mod symbols;
pub(super) mod window;

use super::CodecError;
use crate::format::{CodecId, ContextPolicy};
use crate::predict::{Audience, LoadedModel, PredictError, RunError, Runner, Stream};
use drive::{DecodeStream, EncodeStream};
use std::sync::Arc;

/// Bits of the raw byte behind an escape symbol (spec/lm-codec.md §3).
const ESCAPED_BITS: u32 = 8;

/// Decodes one chunk; `context` is what the archive's model record says.
pub(super) fn decode(
    model: &LoadedModel,
    context: ContextPolicy,
    stored: &[u8],
    raw_len: usize,
    audience: &Arc<dyn Audience>,
) -> Result<Vec<u8>, CodecError> {
    let symbols = decode::Symbols::new(stored.to_vec());
    DecodeStream::new(symbols, model, context, raw_len, audience)
        .map_err(RunError::from)
        .and_then(|stream| stream.run(&*model.runner))
        .map_err(|error| failed(CodecId::Lm, error))
}

/// Why a decode stopped, in the codec's words.
pub(super) fn failed(codec: CodecId, error: RunError) -> CodecError {
    match error {
        RunError::Predict(error) => error.into(),
        RunError::Stream(error) => CodecError::Corrupt { codec, why: error.0 },
        RunError::Dropped => CodecError::Dropped,
    }
}

/// Why an encode stopped: by the engine's fault, since an encoder finds no damage.
pub(super) fn engine_failed(error: RunError) -> PredictError {
    match error {
        RunError::Predict(error) => error,
        RunError::Stream(error) => PredictError::Engine(error.0),
        RunError::Dropped => PredictError::Engine(RunError::Dropped.to_string()),
    }
}

/// Encodes one chunk. `None`: it would take `budget` bytes or more; the model is not run further
/// than it takes to know.
///
/// # Errors
/// The engine's.
pub fn encode(model: &LoadedModel, raw: &[u8], budget: usize) -> Result<Option<Vec<u8>>, PredictError> {
    let symbols = symbols::Symbols::new(raw, &model.table, &*model.tokenizer);
    EncodeStream::new(encode::Symbols::new(budget), model, symbols)
        .map_err(RunError::from)
        .and_then(|stream| stream.run(&*model.runner))
        .map(|encoder| encoder.and_then(encode::Symbols::finish))
        .map_err(engine_failed)
}

/// Runs a stream to its end.
pub(super) fn run<S: Stream + 'static>(
    runner: &dyn Runner,
    stream: S,
    audience: &Arc<dyn Audience>,
) -> Result<S, RunError> {
    let stream = runner.run(Box::new(stream), audience)?;
    let stream = stream.into_any().downcast::<S>();
    Ok(*stream.map_err(|_| PredictError::Engine("the runner gave another stream back".into()))?)
}
