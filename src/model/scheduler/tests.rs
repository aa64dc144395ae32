//! The scheduler with predictors that only add up what they are fed.

use std::sync::Barrier;
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
        [Urgency::Dropped, Urgency::Idle, Urgency::Ahead, Urgency::Waited][usize::from(self.0.load(Ordering::SeqCst))]
    }
    fn wants(&self) -> usize {
        usize::MAX
    }
    fn hear(&self, _: &[u8]) {}
}

/// Has something done before each step, which is told how many threads are on offer.
struct Watched<F> {
    inner: Echo,
    offered: usize,
    before: F,
}

impl<F: FnMut(usize) -> Result<(), PredictError> + Send> Predictor for Watched<F> {
    fn lanes(&self) -> usize {
        self.inner.lanes()
    }
    fn window(&self) -> usize {
        self.inner.window()
    }
    fn batch(&self) -> usize {
        self.inner.batch()
    }
    fn set_helpers(&mut self, threads: usize) {
        self.offered = threads;
    }
    fn step(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &Cdf)) -> Result<(), PredictError> {
        (self.before)(self.offered)?;
        self.inner.step(feeds, sink)
    }
}

#[test]
fn who_is_waited_for_takes_the_lane_of_who_is_not_and_a_dropped_stream_ends() {
    let (permit, permits) = std::sync::mpsc::channel();
    // One lane, one token a step.
    let steps = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&steps);
    // Steps wait for a permit each.
    let before = move |_| {
        permits.recv().map_err(|_| PredictError::Engine("no more permits".into()))?;
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let gated = Watched { inner: Echo { sums: vec![0], batch: 1 }, offered: 0, before };
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

#[test]
fn threads_without_streams_are_on_offer() {
    // Streams of 40 steps, one to a thread: (threads, streams, threads on offer to each).
    for (threads, streams, expected) in [(1, 1, 0), (2, 1, 1), (4, 1, 3), (2, 2, 0), (3, 2, 0), (6, 2, 2), (4, 3, 0)] {
        let steps = Arc::<Mutex<Vec<usize>>>::default();
        let together = Arc::new(Barrier::new(streams));
        let helped = || -> Box<dyn Predictor> {
            let (steps, together) = (Arc::clone(&steps), Arc::clone(&together));
            let before = move |offered| {
                // Steps of all streams begin together.
                together.wait();
                steps.lock().unwrap().push(offered);
                Ok(())
            };
            Box::new(Watched { inner: Echo { sums: vec![0], batch: 1 }, offered: 0, before })
        };
        let scheduler = Scheduler::new((0..threads).map(|_| helped()).collect(), &Interrupt::default()).unwrap();
        // Threads that have just started are not idle yet.
        while scheduler.queue.lock().idle < threads {
            std::thread::yield_now();
        }
        std::thread::scope(|scope| {
            for _ in 0..streams {
                scope.spawn(|| scheduler.run(stream(40, usize::MAX), &whole()).unwrap());
            }
        });
        let steps = steps.lock().unwrap();
        assert_eq!(steps.len(), 40 * streams);
        // Before all streams have come, more are on offer.
        assert!(steps[streams..].iter().all(|&offered| offered == expected), "{threads} and {streams}: {steps:?}");
    }
}
