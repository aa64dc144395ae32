//! Decoded chunks in memory: least recently used out first, and one decode per chunk however many
//! readers want it.
//!
//! A chunk is in one of three states: kept; in flight (one [`Lead`] exists for it, and everybody
//! who asks joins its waiters); or neither. [`ChunkCache::begin`] is the only transition into
//! flight, and the end of the `Lead` (decoded, failed, or dropped) the only one out of it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::container::{ChunkReader, ContainerError};

/// What became of a chunk, shared by all who waited for it.
pub type Outcome = Result<Arc<[u8]>, Arc<ContainerError>>;

/// Called once with the outcome, from the thread that decoded. Must not block.
pub type Waiter = Box<dyn FnOnce(Outcome) + Send>;

/// How long a chunk that failed is refused without another decode. The kernel repeats a failed
/// readahead page by page: without this, every page of a damaged chunk would pay for a decode. It
/// is short because a failure may pass, for example when a missing model is installed. A failed
/// read of the archive is never remembered.
const FAILURE_KEPT: Duration = Duration::from_secs(5);

/// Most failures remembered.
const FAILURES: usize = 1024;

/// The cache. Memory: the budget, or one chunk where that is larger, and one chunk for each decode
/// in progress.
pub struct ChunkCache {
    source: Arc<dyn ChunkReader>,
    budget: u64,
    state: Mutex<State>,
}

struct State {
    kept: LruCache<u64, Arc<[u8]>>,
    /// Sum of the lengths of `kept`.
    bytes: u64,
    flights: HashMap<u64, Vec<Waiter>>,
    failed: LruCache<u64, (Instant, Arc<ContainerError>)>,
}

/// What [`ChunkCache::begin`] found.
pub enum Begin {
    /// The outcome is known; the waiter was dropped.
    Ready(Outcome),
    /// Another has the lead; the waiter will be called.
    Joined,
    /// The caller has the lead: nobody else will decode the chunk. The waiter will be called.
    Lead(Lead),
}

/// The duty to decode one chunk. Dropped without [`Lead::decode`], it fails all who wait.
pub struct Lead {
    cache: Arc<ChunkCache>,
    number: u64,
    finished: bool,
}

impl ChunkCache {
    /// A cache in front of `source` that keeps at most `budget` bytes, but always the chunk
    /// decoded last: a reader that takes a chunk in small pieces decodes it once under any budget.
    #[must_use]
    pub fn new(source: Arc<dyn ChunkReader>, budget: u64) -> Arc<Self> {
        let state = State {
            kept: LruCache::unbounded(),
            bytes: 0,
            flights: HashMap::new(),
            failed: LruCache::new(std::num::NonZeroUsize::new(FAILURES).unwrap_or(std::num::NonZeroUsize::MIN)),
        };
        Arc::new(Self { source, budget, state: Mutex::new(state) })
    }

    /// Asks for a chunk without blocking.
    pub fn begin(self: &Arc<Self>, number: u64, waiter: Waiter) -> Begin {
        let mut state = self.lock();
        if let Some(bytes) = state.kept.get(&number) {
            return Begin::Ready(Ok(Arc::clone(bytes)));
        }
        if let Some(waiters) = state.flights.get_mut(&number) {
            waiters.push(waiter);
            return Begin::Joined;
        }
        match state.failed.get(&number) {
            Some((since, error)) if since.elapsed() < FAILURE_KEPT => return Begin::Ready(Err(Arc::clone(error))),
            Some(_) => drop(state.failed.pop(&number)),
            None => {}
        }
        state.flights.insert(number, vec![waiter]);
        Begin::Lead(Lead { cache: Arc::clone(self), number, finished: false })
    }

    /// Bytes of decoded chunks held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.lock().bytes
    }

    /// No code runs under the lock that could leave the state half changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the chunk out of flight, and tells all who waited.
    fn land(&self, number: u64, outcome: &Outcome, remember: bool) {
        let waiters = {
            let mut state = self.lock();
            match outcome {
                Ok(bytes) => state.keep(number, bytes, self.budget),
                Err(error) if remember => drop(state.failed.put(number, (Instant::now(), Arc::clone(error)))),
                Err(_) => {}
            }
            state.flights.remove(&number).unwrap_or_default()
        };
        for waiter in waiters {
            waiter(outcome.clone());
        }
    }
}

impl State {
    fn keep(&mut self, number: u64, bytes: &Arc<[u8]>, budget: u64) {
        self.bytes += bytes.len() as u64;
        if let Some(old) = self.kept.put(number, Arc::clone(bytes)) {
            self.bytes -= old.len() as u64;
        }
        while self.bytes > budget && self.kept.len() > 1 {
            let Some((_, old)) = self.kept.pop_lru() else { break };
            self.bytes -= old.len() as u64;
        }
    }
}

impl Lead {
    /// The chunk's number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Decodes the chunk on this thread, and tells all who wait, the waiter given to
    /// [`ChunkCache::begin`] among them.
    pub fn decode(mut self) {
        let outcome = self.cache.source.chunk(self.number).map_err(|error| {
            tracing::error!(chunk = self.number, "{error}");
            Arc::new(error)
        });
        self.finished = true;
        let remember = !matches!(&outcome, Err(error) if matches!(**error, ContainerError::Read { .. }));
        self.cache.land(self.number, &outcome, remember);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.finished {
            let source = io::Error::other("the chunk was not decoded: too many reads wait, or the mount is ending");
            let error = ContainerError::Read { position: 0, source };
            self.cache.land(self.number, &Err(Arc::new(error)), false);
        }
    }
}

impl ChunkReader for Arc<ChunkCache> {
    /// Blocks; whoever comes first decodes on its own thread.
    fn chunk(&self, number: u64) -> Result<Arc<[u8]>, ContainerError> {
        let (send, receive) = mpsc::sync_channel(1);
        let waiter: Waiter = Box::new(move |outcome| drop(send.send(outcome)));
        let outcome = match self.begin(number, waiter) {
            Begin::Ready(outcome) => outcome,
            Begin::Joined => receive.recv().unwrap_or_else(|_| Err(Arc::new(ContainerError::MissingChunk(number)))),
            Begin::Lead(lead) => {
                lead.decode();
                receive.recv().unwrap_or_else(|_| Err(Arc::new(ContainerError::MissingChunk(number))))
            }
        };
        outcome.map_err(|error| copy(&error))
    }
}

/// The same error for one more reader; [`io::Error`] has no `Clone`.
fn copy(error: &ContainerError) -> ContainerError {
    let copy_io = |source: &io::Error| match source.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(source.kind(), source.to_string()),
    };
    match error {
        ContainerError::Read { position, source } => {
            ContainerError::Read { position: *position, source: copy_io(source) }
        }
        ContainerError::Write(source) => ContainerError::Write(copy_io(source)),
        ContainerError::Format { position, error } => {
            ContainerError::Format { position: *position, error: error.clone() }
        }
        ContainerError::Unwritable(error) => ContainerError::Unwritable(error.clone()),
        ContainerError::Structure(error) => ContainerError::Structure(error.clone()),
        ContainerError::Chunk { number, error } => ContainerError::Chunk { number: *number, error: error.clone() },
        ContainerError::MissingChunk(number) => ContainerError::MissingChunk(*number),
        ContainerError::Codec(error) => ContainerError::Codec(error.clone()),
        ContainerError::Truncated(position) => ContainerError::Truncated(*position),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// Chunk `n` is `len` bytes of value `n`; decoding takes a moment; odd numbers above 100 fail.
    struct Counting {
        decodes: AtomicUsize,
        len: usize,
    }

    impl ChunkReader for Counting {
        fn chunk(&self, number: u64) -> Result<Arc<[u8]>, ContainerError> {
            self.decodes.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(30));
            match number {
                666 => panic!("a decoder that panics"),
                201 => Err(ContainerError::Read { position: 0, source: io::Error::from_raw_os_error(libc::EIO) }),
                101.. => Err(ContainerError::MissingChunk(number)),
                _ => Ok(vec![number as u8; self.len].into()),
            }
        }
    }

    fn cache(len: usize, budget: u64) -> (Arc<Counting>, Arc<ChunkCache>) {
        let source = Arc::new(Counting { decodes: AtomicUsize::new(0), len });
        (Arc::clone(&source), ChunkCache::new(source, budget))
    }

    fn together(cache: &Arc<ChunkCache>, number: u64) -> Vec<Result<Arc<[u8]>, ContainerError>> {
        let barrier = Barrier::new(32);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..32)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        cache.chunk(number)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        })
    }

    #[test]
    fn thirty_two_readers_cost_one_decode() {
        let (source, cache) = cache(1000, 1 << 20);
        for outcome in together(&cache, 7) {
            assert_eq!(&*outcome.unwrap(), &[7u8; 1000][..]);
        }
        assert_eq!(source.decodes.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failure_reaches_every_reader_and_is_decoded_once() {
        let (source, cache) = cache(1000, 1 << 20);
        for outcome in together(&cache, 103) {
            assert!(matches!(outcome, Err(ContainerError::MissingChunk(103))));
        }
        assert_eq!(source.decodes.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failed_read_of_the_archive_is_tried_again() {
        let (source, cache) = cache(1000, 1 << 20);
        for _ in 0..3 {
            assert!(matches!(cache.chunk(201), Err(ContainerError::Read { .. })));
        }
        assert_eq!(source.decodes.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_failure_is_forgotten_after_a_while() {
        let (source, cache) = cache(1000, 1 << 20);
        assert!(cache.chunk(103).is_err());
        let long_ago = Instant::now().checked_sub(FAILURE_KEPT).expect("the machine is up for longer than that");
        cache.lock().failed.get_mut(&103).unwrap().0 = long_ago;
        assert!(cache.chunk(103).is_err());
        assert_eq!(source.decodes.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn the_budget_holds_and_the_oldest_goes_first() {
        let (source, cache) = cache(1000, 3500);
        for number in [1, 2, 3, 1, 4] {
            cache.chunk(number).unwrap();
            assert!(cache.held() <= 3500);
        }
        assert_eq!((cache.held(), source.decodes.load(Ordering::SeqCst)), (3000, 4));
        cache.chunk(1).unwrap();
        assert_eq!(source.decodes.load(Ordering::SeqCst), 4, "1 was used after 2, so it was kept");
        cache.chunk(2).unwrap();
        assert_eq!(source.decodes.load(Ordering::SeqCst), 5, "2 had to go");
    }

    #[test]
    fn the_last_chunk_is_kept_under_any_budget() {
        let (source, cache) = cache(1000, 0);
        cache.chunk(1).unwrap();
        cache.chunk(1).unwrap();
        assert_eq!((cache.held(), source.decodes.load(Ordering::SeqCst)), (1000, 1));
        cache.chunk(2).unwrap();
        assert_eq!(cache.held(), 1000);
    }

    #[test]
    fn a_dropped_lead_and_a_panic_fail_those_who_wait() {
        let (_, cache) = cache(1000, 1 << 20);
        let (send, receive) = mpsc::sync_channel(1);
        let waiter: Waiter = Box::new(move |outcome| send.send(outcome).unwrap());
        let Begin::Lead(lead) = cache.begin(5, waiter) else { panic!("nobody else asked") };
        drop(lead);
        assert!(receive.recv().unwrap().is_err());
        assert!(cache.chunk(5).is_ok(), "the next reader leads");

        let other = Arc::clone(&cache);
        assert!(thread::spawn(move || other.chunk(666)).join().is_err());
        assert!(cache.lock().flights.is_empty());
    }
}
