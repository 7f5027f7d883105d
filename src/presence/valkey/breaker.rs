//! The circuit breaker: while Valkey is away, calls fail at once.
//!
//! Our own, because no caller may be the one who finds out whether Valkey is back: the half-open
//! state of `failsafe`, `recloser` and the like lets a caller through to try, who waits in vain
//! for a Valkey that hangs. Here a probe beside the calls closes it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Failures in a row that open it.
pub(super) const FAILURES: u32 = 3;

/// Open, closed, and how far from opening.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    is_open: AtomicBool,
    failures: AtomicU32,
}

impl Breaker {
    /// Returns whether calls fail at once.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// Notes that Valkey has answered a call.
    pub(super) fn answered(&self) {
        self.failures.store(0, Ordering::SeqCst);
    }

    /// Notes that a call had no answer; returns whether that opened it: who is told so probes.
    pub(super) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::SeqCst) + 1;
        failures >= FAILURES && !self.is_open.swap(true, Ordering::SeqCst)
    }

    /// Lets calls through: a probe was answered.
    pub(super) fn close(&self) {
        self.answered();
        self.is_open.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_once() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert!(!breaker.failed());
        }
        breaker.answered();
        for _ in 1..FAILURES {
            assert!(!breaker.failed());
        }
        assert!(!breaker.is_open());
        assert!(breaker.failed(), "who opened it probes");
        assert!(!breaker.failed(), "one probe is enough");
        assert!(breaker.is_open());
        breaker.close();
        assert!(!breaker.is_open());
        assert!(!breaker.failed(), "counted anew");
    }
}
