//! Many streams on few predictors: a thread for each, that feeds all its lanes together, step by step.
//!
//! Callers block in [`Runner::run`], one thread each; as many of their streams as there are lanes
//! make progress in the same batch, and a lane whose stream ends is refilled before the next step.
//! Which streams share a batch never changes a bit of any of them: that is the contract of
//! [`Predictor`].

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::predict::{Feed, PredictError, Predictor, RunError, Runner, Stream, StreamError, TokenId, Want};
use crate::progress::Interrupt;

/// Most tokens that one lane feeds in one step while others wait: long feeds are cut so that the
/// batch has several lanes, which evaluates faster than one long one and keeps streams even.
const SHARE: usize = 64;

type Outcome = Result<Box<dyn Stream>, RunError>;

/// A stream on its way, and where to send it back.
struct Job {
    stream: Box<dyn Stream>,
    reply: SyncSender<Outcome>,
}

/// Streams that wait for a lane, in the order of their arrival.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.arrived.notify_one();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// At most `free` jobs, and a fair part of what waits where `shards` share the queue. Blocks for
    /// the first one if `idle`; nothing then means that the queue is closed.
    fn take(&self, free: usize, shards: usize, idle: bool) -> Vec<Job> {
        let mut state = self.lock();
        while idle && state.jobs.is_empty() && !state.closed {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let fair = state.jobs.len().div_ceil(shards).min(free);
        state.jobs.drain(..fair).collect()
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
    fn run(&self, stream: Box<dyn Stream>) -> Outcome {
        let (reply, answer) = sync_channel(1);
        self.queue.push(Job { stream, reply });
        answer.recv().unwrap_or_else(|_| Err(PredictError::Engine("the engine's thread has ended".into()).into()))
    }

    fn lanes(&self) -> usize {
        self.lanes
    }
}

/// What one lane feeds in the step at hand: a range of `Driver::tokens`.
struct Share {
    lane: usize,
    restart: bool,
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

    /// Fills free lanes from the queue, waiting only if all lanes are free. `false`: nobody will ask again.
    fn refill(&mut self) -> bool {
        let free = self.lanes.iter().filter(|lane| lane.is_none()).count();
        if free == 0 {
            return true;
        }
        let idle = free == self.lanes.len();
        let mut jobs = self.queue.take(free, self.shards, idle).into_iter();
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_none()) {
            *lane = jobs.next();
        }
        self.lanes.iter().any(Option::is_some)
    }

    /// Sends finished streams back and lays out the next step. Lanes that do not fit wait.
    fn plan(&mut self) {
        self.tokens.clear();
        self.shares.clear();
        if self.interrupt.raised() {
            return self.abandon(&PredictError::Engine("interrupted".into()));
        }
        let mut room = self.predictor.batch();
        let waiting = self.lanes.iter().flatten().count();
        // With few lanes waiting, each may have more than its share of the batch.
        let share = SHARE.max(room / waiting.max(1));
        for (lane, slot) in self.lanes.iter_mut().enumerate() {
            let Some(job) = slot else { continue };
            let Want::Feed { restart, tokens, outputs } = job.stream.want() else {
                let Some(Job { stream, reply }) = slot.take() else { continue };
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
                let _ = job.reply.send(Err(error.into()));
            }
        }
    }

    /// Ends all streams in flight.
    fn abandon(&mut self, error: &PredictError) {
        self.shares.clear();
        for job in self.lanes.iter_mut().filter_map(Option::take) {
            let _ = job.reply.send(Err(error.clone().into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Cdf;

    /// Hands out a distribution whose total tells the lane's history, so that mixed-up lanes show.
    struct Echo {
        sums: Vec<u64>,
        batch: usize,
    }

    impl Predictor for Echo {
        fn lanes(&self) -> usize {
            self.sums.len()
        }
        fn window(&self) -> usize {
            usize::MAX
        }
        fn batch(&self) -> usize {
            self.batch
        }
        fn step(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &Cdf)) -> Result<(), PredictError> {
            assert!(feeds.iter().map(|feed| feed.tokens.len()).sum::<usize>() <= self.batch);
            assert!(feeds.windows(2).all(|pair| pair[0].lane < pair[1].lane));
            for (number, feed) in feeds.iter().enumerate() {
                if feed.restart {
                    self.sums[feed.lane] = 1;
                }
                for (i, &token) in feed.tokens.iter().enumerate() {
                    if token == 666 {
                        return Err(PredictError::Engine("asked for".into()));
                    }
                    self.sums[feed.lane] += u64::from(token);
                    if i >= feed.tokens.len() - feed.outputs {
                        let mut cdf = Cdf::default();
                        cdf.set(&[self.sums[feed.lane] as u32]).unwrap();
                        sink(number, &cdf);
                    }
                }
            }
            Ok(())
        }
    }

    struct Sum {
        tokens: Vec<TokenId>,
        fed: usize,
        outputs: usize,
        seen: Vec<u64>,
        fail_at: usize,
    }

    impl Stream for Sum {
        fn want(&self) -> Want<'_> {
            let tokens = &self.tokens[self.fed..];
            if tokens.is_empty() {
                return Want::Done;
            }
            Want::Feed { restart: self.fed == 0, tokens, outputs: self.outputs.min(tokens.len()) }
        }
        fn fed(&mut self, count: usize) {
            self.fed += count;
        }
        fn predicted(&mut self, cdf: &Cdf) -> Result<(), StreamError> {
            if self.seen.len() == self.fail_at {
                return Err(StreamError("asked for".into()));
            }
            self.seen.push(cdf.total());
            Ok(())
        }
        fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
            self
        }
    }

    fn stream(n: usize, fail_at: usize) -> Box<Sum> {
        Box::new(Sum { tokens: (1..=n as u32).collect(), fed: 0, outputs: n - n / 3, seen: vec![], fail_at })
    }

    #[test]
    fn every_stream_sees_its_own_history_whatever_shares_its_batch() {
        for (shards, lanes, batch) in [(1, 1, 1), (1, 3, 2), (2, 4, 7), (3, 2, 512), (1, 8, 512)] {
            let echo = || -> Box<dyn Predictor> { Box::new(Echo { sums: vec![0; lanes], batch }) };
            let predictors = (0..shards).map(|_| echo()).collect();
            let scheduler = Scheduler::new(predictors, &Interrupt::default()).unwrap();
            assert_eq!(scheduler.lanes(), shards * lanes);
            std::thread::scope(|scope| {
                for n in 1..=24usize {
                    let scheduler = &scheduler;
                    scope.spawn(move || {
                        let done = scheduler.run(stream(n * 7, usize::MAX)).unwrap();
                        let done = done.into_any().downcast::<Sum>().unwrap();
                        let all: Vec<u64> = (1..=(n * 7) as u64).map(|i| 1 + i * (i + 1) / 2).collect();
                        assert_eq!(done.seen, all[n * 7 / 3..]);
                    });
                }
            });
        }
    }

    #[test]
    fn one_stream_fails_alone_and_an_engine_failure_ends_all() {
        let echo = Echo { sums: vec![0; 2], batch: 16 };
        let scheduler = Scheduler::new(vec![Box::new(echo)], &Interrupt::default()).unwrap();
        assert!(matches!(scheduler.run(stream(50, 20)), Err(RunError::Stream(_))));
        let bad = Sum { tokens: vec![1, 666], fed: 0, outputs: 1, seen: vec![], fail_at: usize::MAX };
        assert!(matches!(scheduler.run(Box::new(bad)), Err(RunError::Predict(_))));
        assert!(scheduler.run(stream(50, usize::MAX)).is_ok());
    }

    #[test]
    fn an_interrupt_ends_streams() {
        let interrupt = Interrupt::default();
        let echo = Echo { sums: vec![0; 2], batch: 16 };
        let scheduler = Scheduler::new(vec![Box::new(echo)], &interrupt).unwrap();
        interrupt.raise();
        assert!(matches!(scheduler.run(stream(50, usize::MAX)), Err(RunError::Predict(_))));
    }
}
