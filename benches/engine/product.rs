//! `create` and `extract` beside the bare engine with the same geometry.
//!
//! The bare engine is [`Predictor::step`] on tokens that are known beforehand: evaluation and quantised
//! distributions, no coder, no tokenizer, no container, no waiting streams. Prefill feeds each lane all that
//! its window holds, as `create` does; lockstep feeds one token a lane, as `extract` must. Both follow the
//! model's window policy, so the tokens counted hold the overlaps of windows, here and there.
//!
//! [`Predictor::step`]: lma::predict::Predictor::step

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lma::archive::{self, CreateOptions, ExtractOptions, Input};
use lma::container::{MemorySource, Reader};
use lma::entropy::Cdf;
use lma::exact::KernelSet;
use lma::format::{ContextPolicy, ModelRecord};
use lma::limits::Limits;
use lma::model::engine::{Arithmetic, Geometry, LlamaPredictor, Weights};
use lma::predict::{
    Audience, LoadedModel, Models, PredictError, RunError, Runner, Stream, StreamError, TokenId, Tokenizer, Want,
};
use lma::progress::{Interrupt, Silent};

use super::common::{self, Arguments, Failure, size_name, table};
use super::lanes::{Lane, drive};
use super::rate::{Rate, Watch};
use super::subject;

/// As in the product: parameters from which on one context is worth all threads.
const SHARED_FROM: u64 = 100_000_000;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (mut raw, text) = super::text(arguments)?;
    let threads = arguments.threads()?;
    let chunk_size = arguments.size("chunk-size", "16K")?;
    let seconds = Duration::from_secs(arguments.size("seconds", "20")? as u64);
    let machine = common::machine();
    let bare = Bare::load(threads)?;
    let tokens = bare.weights.tokenize(&raw);
    let per_token = raw.len() as f64 / tokens.len().max(1) as f64;
    raw.truncate(arguments.size("bytes", "1M")?);

    let mut rows = vec![
        ["streams", "prefill", "create", "", "lockstep", "extract", "", "create, busy", "extract, busy", "KB/s"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for streams in arguments.sizes("streams", "4,16,32,64")? {
        let (engines, model) = common::models(threads, streams)?;
        let product = Product::new(&engines, &model, streams.max(threads));
        // The engine alone before and after, so that other load on the machine weighs on both alike.
        let alone = |ahead: usize| bare.rate(&tokens, model.record.context, streams, ahead, seconds / 2);
        let before = alone(usize::MAX)?;
        let (create, archive) = product.create(&raw, chunk_size)?;
        let prefill = before.and(&alone(usize::MAX)?);
        let before = alone(1)?;
        let extract = product.extract(archive, &raw)?;
        let lockstep = before.and(&alone(1)?);
        eprintln!("{streams} streams: prefill {prefill}, create {create}, lockstep {lockstep}, extract {extract}");
        let percent = |part: &Rate, whole: &Rate| format!("{:.0} %", 100.0 * part.wall() / whole.wall());
        let busy = |part: &Rate, whole: &Rate| format!("{:.0} %", 100.0 * part.busy() / whole.busy());
        let kilobytes = |rate: &Rate| raw.len() as f64 / 1000.0 / rate.elapsed.as_secs_f64();
        rows.push(vec![
            streams.to_string(),
            format!("{:.0}", prefill.wall()),
            format!("{:.0}", create.wall()),
            percent(&create, &prefill),
            format!("{:.0}", lockstep.wall()),
            format!("{:.0}", extract.wall()),
            percent(&extract, &lockstep),
            busy(&create, &prefill),
            busy(&extract, &lockstep),
            format!("{:.1} / {:.1}", kilobytes(&create), kilobytes(&extract)),
        ]);
    }
    let report = format!(
        "# Throughput beside the bare engine\n\n`{}`\n\n{machine}; {threads} threads; chunks of {}, {} bytes of {text}, \
         {per_token:.2} bytes per token.\n\nTokens per second evaluated, overlaps of windows included. `prefill` and \
         `lockstep`: the engine alone;\n`create` and `extract`: from file to archive and back, with their share of \
         the engine's rate.\n`busy`: the same share per second of processor time, which other load on the machine \
         does not change.\n\n{}",
        common::command("engine"),
        size_name(chunk_size),
        raw.len(),
        table(&rows),
    );
    common::publish(&report, arguments)
}

/// The engine without the product around it.
struct Bare {
    weights: Arc<Weights>,
    threads: usize,
}

impl Bare {
    fn load(threads: usize) -> Result<Self, Failure> {
        let file = subject::preferred()?;
        let weights = Weights::load(file.path(), "the model", Arithmetic::Exact)?;
        Ok(Self { weights: Arc::new(weights), threads })
    }

    /// Evaluates for `time` with the contexts, lanes and threads that the product uses; each lane feeds up to
    /// `ahead` tokens at a time.
    fn rate(
        &self,
        text: &[TokenId],
        policy: ContextPolicy,
        streams: usize,
        ahead: usize,
        time: Duration,
    ) -> Result<Rate, Failure> {
        let table = Arc::new(self.weights.table());
        let small = self.weights.parameters() < SHARED_FROM;
        let (shards, threads) = if small { (self.threads.clamp(1, streams), 1) } else { (1, self.threads) };
        let lanes = streams.div_ceil(shards);
        let mut predictors = Vec::new();
        for _ in 0..shards {
            let (weights, table) = (Arc::clone(&self.weights), Arc::clone(&table));
            let (window, slides) = (policy.window as usize, policy.slides());
            let geometry = Geometry { lanes, window, slides, threads, kernels: KernelSet::current() };
            predictors.push(LlamaPredictor::new(weights, table, geometry)?);
        }
        let watch = Watch::start();
        let counted: Vec<Result<u64, PredictError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = predictors
                .iter_mut()
                .enumerate()
                .map(|(shard, predictor)| {
                    let mut lanes: Vec<Lane> = (0..lanes)
                        .map(|lane| Lane::new(text.len() * (shard * lanes + lane) / (shards * lanes), policy, ahead))
                        .collect();
                    scope.spawn(move || drive(predictor, &mut lanes, text, Instant::now() + time))
                })
                .collect();
            let failed = || PredictError::Engine("a thread of the benchmark panicked".into());
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(failed()))).collect()
        });
        let tokens = counted.into_iter().sum::<Result<u64, _>>()?;
        Ok(watch.stop(tokens))
    }
}

/// `create` and `extract` with a model that counts what it is fed.
struct Product {
    model: Arc<LoadedModel>,
    models: Arc<dyn Models>,
    counter: Arc<AtomicU64>,
    workers: usize,
}

impl Product {
    fn new(engines: &Arc<lma::model::Engines>, model: &Arc<LoadedModel>, workers: usize) -> Self {
        let counter = Arc::new(AtomicU64::new(0));
        let models = Counted { engines: Arc::clone(engines), counter: Arc::clone(&counter) };
        Self { model: counted(model, &counter), models: Arc::new(models), counter, workers }
    }

    fn create(&self, raw: &[u8], chunk_size: usize) -> Result<(Rate, Vec<u8>), Failure> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("text"), raw)?;
        let options = CreateOptions {
            chunk_size: u32::try_from(chunk_size)?,
            model: Some(Arc::clone(&self.model)),
            workers: self.workers,
            ..CreateOptions::default()
        };
        let mut out = Vec::new();
        let inputs = [Input::within(folder.path(), "text")];
        self.counter.store(0, Ordering::Relaxed);
        let watch = Watch::start();
        archive::create(&mut out, &inputs, &options, &Silent, &Interrupt::default())?;
        Ok((watch.stop(self.counter.load(Ordering::Relaxed)), out))
    }

    fn extract(&self, archive: Vec<u8>, raw: &[u8]) -> Result<Rate, Failure> {
        let dest = tempfile::tempdir()?;
        let options =
            ExtractOptions { dest: dest.path().to_owned(), workers: self.workers, ..ExtractOptions::default() };
        self.counter.store(0, Ordering::Relaxed);
        let watch = Watch::start();
        let reader = Arc::new(Reader::open(Arc::new(MemorySource(archive)), Limits::default())?);
        archive::extract(&reader, &self.models, &options, &Silent, &Interrupt::default())?;
        let rate = watch.stop(self.counter.load(Ordering::Relaxed));
        if std::fs::read(dest.path().join("text"))? == raw {
            Ok(rate)
        } else {
            Err("the text did not come back".into())
        }
    }
}

/// The engine's models, counted.
struct Counted {
    engines: Arc<lma::model::Engines>,
    counter: Arc<AtomicU64>,
}

impl Models for Counted {
    fn open(&self, record: &ModelRecord) -> Result<Arc<LoadedModel>, PredictError> {
        let model = self.engines.open(record)?;
        Ok(counted(&model, &self.counter))
    }
}

fn counted(model: &LoadedModel, counter: &Arc<AtomicU64>) -> Arc<LoadedModel> {
    let runner = CountingRunner { inner: Arc::clone(&model.runner), counter: Arc::clone(counter) };
    Arc::new(LoadedModel { runner: Arc::new(runner), ..model.clone() })
}

struct CountingRunner {
    inner: Arc<dyn Runner>,
    counter: Arc<AtomicU64>,
}

impl Runner for CountingRunner {
    fn run(&self, stream: Box<dyn Stream>, audience: &Arc<dyn Audience>) -> Result<Box<dyn Stream>, RunError> {
        let stream = CountingStream { inner: stream, counter: Arc::clone(&self.counter) };
        self.inner.run(Box::new(stream), audience)
    }

    fn lanes(&self) -> usize {
        self.inner.lanes()
    }
}

struct CountingStream {
    inner: Box<dyn Stream>,
    counter: Arc<AtomicU64>,
}

impl Stream for CountingStream {
    fn want(&self) -> Want<'_> {
        self.inner.want()
    }

    fn fed(&mut self, count: usize) {
        self.counter.fetch_add(count as u64, Ordering::Relaxed);
        self.inner.fed(count);
    }

    fn predicted(&mut self, cdf: &Cdf) -> Result<(), StreamError> {
        self.inner.predicted(cdf)
    }

    fn lost(&mut self) {
        self.inner.lost();
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self.inner.into_any()
    }
}
