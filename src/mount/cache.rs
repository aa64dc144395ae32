//! Decoded chunks in memory, least recently used out first, and one decode per chunk however many
//! readers want it.
//!
//! A chunk is in one of three states: kept; in flight (one [`Lead`] exists for it, and everybody
//! who asks joins its waiters); or neither. [`ChunkCache::read`] and [`ChunkCache::ahead`] are the only
//! transitions into flight, and the end of the `Lead` (decoded, failed, or dropped) the only one out of it.
//!
//! A reader is told as soon as its bytes are decoded. The flight goes on without it, idle: until the chunk
//! is whole and kept, or until more recent idle flights take its place.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::flight::{Failure, Flight, Signals, Waiter, Waiting, part};
use super::gate::{Gate, Place};
use super::source::{ChunkSource, Cost};
use super::stats::Stats;
use crate::codec::CodecError;
use crate::container::ContainerError;
use crate::predict::{Audience, Urgency};

/// How long a chunk that failed is refused without another decode. The kernel repeats a failed
/// readahead page by page: without this, every page of a damaged chunk would pay for a decode. It
/// is short because a failure may pass, for example when a missing model is installed. A failed
/// read of the archive is never remembered.
const FAILURE_KEPT: Duration = Duration::from_secs(5);

/// Most failures remembered.
const FAILURES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// How a [`ChunkCache`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct CacheOptions {
    /// Most bytes kept, but always the chunk decoded last: a reader that takes a chunk in small pieces decodes
    /// it once under any budget.
    pub budget: u64,
    /// Most flights that nobody waits for. Of more, the one is given up that was wanted the longest ago.
    pub idle: usize,
    /// Decodes that have a processor at the same time; those in lanes of a model are not counted.
    pub processors: usize,
    /// Whether readers are told of nothing before the chunk's digest is checked.
    pub strict: bool,
}

impl Default for CacheOptions {
    /// 256 MiB, 16 idle flights, two processors, not strict.
    fn default() -> Self {
        Self { budget: 256 << 20, idle: 16, processors: 2, strict: false }
    }
}

/// The cache. Memory: the budget, or one chunk where that is larger, and what is decoded of each flight.
pub struct ChunkCache {
    source: Arc<dyn ChunkSource>,
    options: CacheOptions,
    gate: Arc<Gate>,
    stats: Stats,
    state: Mutex<State>,
}

struct State {
    kept: LruCache<u64, Arc<[u8]>>,
    /// Sum of the lengths of `kept`.
    bytes: u64,
    flights: HashMap<u64, Flight>,
    failed: LruCache<u64, (Instant, Failure)>,
    /// Counts the wishes.
    clock: u64,
}

/// What became of a wish. The waiter is called exactly once in any case but for [`ChunkCache::cancel`].
pub enum Begin {
    /// The waiter was told.
    Told,
    /// The waiter will be told by another's decode.
    Joined(Ticket),
    /// The caller has the lead: nobody else will decode the chunk.
    Lead(Lead, Ticket),
}

/// A wish that can be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    number: u64,
    id: u64,
}

/// The duty to decode one chunk. Dropped without [`Lead::decode`], it fails all who wait.
pub struct Lead {
    cache: Arc<ChunkCache>,
    number: u64,
    signals: Arc<Signals>,
    finished: bool,
}

impl ChunkCache {
    /// A cache in front of `source`.
    #[must_use]
    pub fn new(source: Arc<dyn ChunkSource>, options: CacheOptions) -> Arc<Self> {
        let state = State {
            kept: LruCache::unbounded(),
            bytes: 0,
            flights: HashMap::new(),
            failed: LruCache::new(FAILURES),
            clock: 0,
        };
        let (gate, stats) = (Gate::new(options.processors), Stats::default());
        Arc::new(Self { source, options, gate, stats, state: Mutex::new(state) })
    }

    /// Asks for some bytes of a chunk, by their offsets in it, without blocking.
    pub fn read(self: &Arc<Self>, number: u64, bytes: Range<usize>, tell: Waiter) -> Begin {
        let mut state = self.lock();
        if let Some(chunk) = state.kept.get(&number) {
            let chunk = Arc::clone(chunk);
            drop(state);
            self.stats.memory_hit();
            tell(Ok(part(&chunk, &bytes)));
            return Begin::Told;
        }
        state.clock += 1;
        let id = state.clock;
        let ticket = Ticket { number, id };
        if let Some(flight) = state.flights.get_mut(&number) {
            flight.wanted = id;
            flight.ahead_of = None;
            if bytes.end <= flight.decoded.len() && !self.options.strict {
                let part = flight.decoded[bytes].to_vec();
                drop(state);
                self.stats.memory_hit();
                tell(Ok(&part));
                return Begin::Told;
            }
            flight.waiters.push(Waiting { id, bytes, tell });
            flight.signal();
            return Begin::Joined(ticket);
        }
        if let Some((since, failure)) = state.failed.get(&number) {
            if since.elapsed() < FAILURE_KEPT || is_final(failure) {
                let failure = Arc::clone(failure);
                drop(state);
                tell(Err(&failure));
                return Begin::Told;
            }
            state.failed.pop(&number);
        }
        let mut flight = Flight::new(id, self.options.strict, None);
        flight.waiters.push(Waiting { id, bytes, tell });
        Begin::Lead(self.depart(&mut state, number, flight), ticket)
    }

    /// Begins to decode a chunk before anybody asks for it, for the reader of a file. `None` where it is known
    /// or on its way already, or there are as many flights as may be idle: its own reader's will be, too, in a moment.
    pub fn ahead(self: &Arc<Self>, number: u64, file: u64) -> Option<Lead> {
        let mut state = self.lock();
        let known = |state: &State| state.kept.contains(&number) || state.flights.contains_key(&number);
        if known(&state) || state.failed.contains(&number) || state.flights.len() >= self.options.idle {
            return None;
        }
        state.clock += 1;
        let flight = Flight::new(state.clock, self.options.strict, Some(file));
        Some(self.depart(&mut state, number, flight))
    }

    fn depart(self: &Arc<Self>, state: &mut State, number: u64, flight: Flight) -> Lead {
        flight.signal();
        let signals = Arc::clone(&flight.signals);
        state.flights.insert(number, flight);
        Lead { cache: Arc::clone(self), number, signals, finished: false }
    }

    /// Takes a wish back; its waiter is dropped. A decode that nobody else waits for is given up.
    pub fn cancel(&self, ticket: Ticket) {
        let mut state = self.lock();
        let Some(flight) = state.flights.get_mut(&ticket.number) else { return };
        let Some(at) = flight.waiters.iter().position(|waiting| waiting.id == ticket.id) else { return };
        let waiting = flight.waiters.swap_remove(at);
        flight.signal();
        if flight.waiters.is_empty() {
            flight.give_up();
        }
        drop(state);
        // Not under the lock: it may own anything.
        drop(waiting);
    }

    /// Gives up everything that nobody waits for.
    pub fn abandon_idle(&self) {
        self.lock().idle().for_each(|(_, flight)| flight.give_up());
    }

    /// Gives up what was begun ahead of the reader of a file.
    pub fn abandon(&self, file: u64) {
        let state = self.lock();
        state.idle().filter(|(_, flight)| flight.ahead_of == Some(file)).for_each(|(_, flight)| flight.give_up());
    }

    /// Whether a chunk is to be had without a decode that a reader notices.
    #[must_use]
    pub fn is_at_hand(&self, number: u64) -> bool {
        self.source.cost(number) == Cost::Little || self.lock().kept.contains(&number) || self.source.is_stored(number)
    }

    /// Whether a decoded chunk is kept, in memory or outside of it.
    #[must_use]
    pub fn is_kept(&self, number: u64) -> bool {
        self.lock().kept.contains(&number) || self.source.is_stored(number)
    }

    /// Where the chunks come from.
    #[must_use]
    pub fn source(&self) -> &dyn ChunkSource {
        &*self.source
    }

    /// Bytes of decoded chunks held now, those of flights left out.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.lock().bytes
    }

    /// Flights that somebody waits for, and those that nobody does.
    #[must_use]
    pub fn in_flight(&self) -> (usize, usize) {
        let state = self.lock();
        let waited = state.flights.values().filter(|flight| !flight.waiters.is_empty()).count();
        (waited, state.flights.len() - waited)
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// No code runs under the lock that could leave the state half changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, number: u64, decoded: &[u8]) {
        let served = {
            let mut state = self.lock();
            let Some(flight) = state.flights.get_mut(&number) else { return };
            let served = flight.hear(decoded);
            if flight.waiters.is_empty() {
                state.give_up_oldest(self.options.idle);
            }
            served
        };
        for waiting in served {
            (waiting.tell)(Ok(&decoded[waiting.bytes]));
        }
    }

    /// Takes the chunk out of flight, and tells all who waited.
    fn land(&self, number: u64, outcome: &Result<Arc<[u8]>, Failure>, remember: bool) {
        let waiters = {
            let mut state = self.lock();
            match outcome {
                Ok(chunk) => state.keep(number, chunk, self.options.budget),
                Err(failure) if remember => drop(state.failed.put(number, (Instant::now(), Arc::clone(failure)))),
                Err(_) => {}
            }
            state.flights.remove(&number).map(|flight| flight.waiters).unwrap_or_default()
        };
        for Waiting { bytes, tell, .. } in waiters {
            tell(outcome.as_deref().map(|chunk| part(chunk, &bytes)));
        }
    }

    /// Whether a decode that was given up is to start again: somebody has joined since. If not, its flight is over.
    fn is_revived(&self, number: u64) -> bool {
        let mut state = self.lock();
        match state.flights.get(&number) {
            Some(flight) if !flight.waiters.is_empty() => flight.signal(),
            _ => {
                state.flights.remove(&number);
                return false;
            }
        }
        true
    }
}

/// Whether bytes that have passed the record's checksum do not decode: no later decode will do better, and none
/// shall serve a part again before its end is found wrong.
fn is_final(failure: &ContainerError) -> bool {
    matches!(failure, ContainerError::Chunk { error: CodecError::Corrupt { .. }, .. })
}

impl State {
    fn keep(&mut self, number: u64, chunk: &Arc<[u8]>, budget: u64) {
        self.bytes += chunk.len() as u64;
        if let Some(old) = self.kept.put(number, Arc::clone(chunk)) {
            self.bytes -= old.len() as u64;
        }
        while self.bytes > budget && self.kept.len() > 1 {
            let Some((_, old)) = self.kept.pop_lru() else { break };
            self.bytes -= old.len() as u64;
        }
    }

    fn idle(&self) -> impl Iterator<Item = (&u64, &Flight)> {
        self.flights.iter().filter(|(_, flight)| flight.is_idle())
    }

    fn give_up_oldest(&self, most: usize) {
        if self.idle().count() > most
            && let Some((_, oldest)) = self.idle().min_by_key(|(_, flight)| flight.wanted)
        {
            oldest.give_up();
        }
    }
}

/// A flight as its decoder sees it.
struct Listener {
    cache: Arc<ChunkCache>,
    number: u64,
    signals: Arc<Signals>,
    /// Where the decode has a processor of its own.
    place: Mutex<Option<Place>>,
}

impl Audience for Listener {
    fn urgency(&self) -> Urgency {
        self.signals.urgency()
    }

    fn wants(&self) -> usize {
        self.signals.wants()
    }

    fn hear(&self, decoded: &[u8]) {
        self.cache.hear(self.number, decoded);
        if let Some(place) = &mut *self.place.lock().unwrap_or_else(PoisonError::into_inner) {
            place.make_way(self);
        }
    }
}

impl Lead {
    /// The chunk's number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How badly the chunk is wanted now.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        self.signals.urgency()
    }

    /// Decodes the chunk on this thread, and tells all who wait.
    pub fn decode(mut self) {
        let outcome = loop {
            match self.attempt() {
                Some(outcome) => break outcome,
                None if self.cache.is_revived(self.number) => {}
                None => {
                    self.finished = true;
                    return;
                }
            }
        };
        self.finished = true;
        let passing =
            |error: &ContainerError| matches!(error, ContainerError::Read { .. } | ContainerError::Truncated(_));
        let remember = !matches!(&outcome, Err(error) if passing(error));
        self.cache.land(self.number, &outcome, remember);
        if let Ok(chunk) = outcome
            && !self.cache.source.is_stored(self.number)
        {
            self.cache.source.keep(self.number, &chunk);
        }
    }

    /// One decode; `None`: it was given up.
    fn attempt(&self) -> Option<Result<Arc<[u8]>, Failure>> {
        if self.urgency() == Urgency::Dropped {
            return None;
        }
        let cache = &self.cache;
        if cache.source.is_stored(self.number)
            && let Some(chunk) = cache.source.stored(self.number)
        {
            cache.stats.disk_hit();
            return Some(Ok(chunk));
        }
        let listener = Arc::new(Listener {
            cache: Arc::clone(&self.cache),
            number: self.number,
            signals: Arc::clone(&self.signals),
            place: Mutex::default(),
        });
        if cache.source.cost(self.number) != Cost::Model {
            *listener.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(cache.gate.enter(&*listener));
        }
        let audience = Arc::clone(&listener) as Arc<dyn Audience>;
        let outcome = cache.source.decode(self.number, &audience);
        cache.stats.decoded(outcome.as_ref().ok().map(|chunk| chunk.len()));
        match outcome {
            Err(ContainerError::Chunk { error: CodecError::Dropped, .. }) => None,
            outcome => Some(outcome.map_err(|error| {
                tracing::error!(chunk = self.number, "{error}");
                Arc::new(error)
            })),
        }
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

#[cfg(test)]
mod tests;
