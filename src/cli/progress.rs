//! Reports to the person in front of the terminal: a bar with rate, ratio and time left, warnings,
//! names. In a pipe there is no bar.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::escape;
use crate::progress::Progress;

const STYLE: &str =
    "{bar:24} {percent:>3} % of {decimal_total_bytes}  {decimal_bytes_per_sec}  {prefix}  ETA {eta}  {wide_msg}";
/// Where the total is not known: a tar stream, a pipe.
const STYLE_OPEN: &str = "{spinner} {decimal_bytes}  {decimal_bytes_per_sec}  {prefix}  {wide_msg}";

/// What the command says while it works.
pub(super) struct Reporter {
    bar: Option<ProgressBar>,
    verbose: bool,
    summary: bool,
    warnings: AtomicU64,
    raw: AtomicU64,
    stored: AtomicU64,
    started: Instant,
}

impl Reporter {
    /// A reporter to standard error.
    pub(super) fn new(verbose: bool, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let bar = ProgressBar::no_length();
            set_style(&bar, STYLE_OPEN);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            verbose,
            summary: !quiet && (terminal || verbose),
            warnings: AtomicU64::new(0),
            raw: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// How many warnings were given.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Says at the end what was done, where someone is there to read it, with the speed over `raw` bytes.
    pub(super) fn summary(&self, text: &str, raw: u64) {
        self.finish();
        if self.summary {
            let secs = self.started.elapsed().as_secs_f64();
            self.line(&format!("{text} in {secs:.1} s ({:.1} KB/s)", raw as f64 / 1000.0 / secs.max(1e-3)));
        }
    }

    /// A line on standard error that does not tear the bar. What cannot be said is not worth failing for.
    pub(super) fn line(&self, text: &str) {
        let print = || drop(writeln!(std::io::stderr(), "{text}"));
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Progress for Reporter {
    fn total(&self, raw_bytes: u64) {
        if let Some(bar) = &self.bar {
            set_style(bar, STYLE);
            bar.set_length(raw_bytes);
        }
    }

    fn advance(&self, raw: u64, stored: u64) {
        let raw_sum = self.raw.fetch_add(raw, Ordering::Relaxed).saturating_add(raw);
        let stored_sum = self.stored.fetch_add(stored, Ordering::Relaxed).saturating_add(stored);
        if let Some(bar) = &self.bar {
            bar.inc(raw);
            if raw_sum > 0 {
                bar.set_prefix(format!("{:.3}", stored_sum as f64 / raw_sum as f64));
            }
        }
    }

    fn item(&self, path: &[u8]) {
        if self.verbose {
            self.line(&escape::name(path));
        } else if let Some(bar) = &self.bar {
            bar.set_message(escape::name(path));
        }
    }

    fn warn(&self, message: &str) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.line(&format!("lma: warning: {}", escape::message(message)));
    }
}

fn set_style(bar: &ProgressBar, template: &str) {
    // The templates are constants, and a test builds both.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [STYLE, STYLE_OPEN] {
            ProgressStyle::with_template(template).unwrap();
        }
    }

    #[test]
    fn warnings_are_counted() {
        let reporter = Reporter::new(false, true);
        assert_eq!(reporter.warnings(), 0);
        reporter.warn("a file changed");
        assert_eq!(reporter.warnings(), 1);
    }
}
