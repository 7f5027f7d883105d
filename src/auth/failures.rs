//! Failed logins, counted by account and by address; who has too many waits.
//!
//! An attempt takes one of the places that are left for failures before the password is looked at,
//! so that many at once do not slip through together, and gives it back unless it fails. When all
//! that are left are taken, some of those under way may still be right: who comes then waits.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{MAX_EMAIL_BYTES, MAX_WAITING};
use crate::{error::ApiError, limits::network};

/// How long a failure counts: from the first of a window.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// How long somebody waits for a place; bcrypt's turn is waited for as well.
const MAX_WAIT: Duration = Duration::from_secs(3);

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

/// The failures that are left since `began`; closed when there are none.
#[derive(Debug)]
struct Window {
    began: Instant,
    left: Arc<Semaphore>,
    most: usize,
    failures: AtomicUsize,
}

impl Window {
    fn new(most: u32) -> Arc<Self> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let most = most.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            began: Instant::now(),
            left: Arc::new(Semaphore::new(most)),
            most,
            failures: AtomicUsize::new(0),
        })
    }

    /// Takes a place, as soon as there is one.
    async fn begin(self: Arc<Self>) -> Result<Place, ApiError> {
        match Arc::clone(&self.left).acquire_owned().await {
            Ok(permit) => Ok(Place {
                window: self,
                permit,
            }),
            Err(_) => {
                let wait = WINDOW.saturating_sub(self.began.elapsed());
                Err(ApiError::rate_limited(wait))
            }
        }
    }
}

/// A failure that may still happen; dropped, it is given back.
#[derive(Debug)]
struct Place {
    window: Arc<Window>,
    permit: OwnedSemaphorePermit,
}

impl Place {
    fn failed(self) {
        self.permit.forget();
        let before = self.window.failures.fetch_add(1, Ordering::SeqCst);
        if before + 1 >= self.window.most {
            // Whoever waits is told.
            self.window.left.close();
        }
    }
}

/// A login whose end is open; when it is dropped it was none that counts.
#[derive(Debug)]
pub struct Attempt {
    places: Vec<Place>,
}

impl Attempt {
    /// The password was wrong, or there is no such account: it counts.
    pub fn failed(self) {
        self.places.into_iter().for_each(Place::failed);
    }
}

/// Counts failed logins.
#[derive(Debug, Clone)]
pub struct LoginFailures {
    most: Option<u32>,
    windows: Cache<Suspect, Arc<Window>>,
    waiting: Arc<Semaphore>,
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
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }
    }

    /// Begins an attempt to log in with an address in lower case, once there is room for its failure.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the time after which they may try again, when the account or the
    /// address has failed too often; `UNAVAILABLE` when too many are under way for too long.
    pub async fn begin(&self, email: &str, addr: IpAddr) -> Result<Attempt, ApiError> {
        let too_many = || ApiError::unavailable("too many logins at once");
        let _waiting = self.waiting.try_acquire().map_err(|_| too_many())?;
        let beginning = async {
            let mut places = Vec::new();
            for (suspect, most) in self.suspects(email, addr) {
                let window = self.windows.get_with(suspect, || Window::new(most));
                places.push(window.begin().await?);
            }
            Ok(Attempt { places })
        };
        timeout(MAX_WAIT, beginning).await.map_err(|_| too_many())?
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
                // In this order: who waits for his address takes no place of an account.
                vec![address, (Suspect::Account(account), most)]
            }
            false => vec![address],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;
    use crate::error::Code;

    fn code(begun: Result<Attempt, ApiError>) -> Option<Code> {
        begun.err().map(|error| error.code)
    }

    async fn fail(failures: &LoginFailures, email: &str, addr: IpAddr) {
        failures.begin(email, addr).await.expect("room").failed();
    }

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[tokio::test]
    async fn an_account_and_an_address_have_their_own_counts() {
        let failures = LoginFailures::new(Some(2));
        fail(&failures, "a@example.com", HOME).await;
        fail(&failures, "a@example.com", HOME).await;
        let refused = failures.begin("a@example.com", AWAY).await;
        assert_eq!(code(refused), Some(Code::RateLimited));
        for n in 0..18 {
            fail(&failures, &format!("{n}@example.com"), HOME).await;
        }
        let refused = failures.begin("b@example.com", HOME).await;
        assert_eq!(code(refused), Some(Code::RateLimited), "20 of the address");
        assert_eq!(code(failures.begin("b@example.com", AWAY).await), None);
    }

    #[tokio::test]
    async fn an_ipv6_network_is_one_address() {
        let failures = LoginFailures::new(Some(1));
        for n in 0..10 {
            let addr = format!("2001:db8::{n}:1").parse().expect("an address");
            fail(&failures, &format!("{n}@example.com"), addr).await;
        }
        let check = async |addr: &str, expected: Option<Code>| {
            let addr = addr.parse().expect("an address");
            let begun = failures.begin("a@example.com", addr).await;
            assert_eq!(code(begun), expected, "{addr}");
        };
        check("2001:db8::ffff", Some(Code::RateLimited)).await;
        check("2001:db8:0:1::1", None).await;
    }

    #[tokio::test]
    async fn only_failures_count_in_the_end() {
        let failures = LoginFailures::new(Some(1));
        for _ in 0..5 {
            failures.begin("a@example.com", HOME).await.expect("room");
        }
        fail(&failures, "a@example.com", HOME).await;
        let refused = failures.begin("a@example.com", HOME).await;
        assert_eq!(code(refused), Some(Code::RateLimited));
    }

    #[tokio::test]
    async fn while_those_under_way_may_be_right_the_others_wait() {
        let failures = LoginFailures::new(Some(1));
        let first = failures.begin("a@example.com", HOME).await.expect("room");
        let mut second = pin!(failures.begin("a@example.com", HOME));
        let mut third = pin!(failures.begin("a@example.com", HOME));
        assert!((&mut second).now_or_never().is_none(), "it is judged too");
        assert!((&mut third).now_or_never().is_none(), "it is judged too");
        drop(first);
        let second = second.await.expect("the first was right");
        assert!((&mut third).now_or_never().is_none(), "it is judged too");
        second.failed();
        assert_eq!(code(third.await), Some(Code::RateLimited));
    }

    #[tokio::test]
    async fn who_is_refused_leaves_no_count() {
        let failures = LoginFailures::new(Some(1));
        fail(&failures, "a@example.com", HOME).await;
        for _ in 0..20 {
            failures
                .begin("a@example.com", AWAY)
                .await
                .expect_err("locked");
        }
        for n in 0..10 {
            fail(&failures, &format!("{n}@example.com"), AWAY).await;
        }
    }

    #[tokio::test]
    async fn a_name_that_is_too_long_for_an_account_takes_no_room() {
        let failures = LoginFailures::new(Some(1));
        for n in 0..5 {
            fail(&failures, &format!("{n}{}", "x".repeat(60_000)), HOME).await;
        }
        failures.windows.run_pending_tasks();
        assert_eq!(failures.windows.entry_count(), 1, "the address");
    }

    #[tokio::test]
    async fn nothing_is_counted_without_a_limit() {
        let failures = LoginFailures::new(None);
        for _ in 0..100 {
            fail(&failures, "a@example.com", HOME).await;
        }
    }
}
