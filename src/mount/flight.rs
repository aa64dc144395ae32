//! A chunk on its way: what is decoded of it, and who waits for which of its bytes.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::container::ContainerError;
use crate::predict::Urgency;

/// Why a chunk is not to be had, shared by all who waited for it.
pub type Failure = Arc<ContainerError>;

/// Called once, with the bytes of the chunk that were asked for (fewer where the chunk ends before), on the
/// thread that has them. Must not block.
pub type Waiter = Box<dyn FnOnce(Result<&[u8], &Failure>) + Send>;

/// The flight hears of new bytes at least this often, in bytes, so that later readers find them.
const PUBLISHED: usize = 4096;

/// What the decoder asks at every step.
pub(super) struct Signals {
    urgency: AtomicU8,
    wants: AtomicUsize,
}

impl Signals {
    pub(super) fn urgency(&self) -> Urgency {
        match self.urgency.load(Ordering::Relaxed) {
            0 => Urgency::Dropped,
            1 => Urgency::Idle,
            2 => Urgency::Ahead,
            _ => Urgency::Waited,
        }
    }

    pub(super) fn wants(&self) -> usize {
        self.wants.load(Ordering::Relaxed)
    }
}

/// A reader that waits.
pub(super) struct Waiting {
    pub(super) id: u64,
    /// The bytes that it needs, by their offset in the chunk.
    pub(super) bytes: Range<usize>,
    pub(super) tell: Waiter,
}

/// A chunk on its way. Its signals follow its waiters: every change of them ends with [`Flight::signal`].
pub(super) struct Flight {
    pub(super) signals: Arc<Signals>,
    pub(super) decoded: Vec<u8>,
    pub(super) waiters: Vec<Waiting>,
    /// When somebody last wanted it, by a clock that counts wishes.
    pub(super) wanted: u64,
    /// The file for which it was begun before anybody asked for it.
    pub(super) ahead_of: Option<u64>,
    /// Whether nothing is told before the digest is checked.
    strict: bool,
}

impl Flight {
    pub(super) fn new(wanted: u64, strict: bool, ahead_of: Option<u64>) -> Self {
        let signals = Signals { urgency: AtomicU8::new(Urgency::Ahead as u8), wants: AtomicUsize::new(usize::MAX) };
        Self { signals: Arc::new(signals), decoded: Vec::new(), waiters: Vec::new(), wanted, ahead_of, strict }
    }

    /// Whether nobody waits for it, and it has not been given up.
    pub(super) fn is_idle(&self) -> bool {
        self.waiters.is_empty() && self.signals.urgency() != Urgency::Dropped
    }

    /// Gives it up, unless somebody joins before the decoder notices.
    pub(super) fn give_up(&self) {
        self.signals.urgency.store(Urgency::Dropped as u8, Ordering::Relaxed);
    }

    /// Tells the decoder how badly, and from where on, it is wanted.
    pub(super) fn signal(&self) {
        let urgency = match self.ahead_of {
            _ if !self.waiters.is_empty() => Urgency::Waited,
            Some(_) => Urgency::Ahead,
            None => Urgency::Idle,
        };
        self.signals.urgency.store(urgency as u8, Ordering::Relaxed);
        let next = self.waiters.iter().map(|waiting| waiting.bytes.end).min().unwrap_or(usize::MAX);
        let wants = if self.strict { usize::MAX } else { next.min(self.decoded.len() + PUBLISHED) };
        self.signals.wants.store(wants, Ordering::Relaxed);
    }

    /// Takes new bytes, and takes out the waiters that have theirs now.
    pub(super) fn hear(&mut self, decoded: &[u8]) -> Vec<Waiting> {
        // A decode that was given up and taken up again starts from the first byte.
        if let Some(new) = decoded.get(self.decoded.len()..) {
            self.decoded.extend_from_slice(new);
        }
        let known = self.decoded.len();
        let served = self.waiters.extract_if(.., |waiting| waiting.bytes.end <= known).collect();
        self.signal();
        served
    }
}

/// The part of a chunk that lies within it.
pub(super) fn part<'a>(chunk: &'a [u8], bytes: &Range<usize>) -> &'a [u8] {
    let end = bytes.end.min(chunk.len());
    &chunk[bytes.start.min(end)..end]
}
