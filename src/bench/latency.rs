//! How long messages took, from the moment at which they were due.

use hdrhistogram::Histogram;
use serde::Serialize;

/// One hour; longer counts as an hour.
const LONGEST_US: u64 = 60 * 60 * 1_000_000;

/// Three digits are exact.
const DIGITS: u8 = 3;

/// The times of all clients together.
pub(super) struct Latency {
    /// Until the first acknowledgement.
    pub(super) accept: Times,
    /// Until a client got the message, for each client.
    pub(super) deliver: Times,
}

impl Latency {
    pub(super) fn new() -> Self {
        Self {
            accept: Times::new(),
            deliver: Times::new(),
        }
    }
}

/// The times of one kind, in a few kilobytes however many.
pub(super) struct Times(Histogram<u64>);

impl Times {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Self(histogram.expect("the bounds are in order"))
    }

    pub(super) fn record(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    /// Returns the percentiles that are reported.
    pub(super) fn summary(&self) -> Summary {
        let ms = |us: u64| us as f64 / 1e3;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        Summary {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: ms(self.0.max()),
        }
    }
}

/// Percentiles, in milliseconds; zero where nothing was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Summary {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_milliseconds() {
        let mut times = Times::new();
        (1..=1_000).for_each(|ms| times.record(ms * 1_000));
        times.record(u64::MAX);
        let summary = times.summary();
        assert!((summary.p50 - 501.0).abs() < 2.0, "{summary:?}");
        assert!((summary.p99 - 991.0).abs() < 2.0, "{summary:?}");
        assert!((summary.max - 3_600_000.0).abs() < 5_000.0, "{summary:?}");
    }
}
