//! Exact arithmetic on whole models with random weights: the same bits in every batch geometry, on any
//! number of threads, with every set of kernels; close to ggml's own arithmetic; and refusals.
#![cfg(feature = "llama")]

mod gguf_support;

use std::sync::Arc;

use gguf_support::{Architecture, Kind, Model, Shape, Weighting};
use lma::exact::KernelSet;
use lma::hash::Digest;
use lma::model::engine::{Arithmetic, Geometry, LlamaPredictor, Weights};
use lma::predict::{Feed, PredictError, TokenId, TokenTable, Tokenizer};

const WINDOW: usize = 128;

/// Tokens of the text that are used.
const LENGTH: usize = 100;

const TEXT: &str = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of \
    foolishness; fn main() { println!(\"{}\", 1 + 1); } The quick brown fox jumps over the lazy dog.";

/// A model in memory, and a text in its tokens.
struct Subject {
    weights: Arc<Weights>,
    table: Arc<TokenTable>,
    tokens: Vec<TokenId>,
}

impl Subject {
    fn load(model: &Model, arithmetic: Arithmetic) -> Result<Self, PredictError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        model.write(file.path()).unwrap();
        let weights = Weights::load(file.path(), "random", arithmetic)?;
        let table = Arc::new(weights.table());
        let mut tokens = vec![table.start()];
        tokens.extend(weights.tokenize(TEXT.as_bytes()));
        tokens.truncate(LENGTH);
        Ok(Self { weights: Arc::new(weights), table, tokens })
    }

    fn open(&self, lanes: usize, threads: usize, kernels: KernelSet) -> Result<LlamaPredictor, PredictError> {
        let geometry = Geometry { lanes, window: WINDOW, slides: false, threads, kernels };
        LlamaPredictor::new(Arc::clone(&self.weights), Arc::clone(&self.table), geometry)
    }

    /// Logits behind each token of the text, fed at once.
    fn logits(&self) -> Vec<Vec<f32>> {
        let mut predictor = self.open(1, 2, KernelSet::current()).unwrap();
        let feed = Feed { lane: 0, restart: Some(0), tokens: &self.tokens, outputs: self.tokens.len() };
        let mut rows = Vec::new();
        predictor.evaluate(&[feed], &mut |_, row| rows.push(row.to_vec())).unwrap();
        rows
    }
}

/// How a lane is fed.
#[derive(Clone, Copy, Debug)]
struct Way {
    lanes: usize,
    threads: usize,
    lane: usize,
    /// Tokens of the lane in each step, round and round.
    pieces: &'static [usize],
    /// Logits are asked for behind the last of so many tokens of each piece.
    every: usize,
}

/// What all others are compared with: all at once, alone, on one thread.
const PREFILL: Way = Way { lanes: 1, threads: 1, lane: 0, pieces: &[WINDOW], every: 1 };

const WAYS: [Way; 6] = [
    Way { lanes: 1, threads: 2, lane: 0, pieces: &[1], every: 1 },
    Way { lanes: 5, threads: 2, lane: 2, pieces: &[7, 1, 13], every: 1 },
    Way { lanes: 64, threads: 2, lane: 40, pieces: &[19, 23], every: 1 },
    Way { lanes: 1, threads: 8, lane: 0, pieces: &[WINDOW], every: 1 },
    Way { lanes: 3, threads: 1, lane: 0, pieces: &[2, 33], every: 2 },
    Way { lanes: 2, threads: 2, lane: 1, pieces: &[16], every: 16 },
];

/// Digests of the logits' bits behind each token of one lane, `None` where none were asked for. The other
/// lanes are fed other tokens alongside, and restarted now and then, so that they are of different ages.
fn digests(predictor: &mut LlamaPredictor, tokens: &[TokenId], way: Way) -> Vec<Option<Digest>> {
    let mut out = vec![None; tokens.len()];
    let (mut at, mut step) = (0, 0);
    while at < tokens.len() {
        let n = way.pieces[step % way.pieces.len()].min(tokens.len() - at);
        let outputs = n.div_ceil(way.every);
        let feeds: Vec<Feed<'_>> = (0..way.lanes)
            .map(|lane| {
                if lane == way.lane {
                    return Feed { lane, restart: (step == 0).then_some(0), tokens: &tokens[at..at + n], outputs };
                }
                let start = (lane * 31 + step * 7) % (tokens.len() - 3);
                let restart = (step == 0 || (lane + step).is_multiple_of(3)).then_some(0);
                Feed { lane, restart, tokens: &tokens[start..start + 1 + lane % 3], outputs: lane % 2 }
            })
            .collect();
        let mut place = at + n - outputs;
        let mut take = |number: usize, row: &[f32]| {
            if number == way.lane {
                assert!(row.iter().all(|x| x.is_finite()));
                let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
                out[place] = Some(Digest::of(&bytes));
                place += 1;
            }
        };
        predictor.evaluate(&feeds, &mut take).unwrap();
        at += n;
        step += 1;
    }
    out
}

/// Where `found` is not what `reference` says, if anywhere.
fn first_difference(found: &[Option<Digest>], reference: &[Option<Digest>]) -> Option<usize> {
    found.iter().zip(reference).position(|(found, reference)| found.is_some() && found != reference)
}

/// Compares every given way and set of kernels with [`PREFILL`] on the plain kernels.
fn same_bits<'a>(model: &Model, length: usize, others: impl IntoIterator<Item = (&'a Way, KernelSet)>) {
    let subject = Subject::load(model, Arithmetic::Exact).unwrap();
    let tokens = &subject.tokens[..length];
    let reference = digests(&mut subject.open(1, 1, KernelSet::Scalar).unwrap(), tokens, PREFILL);
    assert_ne!(reference[0], reference[1]);
    for (&way, kernels) in others {
        let found = digests(&mut subject.open(way.lanes, way.threads, kernels).unwrap(), tokens, way);
        assert!(found.iter().any(Option::is_some));
        if let Some(at) = first_difference(&found, &reference) {
            panic!("{model:?}: token {at} differs with {kernels:?}, {way:?}");
        }
    }
}

/// Every type of weights: each set of kernels in one of the ways, which go round. (More threads than
/// processors wait long for each other, and the plain kernels are slow: the test below has the rest.)
fn every_weight_type(architecture: Architecture) {
    let types = Kind::ALL.map(Weighting::Pure).into_iter().chain([Weighting::Mixed]);
    let mut ways = WAYS.iter().cycle();
    for weighting in types {
        let model = Model { architecture, shape: Shape::for_weights(weighting), weighting, tied: true, seed: 7 };
        let others = KernelSet::all_available().filter_map(|kernels| {
            let way = ways.by_ref().find(|way| kernels != KernelSet::Scalar || way.lanes < 64)?;
            Some((way, kernels))
        });
        same_bits(&model, 36, others);
    }
}

#[test]
fn llama_gives_the_same_bits() {
    every_weight_type(Architecture::Llama);
    every_weight_type(Architecture::LlamaFactors);
}

#[test]
fn qwen_gives_the_same_bits() {
    every_weight_type(Architecture::Qwen2);
    every_weight_type(Architecture::Qwen3);
}

#[test]
fn gemma_gives_the_same_bits() {
    every_weight_type(Architecture::Gemma2);
    every_weight_type(Architecture::Gemma3);
}

#[test]
fn phi_gives_the_same_bits() {
    every_weight_type(Architecture::Phi3);
    every_weight_type(Architecture::Phi3Long);
}

#[test]
fn every_way_gives_the_same_bits_with_every_set_of_kernels() {
    for (architecture, weighting) in [
        (Architecture::Llama, Weighting::Pure(Kind::Q8_0)),
        (Architecture::Qwen3, Weighting::Mixed),
        (Architecture::Gemma2, Weighting::Pure(Kind::F16)),
    ] {
        let model = Model { architecture, shape: Shape::SMOL, weighting, tied: false, seed: 3 };
        let uneven = Way { lanes: 4, threads: 3, lane: 3, pieces: &[50], every: 1 };
        let ways: Vec<&Way> = WAYS.iter().chain([&uneven]).collect();
        let all = KernelSet::all_available().flat_map(|set| ways.iter().map(move |&way| (way, set)));
        same_bits(&model, 80, all);
    }
}

#[test]
fn lanes_in_lockstep_are_fed_token_by_token() {
    let way = Way { lanes: 64, threads: 2, lane: 63, pieces: &[1], every: 1 };
    let model = Model { tied: true, shape: Shape::SMOL, ..Model::tiny(Architecture::Llama, Kind::Q8_0) };
    same_bits(&model, 60, [(&way, KernelSet::current())]);
}

/// Natural logarithms of the probabilities.
fn log_softmax(row: &[f32]) -> Vec<f64> {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|x| f64::from(x - top).exp()).sum();
    row.iter().map(|x| f64::from(x - top) - total.ln()).collect()
}

/// How far two sets of logits are apart.
#[derive(Debug)]
struct Distance {
    /// Mean absolute difference of log-probabilities, in nats.
    mean: f64,
    /// Of bits per token of the text, the second beside the first.
    bits: f64,
}

fn distance(one: &[Vec<f32>], other: &[Vec<f32>], tokens: &[TokenId]) -> Distance {
    let (mut apart, mut count) = (0.0, 0.0);
    let mut cost = [0.0, 0.0];
    for (i, (one, other)) in one.iter().zip(other).enumerate() {
        let (one, other) = (log_softmax(one), log_softmax(other));
        apart += one.iter().zip(&other).map(|(a, b)| (a - b).abs()).sum::<f64>();
        count += one.len() as f64;
        if let Some(&next) = tokens.get(i + 1) {
            cost[0] -= one[next as usize];
            cost[1] -= other[next as usize];
        }
    }
    Distance { mean: apart / count, bits: (cost[1] / cost[0] - 1.0).abs() }
}

#[test]
fn exact_is_close_to_stock() {
    for architecture in Architecture::TRANSFORMERS {
        for kind in Kind::ALL {
            let model = Model::tiny(architecture, kind);
            let exact = Subject::load(&model, Arithmetic::Exact).unwrap();
            let stock = Subject::load(&model, Arithmetic::Stock { flash_attention: true }).unwrap();
            assert_eq!(exact.tokens, stock.tokens);
            let (rows, expected) = (exact.logits(), stock.logits());
            assert_eq!((rows.len(), expected.len()), (exact.tokens.len(), exact.tokens.len()));
            let far = distance(&expected, &rows, &exact.tokens);
            // What rounding activations to eight bits costs, which both do, in blocks of their own.
            assert!(far.mean < 0.05, "{architecture:?} {kind:?}: {far:?}");
            if matches!(kind, Kind::F32 | Kind::F16 | Kind::BF16 | Kind::Q8_0) {
                assert!(far.bits < 0.001, "{architecture:?} {kind:?}: {far:?}");
            }
        }
    }
}

/// Why a model cannot be opened with exact arithmetic.
fn refusal(model: &Model) -> String {
    let opened = Subject::load(model, Arithmetic::Exact).and_then(|subject| {
        // What an operator of the graph is shows when it is first built.
        let feed = Feed { lane: 0, restart: Some(0), tokens: &subject.tokens[..1], outputs: 1 };
        subject.open(1, 1, KernelSet::current())?.evaluate(&[feed], &mut |_, _| {})
    });
    match opened {
        Err(PredictError::Unusable { why, .. }) => why.to_ascii_lowercase(),
        Err(other) => panic!("{model:?}: {other}"),
        Ok(_) => panic!("{model:?} was opened"),
    }
}

#[test]
fn what_exact_arithmetic_does_not_define_is_refused_by_name() {
    for (kind, name) in [(Kind::Q2K, "q2_k"), (Kind::Q3K, "q3_k")] {
        let why = refusal(&Model::tiny(Architecture::Llama, kind));
        assert!(why.contains(name), "{why}");
    }
    let why = refusal(&Model::tiny(Architecture::Mamba, Kind::F16));
    assert!(why.contains("operator"), "{why}");
}

#[test]
fn stock_arithmetic_opens_what_exact_refuses() {
    let model = Model::tiny(Architecture::Mamba, Kind::F16);
    let rows = Subject::load(&model, Arithmetic::Stock { flash_attention: false }).unwrap().logits();
    assert!(rows.iter().flatten().all(|x| x.is_finite()));
}

#[test]
fn generated_files_are_the_same_on_every_machine() {
    let model = Model { weighting: Weighting::Mixed, ..Model::tiny(Architecture::Llama, Kind::F32) };
    let file = tempfile::NamedTempFile::new().unwrap();
    model.write(file.path()).unwrap();
    let digest = Digest::of(&std::fs::read(file.path()).unwrap()).to_string();
    assert_eq!(&digest[..16], "858c0f4a141d02d0");
}
