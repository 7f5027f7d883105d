//! The `Presence` port: who has a live socket, and the fleeting signals between gateways.
//!
//! # Contract, for every adapter
//! - A hint, never a truth that messages depend on: any call may fail, and then presence is
//!   unknown; nothing here is durable. No call takes longer than [`CALL_TIMEOUT`].
//! - A socket counts for [`ALIVE`] after its last heartbeat, so that those of a dead gateway go.
//! - That a user's first socket has come, or that the last has gone or run out, is told to one
//!   caller alone, of all gateways.
//! - Signals reach every gateway, this one included, or nobody; those of one call stay in order;
//!   some may be lost. A subscriber hears [`Signal::Hello`] when it may have missed some.

pub mod memory;
mod signal;
#[cfg(test)]
pub(crate) mod suite;
pub mod valkey;

use std::time::Duration;

use tokio::sync::mpsc;

pub use signal::{Present, Signal};

use crate::{
    ids::{SessionId, UserId},
    metrics::PoolUse,
};

/// How long a socket counts after its last heartbeat.
pub const ALIVE: Duration = Duration::from_secs(60);

/// How long a call may take, waiting for a connection included.
pub const CALL_TIMEOUT: Duration = Duration::from_millis(200);

/// Most signals that wait for a gateway; more are dropped.
pub const SIGNAL_CAPACITY: usize = 4_096;

/// A socket that is open, and when it was last heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    pub user_id: UserId,
    pub session_id: SessionId,
    /// Time since its last frame.
    pub silent_for: Duration,
}

/// What a sweep finds of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// A socket lives, and without a heartbeat will for so long.
    Live { expires_in: Duration },
    /// The last socket has run out; only one caller is told.
    RanOut,
    /// Nothing is known: the sockets have gone, another caller was told, or memory was lost.
    Absent,
}

/// Presence cannot be told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("presence is unavailable")]
pub struct PresenceUnavailable;

/// The port: a closed set of adapters.
#[derive(Debug, Clone)]
pub enum Presence {
    Memory(memory::MemoryPresence),
    Valkey(valkey::ValkeyPresence),
}

impl Presence {
    /// Keeps sockets alive for [`ALIVE`] after their last heartbeat; returns the users who had
    /// none before.
    ///
    /// # Errors
    /// When presence is unavailable.
    pub async fn touch(&self, sockets: &[Heartbeat]) -> Result<Vec<UserId>, PresenceUnavailable> {
        match self {
            Self::Memory(presence) => Ok(presence.touch(sockets)),
            Self::Valkey(presence) => presence.touch(sockets).await,
        }
    }

    /// Removes sockets; returns the users whose last one was among them.
    ///
    /// # Errors
    /// When presence is unavailable.
    pub async fn leave(
        &self,
        sockets: &[(UserId, SessionId)],
    ) -> Result<Vec<UserId>, PresenceUnavailable> {
        match self {
            Self::Memory(presence) => Ok(presence.leave(sockets)),
            Self::Valkey(presence) => presence.leave(sockets).await,
        }
    }

    /// Returns for each user whether it has a live socket.
    ///
    /// # Errors
    /// When presence is unavailable.
    pub async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, PresenceUnavailable> {
        match self {
            Self::Memory(presence) => Ok(presence.online(users)),
            Self::Valkey(presence) => presence.online(users).await,
        }
    }

    /// Removes what has run out of these users; returns what each has left.
    ///
    /// # Errors
    /// When presence is unavailable.
    pub async fn expire(&self, users: &[UserId]) -> Result<Vec<Life>, PresenceUnavailable> {
        match self {
            Self::Memory(presence) => Ok(presence.expire(users)),
            Self::Valkey(presence) => presence.expire(users).await,
        }
    }

    /// Sends signals to every gateway, in order.
    ///
    /// # Errors
    /// When presence is unavailable; some may have been sent.
    pub async fn signal(&self, signals: &[Signal]) -> Result<(), PresenceUnavailable> {
        match self {
            Self::Memory(presence) => {
                presence.signal(signals);
                Ok(())
            }
            Self::Valkey(presence) => presence.signal(signals).await,
        }
    }

    /// Subscribes to the signals of every gateway; one subscriber, the last one wins.
    pub fn signals(&self) -> mpsc::Receiver<Signal> {
        match self {
            Self::Memory(presence) => presence.signals(),
            Self::Valkey(presence) => presence.signals(),
        }
    }

    /// Returns how its connections are used; `None` for an adapter that has none.
    #[must_use]
    pub fn pool(&self) -> Option<PoolUse> {
        match self {
            Self::Memory(_) => None,
            Self::Valkey(presence) => Some(presence.pool()),
        }
    }

    /// Returns whether presence is known now.
    pub async fn is_healthy(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Valkey(presence) => presence.is_healthy().await,
        }
    }
}
