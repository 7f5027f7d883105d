//! The actors: who they are, whom they may ask, and what happens on a full mailbox.
//!
//! | rank | actor | how many | asks | tells | mailbox | when it is full |
//! |---|---|---|---|---|---|---|
//! | 0 | [`session::SessionActor`] | one per socket | registry, room, bridge | registry, presence | 64 | the socket is cut and resumes by seq |
//! | 1 | [`room::RoomActor`] | one per room with local sockets | Store | presence | 256 | the room is marked behind and reads the hole from the store |
//! | 2 | [`room_registry::RoomRegistry`] | one per slice | Store | rooms, sessions, registries, presence | 8,192 | the bridge waits; signals are dropped |
//! | 3 | [`presence::PresenceActor`] | one per gateway | Presence port | registries | 1,024 | dropped: deadlines heal it |
//! | 4 | [`kafka_bridge::KafkaBridge`] | one | persistors, MessageLog port | registries | 4,096 | the send is refused, retryable |
//! | 5 | [`persistor::PersistorActor`] | N, partition modulo N | Store | – | 4 | the bridge waits |
//!
//! *Ask* only a larger rank: waits then form no cycle. The bridge waits for a registry to take a
//! batch, and for nothing that the registry waits for. *Tell* whom you like: nobody waits, and a
//! full mailbox costs what the table says. What sessions and rooms tell upwards (a socket opened,
//! closed, joined a room, types) is dropped there, and a sweep or a deadline heals it.
//! `do_send` ignores mailbox bounds; its one use is [`supervision::ChildDown`].

pub mod kafka_bridge;
pub mod mailbox;
pub mod persistor;
pub mod presence;
pub mod room;
pub mod room_registry;
pub mod session;
pub mod snapshot;
pub mod supervision;

use std::sync::{Arc, PoisonError, RwLock};

use actix::Addr;
use arc_swap::ArcSwap;

use mailbox::{Counted, Mailbox};
use room_registry::RoomRegistry;

/// The mailbox of a supervised actor, replaced when the actor is built anew.
#[derive(Debug)]
pub struct Reference<A: actix::Actor>(Arc<ArcSwap<Mailbox<A>>>);

impl<A: actix::Actor> Clone for Reference<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Counted> Reference<A> {
    /// Points to a running actor.
    #[must_use]
    pub fn new(addr: Addr<A>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Mailbox::new(addr))))
    }

    /// Returns the mailbox of the actor as it runs now.
    #[must_use]
    pub fn get(&self) -> Arc<Mailbox<A>> {
        self.0.load_full()
    }

    /// Points to the actor's successor.
    pub fn replace(&self, addr: Addr<A>) {
        self.0.store(Arc::new(Mailbox::new(addr)));
    }
}

/// The registries of this process, one for each slice (HTTP worker thread).
#[derive(Debug, Clone, Default)]
pub struct Slices(Arc<RwLock<Vec<Mailbox<RoomRegistry>>>>);

impl Slices {
    /// Adds the registry of a slice that starts.
    pub fn add(&self, registry: Mailbox<RoomRegistry>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(registry);
    }

    /// Returns the registries that run.
    #[must_use]
    pub fn all(&self) -> Vec<Mailbox<RoomRegistry>> {
        let registries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        registries
            .iter()
            .filter(|addr| addr.connected())
            .cloned()
            .collect()
    }
}
