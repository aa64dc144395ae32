//! Work that every contender does alike: the same tokens at the same depths of context.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lma::exact::KernelSet;
use lma::model::engine::{Geometry, LlamaPredictor, Weights};
use lma::predict::{Feed, PredictError, Predictor, TokenId, TokenTable};

use super::rate::{Rate, Watch};

/// Tokens of context.
pub(super) const WINDOW: usize = 512;

/// Lanes that prefill shares a batch among.
const PREFILL_LANES: usize = 4;

/// What is taken from the engine behind every token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Logits, as the engine leaves them in memory.
    Logits,
    /// Quantised distributions, which coders need.
    Distributions,
}

/// An engine to measure.
pub(super) struct Contender {
    pub(super) weights: Arc<Weights>,
    pub(super) kernels: KernelSet,
    pub(super) taken: Taken,
}

/// Which tokens are fed together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As many as a batch holds, of a few lanes: whole windows.
    Prefill,
    /// One of each lane.
    Lockstep(usize),
    /// One of each of so many lanes, with a lane between any two that has ended or waits.
    Scattered(usize),
}

impl Mode {
    pub(super) fn name(self) -> String {
        match self {
            Self::Prefill => "prefill".into(),
            Self::Lockstep(1) => "single".into(),
            Self::Lockstep(lanes) => format!("lockstep {lanes}"),
            Self::Scattered(lanes) => format!("scattered {lanes}"),
        }
    }

    fn lanes(self) -> usize {
        match self {
            Self::Prefill => PREFILL_LANES,
            Self::Lockstep(lanes) => lanes,
            Self::Scattered(lanes) => 2 * lanes,
        }
    }

    /// Which lanes are fed: one in so many.
    fn every(self) -> usize {
        if matches!(self, Self::Scattered(_)) { 2 } else { 1 }
    }
}

/// The work, and who does it.
pub(super) struct Workload<'a> {
    pub(super) mode: Mode,
    pub(super) text: &'a [TokenId],
    pub(super) table: Arc<TokenTable>,
    pub(super) threads: usize,
    /// Tokens that each lane holds before lockstep is measured.
    pub(super) depth: usize,
    /// Steps of lockstep in one round: what the first contender did in its time, for the others to do
    /// as many from the same depth.
    pub(super) steps: Option<usize>,
}

impl Workload<'_> {
    /// Measures rounds until they have taken `time`, at least one.
    pub(super) fn measure(&mut self, contender: &Contender, time: Duration) -> Result<Rate, PredictError> {
        let (lanes, threads, kernels) = (self.mode.lanes(), self.threads, contender.kernels);
        let geometry = Geometry { lanes, window: WINDOW, slides: false, threads, kernels };
        let weights = Arc::clone(&contender.weights);
        let mut predictor = LlamaPredictor::new(weights, Arc::clone(&self.table), geometry)?;
        // The first steps touch memory for the first time.
        self.fill(&mut predictor, contender.taken, 16, 1)?;
        let mut total = Rate::default();
        while total.tokens == 0 || total.elapsed < time {
            let rate = match self.mode {
                Mode::Prefill => {
                    let watch = Watch::start();
                    watch.stop(self.fill(&mut predictor, contender.taken, WINDOW, WINDOW)?)
                }
                Mode::Lockstep(_) | Mode::Scattered(_) => {
                    self.fill(&mut predictor, contender.taken, self.depth, 0)?;
                    self.lockstep(&mut predictor, contender.taken, time)?
                }
            };
            total = total.and(&rate);
        }
        Ok(total)
    }

    /// Restarts every lane with `count` tokens, in batches; at most `outputs` results are taken of each
    /// lane and batch. Answers the tokens fed.
    fn fill(
        &self,
        predictor: &mut LlamaPredictor,
        taken: Taken,
        count: usize,
        outputs: usize,
    ) -> Result<u64, PredictError> {
        let lanes = predictor.lanes();
        // A batch takes turns among as many lanes as can have a useful part of it.
        let together = lanes.min(predictor.batch() / 64).max(1);
        let share = predictor.batch() / together;
        for group in 0..lanes.div_ceil(together) {
            let group = group * together..((group + 1) * together).min(lanes);
            for at in (0..count).step_by(share) {
                let len = share.min(count - at);
                let feed = |lane| Feed {
                    lane,
                    restart: (at == 0).then_some(0),
                    tokens: self.tokens(lane, at, len),
                    outputs: outputs.min(len),
                };
                let feeds: Vec<Feed<'_>> = group.clone().map(feed).collect();
                take(predictor, taken, &feeds)?;
            }
        }
        Ok((lanes * count) as u64)
    }

    /// Feeds each lane one token at a time, up to the steps of a round, or, if these are not fixed yet,
    /// for `time`, which fixes them.
    fn lockstep(&mut self, predictor: &mut LlamaPredictor, taken: Taken, time: Duration) -> Result<Rate, PredictError> {
        const FEWEST: usize = 8;
        let most = self.steps.unwrap_or(WINDOW - self.depth);
        let (watch, start, mut done) = (Watch::start(), Instant::now(), 0);
        while done < most && (self.steps.is_some() || done < FEWEST || start.elapsed() < time) {
            let feed = |lane| Feed { lane, restart: None, tokens: self.tokens(lane, self.depth + done, 1), outputs: 1 };
            let feeds: Vec<Feed<'_>> = (0..predictor.lanes()).step_by(self.mode.every()).map(feed).collect();
            take(predictor, taken, &feeds)?;
            done += 1;
        }
        self.steps = Some(done);
        Ok(watch.stop((done * predictor.lanes() / self.mode.every()) as u64))
    }

    /// Tokens of a lane's own part of the text.
    fn tokens(&self, lane: usize, at: usize, len: usize) -> &[TokenId] {
        let start = lane * (self.text.len() - WINDOW) / self.mode.lanes();
        &self.text[start + at..start + at + len]
    }
}

fn take(predictor: &mut LlamaPredictor, taken: Taken, feeds: &[Feed<'_>]) -> Result<(), PredictError> {
    match taken {
        Taken::Logits => predictor.evaluate(feeds, &mut |_, row| {
            black_box(row[0]);
        }),
        Taken::Distributions => predictor.step(feeds, &mut |_, cdf| {
            black_box(cdf.total());
        }),
    }
}
