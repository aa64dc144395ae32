//! A deterministic predictor without weights, for tests: integer arithmetic on a small vocabulary.
//! It keeps every contract of a real model (batch invariance, windows, lanes) and complains where
//! its caller does not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{
    Audience, Feed, LoadedModel, Models, PredictError, Predictor, RunError, Runner, Stream, StreamError, TokenId,
    TokenTable, Tokenizer, Want,
};
use crate::entropy::Cdf;
use crate::format::{ContextPolicy, ModelRecord, NumericsProfile};
use crate::hash::Digest;

/// Token 0: fed first, never coded. Tokens 1 to 256 are the bytes, then come the words.
const START: TokenId = 0;

/// Tokens of more than one byte.
const WORDS: [&str; 12] =
    [" the", "ing", "lma ", "model", "\r\n", "    ", "0123", "\u{e9}", "\u{2581}", "\u{65e5}\u{672c}", "\n\n", "ee"];

/// Text that the toy tokenizer, like some real ones, takes for the start token.
const SPECIAL: &str = "<|start|>";

/// The toy's window policy: small, so that a few hundred bytes cross several windows.
pub const CONTEXT: ContextPolicy = ContextPolicy { window: 64, overlap: 16 };

/// The toy's vocabulary; the bytes in `missing` have no token of their own.
#[must_use]
pub fn table(missing: &[u8]) -> TokenTable {
    let bytes = (0..=255u8).map(|byte| if missing.contains(&byte) { vec![] } else { vec![byte] });
    let words = WORDS.iter().map(|word| word.as_bytes().to_vec());
    TokenTable::new(START, std::iter::once(vec![]).chain(bytes).chain(words).collect())
}

/// Distributions that depend on the last two tokens of the lane.
pub struct ToyPredictor {
    table: Arc<TokenTable>,
    lanes: Vec<Option<Lane>>,
    window: usize,
    /// Weights without any context: the escape last.
    base: Vec<u32>,
    /// Tokens that a context may favour: printable ones.
    favourites: Vec<TokenId>,
    cdf: Cdf,
}

#[derive(Clone, Copy, Default)]
struct Lane {
    fed: usize,
    last: [TokenId; 2],
}

impl ToyPredictor {
    /// A predictor with `lanes` lanes of at most `window` tokens between restarts.
    #[must_use]
    pub fn new(lanes: usize, window: usize, table: Arc<TokenTable>) -> Self {
        let printable = |bytes: &[u8]| bytes.iter().all(|&b| b == b' ' || b == b'\n' || b.is_ascii_lowercase());
        let tokens = (0..).zip(table.codable()).filter_map(|(token, &codable)| codable.then_some(token));
        let mut base: Vec<u32> = table.codable().iter().map(|&codable| u32::from(codable)).collect();
        let mut favourites = Vec::new();
        for token in tokens {
            if printable(table.bytes(token)) {
                favourites.push(token);
                base[token as usize] = 24;
            } else if table.bytes(token).iter().all(u8::is_ascii_graphic) {
                base[token as usize] = 6;
            }
        }
        base.push(1);
        Self { table, lanes: vec![None; lanes], window, base, favourites, cdf: Cdf::default() }
    }

    fn check(&self, feeds: &[Feed<'_>]) -> Result<(), PredictError> {
        let broken = |why: String| Err(PredictError::Engine(format!("the toy was misused: {why}")));
        if !feeds.is_sorted_by(|a, b| a.lane < b.lane) {
            return broken("lanes not ascending".into());
        }
        if feeds.iter().map(|feed| feed.tokens.len()).sum::<usize>() > self.batch() {
            return broken(format!("more than {} tokens", self.batch()));
        }
        for feed in feeds {
            let Some(lane) = self.lanes.get(feed.lane) else { return broken(format!("lane {}", feed.lane)) };
            let fed = match lane {
                _ if feed.restart.is_some() => 0,
                Some(lane) => lane.fed,
                None => return broken(format!("lane {} was never restarted", feed.lane)),
            };
            if feed.tokens.is_empty() || feed.outputs > feed.tokens.len() {
                return broken(format!("{} outputs of {} tokens", feed.outputs, feed.tokens.len()));
            }
            if fed + feed.tokens.len() > self.window {
                return broken(format!("{} tokens in a window of {}", fed + feed.tokens.len(), self.window));
            }
            if let Some(token) = feed.tokens.iter().find(|&&token| token as usize >= self.table.len()) {
                return broken(format!("token {token}"));
            }
        }
        Ok(())
    }

    fn predict(&mut self, last: [TokenId; 2]) -> Result<&Cdf, PredictError> {
        let Self { base, favourites, cdf, .. } = self;
        let filled = cdf.fill(base.len(), |weights| {
            weights.copy_from_slice(base);
            let mut state = u64::from(last[0]) << 32 | u64::from(last[1]);
            for bonus in [60_000, 12_000, 3_000, 800] {
                state = mix(state);
                if let Some(&token) = favourites.get((state % favourites.len().max(1) as u64) as usize) {
                    weights[token as usize] += bonus;
                }
            }
        });
        filled.map_err(|error| PredictError::Engine(error.to_string()))?;
        Ok(&self.cdf)
    }
}

/// The finaliser of splitmix64.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

impl Predictor for ToyPredictor {
    fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn window(&self) -> usize {
        self.window
    }

    fn batch(&self) -> usize {
        512
    }

    fn step(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &Cdf)) -> Result<(), PredictError> {
        self.check(feeds)?;
        for (i, feed) in feeds.iter().enumerate() {
            let mut lane =
                if feed.restart.is_some() { Lane::default() } else { self.lanes[feed.lane].unwrap_or_default() };
            for (at, &token) in feed.tokens.iter().enumerate() {
                lane = Lane { fed: lane.fed + 1, last: [lane.last[1], token] };
                if at + feed.outputs >= feed.tokens.len() {
                    sink(i, self.predict(lane.last)?);
                }
            }
            self.lanes[feed.lane] = Some(lane);
        }
        Ok(())
    }
}

/// Drives one stream at a time, on the calling thread.
pub struct InlineRunner {
    predictor: Mutex<Box<dyn Predictor>>,
    split: usize,
    turn: AtomicUsize,
}

impl InlineRunner {
    /// A runner that feeds at most `split` (at least 1) tokens at once. Each stream gets the lane
    /// after the one before it.
    #[must_use]
    pub fn new(predictor: Box<dyn Predictor>, split: usize) -> Self {
        Self { predictor: Mutex::new(predictor), split: split.max(1), turn: AtomicUsize::new(0) }
    }
}

impl Runner for InlineRunner {
    fn run(&self, mut stream: Box<dyn Stream>, audience: &Arc<dyn Audience>) -> Result<Box<dyn Stream>, RunError> {
        // A thread that panicked in here left a lane in the middle of a text; the next stream
        // restarts its lane.
        let mut predictor = self.predictor.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let lane = self.turn.fetch_add(1, Ordering::Relaxed) % predictor.lanes().max(1);
        let split = self.split.min(predictor.batch()).min(predictor.share());
        loop {
            let Want::Feed { restart, tokens, outputs } = stream.want() else { return Ok(stream) };
            if audience.is_gone() {
                return Err(RunError::Dropped);
            }
            let count = split.min(tokens.len());
            // Owned: the stream is told while it is fed.
            let fed = tokens[..count].to_vec();
            let outputs = (count + outputs).saturating_sub(tokens.len());
            let mut answer: Result<(), StreamError> = Ok(());
            predictor.step(&[Feed { lane, restart, tokens: &fed, outputs }], &mut |_, cdf| {
                if answer.is_ok() {
                    answer = stream.predicted(cdf);
                }
            })?;
            answer?;
            stream.fed(count);
        }
    }

    fn lanes(&self) -> usize {
        1
    }
}

/// Greedy, and lossy in the ways of real tokenizers: it drops bytes without a token, takes
/// U+2581 for a space and some text for the start token.
struct ToyTokenizer(Arc<TokenTable>);

impl Tokenizer for ToyTokenizer {
    fn tokenize(&self, text: &[u8]) -> Vec<TokenId> {
        let text = String::from_utf8_lossy(text).replace('\u{2581}', " ");
        let mut tokens = Vec::new();
        for (i, piece) in text.split(SPECIAL).enumerate() {
            tokens.extend((i > 0).then_some(START));
            tokens.extend(self.0.greedy(piece.as_bytes()).into_iter().filter_map(Result::ok));
        }
        tokens
    }
}

/// A model with a token for every byte.
#[must_use]
pub fn model() -> LoadedModel {
    model_with(&[])
}

/// A model without tokens for the bytes in `missing`.
#[must_use]
pub fn model_with(missing: &[u8]) -> LoadedModel {
    model_of(missing, CONTEXT, 3, 7)
}

/// A model without tokens for the bytes in `missing`, with its window policy, lanes, and the most
/// tokens that its runner feeds at once. Chunks do not depend on the last two.
#[must_use]
pub fn model_of(missing: &[u8], context: ContextPolicy, lanes: usize, split: usize) -> LoadedModel {
    let table = Arc::new(table(missing));
    let window = if context.slides() { usize::MAX } else { context.window as usize };
    let predictor = ToyPredictor::new(lanes, window, Arc::clone(&table));
    LoadedModel {
        record: ModelRecord {
            number: 0,
            sha256: Digest::of(b"the toy model"),
            size: 0,
            name: "toy".into(),
            architecture: "toy".into(),
            vocab_size: table.len() as u32,
            tokens: table.digest(),
            context,
            numerics: NumericsProfile("toy-1".into()),
            canary: Digest::of(b"the toy model's canary"),
        },
        tokenizer: Arc::new(ToyTokenizer(Arc::clone(&table))),
        table,
        runner: Arc::new(InlineRunner::new(Box::new(predictor), split)),
        reach: 2,
    }
}

/// Has the given models, and compares every claim of a record, as a real registry does.
pub struct ToyModels(Vec<Arc<LoadedModel>>);

impl ToyModels {
    /// Has [`model`] alone.
    #[must_use]
    pub fn new() -> Self {
        Self::of(vec![model()])
    }

    /// Has these models. All toys have the same SHA-256: only the first is found.
    #[must_use]
    pub fn of(models: Vec<LoadedModel>) -> Self {
        Self(models.into_iter().map(Arc::new).collect())
    }
}

impl Default for ToyModels {
    fn default() -> Self {
        Self::new()
    }
}

impl Models for ToyModels {
    fn open(&self, record: &ModelRecord) -> Result<Arc<LoadedModel>, PredictError> {
        let Some(model) = self.0.iter().find(|model| model.record.sha256 == record.sha256) else {
            let (name, sha256) = (record.name.clone(), record.sha256.to_string());
            return Err(PredictError::Missing { name, sha256, hint: "only toys are here".into() });
        };
        let own = ModelRecord { number: record.number, ..model.record.clone() };
        if own == *record {
            return Ok(Arc::clone(model));
        }
        let why = format!("{own:?} expected, the archive has {record:?}");
        Err(PredictError::Numerics { name: record.name.clone(), why })
    }
}

/// `len` bytes of text that the toy predicts well and zstd does not: drawn from the toy's own
/// distributions. Equal arguments give equal text.
#[must_use]
pub fn text(len: usize, seed: u64) -> Vec<u8> {
    let table = Arc::new(table(&[]));
    let mut toy = ToyPredictor::new(1, 1, Arc::clone(&table));
    let mut out = Vec::new();
    let mut last = [START; 2];
    let mut state = mix(seed);
    while out.len() < len {
        state = mix(state);
        // Neither fails: every total is positive, and every byte has a token.
        let Ok(cdf) = toy.predict(last) else { break };
        let Some(slot) = cdf.find(state % cdf.total()) else { break };
        let token = slot.symbol as TokenId;
        // No text has the escape, or a lone byte above 0x7f.
        if std::str::from_utf8(table.bytes(token)).is_ok_and(|text| !text.is_empty()) {
            out.extend_from_slice(table.bytes(token));
            last = [last[1], token];
        }
    }
    out.truncate(len);
    out
}
