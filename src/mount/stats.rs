//! What a mount has done so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counters, each for itself right at any time.
#[derive(Debug)]
pub struct Stats {
    since: Instant,
    chunks_decoded: AtomicU64,
    bytes_decoded: AtomicU64,
    dropped: AtomicU64,
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    reads: AtomicU64,
    bytes_requested: AtomicU64,
    cancelled: AtomicU64,
    expired: AtomicU64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            chunks_decoded: AtomicU64::default(),
            bytes_decoded: AtomicU64::default(),
            dropped: AtomicU64::default(),
            memory_hits: AtomicU64::default(),
            disk_hits: AtomicU64::default(),
            reads: AtomicU64::default(),
            bytes_requested: AtomicU64::default(),
            cancelled: AtomicU64::default(),
            expired: AtomicU64::default(),
        }
    }
}

fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

impl Stats {
    /// A chunk came from its source, with so many bytes; `None`: it did not, by damage or because nobody wants it.
    pub(super) fn decoded(&self, bytes: Option<usize>) {
        match bytes {
            Some(bytes) => {
                add(&self.chunks_decoded, 1);
                add(&self.bytes_decoded, bytes as u64);
            }
            None => add(&self.dropped, 1),
        }
    }

    /// The bytes of a chunk were in memory.
    pub(super) fn memory_hit(&self) {
        add(&self.memory_hits, 1);
    }

    /// A chunk came from the disk's cache, and not from the decoder.
    pub(super) fn disk_hit(&self) {
        add(&self.disk_hits, 1);
    }

    /// The kernel asked for bytes of a file.
    pub(super) fn read(&self, bytes: u64) {
        add(&self.reads, 1);
        add(&self.bytes_requested, bytes);
    }

    /// A reader went away before it had its bytes.
    pub(super) fn cancelled(&self) {
        add(&self.cancelled, 1);
    }

    /// A reader waited too long.
    pub(super) fn expired(&self) {
        add(&self.expired, 1);
    }

    /// Chunks that were decoded, those from a cache left out.
    #[must_use]
    pub fn chunks_decoded(&self) -> u64 {
        self.chunks_decoded.load(Ordering::Relaxed)
    }

    /// All counters, by name.
    pub(super) fn json(&self) -> Vec<(&'static str, u64)> {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("uptime_ms", self.since.elapsed().as_millis() as u64),
            ("reads", of(&self.reads)),
            ("bytes_requested", of(&self.bytes_requested)),
            ("chunks_decoded", self.chunks_decoded()),
            ("bytes_decoded", of(&self.bytes_decoded)),
            ("decodes_given_up_or_failed", of(&self.dropped)),
            ("memory_hits", of(&self.memory_hits)),
            ("disk_hits", of(&self.disk_hits)),
            ("reads_cancelled", of(&self.cancelled)),
            ("reads_expired", of(&self.expired)),
        ]
    }
}
