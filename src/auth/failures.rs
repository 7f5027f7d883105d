//! Failed logins, counted by account and by address; who has too many waits.
//!
//! An attempt is counted before the password is looked at, so that many at once do not slip
//! through together, and taken back unless it fails.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::MAX_EMAIL_BYTES;
use crate::{error::ApiError, limits::network};

/// How long a failure counts: from the first of a window.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// An address may fail this many times as often as an account.
const ADDRESS_FACTOR: u32 = 10;

/// Most accounts and addresses that are remembered.
const CAPACITY: u64 = 100_000;

/// Who has failed. An account is kept as a hash: anybody may name one, of any length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Suspect {
    Account([u8; 32]),
    /// An address, or its network: see [`network`].
    Address(IpAddr),
}

/// Attempts since `began`.
#[derive(Debug)]
struct Window {
    began: Instant,
    /// Failures, and attempts whose end is open.
    counted: AtomicU32,
    failures: AtomicU32,
}

impl Window {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            counted: AtomicU32::new(0),
            failures: AtomicU32::new(0),
        })
    }

    /// Counts an attempt, if there is room for a failure.
    fn begin(&self, most: u32) -> Result<(), ApiError> {
        let one_more = |counted| (counted < most).then_some(counted + 1);
        let begun = self
            .counted
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more);
        match begun {
            Ok(_) => Ok(()),
            Err(_) if self.failures.load(Ordering::SeqCst) >= most => {
                let wait = WINDOW.saturating_sub(self.began.elapsed());
                Err(ApiError::rate_limited(wait))
            }
            // Nobody has failed too often yet: some of those under way may be right.
            Err(_) => Err(ApiError::unavailable("too many logins at once")),
        }
    }
}

/// A login whose end is open; when it is dropped it was none that counts.
#[derive(Debug)]
pub struct Attempt {
    windows: Vec<Arc<Window>>,
}

impl Attempt {
    /// The password was wrong, or there is no such account: it counts.
    pub fn failed(mut self) {
        for window in self.windows.drain(..) {
            window.failures.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        for window in &self.windows {
            window.counted.fetch_sub(1, Ordering::SeqCst);
        }
    }
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

    /// Begins an attempt to log in with an address in lower case.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the time after which they may try again, when the account or the
    /// address has failed too often; `UNAVAILABLE` when it would if all under way failed.
    pub fn begin(&self, email: &str, addr: IpAddr) -> Result<Attempt, ApiError> {
        let mut attempt = Attempt {
            windows: Vec::new(),
        };
        for (suspect, most) in self.suspects(email, addr) {
            let window = self.windows.get_with(suspect, Window::new);
            window.begin(most)?;
            attempt.windows.push(window);
        }
        Ok(attempt)
    }

    fn suspects(&self, email: &str, addr: IpAddr) -> Vec<(Suspect, u32)> {
        let Some(most) = self.most else {
            return Vec::new();
        };
        let address = (
            Suspect::Address(network(addr)),
            most.saturating_mul(ADDRESS_FACTOR),
        );
        // Nobody's account has a longer name.
        match email.len() <= MAX_EMAIL_BYTES {
            true => {
                let account = Sha256::digest(email.as_bytes()).into();
                vec![(Suspect::Account(account), most), address]
            }
            false => vec![address],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn code(begun: Result<Attempt, ApiError>) -> Option<Code> {
        begun.err().map(|error| error.code)
    }

    fn fail(failures: &LoginFailures, email: &str, addr: IpAddr) {
        failures.begin(email, addr).expect("room").failed();
    }

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn an_account_and_an_address_have_their_own_counts() {
        let failures = LoginFailures::new(Some(2));
        fail(&failures, "a@example.com", HOME);
        fail(&failures, "a@example.com", HOME);
        let refused = failures.begin("a@example.com", AWAY);
        assert_eq!(code(refused), Some(Code::RateLimited));
        for n in 0..18 {
            fail(&failures, &format!("{n}@example.com"), HOME);
        }
        let refused = failures.begin("b@example.com", HOME);
        assert_eq!(code(refused), Some(Code::RateLimited), "20 of the address");
        assert_eq!(code(failures.begin("b@example.com", AWAY)), None);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let failures = LoginFailures::new(Some(1));
        for n in 0..10 {
            let addr = format!("2001:db8::{n}:1").parse().expect("an address");
            fail(&failures, &format!("{n}@example.com"), addr);
        }
        let check = |addr: &str, expected: Option<Code>| {
            let begun = failures.begin("a@example.com", addr.parse().expect("an address"));
            assert_eq!(code(begun), expected, "{addr}");
        };
        check("2001:db8::ffff", Some(Code::RateLimited));
        check("2001:db8:0:1::1", None);
    }

    #[test]
    fn only_failures_count_in_the_end() {
        let failures = LoginFailures::new(Some(2));
        for _ in 0..5 {
            failures.begin("a@example.com", HOME).expect("room");
        }
        fail(&failures, "a@example.com", HOME);
        let open = failures.begin("a@example.com", HOME).expect("room");
        let refused = failures.begin("a@example.com", HOME);
        assert_eq!(code(refused), Some(Code::Unavailable), "one may still fail");
        open.failed();
        let refused = failures.begin("a@example.com", HOME);
        assert_eq!(code(refused), Some(Code::RateLimited));
    }

    #[test]
    fn who_is_refused_leaves_no_count() {
        let failures = LoginFailures::new(Some(1));
        fail(&failures, "a@example.com", HOME);
        for _ in 0..20 {
            failures.begin("a@example.com", AWAY).expect_err("locked");
        }
        for n in 0..10 {
            fail(&failures, &format!("{n}@example.com"), AWAY);
        }
    }

    #[test]
    fn a_name_that_is_too_long_for_an_account_takes_no_room() {
        let failures = LoginFailures::new(Some(1));
        for n in 0..5 {
            fail(&failures, &format!("{n}{}", "x".repeat(60_000)), HOME);
        }
        failures.windows.run_pending_tasks();
        assert_eq!(failures.windows.entry_count(), 1, "the address");
    }

    #[test]
    fn nothing_is_counted_without_a_limit() {
        let failures = LoginFailures::new(None);
        (0..100).for_each(|_| fail(&failures, "a@example.com", HOME));
    }
}
