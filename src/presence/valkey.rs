//! Presence of all gateways, in Valkey: a hash for each user, and one channel for the signals.
//!
//! Keys and channel are part of the contract. Valkey that is down or hangs costs nobody anything:
//! a call has [`CALL_TIMEOUT`], after a few without an answer all fail at once, and a probe beside
//! them finds out when it is back. Nothing is waited for at start either.

mod breaker;
mod fault;
mod scripts;
mod subscription;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::private::PrivateValkey;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use deadpool_redis::{
    Manager, Pool, PoolConfig, Runtime, Timeouts,
    redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection, cmd, pipe},
};
use secrecy::ExposeSecret;
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{sleep, timeout},
};

use self::{breaker::Breaker, fault::Fault, scripts::Scripts};
use super::{CALL_TIMEOUT, Heartbeat, Life, PresenceUnavailable, SIGNAL_CAPACITY, Signal};
use crate::{
    config::RedisConfig,
    ids::{SessionId, UserId},
    metrics::PoolUse,
    tls,
};

/// The channel of the signals.
const CHANNEL: &str = "roomcast:signals";

/// Connections for calls; the subscription has its own.
const CONNECTIONS: usize = 8;

/// Least and most time between two tries to reach a Valkey that is away.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Why Valkey cannot be used at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The URL itself is not told: it may hold a password.
    #[error("`REDIS_URL` is not a URL of Valkey")]
    BadUrl,
    #[error("the pool of connections cannot be made")]
    NoPool,
}

/// A handle to Valkey; clones share the connections.
#[derive(Debug, Clone)]
pub struct ValkeyPresence(Arc<Shared>);

struct Shared {
    client: Client,
    pool: Pool,
    scripts: Scripts,
    breaker: Breaker,
    /// How long a call may take, waiting for a connection included.
    patience: Duration,
    /// The task that hears the channel for the last subscriber.
    subscription: Mutex<Option<AbortHandle>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Shared");
        shown
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

impl ValkeyPresence {
    /// Makes a handle; connects when it is first used.
    ///
    /// # Errors
    /// When the URL is not one of Valkey.
    pub fn open(config: &RedisConfig) -> Result<Self, OpenError> {
        Self::open_with(config, CALL_TIMEOUT)
    }

    fn open_with(config: &RedisConfig, patience: Duration) -> Result<Self, OpenError> {
        let url = config.url.expose_secret();
        let client = tls::valkey(url, config.authorities.as_ref());
        let client = client.map_err(|_| OpenError::BadUrl)?;
        let connecting = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        let place = client.get_connection_info().clone();
        let manager = Manager::new_with_config(place, connecting).map_err(|_| OpenError::BadUrl)?;
        let pool = Pool::builder(manager)
            .config(PoolConfig {
                max_size: CONNECTIONS,
                timeouts: Timeouts {
                    wait: Some(patience),
                    create: Some(patience),
                    recycle: Some(patience),
                },
                ..PoolConfig::default()
            })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|_| OpenError::NoPool)?;
        Ok(Self(Arc::new(Shared {
            client,
            pool,
            scripts: Scripts::new(),
            breaker: Breaker::default(),
            patience,
            subscription: Mutex::default(),
        })))
    }

    pub(super) async fn touch(
        &self,
        sockets: &[Heartbeat],
    ) -> Result<Vec<UserId>, PresenceUnavailable> {
        self.call(|connection| self.0.scripts.touch(connection, sockets))
            .await
    }

    pub(super) async fn leave(
        &self,
        sockets: &[(UserId, SessionId)],
    ) -> Result<Vec<UserId>, PresenceUnavailable> {
        self.call(|connection| self.0.scripts.leave(connection, sockets))
            .await
    }

    pub(super) async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, PresenceUnavailable> {
        self.call(|connection| self.0.scripts.online(connection, users))
            .await
    }

    pub(super) async fn expire(&self, users: &[UserId]) -> Result<Vec<Life>, PresenceUnavailable> {
        self.call(|connection| self.0.scripts.expire(connection, users))
            .await
    }

    pub(super) async fn signal(&self, signals: &[Signal]) -> Result<(), PresenceUnavailable> {
        if signals.is_empty() {
            // An empty pipeline would be a fault.
            return Ok(());
        }
        let mut publishing = pipe();
        for signal in signals {
            let text = serde_json::to_string(signal).expect("a signal is plain data");
            publishing.publish(CHANNEL, text).ignore();
        }
        self.call(async |mut connection: MultiplexedConnection| {
            Ok(publishing.exec_async(&mut connection).await?)
        })
        .await
    }

    pub(super) fn signals(&self) -> mpsc::Receiver<Signal> {
        let (sender, receiver) = mpsc::channel(SIGNAL_CAPACITY);
        let hearing = tokio::spawn(subscription::hear(Arc::downgrade(&self.0), sender));
        let mut subscription = self
            .0
            .subscription
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(former) = subscription.replace(hearing.abort_handle()) {
            former.abort();
        }
        receiver
    }

    pub(super) fn pool(&self) -> PoolUse {
        PoolUse::of("valkey", self.0.pool.status())
    }

    pub(super) async fn is_healthy(&self) -> bool {
        self.call(ping).await.is_ok()
    }

    /// Makes a call, unless Valkey is known to be away.
    async fn call<'a, T, F>(
        &'a self,
        work: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, PresenceUnavailable>
    where
        F: Future<Output = Result<T, Fault>> + 'a,
    {
        let breaker = &self.0.breaker;
        if breaker.is_open() {
            return Err(PresenceUnavailable);
        }
        match self.0.try_call(work).await {
            Ok(answer) => {
                breaker.answered();
                Ok(answer)
            }
            Err(fault) => {
                self.failed(&fault);
                Err(PresenceUnavailable)
            }
        }
    }

    fn failed(&self, fault: &Fault) {
        if fault.is_an_answer() {
            log::warn!(error:% = fault; "Valkey refuses a call");
            self.0.breaker.answered();
        } else if self.0.breaker.failed() {
            log::warn!(error:% = fault; "Valkey is away: presence is unknown");
            tokio::spawn(probe(Arc::downgrade(&self.0)));
        } else {
            log::debug!(error:% = fault; "a call to Valkey failed");
        }
    }
}

impl Shared {
    /// Makes a call, whatever the breaker says.
    async fn try_call<T, F>(
        &self,
        work: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let calling = async {
            let connection = self.pool.get().await?;
            work(MultiplexedConnection::clone(&connection)).await
        };
        timeout(self.patience, calling)
            .await
            .unwrap_or(Err(Fault::TimedOut))
    }
}

async fn ping(mut connection: MultiplexedConnection) -> Result<(), Fault> {
    Ok(cmd("PING").exec_async(&mut connection).await?)
}

/// Closes the breaker when Valkey is back.
async fn probe(shared: Weak<Shared>) {
    for delay in retries() {
        sleep(delay).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if shared.try_call(ping).await.is_ok() {
            shared.breaker.close();
            log::info!("Valkey is back");
            return;
        }
    }
}

/// The times between tries, without end.
fn retries() -> ExponentialBackoff {
    let (least, most) = RETRY;
    ExponentialBuilder::default()
        .with_min_delay(least)
        .with_max_delay(most)
        .with_jitter()
        .without_max_times()
        .build()
}
