//! Bits per byte of exact arithmetic beside stock ggml, on the same weights: exactness must not cost
//! prediction.
//!
//! The model is this machine's, requantised; the text is two halves of a size, from two files, each a stream of
//! its own under the product's window policy. The bits are those of the softmax over all tokens, without the
//! quantisation of distributions, which is the same for both.

use std::sync::Arc;

use lma::exact::KernelSet;
use lma::model::engine::{Arithmetic, Geometry, LlamaPredictor, Weights};
use lma::predict::{Feed, PredictError, Predictor, TokenId, Tokenizer};

use super::common::{self, Arguments, Failure, size_name, table};
use super::gguf_support::Weighting;
use super::subject::{requantised, weightings};

/// As the product's policy: tokens of a window, and how many of them the next one repeats.
const WINDOW: usize = 512;
const OVERLAP: usize = WINDOW / 8;

/// Windows evaluated side by side.
const LANES: usize = 4;

/// Each gives half of the text.
const FILES: [&str; 2] = ["canterbury/alice29.txt", "enwik/enwik6"];

/// Matrices of the preferred model in these types.
const TYPES: &str = "F32,F16,BF16,Q8_0,Q4_0,Q4_1,Q5_0,Q5_1,Q4_K,Q5_K,Q6_K,Q4_K_M";

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let weightings = weightings(arguments.get("weights").unwrap_or(TYPES))?;
    let half = arguments.size("bytes", "64K")? / FILES.len();
    let corpus = arguments.corpus()?;
    let mut texts = Vec::new();
    for file in FILES {
        let path = corpus.join(file);
        let mut text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        text.truncate(half);
        // A whole number of characters, which the tokenizer wants.
        let whole = text.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
        text.truncate(whole);
        texts.push(text);
    }
    let mut rows = vec![
        ["weights", "stock, fa on", "stock, fa off", "exact", "to fa on", "to fa off"].map(str::to_owned).to_vec(),
    ];
    let threads = arguments.threads()?;
    for weighting in weightings {
        rows.push(row(weighting, &texts, threads)?);
        eprintln!("{}", rows[rows.len() - 1].join("  "));
    }
    let report = format!(
        "# Prediction of exact arithmetic beside stock ggml\n\n`{}`\n\n{}; {} threads, {} kernels.\n\nBits per byte of \
         the default model with requantised matrices on {} each of {}; windows of {WINDOW}\ntokens, {OVERLAP} of them \
         repeated.\n\n{}",
        common::command("engine"),
        common::machine(),
        threads,
        KernelSet::current().name(),
        size_name(half),
        FILES.join(" and "),
        table(&rows),
    );
    common::publish(&report, arguments)
}

fn row(weighting: Weighting, texts: &[Vec<u8>], threads: usize) -> Result<Vec<String>, Failure> {
    let file = requantised(weighting)?;
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let mut rates = Vec::new();
    let stock = [true, false].map(|flash_attention| Arithmetic::Stock { flash_attention });
    for arithmetic in stock.into_iter().chain([Arithmetic::Exact]) {
        let weights = Arc::new(Weights::load(file.path(), weighting.name(), arithmetic)?);
        let mut bits = 0.0;
        for text in texts {
            bits += cost(&weights, text, threads)?;
        }
        rates.push(bits / bytes as f64);
    }
    let apart = |stock: f64| format!("{:+.4} %", 100.0 * (rates[2] / stock - 1.0));
    let mut cells = vec![weighting.name().to_owned()];
    cells.extend(rates.iter().map(|rate| format!("{rate:.5}")));
    cells.extend([apart(rates[0]), apart(rates[1])]);
    Ok(cells)
}

/// Bits of the text under the model.
fn cost(weights: &Arc<Weights>, text: &[u8], threads: usize) -> Result<f64, PredictError> {
    let table = Arc::new(weights.table());
    let mut history = vec![table.start()];
    history.extend(weights.tokenize(text));
    let geometry = Geometry { lanes: LANES, window: WINDOW, slides: false, threads, kernels: KernelSet::current() };
    let mut predictor = LlamaPredictor::new(Arc::clone(weights), table, geometry)?;
    let mut bits = 0.0;
    for windows in windows(history.len()).chunks(LANES) {
        bits += together(&mut predictor, &history, windows)?;
    }
    Ok(bits)
}

/// Tokens `from..to` are fed, and distributions taken behind those from `wanted` on.
#[derive(Clone, Copy)]
struct Window {
    from: usize,
    wanted: usize,
    to: usize,
}

/// The windows that predict all tokens but the first of so many.
fn windows(tokens: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut wanted = 0;
    while wanted + 1 < tokens {
        let from = (wanted + 1_usize).saturating_sub(OVERLAP);
        let to = (from + WINDOW).min(tokens - 1);
        windows.push(Window { from, wanted, to });
        wanted = to;
    }
    windows
}

/// Bits of the tokens that a few windows predict, fed side by side.
fn together(predictor: &mut LlamaPredictor, history: &[TokenId], windows: &[Window]) -> Result<f64, PredictError> {
    let mut bits = 0.0;
    let share = predictor.batch() / LANES;
    for at in (0..WINDOW).step_by(share) {
        let mut feeds = Vec::new();
        let mut expected = Vec::new();
        for (lane, window) in windows.iter().enumerate() {
            let (from, to) = (window.from + at, window.to.min(window.from + at + share));
            if from < to {
                let first = from.max(window.wanted).min(to);
                feeds.push(Feed {
                    lane,
                    restart: (at == 0).then_some(0),
                    tokens: &history[from..to],
                    outputs: to - first,
                });
                expected.extend(&history[first + 1..=to]);
            }
        }
        let mut expected = expected.into_iter();
        predictor
            .evaluate(&feeds, &mut |_, row| bits += expected.next().map_or(f64::NAN, |&next| surprise(row, next)))?;
    }
    Ok(bits)
}

/// Bits that a token costs.
fn surprise(row: &[f32], token: TokenId) -> f64 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|x| f64::from(x - top).exp()).sum();
    (total.ln() - f64::from(row[token as usize] - top)) / std::f64::consts::LN_2
}
