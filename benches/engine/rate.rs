//! Tokens per second.

use std::time::{Duration, Instant};

use super::common::times;

/// Tokens evaluated in some time.
#[derive(Clone, Default)]
pub(super) struct Rate {
    pub(super) tokens: u64,
    pub(super) elapsed: Duration,
    /// Of all threads of this process.
    pub(super) processor: Duration,
}

impl Rate {
    /// Both together.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            elapsed: self.elapsed + other.elapsed,
            processor: self.processor + other.processor,
        }
    }

    /// Tokens per second.
    pub(super) fn wall(&self) -> f64 {
        self.tokens as f64 / self.elapsed.as_secs_f64()
    }

    /// Processors that were busy with it on average.
    pub(super) fn cores(&self) -> f64 {
        self.processor.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// Tokens per second of processor time.
    pub(super) fn busy(&self) -> f64 {
        self.tokens as f64 / self.processor.as_secs_f64()
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} tokens/s on {:.2} cores in {:.0} s", self.wall(), self.cores(), self.elapsed.as_secs_f64())
    }
}

/// Measures some work.
pub(super) struct Watch(Instant, Duration);

impl Watch {
    pub(super) fn start() -> Self {
        Self(Instant::now(), times::own())
    }

    pub(super) fn stop(&self, tokens: u64) -> Rate {
        Rate { tokens, elapsed: self.0.elapsed(), processor: times::own().saturating_sub(self.1) }
    }
}
