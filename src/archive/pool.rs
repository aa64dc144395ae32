//! Jobs on many threads, results in the order of submission.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::progress::Interrupt;
use crate::{Error, Result};

/// A job with its number.
type Job<T> = (u64, Box<dyn FnOnce() -> T + Send>);
/// The number of a job and what came of it.
type Answer<T> = (u64, thread::Result<T>);

/// How often a blocked caller looks at the interrupt.
const POLL: Duration = Duration::from_millis(50);

/// Runs jobs on up to `workers` threads. The caller bounds what is in flight by [`Pool::in_flight`].
///
/// The threads are not joined: a job may be a minute inside a model, and an interruption must not
/// wait for it. They end by themselves when the pool is gone and their job is done.
pub(super) struct Pool<T> {
    workers: usize,
    threads: usize,
    jobs: Sender<Job<T>>,
    queue: Arc<Mutex<Receiver<Job<T>>>>,
    answers: Sender<Answer<T>>,
    results: Receiver<Answer<T>>,
    /// Results that arrived before their turn.
    early: BTreeMap<u64, thread::Result<T>>,
    submitted: u64,
    taken: u64,
}

impl<T: Send + 'static> Pool<T> {
    pub(super) fn new(workers: usize) -> Self {
        let (jobs, queue) = channel();
        let (answers, results) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let early = BTreeMap::new();
        Self { workers: workers.max(1), threads: 0, jobs, queue, answers, results, early, submitted: 0, taken: 0 }
    }

    /// Jobs submitted whose results are not taken.
    pub(super) fn in_flight(&self) -> usize {
        (self.submitted - self.taken) as usize
    }

    /// # Errors
    /// I/O, where not even one thread can be started.
    pub(super) fn submit(&mut self, job: impl FnOnce() -> T + Send + 'static) -> Result<()> {
        if self.threads < self.workers && self.in_flight() >= self.threads {
            match self.start() {
                Ok(()) => self.threads += 1,
                Err(error) if self.threads == 0 => {
                    return Err(Error::Io { action: "starting a thread of", path: "lma".into(), source: error });
                }
                // The machine has no more threads to give; the ones there are will do.
                Err(_) => self.workers = self.threads,
            }
        }
        self.jobs.send((self.submitted, Box::new(job))).expect("the pool itself holds the receiving end");
        self.submitted += 1;
        Ok(())
    }

    fn start(&self) -> std::io::Result<()> {
        let (queue, answers) = (Arc::clone(&self.queue), self.answers.clone());
        let work = move || {
            loop {
                // The lock is held while waiting: idle threads queue up at it instead of at the channel.
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((number, job)) = job else { return };
                let answer = catch_unwind(AssertUnwindSafe(job));
                if answers.send((number, answer)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("lma-chunk".into()).spawn(work).map(drop)
    }

    /// The result of the oldest job whose result is not taken. A panic of the job continues here.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn next(&mut self, interrupt: &Interrupt) -> Result<T> {
        debug_assert!(self.in_flight() > 0, "next() without a job would wait for ever");
        loop {
            if interrupt.raised() {
                return Err(Error::Interrupted);
            }
            if let Some(result) = self.early.remove(&self.taken) {
                self.taken += 1;
                return Ok(result.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            match self.results.recv_timeout(POLL) {
                Ok((number, result)) => drop(self.early.insert(number, result)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_threads() {
        for workers in [1, 8] {
            let mut pool = Pool::new(workers);
            for n in 0..50u64 {
                pool.submit(move || {
                    thread::sleep(Duration::from_micros(n * 7919 % 997));
                    n
                })
                .unwrap();
            }
            let results: Vec<u64> = (0..50).map(|_| pool.next(&Interrupt::default()).unwrap()).collect();
            assert_eq!(results, (0..50).collect::<Vec<_>>());
            assert_eq!(pool.in_flight(), 0);
        }
    }

    #[test]
    fn an_interruption_does_not_wait_for_jobs() {
        let mut pool = Pool::new(1);
        let (release, hold) = channel::<()>();
        pool.submit(move || hold.recv().is_ok()).unwrap();
        let interrupt = Interrupt::default();
        interrupt.raise();
        assert!(matches!(pool.next(&interrupt), Err(Error::Interrupted)));
        drop(release);
    }

    #[test]
    #[should_panic(expected = "job failed")]
    fn a_panic_reaches_the_caller() {
        let mut pool = Pool::new(2);
        pool.submit(|| panic!("job failed")).unwrap();
        let () = pool.next(&Interrupt::default()).unwrap();
    }
}
