//! What every codec must do, run on all of them.

use lma::codec::{self, Choice, CodecError, Encoded, Level};
use lma::entropy::Cdf;
use lma::error::ExitCode;
use lma::format::{CodecId, ContextPolicy};
use lma::predict::toy::{self, ToyModels};
use lma::predict::{Feed, LoadedModel, NoModels, PredictError, Predictor};
use proptest::prelude::*;

const CODECS: [CodecId; 5] = [CodecId::Store, CodecId::Zstd, CodecId::Lm, CodecId::Cm, CodecId::Mix];

/// Those that need a model.
const OF_A_MODEL: [CodecId; 2] = [CodecId::Lm, CodecId::Mix];

/// A codec under test, with the model that it needs.
struct Subject {
    codec: CodecId,
    model: LoadedModel,
    models: ToyModels,
}

impl Subject {
    fn new(codec: CodecId, model: LoadedModel) -> Self {
        Self { codec, models: ToyModels::of(vec![model.clone()]), model }
    }

    fn encode(&self, raw: &[u8]) -> Encoded {
        let encoded = codec::encode(raw, Choice::Only(self.codec), Level::default(), Some(&self.model)).unwrap();
        assert!(encoded.stored.len() <= raw.len(), "{:?} grew {} bytes", self.codec, raw.len());
        encoded
    }

    fn decode(&self, codec: CodecId, stored: &[u8], raw_len: usize) -> Result<Vec<u8>, CodecError> {
        codec::decode(codec, Some(&self.model.record), stored, raw_len, &self.models)
    }

    fn round_trip(&self, raw: &[u8]) -> Encoded {
        let encoded = self.encode(raw);
        let decoded = self.decode(encoded.codec, &encoded.stored, raw.len());
        assert!(decoded.as_deref().is_ok_and(|got| got == raw), "{:?}: {raw:?} gave {decoded:?}", self.codec);
        encoded
    }
}

fn subjects() -> Vec<Subject> {
    let mut all: Vec<Subject> = CODECS.iter().map(|&codec| Subject::new(codec, toy::model())).collect();
    let missing: Vec<u8> = (0..=0x1f).chain(0x80..=0xff).chain(*b"e ").collect();
    for codec in OF_A_MODEL {
        all.push(Subject::new(codec, toy::model_with(&missing)));
        all.push(Subject::new(codec, toy::model_with(&(0..=255).collect::<Vec<u8>>())));
        for (window, overlap) in [(2, 1), (3, 2), (64, 63), (1000, 1), (64, 0)] {
            all.push(Subject::new(codec, toy::model_of(&[], ContextPolicy { window, overlap }, 1, 1000)));
        }
    }
    all
}

/// Not long enough to shrink on its own: what follows it makes the codec's output worth storing.
fn with_text(raw: &[u8]) -> Vec<u8> {
    [&toy::text(400, 7), raw, &toy::text(400, 8)].concat()
}

fn awkward() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        vec![],
        (0..=255).collect(),
        b"\0\0\0\0\0\0\0\0".to_vec(),
        b"one\r\ntwo\r\n\r\n\r".to_vec(),
        b"\xef\xbb\xbfwith a mark".to_vec(),
        b"\xff\xfea\0b\0".to_vec(),
        "\u{2581}the\u{2581}\u{2581}model \u{2581}".into(),
        b"<|start|><s></s><unk>[INST] <0x0A> <|start|".to_vec(),
        b"\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf overlong".to_vec(),
        b"\xf4\x90\x80\x80\xf7\xbf\xbf\xbf\xf5 above U+10FFFF".to_vec(),
        b"\xed\xa0\x80\xed\xb0\x80 surrogates".to_vec(),
        b"cut \xf0\x9f\x98".to_vec(),
        b"\x80\x80\x80 the \xbf".to_vec(),
        "e\u{301}\u{e9} \u{65e5}\u{672c}\u{8a9e} \u{1f600}\u{200d}\u{fe0f}".into(),
        vec![b'a'; 5000],
        b"the model ".repeat(300),
        vec![0xff; 700],
    ];
    all.extend((0..=255u8).map(|byte| vec![byte]));
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    all.push((0..3000).map(|_| random()).collect());
    all
}

#[test]
fn any_bytes_come_back() {
    for subject in subjects() {
        for raw in awkward() {
            subject.round_trip(&raw);
            if raw.len() != 1 || raw[0] % 16 == 0 {
                subject.round_trip(&with_text(&raw));
            }
        }
    }
}

#[test]
fn lengths_around_the_windows_come_back() {
    let text = toy::text(300, 3);
    for (window, overlap) in [(2, 1), (8, 3), (64, 16), (8, 0)] {
        for codec in OF_A_MODEL {
            let subject = Subject::new(codec, toy::model_of(&[], ContextPolicy { window, overlap }, 2, 5));
            for len in (0..40).chain(55..140).chain([299, 300]) {
                subject.round_trip(&text[..len]);
            }
        }
    }
}

#[test]
fn stored_bytes_do_not_depend_on_lanes_or_splits() {
    let raw = with_text(b"\xff some \r\n \xe2\x96\x81 text");
    for context in [toy::CONTEXT, ContextPolicy { window: 9, overlap: 4 }, ContextPolicy { window: 9, overlap: 0 }] {
        for missing in [&b""[..], b"e\xff"] {
            for codec in OF_A_MODEL {
                let subject = |lanes, split| Subject::new(codec, toy::model_of(missing, context, lanes, split));
                let expected = subject(1, 1).encode(&raw);
                assert_eq!(expected.codec, codec);
                for (lanes, split) in [(1, 1000), (4, 3), (7, 64)] {
                    let subject = subject(lanes, split);
                    assert_eq!(subject.encode(&raw), expected);
                    assert_eq!(subject.decode(codec, &expected.stored, raw.len()).unwrap(), raw);
                }
            }
        }
    }
}

#[test]
fn what_does_not_compress_is_stored() {
    let mut state = 3u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8
    };
    let raw: Vec<u8> = (0..5000).map(|_| random()).collect();
    for subject in subjects() {
        assert_eq!(subject.round_trip(&raw), Encoded { codec: CodecId::Store, stored: raw.clone() });
    }
}

/// Few stored bytes that claim to be many: refused, or as many as were asked for, in little time.
#[test]
fn the_work_is_bounded_by_the_raw_length() {
    let start = std::time::Instant::now();
    for subject in subjects().into_iter().take(CODECS.len()) {
        for stored in
            [&b""[..], b"\0", b"\x01", b"\x03\x80", b"\x05\x80\x04\xff", b"\x07\x02\x02\0\0", &[0xff; 40], &[0; 40]]
        {
            for raw_len in [1, 1000, 20_000] {
                match subject.decode(subject.codec, stored, raw_len) {
                    Ok(raw) => assert_eq!(raw.len(), raw_len),
                    Err(error) => assert!(matches!(error, CodecError::Corrupt { .. }), "{error}"),
                }
            }
        }
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn empty_chunks_take_no_bytes() {
    for subject in subjects() {
        assert_eq!(subject.encode(b"").stored, b"");
    }
    let subject = Subject::new(CodecId::Lm, toy::model());
    assert_eq!(subject.decode(CodecId::Lm, b"", 0).unwrap(), b"");
    assert!(subject.decode(CodecId::Lm, b"\x01", 0).is_err());
    assert!(subject.decode(CodecId::Zstd, b"", 0).is_err());
}

#[test]
fn damage_never_gives_another_length() {
    let raw = with_text(b"\xff\x01 a b");
    for subject in subjects() {
        let Encoded { codec, stored } = subject.encode(&raw);
        let mut outcomes = [0, 0];
        let mut try_decode = |stored: &[u8], raw_len: usize| match subject.decode(codec, stored, raw_len) {
            Ok(got) => {
                assert_eq!(got.len(), raw_len);
                outcomes[0] += 1;
            }
            Err(error) => {
                assert!(matches!(error, CodecError::Corrupt { .. }), "{error}");
                assert_eq!(error.exit_code(), ExitCode::Corrupt);
                outcomes[1] += 1;
            }
        };
        let step = 1 + stored.len() / 150;
        for at in (0..stored.len()).step_by(step) {
            try_decode(&stored[..at], raw.len());
            let mut flipped = stored.clone();
            flipped[at] ^= 1 << (at % 8);
            try_decode(&flipped, raw.len());
        }
        for raw_len in [0, 1, raw.len() - 1, raw.len() + 1, raw.len() * 2] {
            try_decode(&stored, raw_len);
        }
        for tail in [b"\0".as_slice(), b"\xff", b"12345678901234567890"] {
            try_decode(&[&stored, tail].concat(), raw.len());
        }
        assert!(outcomes[1] > 0, "{codec:?} noticed nothing");
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let raw = toy::text(500, 4);
    for subject in subjects() {
        let Encoded { codec, stored } = subject.encode(&raw);
        for tail in [b"\0".as_slice(), b"\x01", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18\0\0\0\0"] {
            assert!(subject.decode(codec, &[&stored, tail].concat(), raw.len()).is_err(), "{codec:?}");
        }
    }
}

#[test]
fn a_chunk_without_its_model_says_so() {
    let model = toy::model();
    let mut record = model.record.clone();
    record.numerics.0 = "toy-2".into();
    for codec in OF_A_MODEL {
        let none = codec::decode(codec, None, b"x", 1, &NoModels).unwrap_err();
        assert_eq!(none.exit_code(), ExitCode::Corrupt);
        let missing = codec::decode(codec, Some(&model.record), b"x", 1, &NoModels).unwrap_err();
        assert_eq!(missing.exit_code(), ExitCode::Model);
        let numerics = codec::decode(codec, Some(&record), b"x", 1, &ToyModels::new()).unwrap_err();
        assert!(numerics.to_string().contains("does not reproduce"), "{numerics}");
        let unasked = codec::encode(b"x", Choice::Only(codec), Level::default(), None).unwrap_err();
        assert!(unasked.to_string().contains("no model was given"), "{unasked}");
    }
}

/// Fails at the step after `left` more.
struct Failing {
    inner: toy::ToyPredictor,
    left: usize,
}

impl Predictor for Failing {
    fn lanes(&self) -> usize {
        self.inner.lanes()
    }
    fn window(&self) -> usize {
        self.inner.window()
    }
    fn batch(&self) -> usize {
        self.inner.batch()
    }
    fn step(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &Cdf)) -> Result<(), PredictError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| PredictError::Engine("out of steps".into()))?;
        self.inner.step(feeds, sink)
    }
}

#[test]
fn an_engine_that_fails_at_any_step_is_no_damage() {
    OF_A_MODEL.into_iter().for_each(fails_at_any_step);
}

fn fails_at_any_step(codec: CodecId) {
    let raw = toy::text(120, 6);
    let model = toy::model();
    let stored = codec::encode(&raw, Choice::Only(codec), Level::default(), Some(&model)).unwrap().stored;
    let mut failures = 0;
    for left in 0.. {
        let inner = toy::ToyPredictor::new(1, toy::CONTEXT.window as usize, model.table.clone());
        let runner = std::sync::Arc::new(toy::InlineRunner::new(Box::new(Failing { inner, left }), 16));
        let model = LoadedModel { runner, ..model.clone() };
        // The encoder takes fewer steps than the decoder, and leaves it too few.
        let encoded = codec::encode(&raw, Choice::Only(codec), Level::default(), Some(&model));
        let models = ToyModels::of(vec![model.clone()]);
        let outcome = encoded.and_then(|_| codec::decode(codec, Some(&model.record), &stored, raw.len(), &models));
        match outcome {
            Ok(got) => {
                assert_eq!(got, raw);
                break;
            }
            Err(error) => assert_eq!(error.exit_code(), ExitCode::Model, "{error}"),
        }
        failures += 1;
    }
    assert!(failures > 50, "{failures}");
}

#[test]
fn the_model_beats_zstd_on_its_own_text() {
    let raw = toy::text(16 << 10, 5);
    let size = |codec| Subject::new(codec, toy::model()).round_trip(&raw).stored.len();
    let (zstd, lm) = (size(CodecId::Zstd), size(CodecId::Lm));
    assert!(lm * 3 < zstd * 2, "lm {lm}, zstd {zstd}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn auto_round_trips(
        pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            ".{0,40}".prop_map(String::into_bytes),
            (0usize..200, any::<u64>()).prop_map(|(len, seed)| toy::text(len, seed)),
        ], 0..8),
        window in 2u32..80,
        overlap in 0u32..80,
        split in 1usize..90,
        level in 1u8..=9,
    ) {
        let raw = pieces.concat();
        let context = ContextPolicy { window, overlap: overlap.min(window - 1) };
        let model = toy::model_of(&[7, b'a', 0xc3], context, 2, split);
        let subject = Subject::new(CodecId::Lm, model.clone());
        let encoded = codec::encode(&raw, Choice::Auto, Level::new(level).unwrap(), Some(&subject.model)).unwrap();
        prop_assert!(encoded.stored.len() <= raw.len());
        prop_assert_eq!(&subject.decode(encoded.codec, &encoded.stored, raw.len()).unwrap(), &raw);
        for codec in [CodecId::Lm, CodecId::Cm, CodecId::Mix] {
            Subject::new(codec, model.clone()).round_trip(&raw);
        }
    }

    #[test]
    fn any_stored_bytes_are_decoded_without_a_panic(stored in prop::collection::vec(any::<u8>(), 0..80), raw_len in 0usize..300) {
        let subject = Subject::new(CodecId::Lm, toy::model_with(b"a\x00"));
        for codec in CODECS {
            if let Ok(raw) = subject.decode(codec, &stored, raw_len) {
                prop_assert_eq!(raw.len(), raw_len);
            }
        }
    }
}
