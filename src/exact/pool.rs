//! A team of threads that goes through the same steps together.
//!
//! Work is shared out by number, never by who comes first: which thread computes what is a function
//! of the thread's number and the number of threads, so nothing depends on timing.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Turns of a waiting loop, some microseconds, after which the thread lets others run at every turn: the one
/// that it waits for may have no processor.
const SPINS: usize = 2_000;

/// Turns after which a worker without work sleeps.
const IDLE_SPINS: usize = 4_000;

/// What a thread of the team knows: its number, and how to meet the others.
pub struct Member<'a> {
    /// This thread, below `threads`.
    pub thread: usize,
    /// Threads in the team.
    pub threads: usize,
    barrier: &'a Barrier,
}

impl Member<'_> {
    /// This thread's part of `total` items, in multiples of `unit`.
    #[must_use]
    pub fn part(&self, total: usize, unit: usize) -> Range<usize> {
        let units = total.div_ceil(unit);
        let at = |i: usize| (units * i / self.threads * unit).min(total);
        at(self.thread)..at(self.thread + 1)
    }

    /// Waits until all threads of the team are here. What they wrote before is seen behind it.
    pub fn meet(&self) {
        self.barrier.wait(self.threads);
    }
}

#[derive(Default)]
struct Barrier {
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    fn wait(&self, threads: usize) {
        if threads == 1 {
            return;
        }
        let round = self.round.load(Ordering::Relaxed);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut turns = 0;
        while self.round.load(Ordering::Acquire) == round {
            relax(&mut turns);
        }
    }
}

fn relax(turns: &mut usize) {
    *turns += 1;
    if *turns > SPINS { std::thread::yield_now() } else { std::hint::spin_loop() }
}

/// The work at hand: a borrowed closure, see [`Pool::run`].
#[derive(Clone, Copy)]
struct Job(*const (dyn Fn(&Member<'_>) + Sync));

// SAFETY: the closure is `Sync`, and `run` keeps it alive while workers use it.
unsafe impl Send for Job {}

#[derive(Default)]
struct State {
    job: Option<Job>,
    /// Threads that run the job.
    team: usize,
    /// Counts jobs; a worker of the team runs each once.
    number: usize,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// `State::number`, to be looked at without the lock.
    number: AtomicUsize,
    closed: AtomicBool,
    /// Workers that have ended the job at hand.
    ended: AtomicUsize,
    barrier: Barrier,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job behind number `last` that `thread` has a part in, its number and its team; `None` when the pool
    /// is closed. `called` wakes the thread.
    fn next(&self, mut last: usize, thread: usize, called: &Condvar) -> Option<(Job, usize, usize)> {
        let mut turns = 0;
        while turns < IDLE_SPINS && self.number.load(Ordering::Acquire) == last && !self.closed.load(Ordering::Acquire)
        {
            relax(&mut turns);
        }
        let mut state = self.lock();
        while !state.closed {
            if state.number != last && thread < state.team {
                return state.job.map(|job| (job, state.number, state.team));
            }
            last = state.number;
            state = called.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

/// A thread of a pool, and what wakes it.
struct Worker {
    handle: JoinHandle<()>,
    called: Arc<Condvar>,
}

/// A pool of threads, its caller being one of them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    team: usize,
}

impl Pool {
    /// A team of `threads`, at least 1: the caller and `threads - 1` workers.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let mut pool = Self { shared: Arc::default(), workers: Vec::new(), team: 1 };
        pool.set_threads(threads)?;
        Ok(pool)
    }

    /// Threads in the team.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.team
    }

    /// Makes the team of the jobs to come one of `threads`, at least 1. Workers start when they are first wanted, and
    /// sleep while they are not.
    ///
    /// # Errors
    /// Where a thread cannot be started; the team stays as it was.
    pub fn set_threads(&mut self, threads: usize) -> std::io::Result<()> {
        let threads = threads.max(1);
        for thread in self.workers.len() + 1..threads {
            let called = Arc::<Condvar>::default();
            let (shared, wakes) = (Arc::clone(&self.shared), Arc::clone(&called));
            let builder = std::thread::Builder::new().name("lma-exact".into());
            let handle = builder.spawn(move || work(&shared, thread, &wakes))?;
            self.workers.push(Worker { handle, called });
        }
        self.team = threads;
        Ok(())
    }

    /// Has every thread of the team run `job`, and returns when all have. A job that panics on one
    /// thread would leave the others waiting for it: it aborts the process.
    pub fn run(&mut self, job: &(dyn Fn(&Member<'_>) + Sync)) {
        let threads = self.threads();
        let member = Member { thread: 0, threads, barrier: &self.shared.barrier };
        if threads == 1 {
            return job(&member);
        }
        let bomb = AbortOnPanic;
        self.shared.ended.store(0, Ordering::Relaxed);
        let mut state = self.shared.lock();
        // SAFETY: workers use the closure only until they count themselves as ended, which is waited for
        // below; so it may be treated as if it lived for ever.
        let lasting: &'static (dyn Fn(&Member<'_>) + Sync) = unsafe { std::mem::transmute(job) };
        state.job = Some(Job(lasting));
        state.team = threads;
        state.number = state.number.wrapping_add(1);
        self.shared.number.store(state.number, Ordering::Release);
        drop(state);
        for worker in &self.workers[..threads - 1] {
            worker.called.notify_one();
        }
        job(&member);
        let mut turns = 0;
        while self.shared.ended.load(Ordering::Acquire) < threads - 1 {
            relax(&mut turns);
        }
        std::mem::forget(bomb);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.closed.store(true, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.called.notify_one();
            // It cannot have panicked: that aborts.
            let _ = worker.handle.join();
        }
    }
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        eprintln!("lma: a thread of the engine failed");
        std::process::abort();
    }
}

fn work(shared: &Shared, thread: usize, called: &Condvar) {
    let mut last = 0;
    while let Some((job, number, threads)) = shared.next(last, thread, called) {
        last = number;
        let bomb = AbortOnPanic;
        // SAFETY: `run` waits for `ended` before the closure goes.
        unsafe { (*job.0)(&Member { thread, threads, barrier: &shared.barrier }) };
        std::mem::forget(bomb);
        shared.ended.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_one_threads_and_steps_are_in_order() {
        for threads in [1, 2, 3, 8] {
            let mut pool = Pool::new(threads).unwrap();
            for total in [0usize, 1, 5, 16, 100] {
                let counts: Vec<AtomicUsize> = (0..total).map(|_| AtomicUsize::new(0)).collect();
                pool.run(&|member| {
                    for step in 0..20 {
                        for count in &counts[member.part(total, 3)] {
                            assert_eq!(count.fetch_add(1, Ordering::Relaxed), step);
                        }
                        member.meet();
                        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == step + 1));
                        member.meet();
                    }
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 20));
            }
        }
    }

    #[test]
    fn a_team_grows_and_shrinks() {
        let mut pool = Pool::new(1).unwrap();
        for threads in [1, 3, 2, 1, 4, 2, 3, 1] {
            pool.set_threads(threads).unwrap();
            let ran: Vec<AtomicUsize> = (0..5).map(|_| AtomicUsize::new(0)).collect();
            for round in 1..=50 {
                pool.run(&|member| {
                    assert_eq!(member.threads, threads);
                    ran[member.thread].fetch_add(1, Ordering::Relaxed);
                    member.meet();
                    assert!(ran[..threads].iter().all(|ran| ran.load(Ordering::Relaxed) == round));
                    member.meet();
                });
                if round % 20 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(15));
                }
            }
            assert_eq!(ran[threads..].iter().map(|ran| ran.load(Ordering::Relaxed)).sum::<usize>(), 0);
        }
    }

    #[test]
    fn workers_sleep_and_wake() {
        let mut pool = Pool::new(3).unwrap();
        let sum = AtomicUsize::new(0);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            pool.run(&|member| {
                sum.fetch_add(member.thread + 1, Ordering::Relaxed);
            });
        }
        assert_eq!(sum.load(Ordering::Relaxed), 18);
    }
}
