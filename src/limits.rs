//! How much a user, an address and a socket may do: token buckets, and sockets counted.
//!
//! What is limited per user and gateway is shared by all slices; the rest belongs to one socket.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

use crate::{
    config::{LimitConfig, Rate},
    ids::UserId,
};

/// Pings, pongs and closes that a socket may send: a burst, and a second.
const CONTROL_FRAMES: Rate = Rate {
    burst: 120,
    per_second: 20,
};

/// Least time that a refusal names, so that none says "now".
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// TLS handshakes of an address for each WebSocket handshake that it has: REST needs some too, and
/// who opens sockets too fast is told so.
const TLS_HANDSHAKES: u32 = 2;

/// Buckets of addresses.
type AddressBucket = DefaultKeyedRateLimiter<IpAddr>;

/// What is limited across the sockets of a user or an address.
#[derive(Debug)]
pub struct Limits {
    config: LimitConfig,
    sends: Option<DefaultKeyedRateLimiter<UserId>>,
    handshakes: Option<AddressBucket>,
    tls_handshakes: Option<AddressBucket>,
    sockets: Mutex<HashMap<UserId, u32>>,
}

impl Limits {
    /// Makes empty buckets of the configured sizes.
    #[must_use]
    pub fn new(config: LimitConfig) -> Arc<Self> {
        let handshakes = |times: u32| {
            let rate = config.handshakes_per_s?.saturating_mul(times);
            Rate::new(rate, rate).map(|rate| RateLimiter::keyed(quota(rate)))
        };
        Arc::new(Self {
            config,
            sends: config.sends.map(|rate| RateLimiter::keyed(quota(rate))),
            handshakes: handshakes(1),
            tls_handshakes: handshakes(TLS_HANDSHAKES),
            sockets: Mutex::default(),
        })
    }

    /// Returns the configured sizes.
    #[must_use]
    pub fn config(&self) -> &LimitConfig {
        &self.config
    }

    /// Counts a send of a user, on WebSocket or REST.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub fn check_send(&self, user_id: UserId) -> Result<(), Duration> {
        self.sends.as_ref().map_or(Ok(()), |bucket| {
            bucket.check_key(&user_id).map_err(wait::<DefaultClock>)
        })
    }

    /// Counts a WebSocket handshake of an address, or of its network.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub fn check_handshake(&self, addr: IpAddr) -> Result<(), Duration> {
        check_address(self.handshakes.as_ref(), addr)
    }

    /// Counts a TLS handshake of an address, or of its network.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub fn check_tls_handshake(&self, addr: IpAddr) -> Result<(), Duration> {
        check_address(self.tls_handshakes.as_ref(), addr)
    }

    /// Counts a socket of a user for as long as the permit lives; `None` when there are too many.
    pub fn open_socket(self: &Arc<Self>, user_id: UserId) -> Option<SocketPermit> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sockets.entry(user_id).or_insert(0);
        if self
            .config
            .sockets_per_user
            .is_some_and(|most| *count >= most)
        {
            return None;
        }
        *count += 1;
        Some(SocketPermit {
            limits: Arc::clone(self),
            user_id,
        })
    }

    /// Forgets users and addresses whose buckets are full again; called by a timer.
    pub fn forget_idle(&self) {
        if let Some(bucket) = &self.sends {
            bucket.retain_recent();
        }
        for bucket in [&self.handshakes, &self.tls_handshakes] {
            bucket.iter().for_each(AddressBucket::retain_recent);
        }
    }
}

/// A counted socket; dropping it makes room for another.
#[derive(Debug)]
pub struct SocketPermit {
    limits: Arc<Limits>,
    user_id: UserId,
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        let mut sockets = self
            .limits
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sockets.get_mut(&self.user_id) {
            *count -= 1;
            if *count == 0 {
                sockets.remove(&self.user_id);
            }
        }
    }
}

/// One bucket. Its clock has no state: the default one would be most of a bucket's memory.
type Bucket = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Instant>>;

/// What is limited on one socket.
#[derive(Debug)]
pub struct SocketLimits {
    joins: Option<Bucket>,
    frames: Option<Bucket>,
    control: Bucket,
}

impl SocketLimits {
    /// Makes full buckets of the configured sizes.
    #[must_use]
    pub fn new(config: &LimitConfig) -> Self {
        Self {
            joins: config.joins.map(bucket),
            frames: config.frames.map(bucket),
            control: bucket(CONTROL_FRAMES),
        }
    }

    /// Counts a `joinRoom`.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub fn check_join(&self) -> Result<(), Duration> {
        self.joins.as_ref().map_or(Ok(()), |bucket| {
            bucket.check().map_err(wait::<MonotonicClock>)
        })
    }

    /// Counts a frame that is neither a send nor a join.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub fn check_frame(&self) -> Result<(), Duration> {
        self.frames.as_ref().map_or(Ok(()), |bucket| {
            bucket.check().map_err(wait::<MonotonicClock>)
        })
    }

    /// Counts a ping or pong.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub fn check_control(&self) -> Result<(), Duration> {
        self.control.check().map_err(wait::<MonotonicClock>)
    }
}

/// Returns what stands for whoever has an address: of IPv6 the network of 64 bits, in which a
/// single machine has any address it likes.
#[must_use]
pub fn network(addr: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match addr.to_canonical() {
        IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() & NETWORK).into(),
        addr => addr,
    }
}

fn check_address(bucket: Option<&AddressBucket>, addr: IpAddr) -> Result<(), Duration> {
    bucket.map_or(Ok(()), |bucket| {
        let counted = bucket.check_key(&network(addr));
        counted.map_err(wait::<DefaultClock>)
    })
}

fn quota(rate: Rate) -> Quota {
    let of = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(of(rate.per_second)).allow_burst(of(rate.burst))
}

fn bucket(rate: Rate) -> Bucket {
    RateLimiter::direct_with_clock(quota(rate), MonotonicClock)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn wait<C: Clock + Default>(refusal: NotUntil<C::Instant>) -> Duration {
    // The bucket may have filled meanwhile; a refusal still names a time to wait.
    let wait = refusal.wait_time_from(C::default().now());
    wait.max(SHORTEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_refused_with_a_wait() {
        let limits = Limits::new(LimitConfig::default());
        let rate = limits.config().sends.expect("a limit");
        let (began, user) = (Instant::now(), UserId::random());
        let mut allowed = 0_u32;
        let wait = loop {
            match limits.check_send(user) {
                Ok(()) => allowed += 1,
                Err(wait) => break wait,
            }
            assert!(allowed < 1_000, "nothing is refused");
        };
        // The bucket fills meanwhile, so that more than the burst are allowed to who is slow.
        let filled = began.elapsed().as_secs_f64() * f64::from(rate.per_second) + 1.0;
        let more = f64::from(allowed) - f64::from(rate.burst);
        assert!((0.0..=filled).contains(&more), "{allowed}");
        assert!(wait > Duration::ZERO);
        assert!(limits.check_send(UserId::random()).is_ok(), "another user");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let limits = Limits::new(LimitConfig {
            handshakes_per_s: Some(1),
            ..LimitConfig::default()
        });
        let check = |addr: &str, is_allowed: bool| {
            let addr = addr.parse().expect("an address");
            assert_eq!(limits.check_handshake(addr).is_ok(), is_allowed, "{addr}");
        };
        check("2001:db8::1", true);
        check("2001:db8::1:2:3:4", false);
        check("2001:db8:0:1::1", true);
        check("192.0.2.1", true);
        check("::ffff:192.0.2.1", false);
        check("192.0.2.2", true);
    }

    #[test]
    fn tls_has_buckets_of_its_own_twice_as_large() {
        let limits = Limits::new(LimitConfig {
            handshakes_per_s: Some(1),
            ..LimitConfig::default()
        });
        let addr = "192.0.2.1".parse().expect("an address");
        let taken = [(); 3].map(|()| limits.check_tls_handshake(addr).is_ok());
        assert_eq!(taken, [true, true, false]);
        assert!(limits.check_handshake(addr).is_ok());
        let off = Limits::new(LimitConfig {
            handshakes_per_s: None,
            ..LimitConfig::default()
        });
        assert!((0..1_000).all(|_| off.check_tls_handshake(addr).is_ok()));
    }

    #[test]
    fn sockets_are_counted_while_they_live() {
        let limits = Limits::new(LimitConfig {
            sockets_per_user: Some(2),
            ..LimitConfig::default()
        });
        let user = UserId::random();
        let first = limits.open_socket(user);
        let second = limits.open_socket(user);
        assert!(first.is_some() && second.is_some());
        assert!(limits.open_socket(user).is_none());
        drop(first);
        assert!(limits.open_socket(user).is_some());
    }

    #[test]
    fn zero_switches_a_limit_off() {
        let limits = Limits::new(LimitConfig {
            sends: Rate::new(0, 10),
            sockets_per_user: None,
            ..LimitConfig::default()
        });
        let user = UserId::random();
        assert!((0..1_000).all(|_| limits.check_send(user).is_ok()));
    }
}
