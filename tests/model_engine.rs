//! The engine on the tiny model of `tests/data`: the same bits in every batch geometry, and clear
//! refusals.
#![cfg(feature = "llama")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lma::codec::{self, Choice, Level};
use lma::exact::KernelSet;
use lma::format::CodecId;
use lma::hash::Digest;
use lma::model::engine::{Arithmetic, Geometry, LlamaPredictor, Weights};
use lma::model::{EngineOptions, Engines, Registry, RegistryConfig};
use lma::predict::{Feed, Models, PredictError, Predictor, TokenId, TokenTable, Tokenizer, canary};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.gguf")
}

fn weights() -> (Arc<Weights>, Arc<TokenTable>) {
    let weights = Weights::load(&tiny(), "tiny", Arithmetic::Exact).unwrap();
    let table = Arc::new(weights.table());
    (Arc::new(weights), table)
}

fn geometry(lanes: usize, window: usize, threads: usize) -> Geometry {
    Geometry { lanes, window, slides: false, threads, kernels: KernelSet::current() }
}

fn engines(threads: usize, streams: usize) -> Engines {
    let config = RegistryConfig { explicit: Some(tiny()), ..RegistryConfig::default() };
    let options = EngineOptions { threads, streams, ..EngineOptions::default() };
    Engines::new(Registry::new(config), options)
}

const TEXT: &str = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of \
    foolishness; fn main() { println!(\"{}\", 1 + 1); } The quick brown fox jumps over the lazy dog.";

/// Feeds `tokens` to `lane` in pieces of the given sizes, other lanes being fed `noise` alongside, and
/// digests every distribution behind a token of the lane.
fn digests(
    predictor: &mut LlamaPredictor,
    lane: usize,
    tokens: &[TokenId],
    pieces: &[usize],
    noise: &[TokenId],
) -> Vec<Digest> {
    let mut out = Vec::new();
    let (mut at, mut step) = (0, 0);
    while at < tokens.len() {
        let n = pieces[step % pieces.len()].min(tokens.len() - at);
        let feeds: Vec<Feed<'_>> = (0..predictor.lanes())
            .map(|other| {
                let restart = step == 0;
                if other == lane {
                    return Feed { lane, restart: restart.then_some(0), tokens: &tokens[at..at + n], outputs: n };
                }
                let start = (other * 31 + step * 7) % (noise.len() - 4);
                // Restarted each time, so that lanes are of different ages.
                let restart = (restart || (other + step).is_multiple_of(3) || step > 12).then_some(0);
                Feed { lane: other, restart, tokens: &noise[start..start + 1 + other % 3], outputs: other % 2 }
            })
            .collect();
        predictor
            .step(&feeds, &mut |feed, cdf| {
                if feeds[feed].lane == lane {
                    let bytes: Vec<u8> = cdf.weights().iter().flat_map(|w| w.to_le_bytes()).collect();
                    out.push(Digest::of(&bytes));
                }
            })
            .unwrap();
        at += n;
        step += 1;
    }
    out
}

#[test]
fn distributions_are_the_same_in_every_batch_geometry() {
    let (weights, table) = weights();
    let mut tokens = vec![table.start()];
    tokens.extend(weights.tokenize(TEXT.as_bytes()));
    tokens.truncate(90);
    let open =
        |lanes, threads| LlamaPredictor::new(weights.clone(), table.clone(), geometry(lanes, 128, threads)).unwrap();
    let reference = digests(&mut open(1, 1), 0, &tokens, &[tokens.len()], &tokens);
    assert_eq!(reference.len(), tokens.len());
    assert_ne!(reference[0], reference[1]);
    for (lanes, threads, lane) in [(1, 2, 0), (2, 1, 1), (5, 2, 2), (33, 1, 20)] {
        let mut predictor = open(lanes, threads);
        for pieces in [&[1][..], &[7, 1, 13], &[64, 2], &[90]] {
            let found = digests(&mut predictor, lane, &tokens, pieces, &tokens);
            assert_eq!(found, reference, "{lanes} lanes, {threads} threads, lane {lane}, pieces {pieces:?}");
        }
    }
}

/// Distributions of a window that slides do not depend on the batches, nor on anything that lies further back than
/// the layers reach.
#[test]
fn a_window_slides_the_same_in_every_batch_geometry() {
    const WINDOW: usize = 20;
    let (weights, table) = weights();
    let mut tokens = vec![table.start()];
    let text = TEXT.repeat(8);
    tokens.extend(weights.tokenize(text.as_bytes()));
    tokens.truncate(400);
    assert_eq!(tokens.len(), 400);
    let open = |lanes, threads| {
        let geometry = Geometry { slides: true, ..geometry(lanes, WINDOW, threads) };
        LlamaPredictor::new(weights.clone(), table.clone(), geometry).unwrap()
    };
    let reference = digests(&mut open(1, 1), 0, &tokens, &[1], &tokens);
    assert_eq!(reference.len(), tokens.len());
    let full = digests(
        &mut LlamaPredictor::new(weights.clone(), table.clone(), geometry(1, 400, 1)).unwrap(),
        0,
        &tokens,
        &[1],
        &tokens,
    );
    let alike = reference.iter().zip(&full).take_while(|(a, b)| a == b).count();
    assert_eq!(alike, WINDOW, "the window is full, and forgets");
    for (lanes, threads, lane) in [(1, 2, 0), (2, 1, 1), (5, 2, 2), (33, 1, 20)] {
        let mut predictor = open(lanes, threads);
        assert!(predictor.share() > 150);
        for pieces in [&[1][..], &[7, 1, 13], &[64, 2], &[150]] {
            let found = digests(&mut predictor, lane, &tokens, pieces, &tokens);
            assert!(found == reference, "{lanes} lanes, {threads} threads, lane {lane}, pieces {pieces:?}");
        }
    }
    // Behind a restart at a later position.
    let reach = weights.layers() * (WINDOW - 1) + 1;
    for last in [reach, reach + 1, 250, 399] {
        let mut predictor = open(2, 1);
        let first = last + 1 - reach;
        let mut found = None;
        for (i, &token) in tokens[first..=last].iter().enumerate() {
            let restart = (i == 0).then_some(first);
            let feed = Feed { lane: 1, restart, tokens: &[token], outputs: 1 };
            predictor
                .step(&[feed], &mut |_, cdf| {
                    let bytes: Vec<u8> = cdf.weights().iter().flat_map(|w| w.to_le_bytes()).collect();
                    found = Some(Digest::of(&bytes));
                })
                .unwrap();
        }
        assert_eq!(found, Some(reference[last]), "{last}");
    }
}

#[test]
fn the_built_in_model_is_batch_invariant_to_the_end_of_its_window() {
    let registry = Registry::default();
    let found = registry.preferred().unwrap();
    let options = EngineOptions { threads: 2, streams: 3, ..EngineOptions::default() };
    let model = Engines::new(registry, options).load(&found).unwrap();
    assert_eq!(model.record.vocab_size, 8192);
    // Longer than a window: the encoder feeds it in long pieces, the decoder token by token.
    let text = include_str!("../spec/lm-codec.md").as_bytes();
    let text = &text[..text.len().min(6000)];
    let encoded = codec::encode(text, Choice::Only(CodecId::Lm), Level::default(), Some(&model)).unwrap();
    assert_eq!(encoded.codec, CodecId::Lm);
    assert!(encoded.stored.len() * 8 < text.len() * 3, "{} of {}", encoded.stored.len(), text.len());
    struct One(Arc<lma::predict::LoadedModel>);
    impl Models for One {
        fn open(&self, _: &lma::format::ModelRecord) -> Result<Arc<lma::predict::LoadedModel>, PredictError> {
            Ok(self.0.clone())
        }
    }
    let models = One(model.clone());
    let decoded = codec::decode(CodecId::Lm, Some(&model.record), &encoded.stored, text.len(), &models).unwrap();
    assert!(decoded == text);
}

#[test]
fn every_byte_string_round_trips_under_a_real_tokenizer() {
    let engines = engines(1, 4);
    let model = engines.load(&engines.registry().preferred().unwrap()).unwrap();
    let noise: Vec<u8> = Digest::of(b"noise").0.iter().copied().cycle().take(300).collect();
    let samples: [&[u8]; 9] = [
        b"",
        b"\0",
        TEXT.as_bytes(),
        "<|start|><|start|> text that looks like special tokens <s></s>".as_bytes(),
        b"line\r\nline\r\n\xef\xbb\xbfBOM",
        "\u{2581}\u{2581} and \u{10ffff} and \u{fffd}".as_bytes(),
        b"\xf4\x90\x80\x80 above the last code point \xc0\x80 overlong \xed\xa0\x80 surrogate",
        &noise,
        "Zażółć gęślą jaźń, 日本語のテキスト".as_bytes(),
    ];
    for sample in samples {
        // The codec itself, not the choice: these are too short or too random to win.
        let stored = codec::lm::encode(&model, sample, usize::MAX).unwrap().unwrap();
        let decoded = codec::decode(CodecId::Lm, Some(&model.record), &stored, sample.len(), &engines).unwrap();
        assert_eq!(decoded, sample);
    }
}

#[test]
fn a_record_that_promises_other_probabilities_is_refused_before_decoding() {
    let engines = engines(1, 2);
    let good = engines.load(&engines.registry().preferred().unwrap()).unwrap().record.clone();
    assert!(engines.open(&good).is_ok());
    let refused = |change: &dyn Fn(&mut lma::format::ModelRecord)| {
        let mut record = good.clone();
        change(&mut record);
        match engines.open(&record) {
            Err(error) => error,
            Ok(_) => panic!("{record:?} was accepted"),
        }
    };
    assert!(matches!(refused(&|r| r.canary.0[0] ^= 1), PredictError::Numerics { .. }));
    assert!(matches!(refused(&|r| r.tokens.0[0] ^= 1), PredictError::Numerics { .. }));
    assert!(matches!(refused(&|r| r.numerics.0.push('x')), PredictError::Numerics { .. }));
    assert!(matches!(refused(&|r| r.vocab_size += 1), PredictError::Numerics { .. }));
    assert!(matches!(refused(&|r| r.context.window = 1 << 30), PredictError::Numerics { .. }));
    assert!(matches!(refused(&|r| r.context.overlap = r.context.window), PredictError::Numerics { .. }));
    assert!(matches!(refused(&|r| r.sha256.0[0] ^= 1), PredictError::Missing { .. }));
}

#[test]
fn files_that_are_no_models_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read(tiny()).unwrap();
    let cases: [(&str, Vec<u8>); 3] = [
        ("empty", vec![]),
        ("short", good[..good.len() / 2].to_vec()),
        ("text", b"GGUF and nothing more of it, for longer than a header".to_vec()),
    ];
    for (name, bytes) in cases {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = Weights::load(&path, name, Arithmetic::Exact).err().unwrap();
        assert!(matches!(&error, PredictError::Unusable { path, why } if path == name && !why.is_empty()), "{error}");
    }
}

#[test]
fn the_canary_does_not_depend_on_lanes_or_threads() {
    let (weights, table) = weights();
    let canaries: Vec<Digest> = [(1, 1), (2, 2), (9, 3)]
        .into_iter()
        .map(|(lanes, threads)| {
            let mut predictor =
                LlamaPredictor::new(weights.clone(), table.clone(), geometry(lanes, 64, threads)).unwrap();
            canary::canary(&mut predictor, &table).unwrap()
        })
        .collect();
    assert!(canaries.iter().all(|canary| *canary == canaries[0]));
}
