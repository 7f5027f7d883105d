//! The `Presence` port: who has a live socket, and the fleeting signals between gateways.
//!
//! # Contract, for every adapter
//! - A hint, never a truth that messages depend on: any call may fail, and then presence is
//!   unknown; nothing here is durable.
//! - A socket counts for [`ALIVE`] after its last touch, so that those of a dead gateway go.
//! - Signals reach every gateway, this one included, or nobody; some may be lost.

pub mod memory;

use std::time::Duration;

use tokio::sync::mpsc;

use crate::ids::{RoomId, SessionId, UserId};

/// How long a socket counts after its last heartbeat.
pub const ALIVE: Duration = Duration::from_secs(60);

/// Most signals that wait for a gateway; more are dropped.
pub const SIGNAL_CAPACITY: usize = 4_096;

/// Something worth telling now or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Typing {
        room_id: RoomId,
        user_id: UserId,
        is_typing: bool,
    },
    /// The first of the user's sockets has joined the room.
    Online { room_id: RoomId, user_id: UserId },
    /// The user's last socket has gone.
    Offline { user_id: UserId },
}

/// Presence cannot be told now.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("presence is unavailable")]
pub struct PresenceUnavailable;

/// The port: a closed set of adapters.
#[derive(Debug, Clone)]
pub enum Presence {
    Memory(memory::MemoryPresence),
}

impl Presence {
    /// Keeps sockets alive for another [`ALIVE`].
    ///
    /// # Errors
    /// When presence is unavailable.
    pub async fn touch(&self, sockets: &[(UserId, SessionId)]) -> Result<(), PresenceUnavailable> {
        match self {
            Self::Memory(presence) => presence.touch(sockets),
        }
        Ok(())
    }

    /// Removes a socket; returns whether it was the user's last.
    ///
    /// # Errors
    /// When presence is unavailable.
    pub async fn leave(
        &self,
        user_id: UserId,
        session_id: SessionId,
    ) -> Result<bool, PresenceUnavailable> {
        match self {
            Self::Memory(presence) => Ok(presence.leave(user_id, session_id)),
        }
    }

    /// Returns for each user whether it has a live socket.
    ///
    /// # Errors
    /// When presence is unavailable.
    pub async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, PresenceUnavailable> {
        match self {
            Self::Memory(presence) => {
                Ok(users.iter().map(|user| presence.is_online(*user)).collect())
            }
        }
    }

    /// Removes the sockets whose time has run out; returns the users who have none left.
    ///
    /// # Errors
    /// When presence is unavailable.
    pub async fn expire(&self) -> Result<Vec<UserId>, PresenceUnavailable> {
        match self {
            Self::Memory(presence) => Ok(presence.expire()),
        }
    }

    /// Sends a signal to every gateway.
    pub async fn signal(&self, signal: Signal) {
        match self {
            Self::Memory(presence) => presence.signal(signal),
        }
    }

    /// Subscribes to the signals of every gateway; one subscriber, the last one wins.
    pub fn signals(&self) -> mpsc::Receiver<Signal> {
        match self {
            Self::Memory(presence) => presence.signals(),
        }
    }
}
