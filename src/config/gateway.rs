//! What a gateway runs with, whatever its adapters.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;

use super::{Settings, keys, parse, tls};
use crate::tls::ServerTls;

/// `joinRoom` of a socket in the long run.
const JOINS_PER_S: u32 = 10;

/// Other frames of a socket in the long run.
const FRAMES_PER_S: u32 = 2;

/// What a gateway runs with.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    pub http: HttpConfig,
    pub tokens: TokenConfig,
    pub limits: LimitConfig,
}

/// Addresses and who may talk to them.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `BIND_ADDR` and `PORT`; port 0 for any.
    pub bind_addr: SocketAddr,
    /// `TLS_CERT` and `TLS_KEY`; `None` for plain HTTP.
    pub tls: Option<ServerTls>,
    /// `METRICS_ADDR`; `None` for off.
    pub metrics_addr: Option<SocketAddr>,
    /// Whether metrics may go to any free port when theirs is taken: in `dev`, unless it was set.
    pub metrics_may_move: bool,
    /// `CORS_ORIGINS`; empty for the same origin only.
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`: networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// How tokens are signed and passwords hashed.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// `JWT_EXPIRES_IN`, from 1 s.
    pub expires_in: Duration,
    /// `JWT_SECRET_PREVIOUS`, still accepted.
    pub previous_secret: Option<SecretString>,
    /// `BCRYPT_COST`, 4 to 14.
    pub bcrypt_cost: u32,
}

/// The limits that are settings. `None` switches a limit off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitConfig {
    /// `LIMIT_SEND_BURST` and `LIMIT_SEND_PER_S`: sends of a user, on this gateway.
    pub sends: Option<Rate>,
    /// `LIMIT_JOIN_BURST`: `joinRoom` of a socket, 10 a second.
    pub joins: Option<Rate>,
    /// `LIMIT_FRAME_BURST`: other frames of a socket, 2 a second.
    pub frames: Option<Rate>,
    /// `LIMIT_SOCKETS_PER_USER`: of a user, on this gateway.
    pub sockets_per_user: Option<u32>,
    /// `LIMIT_LOGIN_FAILURES`: of an account in 15 minutes; ten times as many of an address.
    pub login_failures: Option<u32>,
    /// `LIMIT_HANDSHAKES_PER_S`: WebSocket handshakes of an address.
    pub handshakes_per_s: Option<u32>,
}

/// A token bucket: `burst` at once, `per_second` in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub per_second: u32,
}

impl Rate {
    /// Makes a bucket; either 0 switches the limit off.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Option<Self> {
        (burst > 0 && per_second > 0).then_some(Self { burst, per_second })
    }
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            sends: Rate::new(20, 10),
            joins: Rate::new(1_000, JOINS_PER_S),
            frames: Rate::new(120, FRAMES_PER_S),
            sockets_per_user: Some(20),
            login_failures: Some(10),
            handshakes_per_s: Some(200),
        }
    }
}

impl GatewayConfig {
    pub(super) fn read(
        settings: &mut Settings,
        previous_secret: Option<SecretString>,
    ) -> Option<Self> {
        let http = HttpConfig::read(settings);
        let tokens = TokenConfig::read(settings, previous_secret);
        let limits = LimitConfig::read(settings);
        Some(Self {
            http: http?,
            tokens: tokens?,
            limits: limits?,
        })
    }
}

impl HttpConfig {
    fn read(settings: &mut Settings) -> Option<Self> {
        let port = settings.read(&keys::PORT, parse::port);
        let ip = settings.read(&keys::BIND_ADDR, parse::ip);
        let tls = tls::server(settings);
        let metrics_addr = settings.read(&keys::METRICS_ADDR, parse::metrics_addr);
        let cors_origins = settings.read_optional(&keys::CORS_ORIGINS, parse::origins);
        let trusted_proxies = settings.read_optional(&keys::TRUSTED_PROXIES, parse::networks);
        Some(Self {
            bind_addr: SocketAddr::new(ip?, port?),
            tls: tls?,
            metrics_addr: metrics_addr?,
            metrics_may_move: settings.is_dev_default(&keys::METRICS_ADDR),
            cors_origins: cors_origins?.unwrap_or_default(),
            trusted_proxies: trusted_proxies?.unwrap_or_default(),
        })
    }
}

impl TokenConfig {
    /// Reads how tokens are signed; `None` says that a problem was noted.
    pub fn read(settings: &mut Settings, previous_secret: Option<SecretString>) -> Option<Self> {
        let expires_in = settings.read(&keys::JWT_EXPIRES_IN, parse::expires_in);
        let bcrypt_cost = settings.read(&keys::BCRYPT_COST, parse::within(4..=14));
        Some(Self {
            expires_in: expires_in?,
            previous_secret,
            bcrypt_cost: bcrypt_cost?,
        })
    }
}

impl LimitConfig {
    fn read(settings: &mut Settings) -> Option<Self> {
        let mut limit = |key| settings.read(key, parse::limit);
        let send_burst = limit(&keys::LIMIT_SEND_BURST);
        let send_per_s = limit(&keys::LIMIT_SEND_PER_S);
        let join_burst = limit(&keys::LIMIT_JOIN_BURST);
        let frame_burst = limit(&keys::LIMIT_FRAME_BURST);
        let sockets = limit(&keys::LIMIT_SOCKETS_PER_USER);
        let login_failures = limit(&keys::LIMIT_LOGIN_FAILURES);
        let handshakes = limit(&keys::LIMIT_HANDSHAKES_PER_S);
        let unless_zero = |number: u32| (number > 0).then_some(number);
        Some(Self {
            sends: Rate::new(send_burst?, send_per_s?),
            joins: Rate::new(join_burst?, JOINS_PER_S),
            frames: Rate::new(frame_burst?, FRAMES_PER_S),
            sockets_per_user: unless_zero(sockets?),
            login_failures: unless_zero(login_failures?),
            handshakes_per_s: unless_zero(handshakes?),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::{Environment, Mode};

    fn limits(flags: &[(&'static str, &str)]) -> LimitConfig {
        let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        let flags: HashMap<_, _> = flags.iter().map(own).collect();
        let mut settings = Settings::new(Mode::Dev, flags, Environment::default());
        let limits = LimitConfig::read(&mut settings);
        settings.finish(limits).expect("valid")
    }

    #[test]
    fn the_table_s_defaults_are_the_struct_s() {
        assert_eq!(limits(&[]), LimitConfig::default());
    }

    #[test]
    fn zero_is_no_limit_and_either_of_a_pair_switches_it_off() {
        assert_eq!(limits(&[("LIMIT_SEND_BURST", "0")]).sends, None);
        assert_eq!(limits(&[("LIMIT_SEND_PER_S", "0")]).sends, None);
        assert_eq!(limits(&[("LIMIT_JOIN_BURST", "0")]).joins, None);
        assert_eq!(
            limits(&[("LIMIT_SOCKETS_PER_USER", "0")]).sockets_per_user,
            None
        );
        assert_eq!(limits(&[("LIMIT_SEND_PER_S", "3")]).sends, Rate::new(20, 3));
    }
}
