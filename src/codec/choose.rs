//! Which codec a chunk gets: the smallest, among those that are worth their time.

use super::{Choice, CodecError, Encoded, lm, zstd};
use crate::format::CodecId;
use crate::predict::{LoadedModel, PredictError};

/// A model of text is tried where at least this share of a chunk is text, in percent. Below it the
/// escapes and byte tokens of the rest outweigh what the text gains; media and machine code lie
/// far below, source code and documents above 99.
const TEXT_PERCENT: u64 = 90;

/// Where zstd makes a chunk this many times smaller, it is one long repetition: the model would
/// take a minute a megabyte to save a few bytes.
const REPETITIVE: usize = 64;

/// Chunks up to this length are encoded by the model without a probe: it would take as long.
const PROBE_FROM: usize = 6 << 10;

/// Length of each of the two stretches that the probe encodes, bytes. Two, because files often
/// begin with what is unlike their bulk; this long, because the first hundred bytes of any text
/// cost more than the rest.
const STRETCH: usize = 768;

/// The model encodes the whole chunk where the probe's bits per byte are at most this share of
/// zstd's over the whole chunk, in percent: the probe sees less context than the chunk will give.
const WORTH_PERCENT: usize = 110;

pub(super) fn encode(raw: &[u8], choice: Choice, model: Option<&LoadedModel>) -> Result<Encoded, CodecError> {
    let mut best = Encoded { codec: CodecId::Store, stored: raw.to_vec() };
    if matches!(choice, Choice::Auto | Choice::Only(CodecId::Zstd)) {
        offer(&mut best, CodecId::Zstd, zstd::encode(raw));
    }
    let model = match (choice, model) {
        (Choice::Auto, Some(model)) if worthwhile(raw, best.stored.len(), model)? => model,
        (Choice::Only(CodecId::Lm), Some(model)) => model,
        (Choice::Only(CodecId::Lm), None) => {
            return Err(PredictError::Engine("codec lm was asked for, but no model was given".into()).into());
        }
        _ => return Ok(best),
    };
    let stored = lm::encode(model, raw, best.stored.len())?;
    offer(&mut best, CodecId::Lm, stored);
    Ok(best)
}

/// Takes what is smaller; so among equals the codec that is cheaper to decode, which came first.
fn offer(best: &mut Encoded, codec: CodecId, stored: Option<Vec<u8>>) {
    if let Some(stored) = stored.filter(|stored| stored.len() < best.stored.len()) {
        *best = Encoded { codec, stored };
    }
}

/// Whether the model may well beat `best` bytes.
fn worthwhile(raw: &[u8], best: usize, model: &LoadedModel) -> Result<bool, PredictError> {
    if !is_text(raw) || best <= raw.len() / REPETITIVE {
        return Ok(false);
    }
    if raw.len() < PROBE_FROM {
        return Ok(true);
    }
    let sample = sample(raw);
    // The most that the sample may take.
    let most = best * sample.len() * WORTH_PERCENT / 100 / raw.len();
    Ok(lm::encode(model, &sample, most + 1)?.is_some())
}

/// Two stretches of the chunk, from the end of its first third and from its end, as one text.
fn sample(raw: &[u8]) -> Vec<u8> {
    [raw.len() / 3, raw.len()].iter().flat_map(|&end| characters(&raw[end - STRETCH..end])).copied().collect()
}

/// `bytes` without the parts of characters that were cut at its ends.
fn characters(bytes: &[u8]) -> &[u8] {
    let continues = |b: &u8| b & 0xc0 == 0x80;
    let start = bytes.iter().take(3).take_while(|b| continues(b)).count();
    let bytes = &bytes[start..];
    match std::str::from_utf8(bytes) {
        // Cut in its last character, rather than invalid.
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

/// Whether at least [`TEXT_PERCENT`] of the bytes are UTF-8 without unusual control characters.
fn is_text(raw: &[u8]) -> bool {
    let usual = |&&b: &&u8| !b.is_ascii_control() || matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    let text: usize = raw.utf8_chunks().map(|chunk| chunk.valid().as_bytes().iter().filter(usual).count()).sum();
    text as u64 * 100 >= raw.len() as u64 * TEXT_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::toy;

    fn codec(raw: &[u8]) -> CodecId {
        encode(raw, Choice::Auto, Some(&toy::model())).unwrap().codec
    }

    #[test]
    fn each_kind_of_chunk_gets_its_codec() {
        assert_eq!(codec(b""), CodecId::Store);
        assert_eq!(codec(b"\x00"), CodecId::Store);
        assert_eq!(codec(&[b'x'; 100_000]), CodecId::Zstd);
        assert_eq!(codec(&toy::text(300, 1)), CodecId::Lm);
        assert_eq!(codec(&toy::text(20_000, 1)), CodecId::Lm);
        let machine: Vec<u8> = (0..9000u32).flat_map(|i| [(i / 50) as u8, 0, 1, (i % 7) as u8]).collect();
        assert_eq!(codec(&machine), CodecId::Zstd);
    }

    #[test]
    fn the_only_codec_gives_way_to_store_alone() {
        let model = toy::model();
        let only = |raw: &[u8], codec| encode(raw, Choice::Only(codec), Some(&model)).unwrap().codec;
        let text = toy::text(1000, 2);
        for codec in [CodecId::Store, CodecId::Zstd, CodecId::Lm] {
            assert_eq!(only(&text, codec), codec);
            assert_eq!(only(b"\xff\x00", codec), CodecId::Store);
        }
        let error = encode(b"a", Choice::Only(CodecId::Lm), None).unwrap_err();
        assert!(error.to_string().contains("no model"), "{error}");
    }

    #[test]
    fn the_probe_keeps_the_model_from_what_it_does_not_know() {
        // Text to the eye, noise to the toy, and repetitive enough for zstd.
        let line = "QUICK WIZARDS JUMP; VEXED GNOMES FLY!\n";
        let raw: Vec<u8> = line.bytes().cycle().take(8000).collect();
        let raw: Vec<u8> =
            raw.iter().enumerate().map(|(i, &b)| if i % 31 == 0 { b'0' + (i / 31 % 10) as u8 } else { b }).collect();
        let best = zstd::encode(&raw).unwrap().len();
        assert!(best > raw.len() / REPETITIVE && is_text(&raw));
        assert!(!worthwhile(&raw, best, &toy::model()).unwrap());
    }

    #[test]
    fn samples_are_cut_between_characters() {
        let raw = "\u{65e5}".repeat(5000);
        assert!(String::from_utf8(sample(raw.as_bytes())).is_ok());
        assert_eq!(characters(b"\x80\x80abc\xe6\x97"), b"abc");
        assert_eq!(characters(b"a\xff\xfe"), b"a\xff\xfe");
    }

    #[test]
    fn text_is_told_from_data() {
        assert!(is_text(b""));
        assert!(is_text("Gr\u{fc}\u{df}e\r\n\t\u{1b}[0m".as_bytes()));
        assert!(is_text(b"123456789\xff"));
        assert!(!is_text(b"12345678\xff\xff"));
        assert!(!is_text(b"a\0b\0c\0"));
    }
}
