//! The mixing codecs: any stored bytes of any kind decode or are refused, and any raw bytes come back
//! under any vocabulary and any distributions.

use std::sync::Arc;

use lma::codec::{self, Choice, Encoded, Level};
use lma::entropy::Cdf;
use lma::format::{CodecId, ContextPolicy, ModelRecord};
use lma::predict::toy::{self, InlineRunner};
use lma::predict::{Feed, LoadedModel, Models, PredictError, Predictor, TokenId, TokenTable, Tokenizer};

use super::input::{self, Input};

/// Most raw bytes of a chunk.
const RAW: usize = 4096;

/// Most tokens of more than one byte.
const WORDS: usize = 24;

/// Takes a direction, a vocabulary and its distributions, and the bytes to decode or to encode.
pub fn mix(data: &[u8]) {
    let mut input = Input::new(data);
    let direction = input.below(4);
    match direction {
        0 => {
            let raw_len = input.below(RAW + 1);
            decode(CodecId::Cm, None, input.rest(), raw_len);
        }
        1 => {
            let raw = input::content(&mut input, RAW);
            there_and_back(CodecId::Cm, &AnyModel(toy::model()), &raw);
        }
        2 => {
            let model = AnyModel(model(&mut input));
            let raw_len = input.below(RAW + 1);
            decode(CodecId::Mix, Some(&model), input.rest(), raw_len);
        }
        _ => {
            let model = AnyModel(model(&mut input));
            let raw = input::content(&mut input, RAW / 4);
            there_and_back(CodecId::Mix, &model, &raw);
        }
    }
}

fn decode(codec: CodecId, model: Option<&AnyModel>, stored: &[u8], raw_len: usize) {
    let toys = AnyModel(toy::model());
    let models = model.unwrap_or(&toys);
    let result = codec::decode(codec, model.map(|model| &model.0.record), stored, raw_len, models);
    if let Ok(raw) = result {
        assert_eq!(raw.len(), raw_len);
    }
}

fn there_and_back(only: CodecId, model: &AnyModel, raw: &[u8]) {
    let encode = || codec::encode(raw, Choice::Only(only), Level::BEST, Some(&model.0)).expect("no engine fails");
    let Encoded { codec, stored } = encode();
    assert!(stored.len() <= raw.len(), "{} bytes for {}", stored.len(), raw.len());
    let decode = |stored: &[u8], len| codec::decode(codec, Some(&model.0.record), stored, len, model);
    assert_eq!(decode(&stored, raw.len()).expect("what was encoded decodes"), raw);
    assert_eq!(encode(), Encoded { codec, stored: stored.clone() }, "encoding depends on its arguments alone");
    let cut = &stored[..stored.len().saturating_sub(1)];
    for (stored, len) in [(cut, raw.len()), (&stored, raw.len() + 1), (&stored, raw.len() / 2)] {
        if let Ok(other) = decode(stored, len) {
            assert_eq!(other.len(), len);
        }
    }
}

/// A vocabulary, windows and distributions from the input.
fn model(input: &mut Input<'_>) -> LoadedModel {
    let all = input.once_in(2);
    let mut bytes = vec![vec![]];
    bytes.extend((0..=255u8).filter(|byte| all || byte % 3 > 0).map(|byte| vec![byte]));
    bytes.extend((0..input.below(WORDS + 1)).map(|_| input.bytes(7).to_vec()));
    let table = Arc::new(TokenTable::new(0, bytes));
    let window = 2 + input.below(60) as u32;
    let context = ContextPolicy { window, overlap: input.below(window as usize) as u32 };
    let mut cdfs: Vec<Cdf> = (0..1 + input.below(3)).filter_map(|_| cdf(input, table.len() + 1)).collect();
    // Weights that are no distribution are left out; without any, all symbols are alike.
    cdfs.extend(Cdf::new(&vec![1; table.len() + 1]).ok().filter(|_| cdfs.is_empty()));
    let predictor = AnyPredictor { lane: [0; 2], window: window as usize, cdfs };
    let record = ModelRecord { context, vocab_size: table.len() as u32, tokens: table.digest(), ..toy::model().record };
    let tokenizer = Arc::new(Greedy(Arc::clone(&table)));
    let runner = Arc::new(InlineRunner::new(Box::new(predictor), 1 + input.below(9)));
    LoadedModel { record, table, tokenizer, runner, reach: 2 }
}

/// Weights that come again, with shifts that make a few of them all that counts.
fn cdf(input: &mut Input<'_>, count: usize) -> Option<Cdf> {
    let scale = input.below(33) as u32;
    let pattern: Vec<u32> = (0..1 + input.below(12)).map(|_| input.u32()).collect();
    let weight = |i: usize| u64::from(pattern[i % pattern.len()]) >> scale.min(i as u32 % 40);
    let weights: Vec<u32> = (0..count).map(|i| weight(i) as u32).collect();
    Cdf::new(&weights).ok()
}

/// One of the distributions, by the last two tokens.
struct AnyPredictor {
    lane: [TokenId; 2],
    window: usize,
    cdfs: Vec<Cdf>,
}

impl Predictor for AnyPredictor {
    fn lanes(&self) -> usize {
        1
    }

    fn window(&self) -> usize {
        self.window
    }

    fn batch(&self) -> usize {
        64
    }

    fn step(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &Cdf)) -> Result<(), PredictError> {
        for (number, feed) in feeds.iter().enumerate() {
            self.lane = if feed.restart.is_some() { [0; 2] } else { self.lane };
            for (at, &token) in feed.tokens.iter().enumerate() {
                self.lane = [self.lane[1], token];
                if at + feed.outputs >= feed.tokens.len() {
                    let which = (self.lane[0].wrapping_mul(31) ^ self.lane[1]) as usize;
                    sink(number, &self.cdfs[which % self.cdfs.len()]);
                }
            }
        }
        Ok(())
    }
}

struct Greedy(Arc<TokenTable>);

impl Tokenizer for Greedy {
    fn tokenize(&self, text: &[u8]) -> Vec<TokenId> {
        self.0.greedy(text).into_iter().filter_map(Result::ok).collect()
    }
}

/// One model, whatever is asked for.
struct AnyModel(LoadedModel);

impl Models for AnyModel {
    fn open(&self, _: &ModelRecord) -> Result<Arc<LoadedModel>, PredictError> {
        Ok(Arc::new(self.0.clone()))
    }
}
