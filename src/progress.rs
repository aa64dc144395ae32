//! Progress and interruption: what long work reports to, and asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Receives the progress of long work. All methods may be called from any thread.
pub trait Progress: Send + Sync {
    /// The work ahead, in raw bytes, once it is known.
    fn total(&self, raw_bytes: u64);
    /// `raw` more bytes are done; they take or took `stored` bytes in the archive.
    fn advance(&self, raw: u64, stored: u64);
    /// The path that is being worked on now.
    fn item(&self, path: &[u8]);
    /// Something that the user should know of, but that does not end the work (exit code 1).
    fn warn(&self, message: &str);
}

/// Drops every report.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn total(&self, _: u64) {}
    fn advance(&self, _: u64, _: u64) {}
    fn item(&self, _: &[u8]) {}
    fn warn(&self, _: &str) {}
}

/// A flag that a signal handler raises and that long work polls.
#[derive(Debug, Default, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The shared flag itself, for a signal handler.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Raises the flag.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work should stop.
    #[must_use]
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
