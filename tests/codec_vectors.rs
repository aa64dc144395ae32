//! Stored chunks that must be decoded for ever, whatever the encoder makes of their text one day.

use lma::codec;
use lma::format::{CodecId, ContextPolicy};
use lma::predict::toy::{self, ToyModels};

struct Vector {
    raw: &'static [u8],
    missing: &'static [u8],
    context: ContextPolicy,
    /// Hexadecimal.
    stored: &'static str,
}

const SMALL: ContextPolicy = ContextPolicy { window: 5, overlap: 2 };

/// Text, windows, invalid bytes, escapes at the front, within and at the end.
const VECTORS: [Vector; 4] = [
    Vector { raw: b"", missing: b"", context: toy::CONTEXT, stored: "" },
    Vector {
        raw: b"the model is the model, ing\r\n",
        missing: b"",
        context: SMALL,
        stored: "05c3b4c7ffd33718bb394b1cdef999eea532376af95bde",
    },
    Vector {
        raw: b"\xff\xfe the lma \xe2\x96\x81\x00",
        missing: b"",
        context: toy::CONTEXT,
        stored: "06c2a8e87e0427a6006b98cf30",
    },
    Vector {
        raw: b"xyx lma model xx",
        missing: b"xy",
        context: SMALL,
        stored: "ffff8d5a93de849bb06ac1d3ebad09fcaea994",
    },
];

fn unhex(text: &str) -> Vec<u8> {
    let text = if text == "-" { "" } else { text };
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn old_chunks_are_decoded() {
    for Vector { raw, missing, context, stored } in VECTORS {
        let model = toy::model_of(missing, context, 1, 1);
        let models = ToyModels::of(vec![model.clone()]);
        let decoded = codec::decode(CodecId::Lm, Some(&model.record), &unhex(stored), raw.len(), &models);
        assert_eq!(decoded.unwrap(), raw);
    }
}

/// Chunks of `cm` of every kind, and of `mix` with the toy model.
#[test]
fn old_chunks_of_the_mixing_codecs_are_decoded() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mix/chunks.txt");
    let file = std::fs::read_to_string(file).unwrap();
    let (model, mut count) = (toy::model(), 0);
    let models = ToyModels::of(vec![model.clone()]);
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split(' ').collect();
        let [name, codec, raw, stored] = columns[..] else { panic!("{line}") };
        let codec = if codec == "cm" { CodecId::Cm } else { CodecId::Mix };
        let raw = unhex(raw);
        let decoded = codec::decode(codec, Some(&model.record), &unhex(stored), raw.len(), &models);
        assert!(decoded.is_ok_and(|decoded| decoded == raw), "{name}");
        count += 1;
    }
    assert_eq!(count, 17);
}
