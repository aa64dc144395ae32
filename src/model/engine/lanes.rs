//! Lanes of context over one set of weights: llama.cpp sequences that never see each other.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use llama_cpp_sys_2 as sys;

use super::Arithmetic;
use super::backend::{Exact, Report};
use super::batch::Batch;
use super::device::{self, Opening};
use super::helpers::Helpers;
use super::weights::{Weights, first_error, forget_errors};
use crate::entropy::Cdf;
use crate::exact::KernelSet;
use crate::exact::steps::Lanes;
use crate::predict::{Feed, PredictError, Predictor, TokenTable, quantize};

/// Most sequences that llama.cpp keeps in one context.
const MAX_LANES: usize = 256;

/// Most bytes of logits that one step produces: bounds the tokens in a batch for large vocabularies.
const LOGITS_BYTES: usize = 64 << 20;

/// Tokens evaluated together at most: enough to share the work on weights, few enough for their logits to stay
/// in a cache.
const MAX_BATCH: usize = 256;

/// Cells of a lane beyond its window, where that slides: most tokens of a lane in one step, less one.
const AHEAD: usize = 64;

/// Threads that help with the steps of one context at most: more meet more often than they shorten what lies between.
const MAX_HELPERS: usize = 3;

/// The shape of a predictor. It changes no bit of what the predictor predicts, only what it costs.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Sequences side by side, at least 1 and at most 256.
    pub lanes: usize,
    /// Most tokens of a lane between two restarts; where the window slides, the tokens that one attends to.
    pub window: usize,
    /// Whether the window slides: for exact arithmetic only.
    pub slides: bool,
    /// Threads, at least 1.
    pub threads: usize,
    /// The kernels of exact arithmetic.
    pub kernels: KernelSet,
}

/// A llama.cpp context with one sequence per lane.
pub struct LlamaPredictor {
    context: NonNull<sys::llama_context>,
    /// Threads of ggml's own kernels.
    threadpool: Option<NonNull<sys::ggml_threadpool>>,
    /// What exact arithmetic has to say.
    report: Arc<Report>,
    weights: Arc<Weights>,
    table: Arc<TokenTable>,
    geometry: Geometry,
    /// What computes, where it keeps keys and values by position.
    placed: Option<Arc<Mutex<Exact>>>,
    /// The lane of each of llama.cpp's sequences, if so.
    sequences: Arc<Lanes>,
    batch: Batch,
    /// Tokens and outputs of each feed of the step at hand.
    shape: Vec<(usize, usize)>,
    /// The shape that the graph at hand is for, if it can be computed again.
    known: Vec<(usize, usize)>,
    /// Whether the last step was one of the graph computed again.
    again: bool,
    /// Threads on offer, and what is known of the use of them.
    offered: usize,
    helpers: Helpers,
    /// The position that each lane's next token stands at.
    fed: Vec<usize>,
    cdf: Cdf,
}

// SAFETY: a context may be used from any one thread at a time; `&mut self` ensures that.
unsafe impl Send for LlamaPredictor {}

impl Geometry {
    /// The tokens that a lane has room for at a time: llama.cpp rounds them up to 256.
    #[must_use]
    pub fn cells(&self) -> usize {
        (self.window + if self.slides { AHEAD } else { 0 }).next_multiple_of(256)
    }
}

impl LlamaPredictor {
    /// Opens lanes over weights.
    ///
    /// # Errors
    /// [`PredictError::Engine`] where memory or a thread is missing.
    pub fn new(weights: Arc<Weights>, table: Arc<TokenTable>, geometry: Geometry) -> Result<Self, PredictError> {
        let Geometry { window, slides, kernels, .. } = geometry;
        let lanes = geometry.lanes.clamp(1, MAX_LANES);
        let capacity = (LOGITS_BYTES / (4 * weights.vocab_size())).clamp(lanes.min(32), MAX_BATCH).max(lanes);
        let threads = i32::try_from(geometry.threads.max(1)).unwrap_or(1);
        let too_large = || PredictError::Engine(format!("{lanes} lanes of {window} tokens are too many"));
        let cells = geometry.cells();
        let n_ctx = u32::try_from(cells * lanes).map_err(|_| too_large())?;
        let report = Arc::<Report>::default();
        let sequences = Arc::new(Lanes::new(lanes));
        let arithmetic = weights.arithmetic();
        let placed = arithmetic == Arithmetic::Exact && weights.is_placed();
        if slides && !placed {
            return Err(PredictError::Engine("a window slides in exact arithmetic only, over rotated keys".into()));
        }
        let mut engine = None;
        let opening = match arithmetic {
            Arithmetic::Exact => {
                let packed = Arc::clone(weights.packed());
                let places = placed.then(|| (window, Arc::clone(&sequences)));
                let exact = Exact::new(packed, geometry.threads, kernels, places, Arc::clone(&report));
                let exact = Arc::new(Mutex::new(exact.map_err(PredictError::Engine)?));
                engine = placed.then(|| Arc::clone(&exact));
                Opening::Exact(Some(exact))
            }
            Arithmetic::Reference | Arithmetic::Gpu => Opening::Reference,
            Arithmetic::Stock { .. } => Opening::Stock,
        };
        forget_errors();
        // SAFETY: plain data with a default constructor; the model outlives the context through `Arc`.
        let context = device::opening(opening, || unsafe {
            let mut params = sys::llama_context_default_params();
            params.n_ctx = n_ctx;
            params.n_batch = capacity as u32;
            params.n_ubatch = capacity as u32;
            params.n_seq_max = lanes as u32;
            params.n_outputs_max = capacity as u32;
            params.n_outputs_max_per_seq = capacity as u32;
            params.n_threads = threads;
            params.n_threads_batch = threads;
            params.flash_attn_type = match arithmetic {
                Arithmetic::Stock { flash_attention: false } => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
                _ => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            };
            params.type_k = sys::GGML_TYPE_F16;
            params.type_v = sys::GGML_TYPE_F16;
            params.embeddings = false;
            params.no_perf = true;
            params.swa_full = true;
            // One cell range per lane, so that a token's cell is its position whatever other lanes do.
            params.kv_unified = false;
            NonNull::new(sys::llama_init_from_model(weights.raw(), params))
        });
        let context = context.ok_or_else(|| PredictError::Engine(first_error("llama.cpp cannot open a context")))?;
        let batch = Batch::of(capacity);
        let geometry = Geometry { lanes, ..geometry };
        let (threadpool, fed, cdf) = (None, vec![0; lanes], Cdf::default());
        let mut predictor = Self {
            context,
            threadpool,
            report,
            weights,
            table,
            geometry,
            placed: engine,
            sequences,
            batch,
            shape: Vec::new(),
            known: Vec::new(),
            again: false,
            offered: 0,
            helpers: Helpers::new(),
            fed,
            cdf,
        };
        if arithmetic != Arithmetic::Exact {
            // SAFETY: a live context; the pool is detached and freed with it.
            predictor.threadpool = Some(unsafe {
                let mut pool = sys::ggml_threadpool_params_default(threads);
                let pool = NonNull::new(sys::ggml_threadpool_new(&raw mut pool))
                    .ok_or_else(|| PredictError::Engine("cannot start the engine's threads".into()))?;
                sys::llama_attach_threadpool(context.as_ptr(), pool.as_ptr(), pool.as_ptr());
                pool
            });
        }
        Ok(predictor)
    }

    /// What the graph of exact arithmetic consists of: a line for each operator, with its operands, but for
    /// what depends on the batch. `None` before anything was evaluated, and for other arithmetics.
    #[must_use]
    pub fn graph(&self) -> Option<&str> {
        self.report.graph.get().map(String::as_str)
    }

    /// Has llama.cpp forget the cells of a sequence.
    fn forget(&mut self, sequence: usize) -> Result<(), PredictError> {
        // SAFETY: a live context; removing a whole sequence is always possible.
        let removed = unsafe {
            let memory = sys::llama_get_memory(self.context.as_ptr());
            sys::llama_memory_seq_rm(memory, sequence as sys::llama_seq_id, -1, -1)
        };
        if removed { Ok(()) } else { Err(PredictError::Engine(format!("lane {sequence} cannot be restarted"))) }
    }

    /// Makes room for a lane's next tokens in feed number `number`; answers the sequence that they belong to.
    ///
    /// Keys and values that are kept by position are so without regard to llama.cpp's cells ([`super::translate`]).
    /// It is then made to believe that every batch is the first, and of sequences side by side: those with others
    /// between them it would evaluate one after the other.
    fn make_room(&mut self, number: usize, feed: &Feed<'_>) -> Result<usize, PredictError> {
        let Geometry { window, slides, .. } = self.geometry;
        let placed = self.placed.is_some();
        let sequence = if placed { number } else { feed.lane };
        if !self.again && (placed || feed.restart.is_some()) {
            self.forget(sequence)?;
        }
        if placed {
            self.sequences.set(sequence, feed.lane);
        }
        if let Some(position) = feed.restart {
            self.fed[feed.lane] = position;
        }
        let room = if slides { self.share() } else { window.saturating_sub(self.fed[feed.lane]) };
        if feed.tokens.len() > room {
            return Err(PredictError::Engine(format!("lane {} was fed beyond its window", feed.lane)));
        }
        Ok(sequence)
    }

    /// The logits behind batch token `i`, output `output` of the batch: one per token of the vocabulary.
    fn logits(&self, i: usize, output: usize) -> Result<&[f32], PredictError> {
        if self.again {
            let row = self.placed.as_deref().and_then(|exact| locked(exact).logits(output));
            let Some((row, width)) = row.filter(|&(_, width)| width == self.weights.vocab_size()) else {
                return Err(PredictError::Engine("no logits for a token that wants them".into()));
            };
            // SAFETY: a row of the graph's output, which stays until it is computed again; `&self` forbids that.
            return Ok(unsafe { std::slice::from_raw_parts(row, width) });
        }
        // SAFETY: null, or `vocab_size` floats that stay until the next decode; `&self` forbids one.
        unsafe {
            let row = sys::llama_get_logits_ith(self.context.as_ptr(), i as i32);
            if row.is_null() {
                return Err(PredictError::Engine(first_error("no logits for a token that wants them")));
            }
            Ok(std::slice::from_raw_parts(row, self.weights.vocab_size()))
        }
    }
}

impl LlamaPredictor {
    /// Evaluates the tokens of the feeds.
    ///
    /// Most steps have the shape of the one before. Where keys and values are kept by position, the graph at hand
    /// then serves for them as it is, and llama.cpp is not asked.
    fn feed(&mut self, feeds: &[Feed<'_>]) -> Result<(), PredictError> {
        self.batch.clear();
        self.shape.clear();
        self.shape.extend(feeds.iter().map(|feed| (feed.tokens.len(), feed.outputs)));
        self.again = !self.known.is_empty() && self.known == self.shape;
        for (number, feed) in feeds.iter().enumerate() {
            let sequence = self.make_room(number, feed)?;
            let quiet = feed.tokens.len() - feed.outputs;
            for (i, &token) in feed.tokens.iter().enumerate() {
                self.batch.push(token, self.fed[feed.lane] + i, sequence, i >= quiet);
            }
            self.fed[feed.lane] += feed.tokens.len();
        }
        if self.batch.tokens.is_empty() {
            return Ok(());
        }
        if self.batch.tokens.len() > self.batch.capacity {
            return Err(PredictError::Engine("a step was given more tokens than a batch holds".into()));
        }
        let refused = |weights: &Weights, why| PredictError::Unusable { path: weights.label().to_owned(), why };
        let Batch { tokens, positions, .. } = &self.batch;
        if let Some(exact) = self.placed.as_deref().filter(|_| self.again) {
            let mut exact = locked(exact);
            exact.set_threads(self.geometry.threads + self.helpers.choose(self.offered, tokens.len()));
            let begin = Instant::now();
            // SAFETY: llama.cpp has not been called since it left the graph at hand.
            let result = unsafe { exact.again(tokens, positions) };
            self.helpers.took(begin.elapsed());
            return result.map_err(|why| refused(&self.weights, why));
        }
        self.known.clear();
        let before = self.placed.as_deref().map(|exact| {
            let mut exact = locked(exact);
            exact.set_threads(self.geometry.threads);
            exact.computed()
        });
        forget_errors();
        // SAFETY: the view's arrays live in `self.batch`, untouched during the call; tokens are below
        // the vocabulary size (llama.cpp checks them again).
        let status = unsafe { sys::llama_decode(self.context.as_ptr(), self.batch.view()) };
        if status != 0 {
            let refusal = self.report.refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Err(match refusal {
                Some(why) => refused(&self.weights, why),
                None => PredictError::Engine(first_error(&format!("llama.cpp returned {status}"))),
            });
        }
        // Several graphs, of lanes that are fed unlike numbers of tokens, are not computed again.
        if let Some((exact, before)) = self.placed.as_deref().zip(before) {
            let exact = locked(exact);
            if exact.computed() == before + 1 && exact.takes() == Some(self.batch.tokens.len()) {
                self.known.clone_from(&self.shape);
            }
        }
        Ok(())
    }

    /// Feeds the lanes as [`Predictor::step`] does, and hands out the logits themselves: one binary32 number for
    /// each token of the vocabulary.
    ///
    /// # Errors
    /// [`PredictError`]; all lanes are unusable then until they are restarted.
    pub fn evaluate(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &[f32])) -> Result<(), PredictError> {
        self.feed(feeds)?;
        self.each_output(feeds, |_, number, logits| {
            sink(number, logits);
            Ok(())
        })
    }

    /// Calls `f` with the number of the feed and the logits for each wanted output.
    fn each_output(
        &self,
        feeds: &[Feed<'_>],
        mut f: impl FnMut(&Self, usize, &[f32]) -> Result<(), PredictError>,
    ) -> Result<(), PredictError> {
        let (mut end, mut output) = (0, 0);
        for (number, feed) in feeds.iter().enumerate() {
            end += feed.tokens.len();
            for i in end - feed.outputs..end {
                f(self, number, self.logits(i, output)?)?;
                output += 1;
            }
        }
        Ok(())
    }
}

impl Predictor for LlamaPredictor {
    fn lanes(&self) -> usize {
        self.fed.len()
    }

    fn window(&self) -> usize {
        if self.geometry.slides { usize::MAX } else { self.geometry.window }
    }

    fn share(&self) -> usize {
        let Geometry { window, slides, .. } = self.geometry;
        if slides { (self.geometry.cells() + 1 - window).min(self.batch.capacity) } else { self.batch.capacity }
    }

    fn batch(&self) -> usize {
        self.batch.capacity
    }

    fn set_helpers(&mut self, threads: usize) {
        self.offered = threads.min(MAX_HELPERS);
    }

    fn step(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &Cdf)) -> Result<(), PredictError> {
        self.feed(feeds)?;
        let mut cdf = std::mem::take(&mut self.cdf);
        let result = self.each_output(feeds, |this, number, logits| {
            quantize::quantize(logits, this.table.codable(), &mut cdf)
                .map_err(|why| PredictError::Engine(format!("{}: {why}", this.weights.label())))?;
            sink(number, &cdf);
            Ok(())
        });
        self.cdf = cdf;
        result
    }
}

fn locked(exact: &Mutex<Exact>) -> MutexGuard<'_, Exact> {
    exact.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for LlamaPredictor {
    fn drop(&mut self) {
        // SAFETY: both are live and used by nobody else; the context stops using the pool first.
        unsafe {
            sys::llama_detach_threadpool(self.context.as_ptr());
            sys::llama_free(self.context.as_ptr());
            if let Some(pool) = self.threadpool {
                sys::ggml_threadpool_free(pool.as_ptr());
            }
        }
    }
}
