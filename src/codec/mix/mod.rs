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

pub(super) use progress::Progress;

use super::CodecError;
use super::lm::drive::DecodeStream;
use super::lm::{engine_failed, failed};
use crate::entropy::Garbage;
use crate::format::{CodecId, ContextPolicy};
use crate::predict::{Audience, LoadedModel, PredictError, RunError};
use head::Head;
use start::Start;
use std::sync::Arc;

/// Decodes a chunk of codec `cm`.
///
/// # Errors
/// [`CodecError::Corrupt`], [`CodecError::Dropped`].
pub(super) fn decode_cm(stored: &[u8], raw_len: usize, audience: &dyn Audience) -> Result<Vec<u8>, CodecError> {
    let corrupt = |Garbage| CodecError::Corrupt { codec: CodecId::Cm, why: "the stored bytes are none of cm's".into() };
    cm::decode(stored, raw_len, Start::get(), audience).map_err(corrupt)?.ok_or(CodecError::Dropped)
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
    audience: &Arc<dyn Audience>,
) -> Result<Vec<u8>, CodecError> {
    let corrupt = |why: &str| CodecError::Corrupt { codec: CodecId::Mix, why: why.into() };
    let (head, coded) = Head::decode(stored).ok_or_else(|| corrupt("its head is not known"))?;
    if head != Head::PLAIN {
        return Err(corrupt("its head is not that of text"));
    }
    let walks = decode::Walks::new(coded.to_vec(), raw_len, Start::get());
    DecodeStream::new(walks, model, context, raw_len, audience)
        .map_err(RunError::from)
        .and_then(|stream| stream.run(&*model.runner))
        .map_err(|error| failed(CodecId::Mix, error))
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
    let walks = encode::Walks::new(Start::get().mix().clone(), raw.len(), bounds.clone());
    let walks = walks.run(model, raw).map_err(engine_failed)?;
    let coded = walks.and_then(encode::Walks::finish);
    Ok(coded.map(|coded| [Head::PLAIN.encode(), coded].concat()))
}

#[cfg(test)]
mod vectors;
