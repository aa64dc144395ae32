//! Many streams on few predictors: a thread for each, that feeds all its lanes together, step by step.
//!
//! Callers block in [`Runner::run`], one thread each; as many of their streams as there are lanes
//! make progress in the same batch, and a lane whose stream ends is refilled before the next step.
//! Which streams share a batch never changes a bit of any of them: that is the contract of
//! [`Predictor`].
//!
//! Streams that somebody waits for go first ([`Urgency`]). Where all lanes are taken, another is parked for
//! them: it keeps what it has decoded, loses the lane's past ([`Stream::lost`]), and goes on in the next
//! free lane. A lane more makes every step longer, so idle streams pause while one is waited for in the
//! same batch. Streams that nobody wants leave their lane before the next step.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::predict::{
    Audience, Feed, PredictError, Predictor, RunError, Runner, Stream, StreamError, TokenId, Urgency, Want,
};
use crate::progress::Interrupt;

/// Most tokens that one lane feeds in one step while others wait: long feeds are cut so that the
/// batch has several lanes, which evaluates faster than one long one and keeps streams even.
const SHARE: usize = 64;

type Outcome = Result<Box<dyn Stream>, RunError>;

/// A stream on its way, whom it works for, and where to send it back.
struct Job {
    stream: Box<dyn Stream>,
    audience: Arc<dyn Audience>,
    reply: SyncSender<Outcome>,
}

impl Job {
    fn end(self, error: RunError) {
        // Nobody waits any more if the receiver is gone.
        let _ = self.reply.send(Err(error));
    }
}

/// Streams that wait for a lane, in the order of their arrival; parked ones arrive anew.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: Vec<Job>,
    /// Shards that have nothing to do.
    idle: usize,
    closed: bool,
}

impl QueueState {
    /// Takes out up to `most` jobs of this urgency, the oldest first.
    fn pick(&mut self, urgency: Urgency, most: usize) -> Vec<Job> {
        let mut left = most;
        let picked = |job: &mut Job| {
            let picked = left > 0 && job.audience.urgency() == urgency;
            left -= usize::from(picked);
            picked
        };
        self.jobs.extract_if(.., picked).collect()
    }

    fn waited(&self) -> usize {
        self.jobs.iter().filter(|job| job.audience.urgency() == Urgency::Waited).count()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        self.lock().jobs.push(job);
        self.arrived.notify_one();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Jobs for the free lanes among `lanes`, and for those that are parked for them: a fair part of
    /// what waits where `shards` share the queue, those first that somebody waits for. Blocks for the
    /// first job where all lanes are free; nothing then means that the queue is closed. Answers this shard's part of the
    /// shards that have nothing to do.
    fn refill(&self, lanes: &mut [Option<Job>], shards: usize) -> usize {
        let mut state = self.lock();
        while lanes.iter().all(Option::is_none) && state.jobs.is_empty() && !state.closed {
            state.idle += 1;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        let idle = state.idle / (shards - state.idle).max(1);
        if state.jobs.is_empty() {
            return idle;
        }
        let dropped = state.pick(Urgency::Dropped, usize::MAX);
        let urgent = state.waited().div_ceil(shards);
        let free = lanes.iter().filter(|lane| lane.is_none()).count();
        let mut parked = Vec::new();
        for urgency in [Urgency::Idle, Urgency::Ahead] {
            for lane in lanes.iter_mut().rev() {
                if free + parked.len() >= urgent {
                    break;
                }
                if let Some(mut job) = lane.take_if(|job| job.audience.urgency() == urgency) {
                    job.stream.lost();
                    parked.push(job);
                }
            }
        }
        let free = free + parked.len();
        let fair = state.jobs.len().div_ceil(shards).clamp(urgent, free.max(urgent)).min(free);
        let mut jobs = state.pick(Urgency::Waited, fair);
        for urgency in [Urgency::Ahead, Urgency::Idle] {
            jobs.extend(state.pick(urgency, fair - jobs.len()));
        }
        state.jobs.extend(parked);
        drop(state);
        dropped.into_iter().for_each(|job| job.end(RunError::Dropped));
        let mut jobs = jobs.into_iter();
        for lane in lanes.iter_mut().filter(|lane| lane.is_none()) {
            *lane = jobs.next();
        }
        idle
    }
}

/// The scheduler. Dropping it ends its threads.
pub struct Scheduler {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    lanes: usize,
}

impl Scheduler {
    /// Takes each predictor to a thread of its own; all serve one queue. They must be alike: which
    /// one runs a stream never shows. `interrupt` ends all streams with an error at the next step.
    ///
    /// # Errors
    /// [`PredictError::Engine`] where a thread cannot be started.
    pub fn new(predictors: Vec<Box<dyn Predictor>>, interrupt: &Interrupt) -> Result<Self, PredictError> {
        let shards = predictors.len();
        let mut scheduler = Self { queue: Arc::default(), threads: Vec::new(), lanes: 0 };
        for predictor in predictors {
            scheduler.lanes += predictor.lanes();
            let mut driver = Driver::new(predictor, Arc::clone(&scheduler.queue), shards, interrupt.clone());
            let thread = std::thread::Builder::new()
                .name("lma-engine".into())
                .spawn(move || driver.drive())
                .map_err(|error| PredictError::Engine(format!("cannot start a thread: {error}")))?;
            scheduler.threads.push(thread);
        }
        Ok(scheduler)
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic of the thread has been reported by every `run` that waited for it.
            let _ = thread.join();
        }
    }
}

impl Runner for Scheduler {
    fn run(&self, stream: Box<dyn Stream>, audience: &Arc<dyn Audience>) -> Outcome {
        let (reply, answer) = sync_channel(1);
        self.queue.push(Job { stream, audience: Arc::clone(audience), reply });
        answer.recv().unwrap_or_else(|_| Err(PredictError::Engine("the engine's thread has ended".into()).into()))
    }

    fn lanes(&self) -> usize {
        self.lanes
    }
}

/// What one lane feeds in the step at hand: a range of `Driver::tokens`.
struct Share {
    lane: usize,
    restart: Option<usize>,
    start: usize,
    len: usize,
    outputs: usize,
}

struct Driver {
    predictor: Box<dyn Predictor>,
    queue: Arc<Queue>,
    shards: usize,
    interrupt: Interrupt,
    lanes: Vec<Option<Job>>,
    /// Scratch of one step.
    tokens: Vec<TokenId>,
    shares: Vec<Share>,
    failures: Vec<(usize, StreamError)>,
}

impl Driver {
    fn new(predictor: Box<dyn Predictor>, queue: Arc<Queue>, shards: usize, interrupt: Interrupt) -> Self {
        let lanes = (0..predictor.lanes()).map(|_| None).collect();
        let (tokens, shares, failures) = (Vec::new(), Vec::new(), Vec::new());
        Self { predictor, queue, shards, interrupt, lanes, tokens, shares, failures }
    }

    fn drive(&mut self) {
        while self.refill() {
            self.plan();
            if self.shares.is_empty() {
                continue;
            }
            match self.step() {
                Ok(()) => self.settle(),
                Err(error) => self.abandon(&error),
            }
        }
    }

    /// Frees the lanes of streams that nobody wants, and fills free lanes from the queue, waiting only if all
    /// lanes are free. `false`: nobody will ask again.
    fn refill(&mut self) -> bool {
        for lane in &mut self.lanes {
            if let Some(job) = lane.take_if(|job| job.audience.is_gone()) {
                job.end(RunError::Dropped);
            }
        }
        let idle = self.queue.refill(&mut self.lanes, self.shards);
        self.predictor.set_helpers(idle);
        self.lanes.iter().any(Option::is_some) || !self.queue.lock().closed
    }

    /// Sends finished streams back and lays out the next step. Lanes that do not fit wait.
    fn plan(&mut self) {
        self.tokens.clear();
        self.shares.clear();
        if self.interrupt.raised() {
            return self.abandon(&PredictError::Engine("interrupted".into()));
        }
        let mut room = self.predictor.batch();
        let pause = self.lanes.iter().flatten().any(|job| job.audience.urgency() == Urgency::Waited);
        let paused = |job: &Job| pause && job.audience.urgency() == Urgency::Idle;
        let waiting = self.lanes.iter().flatten().filter(|job| !paused(job)).count();
        // With few lanes waiting, each may have more than its share of the batch.
        let share = SHARE.max(room / waiting.max(1)).min(self.predictor.share());
        for (lane, slot) in self.lanes.iter_mut().enumerate() {
            let Some(job) = slot.as_mut().filter(|job| !paused(job)) else { continue };
            let Want::Feed { restart, tokens, outputs } = job.stream.want() else {
                let Some(Job { stream, reply, .. }) = slot.take() else { continue };
                // Nobody waits any more if the receiver is gone.
                let _ = reply.send(Ok(stream));
                continue;
            };
            let len = tokens.len().min(share).min(room);
            if len == 0 {
                break;
            }
            let quiet = tokens.len() - outputs;
            let start = self.tokens.len();
            self.tokens.extend_from_slice(&tokens[..len]);
            self.shares.push(Share { lane, restart, start, len, outputs: len.saturating_sub(quiet) });
            room -= len;
        }
    }

    fn step(&mut self) -> Result<(), PredictError> {
        let Self { predictor, lanes, tokens, shares, failures, .. } = self;
        failures.clear();
        let feeds: Vec<Feed<'_>> = shares
            .iter()
            .map(|share| Feed {
                lane: share.lane,
                restart: share.restart,
                tokens: &tokens[share.start..share.start + share.len],
                outputs: share.outputs,
            })
            .collect();
        predictor.step(&feeds, &mut |number, cdf| {
            let lane = feeds[number].lane;
            if failures.iter().any(|(failed, _)| *failed == lane) {
                return;
            }
            if let Some(job) = &mut lanes[lane]
                && let Err(error) = job.stream.predicted(cdf)
            {
                failures.push((lane, error));
            }
        })
    }

    /// Tells each stream how far it was fed, and ends those that refused what they were given.
    fn settle(&mut self) {
        for share in &self.shares {
            if let Some(job) = &mut self.lanes[share.lane] {
                job.stream.fed(share.len);
            }
        }
        for (lane, error) in self.failures.drain(..) {
            if let Some(job) = self.lanes[lane].take() {
                job.end(error.into());
            }
        }
    }

    /// Ends all streams in flight.
    fn abandon(&mut self, error: &PredictError) {
        self.shares.clear();
        for job in self.lanes.iter_mut().filter_map(Option::take) {
            job.end(error.clone().into());
        }
    }
}

#[cfg(test)]
mod tests;
