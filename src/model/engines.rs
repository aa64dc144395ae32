//! From a model record, or a file, to a loaded and checked model.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::engine::{Arithmetic, Geometry, LlamaPredictor, Weights};
use super::registry::{Found, Location, Registry};
use super::scheduler::Scheduler;
use crate::exact::KernelSet;
use crate::format::{ContextPolicy, ModelRecord, NumericsProfile};
use crate::hash::Digest;
use crate::predict::{LoadedModel, Models, PredictError, Predictor, canary};
use crate::progress::Interrupt;

/// Longest window that an encoder chooses, tokens.
const DEFAULT_WINDOW: u32 = 512;

/// A following window starts with this part of the past: a price of 1/8 in work.
const OVERLAP_DIVISOR: u32 = 8;

/// What a model says that was made for a window that slides: how many tokens one attends to.
const SLIDING_KEY: &CStr = c"lma.sliding_window";

/// Longest window that an archive may ask for, unless its model was trained on a longer one.
const MAX_WINDOW: u32 = 8192;

/// Most bytes of keys and values in all lanes together.
const CONTEXT_BYTES: u64 = 2 << 30;

/// Parameters from which on one context is worth all threads.
const SHARED_FROM: u64 = 100_000_000;

/// How models are run.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Threads that evaluate the model, at least 1.
    pub threads: usize,
    /// Lanes: streams that make progress together. Fewer where memory would exceed 2 GiB.
    pub streams: usize,
    /// What evaluates the weights when encoding. When decoding the archive says so; but an accelerator is
    /// used only if it is named here.
    pub arithmetic: Arithmetic,
    /// The kernels of exact arithmetic.
    pub kernels: KernelSet,
    /// Ends streams in flight when raised.
    pub interrupt: Interrupt,
}

impl Default for EngineOptions {
    /// One thread, one stream, exact arithmetic on this processor's best kernels.
    fn default() -> Self {
        Self {
            threads: 1,
            streams: 1,
            arithmetic: Arithmetic::Exact,
            kernels: KernelSet::current(),
            interrupt: Interrupt::default(),
        }
    }
}

/// Loads models, each once, by what archives say of them.
pub struct Engines {
    registry: Registry,
    options: EngineOptions,
    loaded: Mutex<Vec<Arc<LoadedModel>>>,
}

impl Engines {
    /// Models from `registry`, run as `options` say. Loads nothing yet.
    #[must_use]
    pub fn new(registry: Registry, options: EngineOptions) -> Self {
        Self { registry, options, loaded: Mutex::default() }
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Loads a model to encode with, under the default context policy.
    ///
    /// # Errors
    /// [`PredictError::Unusable`], or [`PredictError::Numerics`] where this machine is not batch
    /// invariant, so that nothing it encoded could be decoded.
    pub fn load(&self, found: &Found) -> Result<Arc<LoadedModel>, PredictError> {
        let weights = self.weights(found, self.options.arithmetic)?;
        let window = match weights.trained_context() {
            0 => DEFAULT_WINDOW,
            trained => trained.clamp(canary::PROBE_LEN as u32, DEFAULT_WINDOW),
        };
        let restarting = ContextPolicy { window, overlap: (window / OVERLAP_DIVISOR).max(1) };
        let sliding = weights.metadata(SLIDING_KEY).parse().ok().map(|window| ContextPolicy { window, overlap: 0 });
        let exact = weights.arithmetic() == Arithmetic::Exact && weights.is_placed();
        let sliding = sliding.filter(|policy| exact && policy.is_sound() && policy.window <= MAX_WINDOW);
        self.open_with(found, weights, sliding.unwrap_or(restarting))
    }

    fn weights(&self, found: &Found, arithmetic: Arithmetic) -> Result<Weights, PredictError> {
        match &found.location {
            Location::File(path) => Weights::load(path, &path.display().to_string(), arithmetic),
            Location::Builtin(builtin) => {
                let file = in_memory(builtin.gguf)
                    .map_err(|error| PredictError::Engine(format!("cannot unpack the built-in model: {error}")))?;
                let path = PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd()));
                Weights::load(&path, "the built-in model", arithmetic)
            }
        }
    }

    fn open_with(
        &self,
        found: &Found,
        weights: Weights,
        context: ContextPolicy,
    ) -> Result<Arc<LoadedModel>, PredictError> {
        let weights = Arc::new(weights);
        let table = Arc::new(weights.table());
        let slides = context.slides();
        // A canary goes into any window that does not slide.
        let window = if slides { context.window as usize } else { (context.window as usize).max(canary::PROBE_LEN) };
        let geometry = Geometry { lanes: 1, window, slides, threads: 1, kernels: self.options.kernels };
        let affordable = CONTEXT_BYTES / weights.context_bytes(geometry.cells()).max(1);
        let lanes = self.options.streams.clamp(1, usize::try_from(affordable).unwrap_or(usize::MAX).max(1));
        let (shards, threads) = shards(&weights, self.options.threads, lanes);
        let open = || {
            let geometry = Geometry { lanes: lanes.div_ceil(shards), threads, ..geometry };
            LlamaPredictor::new(Arc::clone(&weights), Arc::clone(&table), geometry)
        };
        let mut predictors = (0..shards).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
        let canary = canary::canary(&mut predictors[0], &table)?;
        let name = match weights.metadata(c"general.name") {
            name if name.is_empty() => found.name(),
            name => name,
        };
        let record = ModelRecord {
            number: 0,
            sha256: found.sha256,
            size: found.size,
            name,
            architecture: weights.metadata(c"general.architecture"),
            vocab_size: u32::try_from(table.len())
                .map_err(|_| PredictError::Engine("the vocabulary is too large".into()))?,
            tokens: table.digest(),
            context,
            numerics: NumericsProfile(weights.arithmetic().profile()),
            canary,
        };
        // In each layer a token sees `window - 1` tokens further back.
        let reach = weights.layers() * (window - 1) + 1;
        let predictors = predictors.into_iter().map(|predictor| Box::new(predictor) as Box<dyn Predictor>).collect();
        let runner = Arc::new(Scheduler::new(predictors, &self.options.interrupt)?);
        let model = Arc::new(LoadedModel { record, table, tokenizer: weights, runner, reach });
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&model));
        Ok(model)
    }
}

impl Engines {
    /// The arithmetic that an archive was made with.
    fn arithmetic_of(&self, record: &ModelRecord) -> Result<Arithmetic, PredictError> {
        let named = &record.numerics.0;
        let known = Arithmetic::ARCHIVED.into_iter().find(|arithmetic| arithmetic.profile() == *named);
        let why = match known {
            Some(Arithmetic::Gpu) if self.options.arithmetic != Arithmetic::Gpu => {
                "the archive was made on an accelerator; name this machine's with --device".to_owned()
            }
            Some(arithmetic) => return Ok(arithmetic),
            None => {
                let ours = Arithmetic::ARCHIVED.map(|arithmetic| format!("`{}`", arithmetic.profile())).join(", ");
                format!("the archive was made with numerics `{named}`, this build computes {ours}")
            }
        };
        Err(PredictError::Numerics { name: record.name.clone(), why })
    }
}

impl Models for Engines {
    fn open(&self, record: &ModelRecord) -> Result<Arc<LoadedModel>, PredictError> {
        // One at a time: callers that want the same model wait here for the first to load it.
        static LOADING: Mutex<()> = Mutex::new(());
        let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |model: &&Arc<LoadedModel>| same(&model.record, record);
        if let Some(model) = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).iter().find(known) {
            return Ok(Arc::clone(model));
        }
        let found = self.registry.find(record.sha256, record.size).ok_or_else(|| self.registry.missing(record))?;
        let arithmetic = self.arithmetic_of(record)?;
        let weights = self.weights(&found, arithmetic)?;
        let refuse = |why: String| Err(PredictError::Numerics { name: record.name.clone(), why });
        if record.context.window > weights.trained_context().max(MAX_WINDOW) || !record.context.is_sound() {
            return refuse(format!("a window of {} is out of bounds", record.context));
        }
        if record.context.slides() && !(arithmetic == Arithmetic::Exact && weights.is_placed()) {
            return refuse("its window slides, which is for exact arithmetic only".into());
        }
        let model = self.open_with(&found, weights, record.context)?;
        match difference(&model.record, record) {
            None => Ok(model),
            Some(what) => refuse(format!("its {what} differs")),
        }
    }
}

/// How many contexts share the lanes, and with how many threads each. The operators of a small model
/// are too short to be divided, without loss, among threads that meet after most of them; there, every thread gets
/// a context and lanes of its own, and helps another with its steps only while it has nothing to do.
fn shards(weights: &Weights, threads: usize, lanes: usize) -> (usize, usize) {
    if weights.parameters() < SHARED_FROM { (threads.clamp(1, lanes), 1) } else { (1, threads) }
}

/// Whether two records promise the same probabilities.
fn same(a: &ModelRecord, b: &ModelRecord) -> bool {
    a.sha256 == b.sha256 && a.size == b.size && a.context == b.context && difference(a, b).is_none()
}

/// The first claim that `ours` does not share, in words.
fn difference(ours: &ModelRecord, theirs: &ModelRecord) -> Option<String> {
    let digest = |what: &str, ours: Digest, theirs: Digest| {
        (ours != theirs)
            .then(|| format!("{what} (expected {:.16}, computed {:.16})", theirs.to_string(), ours.to_string()))
    };
    if ours.vocab_size != theirs.vocab_size {
        return Some(format!("vocabulary size (expected {}, found {})", theirs.vocab_size, ours.vocab_size));
    }
    if ours.numerics != theirs.numerics {
        return Some(format!("numerics profile (expected {}, found {})", theirs.numerics.0, ours.numerics.0));
    }
    digest("token table", ours.tokens, theirs.tokens).or_else(|| digest("canary", ours.canary, theirs.canary))
}

/// An unlinked file with these bytes, in memory where the system has such files.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    #[cfg(target_os = "linux")]
    let mut file = File::from(rustix::fs::memfd_create("lma-model", rustix::fs::MemfdFlags::CLOEXEC)?);
    #[cfg(not(target_os = "linux"))]
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
