//! Numbers of several runs as cells.

use std::time::Duration;

/// Measurements of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn time(&mut self, duration: Duration) {
        self.0.push(duration.as_secs_f64());
    }

    /// The value that this share of the others, from 0 to 1, does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(at.max(1) - 1).copied()
    }

    pub(crate) fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// Median, least and most, as `name` words them.
    pub(crate) fn cell(&self, name: impl Fn(f64) -> String) -> String {
        match (self.median(), self.quantile(0.0), self.quantile(1.0)) {
            (Some(median), Some(least), Some(most)) => format!("{} ({}..{})", name(median), name(least), name(most)),
            _ => "-".into(),
        }
    }

    /// Median and 99th percentile, both as times.
    pub(crate) fn tail(&self) -> [String; 2] {
        [self.median(), self.quantile(0.99)].map(|value| value.map_or("-".into(), seconds))
    }
}

/// Three digits or more.
fn digits(value: f64) -> String {
    match value {
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// `12.3 ms`.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        _ if value < 1e-3 => format!("{} us", digits(value * 1e6)),
        _ if value < 1.0 => format!("{} ms", digits(value * 1e3)),
        _ => format!("{} s", digits(value)),
    }
}

/// `300 k/s`.
pub(crate) fn per_second(value: f64) -> String {
    format!("{} k/s", digits(value / 1e3))
}

/// `52.0 KB/s`.
pub(crate) fn rate(bytes_per_second: f64) -> String {
    match bytes_per_second {
        rate if rate < 1e6 => format!("{} KB/s", digits(rate / 1e3)),
        rate if rate < 1e9 => format!("{} MB/s", digits(rate / 1e6)),
        rate => format!("{} GB/s", digits(rate / 1e9)),
    }
}

/// `12.3 MiB`.
pub(crate) fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", digits(bytes / f64::from(1 << 20)))
}

/// A plain number.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { digits(value) }
}
