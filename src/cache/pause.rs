//! Silence after a failure.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing is tried again: a full disk stays full for longer than the next chunk takes, and each try would
/// cost a reader time.
const PAUSE: Duration = Duration::from_secs(60);

/// Whether something is to be left alone for now.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<Option<Instant>>);

impl Pause {
    /// Begins, or begins again.
    pub(super) fn begin(&self, what: &str, error: &io::Error) {
        tracing::info!(%error, "{what} the disk cache; it is left alone for {} s", PAUSE.as_secs());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it lasts.
    pub(super) fn lasts(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| since.elapsed() < PAUSE)
    }
}
