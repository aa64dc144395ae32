//! Which codec a chunk gets: the smallest, among those that are worth their time.

use super::mix::{self, Progress};
use super::zstd::{self, Effort};
use super::{Choice, CodecError, Encoded, Encodings, Level, lm};
use crate::format::CodecId;
use crate::predict::{LoadedModel, PredictError};

/// A model of text is tried where at least this share of a chunk is text, in percent. Below it the
/// byte tokens of the rest outweigh what the text gains; media and machine code lie far below,
/// source code and documents above 99.
const TEXT_PERCENT: u64 = 90;

/// Where this part of a chunk is all that is left of it, the model would take a minute a megabyte to
/// save a few bytes.
const REPETITIVE: usize = 64;

/// Where `cm` makes a chunk smaller than zstd's [little effort](Effort::Little) by this many thousandths, its most
/// would not come near: it saves a twentieth, seldom a tenth.
const BEYOND_ZSTD: usize = 150;

/// What a codec must gain over the faster one before it, in 1/1000 of the latter's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Worth {
    /// `cm` over zstd; `None`: it is not tried.
    cm: Option<usize>,
    /// `mix` over `cm`; `None`: it is not tried.
    mix: Option<usize>,
}

fn worth(level: Level) -> Worth {
    let (cm, mix) = match level.get() {
        1 => (None, None),
        2 => (Some(30), None),
        3 => (Some(2), None),
        4 => (Some(2), Some(50)),
        5 | 6 => (Some(2), Some(10)),
        _ => (Some(2), Some(0)),
    };
    Worth { cm, mix }
}

pub(super) fn encodings(
    raw: &[u8],
    choice: Choice,
    level: Level,
    model: Option<&LoadedModel>,
) -> Result<Encodings, CodecError> {
    let mut best = Encoded { codec: CodecId::Store, stored: raw.to_vec() };
    match choice {
        Choice::Auto => return auto(best, raw, worth(level), model),
        Choice::Only(CodecId::Store) => {}
        Choice::Only(CodecId::Zstd) => {
            let effort = if level.get() == 1 { Effort::Little } else { Effort::Most };
            offer(&mut best, CodecId::Zstd, zstd::encode(raw, effort), 0);
        }
        Choice::Only(CodecId::Cm) => drop(offer(&mut best, CodecId::Cm, Some(mix::encode_cm(raw).0), 0)),
        Choice::Only(codec) => {
            let Some(model) = model else {
                return Err(
                    PredictError::Engine(format!("codec {codec:?} was asked for, but no model was given")).into()
                );
            };
            let stored = match codec {
                CodecId::Lm => lm::encode(model, raw, raw.len())?,
                _ => mix::encode_mix(model, raw, &Progress::at_most(raw.len()))?,
            };
            offer(&mut best, codec, stored, 0);
        }
    }
    Ok(Encodings { best, plain: None })
}

fn auto(mut best: Encoded, raw: &[u8], worth: Worth, model: Option<&LoadedModel>) -> Result<Encodings, CodecError> {
    offer(&mut best, CodecId::Zstd, zstd::encode(raw, Effort::Little), 0);
    let Some(gain) = worth.cm else { return Ok(Encodings { best, plain: None }) };
    let (stored, progress) = mix::encode_cm(raw);
    if stored.len() * 1000 > best.stored.len() * (1000 - BEYOND_ZSTD) {
        offer(&mut best, CodecId::Zstd, zstd::encode(raw, Effort::Most), 0);
    }
    offer(&mut best, CodecId::Cm, Some(stored), gain);
    let mut plain = None;
    if let (Some(gain), Some(model)) = (worth.mix, model)
        && is_text(raw)
        && best.stored.len() > raw.len() / REPETITIVE
    {
        // What the model gains it gains early, while the contexts know nothing: where it is not ahead by
        // what it must gain in the end, it is stopped.
        let progress = progress.less(gain).and_at_most(best.stored.len());
        plain = offer(&mut best, CodecId::Mix, mix::encode_mix(model, raw, &progress)?, gain);
    }
    Ok(Encodings { best, plain })
}

/// Takes what is smaller by more than `gain` thousandths; so among equals the codec that is cheaper
/// to decode, which came first. Gives what it replaces.
fn offer(best: &mut Encoded, codec: CodecId, stored: Option<Vec<u8>>, gain: usize) -> Option<Encoded> {
    let stored = stored.filter(|stored| stored.len() * 1000 < best.stored.len() * (1000 - gain))?;
    Some(std::mem::replace(best, Encoded { codec, stored }))
}

/// Whether at least [`TEXT_PERCENT`] of the bytes are UTF-8 without unusual control characters. Zeros
/// count for neither side: they pad text in archives, and cost next to nothing.
fn is_text(raw: &[u8]) -> bool {
    let usual = |&&b: &&u8| !b.is_ascii_control() || matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    let text: usize = raw.utf8_chunks().map(|chunk| chunk.valid().as_bytes().iter().filter(usual).count()).sum();
    let zeros = raw.iter().filter(|&&b| b == 0).count();
    text > 0 && text as u64 * 100 >= (raw.len() - zeros) as u64 * TEXT_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::toy;

    fn codec(raw: &[u8], level: u8) -> CodecId {
        encodings(raw, Choice::Auto, Level::new(level).unwrap(), Some(&toy::model())).unwrap().best.codec
    }

    #[test]
    fn each_kind_of_chunk_gets_its_codec() {
        assert_eq!(codec(b"", 9), CodecId::Store);
        assert_eq!(codec(b"\x00", 9), CodecId::Store);
        assert_eq!(codec(&[b'x'; 100_000], 9), CodecId::Cm);
        assert_eq!(codec(&toy::text(20_000, 1), 9), CodecId::Mix);
        let text = encodings(&toy::text(20_000, 1), Choice::Auto, Level::BEST, Some(&toy::model())).unwrap();
        let without = encodings(&toy::text(20_000, 1), Choice::Auto, Level::BEST, None).unwrap();
        assert_eq!((text.plain, without.plain), (Some(without.best), None));
        let machine: Vec<u8> = (0..9000u32).flat_map(|i| [(i / 50) as u8, 0, 1, (i % 7) as u8]).collect();
        assert_eq!(codec(&machine, 9), CodecId::Cm);
    }

    #[test]
    fn lower_levels_leave_out_what_is_slow() {
        let text = toy::text(20_000, 1);
        assert_eq!(codec(&text, 1), CodecId::Zstd);
        assert_eq!(codec(&text, 3), CodecId::Cm);
        assert_eq!(codec(&text, 6), CodecId::Mix);
        assert_eq!(codec(&noise(), 6), CodecId::Store);
    }

    /// What no codec makes smaller.
    fn noise() -> Vec<u8> {
        let next = |x: &mut u64, _| {
            *x ^= *x << 13;
            *x ^= *x >> 7;
            *x ^= *x << 17;
            Some((*x >> 24) as u8)
        };
        (0..5000u64).scan(88_172_645_463_325_252, next).collect()
    }

    #[test]
    fn zstd_makes_little_effort_where_it_decides_and_where_it_is_far_behind() {
        let text = toy::text(20_000, 1);
        let [little, most] = [Effort::Little, Effort::Most].map(|effort| zstd::encode(&text, effort).unwrap());
        assert!(most.len() < little.len());
        let stored = |choice, level| encodings(&text, choice, Level::new(level).unwrap(), None).unwrap().best.stored;
        assert_eq!(stored(Choice::Auto, 1), little);
        assert_eq!(stored(Choice::Only(CodecId::Zstd), 1), little);
        assert_eq!(stored(Choice::Only(CodecId::Zstd), 9), most);
        // What `cm` is hardly better at is worth zstd's most, and is zstd's then.
        let noise = noise();
        let copies: Vec<u8> = noise.chunks(70).flat_map(|piece| [piece, &noise[..1500], piece].concat()).collect();
        let [little, most] = [Effort::Little, Effort::Most].map(|effort| zstd::encode(&copies, effort).unwrap());
        assert!(most.len() < little.len());
        let best = encodings(&copies, Choice::Auto, Level::new(2).unwrap(), None).unwrap().best;
        assert_eq!((best.codec, best.stored), (CodecId::Zstd, most));
    }

    #[test]
    fn the_only_codec_gives_way_to_store_alone() {
        let model = toy::model();
        let only =
            |raw: &[u8], codec| encodings(raw, Choice::Only(codec), Level::default(), Some(&model)).unwrap().best.codec;
        let text = toy::text(1000, 2);
        for codec in [CodecId::Store, CodecId::Zstd, CodecId::Lm, CodecId::Cm, CodecId::Mix] {
            assert_eq!(only(&text, codec), codec);
            assert_eq!(only(b"\xff\x00", codec), CodecId::Store);
        }
        for codec in [CodecId::Lm, CodecId::Mix] {
            let error = encodings(b"a", Choice::Only(codec), Level::default(), None).unwrap_err();
            assert!(error.to_string().contains("no model"), "{error}");
        }
    }

    #[test]
    fn text_is_told_from_data() {
        assert!(!is_text(b""));
        assert!(is_text("Gr\u{fc}\u{df}e\r\n\t\u{1b}[0m".as_bytes()));
        assert!(is_text(b"123456789\xff"));
        assert!(!is_text(b"12345678\xff\xff"));
        assert!(is_text(b"name\0\0\0\0\0\0\0\0text"));
        assert!(!is_text(b"a\x01b\0c\0"));
    }
}
