//! Tokens per second of `create` and `extract`, beside those of the bare engine with the same geometry.
//!
//! ```text
//! cargo bench --bench engine -- [--streams 4,16,32,64] [--threads N] [--chunk-size 16K] [--bytes N]
//!     [--seconds N] [--corpus DIR] [--text FILE] [--md OUT.md]
//! ```
//!
//! The bare engine is [`Predictor::step`] on tokens that are known beforehand: evaluation and quantised
//! distributions, no coder, no tokenizer, no container, no waiting streams. Prefill feeds each lane all that
//! its window holds, as `create` does; lockstep feeds one token a lane, as `extract` must. Both follow the
//! model's window policy, so the tokens counted hold the overlaps of windows, here and there.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Arguments, Failure, size_name, table};
use lma::archive::{self, CreateOptions, ExtractOptions, Input};
use lma::container::{MemorySource, Reader};
use lma::entropy::Cdf;
use lma::format::{ContextPolicy, ModelRecord};
use lma::limits::Limits;
use lma::model::engine::{LlamaPredictor, Weights};
use lma::model::{Device, Location};
use lma::predict::{
    Feed, LoadedModel, Models, PredictError, Predictor, RunError, Runner, Stream, StreamError, TokenId, Tokenizer, Want,
};
use lma::progress::{Interrupt, Silent};

/// As in the scheduler: most tokens of one lane in one step while others wait.
const SHARE: usize = 64;

/// As in the product: parameters from which on one context is worth all threads.
const SHARED_FROM: u64 = 100_000_000;

/// Text in the corpus to measure with.
const TEXT: &str = "enwik/enwik6";

fn main() -> ExitCode {
    common::exit("engine", run())
}

fn run() -> Result<(), Failure> {
    let valued = ["streams", "threads", "chunk-size", "bytes", "seconds", "corpus", "text", "md"];
    let arguments = Arguments::parse(&valued, &[])?;
    let text = match arguments.get("text") {
        Some(path) => PathBuf::from(path),
        None => arguments.corpus()?.join(TEXT),
    };
    let mut raw = std::fs::read(&text).map_err(|error| format!("{}: {error}", text.display()))?;
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
        "# Throughput beside the bare engine\n\n`{}`\n\n{machine}; {threads} threads; chunks of {}, {} bytes of {TEXT}, \
         {per_token:.2} bytes per token.\n\nTokens per second evaluated, overlaps of windows included. `prefill` and \
         `lockstep`: the engine alone;\n`create` and `extract`: from file to archive and back, with their share of \
         the engine's rate.\n`busy`: the same share per second of processor time, which other load on the machine \
         does not change.\n\n{}",
        common::command("engine"),
        size_name(chunk_size),
        raw.len(),
        table(&rows),
    );
    common::publish(&report, &arguments)
}

/// Tokens evaluated in some time.
struct Rate {
    tokens: u64,
    elapsed: Duration,
    /// Of all threads of this process.
    processor: Duration,
}

impl Rate {
    /// Both together.
    fn and(&self, other: &Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            elapsed: self.elapsed + other.elapsed,
            processor: self.processor + other.processor,
        }
    }

    /// Tokens per second.
    fn wall(&self) -> f64 {
        self.tokens as f64 / self.elapsed.as_secs_f64()
    }

    /// Tokens per second of processor time.
    fn busy(&self) -> f64 {
        self.tokens as f64 / self.processor.as_secs_f64()
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cores = self.processor.as_secs_f64() / self.elapsed.as_secs_f64();
        write!(f, "{:.0} tokens/s on {cores:.2} cores in {:.0} s", self.wall(), self.elapsed.as_secs_f64())
    }
}

/// Measures some work.
struct Watch(Instant, Duration);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), processor())
    }

    fn stop(&self, tokens: u64) -> Rate {
        Rate { tokens, elapsed: self.0.elapsed(), processor: processor().saturating_sub(self.1) }
    }
}

fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The engine without the product around it.
struct Bare {
    weights: Arc<Weights>,
    threads: usize,
}

impl Bare {
    fn load(threads: usize) -> Result<Self, Failure> {
        let found = common::registry().preferred()?;
        let weights = match &found.location {
            Location::File(path) => Weights::load(path, "the model", Device::Cpu)?,
            Location::Builtin(bytes) => {
                let file = tempfile::NamedTempFile::new()?;
                std::fs::write(file.path(), bytes)?;
                Weights::load(file.path(), "the built-in model", Device::Cpu)?
            }
        };
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
            predictors.push(LlamaPredictor::new(weights, table, lanes, policy.window as usize, threads)?);
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

/// One lane's way through the text, round and round, under the window policy.
struct Lane {
    window: usize,
    overlap: usize,
    ahead: usize,
    /// The next token to feed.
    at: usize,
    fed: usize,
    restart: bool,
    /// Tokens to feed before more is known, and how many of the last of them want distributions.
    pending: usize,
    outputs: usize,
}

impl Lane {
    fn new(at: usize, policy: ContextPolicy, ahead: usize) -> Self {
        let (window, overlap) = (policy.window as usize, policy.overlap as usize);
        let mut lane = Self { window, overlap, ahead, at, fed: 0, restart: true, pending: 0, outputs: 0 };
        lane.plan(ahead.min(window));
        lane
    }

    fn plan(&mut self, count: usize) {
        self.pending = count;
        self.outputs = count;
    }

    fn advance(&mut self, count: usize) {
        self.restart = false;
        self.at += count;
        self.fed += count;
        self.pending -= count;
        if self.pending > 0 {
            return;
        }
        if self.fed < self.window {
            return self.plan(self.ahead.min(self.window - self.fed));
        }
        // The last `overlap - 1` tokens are fed again, without distributions.
        (self.restart, self.fed) = (true, 0);
        let again = self.overlap - 1;
        self.at = self.at.saturating_sub(again);
        self.outputs = self.ahead.min(self.window - again);
        self.pending = again + self.outputs;
    }
}

/// Feeds the lanes until `end`, in batches as the scheduler lays them out; answers the tokens fed.
fn drive(
    predictor: &mut LlamaPredictor,
    lanes: &mut [Lane],
    text: &[TokenId],
    end: Instant,
) -> Result<u64, PredictError> {
    let text: Vec<TokenId> = text.iter().chain(text.iter().take(2 * predictor.window())).copied().collect();
    let round = text.len() - 2 * predictor.window();
    let mut total = 0;
    while Instant::now() < end {
        let mut room = predictor.batch();
        let share = SHARE.max(room / lanes.len().max(1));
        let mut feeds = Vec::new();
        for (number, lane) in lanes.iter_mut().enumerate() {
            if lane.restart && lane.at >= round {
                lane.at -= round;
            }
            let len = lane.pending.min(share).min(room);
            if len == 0 {
                break;
            }
            let outputs = len.saturating_sub(lane.pending - lane.outputs);
            let tokens = &text[lane.at..lane.at + len];
            feeds.push(Feed { lane: number, restart: lane.restart, tokens, outputs });
            room -= len;
        }
        predictor.step(&feeds, &mut |_, cdf| assert!(cdf.total() > 0))?;
        for feed in &feeds {
            let lane = &mut lanes[feed.lane];
            lane.outputs = lane.outputs.min(lane.pending - feed.tokens.len());
            lane.advance(feed.tokens.len());
            total += feed.tokens.len() as u64;
        }
    }
    Ok(total)
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
    fn run(&self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, RunError> {
        self.inner.run(Box::new(CountingStream { inner: stream, counter: Arc::clone(&self.counter) }))
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

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self.inner.into_any()
    }
}
