//! Whether help is worth having, found out by trying.
//!
//! Threads that share a step meet some ten times in each layer. If one of them has a processor only now and then, because
//! other programs want it, the others wait for it, and the step takes many times as long as one thread alone would
//! need. No system tells that beforehand. So steps of one shape are timed in runs, alone and with help, and help that does
//! not shorten them is left alone for a while, each time for longer.

use std::time::Duration;

/// Steps in a run.
const RUN: u32 = 32;

/// Runs without help after the first that it did not shorten, and most of them.
const REST: (u32, u32) = (4, 1024);

/// Decides, step by step, how many of the threads on offer help.
#[derive(Debug)]
pub(super) struct Helpers {
    /// Threads on offer, and tokens in a step: of another step the times say nothing.
    case: (usize, usize),
    /// The time of the last run without help.
    alone: Duration,
    /// Whether the run at hand has help, its steps so far and their time.
    helped: bool,
    steps: u32,
    time: Duration,
    /// Runs without help that are still to come before the next trial, and how many the last trial earned.
    left: u32,
    rest: u32,
}

impl Helpers {
    pub(super) fn new() -> Self {
        Self { case: (0, 0), alone: Duration::ZERO, helped: false, steps: 0, time: Duration::ZERO, left: 0, rest: 0 }
    }

    /// How many threads help with the next step, of `tokens` tokens, where `offered` could.
    pub(super) fn choose(&mut self, offered: usize, tokens: usize) -> usize {
        if self.case != (offered, tokens) {
            *self = Self { case: (offered, tokens), rest: self.rest, ..Self::new() };
        }
        if self.helped { offered } else { 0 }
    }

    /// That step took `time`.
    pub(super) fn took(&mut self, time: Duration) {
        self.steps += 1;
        self.time += time;
        if self.steps < RUN {
            return;
        }
        if self.helped {
            self.helped = self.time < self.alone;
            self.rest = if self.helped { 0 } else { (2 * self.rest).clamp(REST.0, REST.1) };
            self.left = self.rest;
        } else {
            self.alone = self.time;
            self.helped = self.left == 0 && self.case.0 > 0;
            self.left = self.left.saturating_sub(1);
        }
        (self.steps, self.time) = (0, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes through `steps` steps of `tokens` tokens; a step takes `alone` or `helped` microseconds. Answers how many had
    /// help.
    fn go(helpers: &mut Helpers, tokens: usize, steps: u32, alone: u64, helped: u64) -> u32 {
        let mut count = 0;
        for _ in 0..steps {
            let has_help = helpers.choose(1, tokens) > 0;
            count += u32::from(has_help);
            helpers.took(Duration::from_micros(if has_help { helped } else { alone }));
        }
        count
    }

    #[test]
    fn good_help_is_used_and_bad_help_is_not() {
        let mut helpers = Helpers::new();
        assert_eq!(go(&mut helpers, 1, 100 * RUN, 200, 120), 99 * RUN);
        // Another program wants the processor.
        let spoilt = go(&mut helpers, 1, 10_000 * RUN, 200, 5000);
        assert!((RUN..20 * RUN).contains(&spoilt), "{spoilt} steps");
        // It has gone.
        assert!(go(&mut helpers, 1, 2000 * RUN, 200, 120) > 900 * RUN);
    }

    #[test]
    fn each_shape_is_timed_for_itself() {
        let mut helpers = Helpers::new();
        go(&mut helpers, 1, 10 * RUN, 200, 120);
        assert_eq!(helpers.choose(1, 1), 1);
        assert_eq!(helpers.choose(1, 64), 0);
        assert_eq!(go(&mut helpers, 64, 10 * RUN, 5000, 3000), 9 * RUN);
        assert_eq!(helpers.choose(0, 64), 0);
    }
}
