//! The `cm` and `mix` codecs: adaptive context models, alone or mixed with a language model
//! (spec/mix-codec.md).
//!
//! A chunk is a sequence of binary decisions. For each, contexts look up what followed them before
//! ([`memory`]), matches say what followed the longest repetition ([`matcher`]), the language model
//! gives its own probability by the token tree ([`walk`]); mixers weigh all of these ([`mixer`]), and
//! maps refine the result ([`apm`]). All of it is integer arithmetic, the same on every machine;
//! [`kernel`] says what runs on vector registers.

// Lanes are numbered alike in many arrays; and closures and adaptors would be compiled without the
// features of the kernels.
#![allow(clippy::needless_range_loop)]

mod adaptive;
mod apm;
mod audio;
mod cm;
mod coder;
mod contexts;
mod decode;
mod encode;
mod head;
mod history;
mod kernel;
mod lms;
mod machine;
mod matcher;
mod maths;
mod memory;
mod mixer;
mod model;
mod progress;
mod squares;
pub mod start;
mod state;
pub mod training;
pub mod transform;
mod walk;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use decode::DecodeStream;
pub use encode::EncodeStream;
pub(super) use progress::Progress;

use super::CodecError;
use crate::entropy::Garbage;
use crate::format::{CodecId, ContextPolicy};
use crate::predict::{LoadedModel, PredictError, RunError, Stream};
use head::Head;
use start::Start;

/// Decodes a chunk of codec `cm`.
///
/// # Errors
/// [`CodecError::Corrupt`].
pub(super) fn decode_cm(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, CodecError> {
    let corrupt = |Garbage| CodecError::Corrupt { codec: CodecId::Cm, why: "the stored bytes are none of cm's".into() };
    cm::decode(stored, raw_len, Start::get()).map_err(corrupt)
}

/// Decodes a chunk of codec `mix`; `context` is what the archive's model record says.
///
/// # Errors
/// [`CodecError`].
pub(super) fn decode_mix(
    model: &LoadedModel,
    context: ContextPolicy,
    stored: &[u8],
    raw_len: usize,
) -> Result<Vec<u8>, CodecError> {
    let corrupt = |why: String| CodecError::Corrupt { codec: CodecId::Mix, why };
    let (head, coded) = Head::decode(stored).ok_or_else(|| corrupt("its head is not known".into()))?;
    if head != Head::PLAIN {
        return Err(corrupt("its head is not that of text".into()));
    }
    let stream = DecodeStream::new(model.table.clone(), context, coded.to_vec(), raw_len, Start::get())
        .map_err(|error| corrupt(error.0))?;
    match run(model, stream) {
        Ok(stream) => Ok(stream.into_decoded()),
        Err(RunError::Predict(error)) => Err(error.into()),
        Err(RunError::Stream(error)) => Err(corrupt(error.0)),
    }
}

/// Encodes without a model. How far it came where is for [`encode_mix`].
pub(super) fn encode_cm(raw: &[u8]) -> (Vec<u8>, Progress) {
    cm::encode_best(raw, Start::get())
}

/// Encodes with a model. `None`: it would exceed `bounds`; the model is not run further than it
/// takes to know.
///
/// # Errors
/// The engine's.
pub(super) fn encode_mix(model: &LoadedModel, raw: &[u8], bounds: &Progress) -> Result<Option<Vec<u8>>, PredictError> {
    let failed = |error: RunError| match error {
        RunError::Predict(error) => error,
        RunError::Stream(error) => PredictError::Engine(error.0),
    };
    let stream = EncodeStream::new(model, raw, bounds.clone(), Start::get()).map_err(|error| failed(error.into()))?;
    let coded = run(model, stream).map(EncodeStream::finish).map_err(failed)?;
    Ok(coded.map(|coded| [Head::PLAIN.encode(), coded].concat()))
}

fn run<S: Stream + 'static>(model: &LoadedModel, stream: S) -> Result<S, RunError> {
    let stream = model.runner.run(Box::new(stream))?;
    let stream = stream.into_any().downcast::<S>();
    Ok(*stream.map_err(|_| PredictError::Engine("the runner gave another stream back".into()))?)
}

#[cfg(test)]
mod vectors;
