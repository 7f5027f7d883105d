//! Failed logins, counted by account and by address; who has too many waits.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

/// How long a failure counts: from the first of a window.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// An address may fail this many times as often as an account.
const ADDRESS_FACTOR: u32 = 10;

/// Most accounts and addresses that are remembered.
const CAPACITY: u64 = 100_000;

/// Who has failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Suspect {
    Account(String),
    Address(IpAddr),
}

/// Failures since `began`.
#[derive(Debug)]
struct Window {
    began: Instant,
    failures: AtomicU32,
}

/// Counts failed logins.
#[derive(Debug, Clone)]
pub struct LoginFailures {
    most: Option<u32>,
    windows: Cache<Suspect, Arc<Window>>,
}

impl LoginFailures {
    /// Allows `most` failures of an account in 15 minutes; `None` counts nothing.
    #[must_use]
    pub fn new(most: Option<u32>) -> Self {
        Self {
            most,
            windows: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(WINDOW)
                .build(),
        }
    }

    /// Checks that neither the account nor the address has failed too often.
    ///
    /// # Errors
    /// The time after which they may try again.
    pub fn check(&self, email: &str, addr: IpAddr) -> Result<(), Duration> {
        for (suspect, most) in self.suspects(email, addr) {
            if let Some(window) = self.windows.get(&suspect)
                && window.failures.load(Ordering::Relaxed) >= most
            {
                return Err(WINDOW.saturating_sub(window.began.elapsed()));
            }
        }
        Ok(())
    }

    /// Notes a failure.
    pub fn note(&self, email: &str, addr: IpAddr) {
        for (suspect, _) in self.suspects(email, addr) {
            let window = self.windows.get_with(suspect, || {
                Arc::new(Window {
                    began: Instant::now(),
                    failures: AtomicU32::new(0),
                })
            });
            window.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn suspects(&self, email: &str, addr: IpAddr) -> Vec<(Suspect, u32)> {
        self.most.map_or_else(Vec::new, |most| {
            vec![
                (Suspect::Account(email.to_owned()), most),
                (Suspect::Address(addr), most.saturating_mul(ADDRESS_FACTOR)),
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_and_an_address_have_their_own_counts() {
        let failures = LoginFailures::new(Some(2));
        let home = IpAddr::from([10, 0, 0, 1]);
        let away = IpAddr::from([10, 0, 0, 2]);
        failures.note("a@example.com", home);
        assert!(failures.check("a@example.com", home).is_ok());
        failures.note("a@example.com", home);
        assert!(failures.check("a@example.com", away).is_err());
        assert!(failures.check("b@example.com", home).is_ok());
        for n in 0..18 {
            failures.note(&format!("{n}@example.com"), home);
        }
        assert!(
            failures.check("b@example.com", home).is_err(),
            "20 of the address"
        );
        assert!(failures.check("b@example.com", away).is_ok());
    }

    #[test]
    fn nothing_is_counted_without_a_limit() {
        let failures = LoginFailures::new(None);
        let addr = IpAddr::from([10, 0, 0, 1]);
        (0..100).for_each(|_| failures.note("a@example.com", addr));
        assert!(failures.check("a@example.com", addr).is_ok());
    }
}
