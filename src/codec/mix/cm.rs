//! A chunk without a language model.

use super::coder::Meter;
use super::head::Head;
use super::model::{Alone, Hint, Learnt, Model};
use super::progress::Progress;
use super::start::Start;
use super::transform::detect::{Kind, detect};
use super::transform::{arm64, pcm, x86};
use crate::entropy::{Garbage, RangeDecoder, RangeEncoder};
use crate::predict::Audience;

/// What is encoded twice to choose between two ways, bytes.
const SAMPLE: usize = 8 << 10;

/// The audience is asked after so many bytes.
const STRETCH: usize = 512;

/// The kind as it is modelled: samples have their most significant byte first.
fn modelled(kind: Kind) -> Kind {
    match kind {
        Kind::Audio { channels, bytes, phase, .. } => Kind::Audio { channels, bytes, big_endian: true, phase },
        kind => kind,
    }
}

fn forward(raw: &[u8], kind: Kind) -> Option<Vec<u8>> {
    match kind {
        Kind::X86 { mode } => Some(x86::encode(raw, mode)),
        Kind::Arm64 { phase } => Some(arm64::encode(raw, phase)),
        Kind::Audio { bytes, big_endian: false, phase, .. } => Some(pcm::encode(raw, bytes, phase)),
        _ => None,
    }
}

/// Whether [`backward`] changes nothing.
fn is_plain(kind: Kind) -> bool {
    !matches!(kind, Kind::X86 { .. } | Kind::Arm64 { .. } | Kind::Audio { big_endian: false, .. })
}

fn backward(raw: &mut [u8], kind: Kind) {
    match kind {
        Kind::X86 { mode } => x86::decode(raw, mode),
        Kind::Arm64 { phase } => arm64::decode(raw, phase),
        Kind::Audio { bytes, big_endian: false, phase, .. } => pcm::decode(raw, bytes, phase),
        _ => {}
    }
}

fn model(head: Head, raw_len: usize, start: &Start) -> Model {
    let known = head.dictionary.then(|| start.dictionary());
    Model::of_kind(modelled(head.kind), start.learnt(head).clone(), raw_len, known)
}

/// The stored bytes, and how many there were where.
pub(super) fn encode(raw: &[u8], head: Head, start: &Start) -> (Vec<u8>, Progress) {
    let transformed = forward(raw, head.kind);
    let mut model = model(head, raw.len(), start);
    let mut coder = RangeEncoder::new();
    let mut stored = head.encode();
    let mut progress = Progress::at_most(usize::MAX);
    for (at, &byte) in (1..).zip(transformed.as_deref().unwrap_or(raw)) {
        // An encoder never finds garbage.
        let _ = model.code_byte(&mut coder, byte, Hint::default(), &mut Alone);
        progress.note(at, stored.len() + coder.written());
    }
    stored.extend(coder.finish());
    let progress = progress.and_at_most(stored.len());
    (stored, progress)
}

/// The size of a chunk, and what was learnt from it.
pub(super) fn learn(raw: &[u8], head: Head, learnt: Learnt, start: &Start) -> (usize, Learnt) {
    let transformed = forward(raw, head.kind);
    let known = head.dictionary.then(|| start.dictionary());
    let mut model = Model::of_kind(modelled(head.kind), learnt, raw.len(), known);
    let mut coder = RangeEncoder::new();
    for &byte in transformed.as_deref().unwrap_or(raw) {
        let _ = model.code_byte(&mut coder, byte, Hint::default(), &mut Alone);
    }
    (coder.finish().len(), model.into_learnt())
}

/// What each byte of a text costs, in bits.
pub(super) fn costs(raw: &[u8], start: &Start) -> Vec<f64> {
    let mut model = model(Head::PLAIN, raw.len(), start);
    let mut meter = Meter::default();
    let cost = |&byte: &u8| {
        let _ = model.code_byte(&mut meter, byte, Hint::default(), &mut Alone);
        meter.take()
    };
    raw.iter().map(cost).collect()
}

/// The smaller of what is likely to be the smallest.
pub(super) fn encode_best(raw: &[u8], start: &Start) -> (Vec<u8>, Progress) {
    let kind = detect(raw);
    let plain = Head::PLAIN;
    let other = match kind {
        Kind::Plain => Head { dictionary: true, ..plain },
        kind => Head::of(kind),
    };
    if raw.len() > 2 * SAMPLE {
        // A part of the chunk tells.
        let sample = &raw[..SAMPLE];
        let of = |head| encode(sample, head, start).0.len();
        return encode(raw, if of(plain) <= of(other) { plain } else { other }, start);
    }
    let (a, b) = (encode(raw, plain, start), encode(raw, other, start));
    if a.0.len() <= b.0.len() { a } else { b }
}

/// The raw bytes; `None` if the audience has gone. A chunk that was transformed is whole before it is heard.
///
/// # Errors
/// [`Garbage`].
pub(super) fn decode(
    stored: &[u8],
    raw_len: usize,
    start: &Start,
    audience: &dyn Audience,
) -> Result<Option<Vec<u8>>, Garbage> {
    let (head, coded) = Head::decode(stored).ok_or(Garbage)?;
    let mut model = model(head, raw_len, start);
    let mut coder = RangeDecoder::new(coded);
    while model.raw().len() < raw_len {
        let end = raw_len.min(model.raw().len() + STRETCH);
        while model.raw().len() < end {
            model.code_byte(&mut coder, 0, Hint::default(), &mut Alone)?;
        }
        if audience.is_gone() {
            return Ok(None);
        }
        if is_plain(head.kind) {
            audience.offer(model.raw());
        }
    }
    coder.finish()?;
    let mut raw = model.into_raw();
    backward(&mut raw, head.kind);
    Ok(Some(raw))
}

#[cfg(test)]
mod tests;
