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
    /// first job where all lanes are free; nothing then means that the queue is closed.
    fn refill(&self, lanes: &mut [Option<Job>], shards: usize) {
        let mut state = self.lock();
        while lanes.iter().all(Option::is_none) && state.jobs.is_empty() && !state.closed {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.jobs.is_empty() {
            return;
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
        self.queue.refill(&mut self.lanes, self.shards);
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
mod tests {
    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    use super::*;
    use crate::entropy::Cdf;
    use crate::predict::whole;

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
                if feed.restart.is_some() {
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
        lost: usize,
    }

    impl Stream for Sum {
        fn want(&self) -> Want<'_> {
            let tokens = &self.tokens[self.fed..];
            if tokens.is_empty() {
                return Want::Done;
            }
            Want::Feed { restart: (self.fed == 0).then_some(0), tokens, outputs: self.outputs.min(tokens.len()) }
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
        fn lost(&mut self) {
            // All is fed again, and what was seen is seen again.
            (self.fed, self.lost) = (0, self.lost + 1);
            self.seen.clear();
        }
        fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
            self
        }
    }

    fn stream(n: usize, fail_at: usize) -> Box<Sum> {
        Box::new(Sum { tokens: (1..=n as u32).collect(), fed: 0, outputs: n - n / 3, seen: vec![], fail_at, lost: 0 })
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
                        let done = scheduler.run(stream(n * 7, usize::MAX), &whole()).unwrap();
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
        assert!(matches!(scheduler.run(stream(50, 20), &whole()), Err(RunError::Stream(_))));
        let bad = Sum { tokens: vec![1, 666], fed: 0, outputs: 1, seen: vec![], fail_at: usize::MAX, lost: 0 };
        assert!(matches!(scheduler.run(Box::new(bad), &whole()), Err(RunError::Predict(_))));
        assert!(scheduler.run(stream(50, usize::MAX), &whole()).is_ok());
    }

    #[test]
    fn an_interrupt_ends_streams() {
        let interrupt = Interrupt::default();
        let echo = Echo { sums: vec![0; 2], batch: 16 };
        let scheduler = Scheduler::new(vec![Box::new(echo)], &interrupt).unwrap();
        interrupt.raise();
        assert!(matches!(scheduler.run(stream(50, usize::MAX), &whole()), Err(RunError::Predict(_))));
    }

    /// 0: gone, 1: idle, 2: ahead, 3: waited.
    struct Mood(AtomicU8);

    impl Audience for Mood {
        fn urgency(&self) -> Urgency {
            [Urgency::Dropped, Urgency::Idle, Urgency::Ahead, Urgency::Waited]
                [usize::from(self.0.load(Ordering::SeqCst))]
        }
        fn wants(&self) -> usize {
            usize::MAX
        }
        fn hear(&self, _: &[u8]) {}
    }

    /// Steps that wait for a permit each.
    struct Gated {
        inner: Echo,
        permits: std::sync::mpsc::Receiver<()>,
        steps: Arc<AtomicUsize>,
    }

    impl Predictor for Gated {
        fn lanes(&self) -> usize {
            self.inner.lanes()
        }
        fn window(&self) -> usize {
            self.inner.window()
        }
        fn batch(&self) -> usize {
            self.inner.batch()
        }
        fn step(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &Cdf)) -> Result<(), PredictError> {
            self.permits.recv().map_err(|_| PredictError::Engine("no more permits".into()))?;
            self.steps.fetch_add(1, Ordering::SeqCst);
            self.inner.step(feeds, sink)
        }
    }

    #[test]
    fn who_is_waited_for_takes_the_lane_of_who_is_not_and_a_dropped_stream_ends() {
        let (permit, permits) = std::sync::mpsc::channel();
        // One lane, one token a step.
        let steps = Arc::new(AtomicUsize::new(0));
        let gated = Gated { inner: Echo { sums: vec![0], batch: 1 }, permits, steps: Arc::clone(&steps) };
        let scheduler = Scheduler::new(vec![Box::new(gated)], &Interrupt::default()).unwrap();
        let mood = |mood| Arc::new(Mood(AtomicU8::new(mood)));
        let (idle, gone) = (mood(1), mood(1));
        std::thread::scope(|scope| {
            let run = |n, audience: &Arc<Mood>| {
                let (audience, scheduler) = (Arc::clone(audience) as Arc<dyn Audience>, &scheduler);
                scope.spawn(move || scheduler.run(stream(n, usize::MAX), &audience))
            };
            let slow = run(30, &idle);
            (0..10).for_each(|_| permit.send(()).unwrap());
            while steps.load(Ordering::SeqCst) < 10 {
                std::thread::yield_now();
            }
            let never = run(30, &gone);
            let first = run(12, &mood(3));
            // The one that is waited for ends within its own steps and one that has begun; neither idle one does.
            while scheduler.queue.lock().jobs.len() < 2 {
                std::thread::yield_now();
            }
            (0..13).for_each(|_| permit.send(()).unwrap());
            let first = first.join().unwrap().unwrap().into_any().downcast::<Sum>().unwrap();
            assert_eq!((first.seen.len(), first.lost), (8, 0));
            assert!(!slow.is_finished());
            gone.0.store(0, Ordering::SeqCst);
            drop((0..60).map(|_| permit.send(())).collect::<Vec<_>>());
            assert!(matches!(never.join().unwrap(), Err(RunError::Dropped)));
            let slow = slow.join().unwrap().unwrap().into_any().downcast::<Sum>().unwrap();
            let all: Vec<u64> = (1..=30).map(|i| 1 + i * (i + 1) / 2).collect();
            assert_eq!((&slow.seen[..], slow.lost > 0), (&all[10..], true));
        });
    }
}
