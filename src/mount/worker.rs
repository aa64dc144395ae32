//! The threads that decode. The threads that talk to the kernel hand a [`Lead`] over and go on.
//!
//! Only decodes take a thread, never readers that wait: any number of readers of one chunk
//! occupy one worker.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::cache::Lead;

/// Most decodes that wait for a worker; one more fails at once, and its readers with `EIO`. The
/// kernel itself keeps few reads in flight for one process, so that this many means thousands of
/// processes.
pub const QUEUE_BOUND: usize = 4096;

/// A pool of decoding threads with a bounded queue, first come first served. Dropped, it finishes
/// the decodes in progress, fails those that wait, and joins its threads.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    leads: VecDeque<Lead>,
    stop: bool,
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
                match queue.leads.pop_front() {
                    Some(lead) => break lead,
                    None => queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
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
    /// Starts `count` threads, at least one. Each decodes one chunk at a time.
    ///
    /// # Errors
    /// The system's answer where a thread cannot be started.
    pub fn start(count: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new() });
        let mut workers = Self { shared, threads: Vec::new() };
        for number in 0..count.max(1) {
            let shared = Arc::clone(&workers.shared);
            let thread = thread::Builder::new().name(format!("decode-{number}")).spawn(move || shared.work())?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Queues a decode. Above [`QUEUE_BOUND`], and while the pool stops, the lead is dropped, which fails its readers.
    pub fn submit(&self, lead: Lead) {
        let mut queue = self.shared.lock();
        if queue.stop || queue.leads.len() >= QUEUE_BOUND {
            drop(queue);
            drop(lead);
            return;
        }
        queue.leads.push_back(lead);
        drop(queue);
        self.shared.wake.notify_one();
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
        for thread in self.threads.drain(..) {
            // A worker never panics outside `catch_unwind`, and there is nobody to tell if it did.
            drop(thread.join());
        }
    }
}
