//! The configuration after it was checked: one struct a concern. `cli.rs` reads it from flags,
//! environment and `.env`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;

/// Everything that `dev` runs with.
#[derive(Debug, Clone)]
pub struct DevConfig {
    /// Where the embedded database, log and secret lie; `None` for a temporary folder.
    pub data_dir: Option<PathBuf>,
    pub gateway: GatewayConfig,
}

/// What a gateway runs with, whatever its adapters.
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
    /// `METRICS_ADDR`; `None` for off.
    pub metrics_addr: Option<SocketAddr>,
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
            joins: Rate::new(1_000, 10),
            frames: Rate::new(120, 2),
            sockets_per_user: Some(20),
            login_failures: Some(10),
            handshakes_per_s: Some(200),
        }
    }
}
