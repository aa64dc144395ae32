//! The threads that decode. The threads that talk to the kernel hand a [`Lead`] over and go on.
//!
//! Only decodes take a thread, never readers that wait: any number of readers of one chunk
//! occupy one worker.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::cache::Lead;
use crate::predict::Urgency;

/// Most decodes that wait for a worker; one more fails at once, and its readers with `EIO`. The
/// kernel itself keeps few reads in flight for one process, so that this many means thousands of
/// processes.
pub const QUEUE_BOUND: usize = 4096;

/// A pool of decoding threads with a bounded queue: what somebody waits for goes first, in the order of
/// arrival. Dropped, it finishes the decodes in progress, fails those that wait, and joins its threads.
pub struct Workers {
    shared: Arc<Shared>,
    most: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    leads: Vec<Lead>,
    /// Threads that wait for one.
    idle: usize,
    stop: bool,
}

impl Queue {
    /// The most urgent; of several the oldest.
    fn next(&mut self) -> Option<Lead> {
        let waited = self.leads.iter().position(|lead| lead.urgency() == Urgency::Waited);
        let at = waited.or_else(|| (0..self.leads.len()).rev().max_by_key(|&at| self.leads[at].urgency()));
        at.map(|at| self.leads.remove(at))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut queue = self.lock();
            let lead = loop {
                if queue.stop {
                    return;
                }
                match queue.next() {
                    Some(lead) => break lead,
                    None => {
                        queue.idle += 1;
                        queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                        queue.idle -= 1;
                    }
                }
            };
            drop(queue);
            let number = lead.number();
            // A decoder that panics must cost its own readers alone: they were failed as the lead was dropped.
            if catch_unwind(AssertUnwindSafe(|| lead.decode())).is_err() {
                tracing::error!(chunk = number, "decoding panicked");
            }
        }
    }
}

impl Workers {
    /// A pool of up to `most` threads, at least one. Each decodes one chunk at a time. The first is started at once,
    /// so that there is one, the others when there is work for them.
    ///
    /// # Errors
    /// The system's answer where a thread cannot be started.
    pub fn start(most: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new() });
        let workers = Self { shared, most: most.max(1), threads: Mutex::default() };
        workers.grow()?;
        Ok(workers)
    }

    /// One thread more, if there may be.
    fn grow(&self) -> io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.len() < self.most {
            let shared = Arc::clone(&self.shared);
            let name = format!("decode-{}", threads.len());
            threads.push(thread::Builder::new().name(name).spawn(move || shared.work())?);
        }
        Ok(())
    }

    /// Queues a decode. Above [`QUEUE_BOUND`], and while the pool stops, the lead is dropped, which fails its readers.
    pub fn submit(&self, lead: Lead) {
        let mut queue = self.shared.lock();
        if queue.stop || queue.leads.len() >= QUEUE_BOUND {
            drop(queue);
            drop(lead);
            return;
        }
        queue.leads.push(lead);
        let busy = queue.leads.len() > queue.idle;
        drop(queue);
        self.shared.wake.notify_one();
        if busy && let Err(error) = self.grow() {
            // Those that there are will do.
            tracing::warn!("starting a thread to decode: {error}");
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = self.shared.lock();
            queue.stop = true;
            std::mem::take(&mut queue.leads)
        };
        self.shared.wake.notify_all();
        drop(waiting);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A worker never panics outside `catch_unwind`, and there is nobody to tell if it did.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};
    use std::time::Duration;

    use super::*;
    use crate::container::ContainerError;
    use crate::mount::cache::{Begin, CacheOptions, ChunkCache};
    use crate::mount::source::ChunkSource;
    use crate::predict::Audience;

    /// Every decode takes one permit; chunk 13 panics.
    struct Permits(Mutex<Receiver<()>>);

    impl ChunkSource for Permits {
        fn decode(&self, number: u64, _: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
            assert_ne!(number, 13, "the unlucky chunk");
            self.0.lock().unwrap().recv().map_err(|_| ContainerError::MissingChunk(number))?;
            Ok(vec![1; 10].into())
        }
    }

    type Told = (u64, bool);

    struct Bench {
        permits: mpsc::Sender<()>,
        cache: Arc<ChunkCache>,
        workers: Workers,
        outcomes: (mpsc::Sender<Told>, Receiver<Told>),
    }

    impl Bench {
        fn new(workers: usize) -> Self {
            let (permits, receive) = mpsc::channel();
            let cache = ChunkCache::new(
                Arc::new(Permits(Mutex::new(receive))),
                CacheOptions { processors: workers, ..CacheOptions::default() },
            );
            Self { permits, cache, workers: Workers::start(workers).unwrap(), outcomes: mpsc::channel() }
        }

        fn want(&self, number: u64) {
            let send = self.outcomes.0.clone();
            let tell = move |bytes: Result<&[u8], &_>| {
                let _ = send.send((number, bytes.is_ok()));
            };
            match self.cache.read(number, 0..10, Box::new(tell)) {
                Begin::Lead(lead, _) => self.workers.submit(lead),
                Begin::Joined(_) => {}
                Begin::Told => panic!("chunk {number} was asked for twice"),
            }
        }

        fn outcome(&self) -> (u64, bool) {
            self.outcomes.1.recv_timeout(Duration::from_secs(20)).unwrap()
        }
    }

    #[test]
    fn above_the_bound_a_decode_fails_at_once_and_the_others_stand() {
        let bench = Bench::new(1);
        let held = QUEUE_BOUND as u64 + 1;
        bench.want(100);
        // The worker has taken the first before the rest fills the queue.
        while !bench.workers.shared.lock().leads.is_empty() {
            thread::yield_now();
        }
        (101..100 + held).for_each(|number| bench.want(number));
        bench.want(7);
        assert_eq!(bench.outcome(), (7, false));
        (0..held).for_each(|_| bench.permits.send(()).unwrap());
        (0..held).for_each(|n| assert_eq!(bench.outcome(), (100 + n, true)));
    }

    #[test]
    fn the_end_finishes_what_runs_and_fails_what_waits() {
        let bench = Bench::new(2);
        (0..5).for_each(|number| bench.want(number));
        while bench.workers.shared.lock().leads.len() > 3 {
            thread::yield_now();
        }
        let Bench { permits, workers, outcomes, .. } = bench;
        let ending = thread::spawn(move || drop(workers));
        let next = || outcomes.1.recv_timeout(Duration::from_secs(20)).unwrap();
        let failed: Vec<_> = (0..3).map(|_| next()).collect();
        assert_eq!(failed, [(2, false), (3, false), (4, false)]);
        (0..2).for_each(|_| permits.send(()).unwrap());
        (0..2).for_each(|_| assert!(next().1));
        ending.join().unwrap();
    }

    #[test]
    fn a_panic_costs_its_own_readers_and_no_worker() {
        let bench = Bench::new(1);
        bench.want(13);
        bench.want(14);
        bench.permits.send(()).unwrap();
        assert_eq!((bench.outcome(), bench.outcome()), ((13, false), (14, true)));
    }
}
