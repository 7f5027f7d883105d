//! Waiting before another attempt: exponential, with full jitter, within a limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::rest::RestError;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);

/// How long one REST request is repeated.
const PATIENCE: Duration = Duration::from_secs(30);

/// The waits between attempts that fail.
#[derive(Debug, Default)]
pub(super) struct Waits {
    failures: u32,
}

impl Waits {
    /// Returns how long to wait now: from `least` on, and up to twice as long each time.
    pub(super) fn next(&mut self, least: Option<Duration>) -> Duration {
        let most = FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        least.unwrap_or_default() + most.mul_f64(fastrand::f64())
    }

    /// Begins anew after a success.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Repeats a request while its failures pass, for half a minute.
pub(super) async fn with_patience<T>(
    mut ask: impl AsyncFnMut(usize) -> Result<T, RestError>,
) -> Result<T, RestError> {
    let give_up = Instant::now() + PATIENCE;
    let mut waits = Waits::default();
    let mut attempt = 0;
    loop {
        match ask(attempt).await {
            Err(error) if error.is_passing() && Instant::now() < give_up => {
                sleep(waits.next(error.retry_after())).await;
                attempt += 1;
            }
            ended => return ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_and_bounded() {
        let mut waits = Waits::default();
        for _ in 0..40 {
            assert!(waits.next(None) <= LONGEST);
        }
        let least = Duration::from_secs(1);
        assert!(waits.next(Some(least)) >= least);
        waits.reset();
        assert!(waits.next(None) <= FIRST);
    }
}
