//! What the actors of this process do at one moment, for operators: `/debug/actors` and `top`.
//!
//! Whoever is asked has [`ASK_TIMEOUT`]: an actor that is stuck shows by not answering, and how
//! much waits for it is known without asking it.

use std::time::Duration;

use futures_util::future::{join, join_all};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    Reference, Slices,
    kafka_bridge::KafkaBridge,
    mailbox::Mailbox,
    persistor::PersistorActor,
    presence::{PresenceHandle, PresenceState},
    room::{GetState, RoomActor, RoomState},
    room_registry::{DescribeSlice, RoomRegistry, SliceState, SocketState},
};
use crate::{
    clock::Timestamp,
    ids::RoomId,
    metrics::{self, ActorKind, ActorTotals},
};

/// How long an actor has to answer.
const ASK_TIMEOUT: Duration = Duration::from_millis(250);

/// Mailboxes and sockets that are listed one by one.
const LARGEST: usize = 10;

/// What is asked for a snapshot.
#[derive(Clone)]
pub struct Inspector {
    pub slices: Slices,
    /// `None` on a worker.
    pub presence: Option<PresenceHandle>,
    pub bridge: Reference<KafkaBridge>,
    /// None on a gateway.
    pub persistors: Vec<Reference<PersistorActor>>,
}

/// The actors at one moment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    pub taken_at: Timestamp,
    pub version: &'static str,
    /// What was counted of each type since the process began.
    pub actors: Vec<ActorTotals>,
    pub slices: Vec<Slice>,
    /// `None` on a worker, and where it did not answer in time.
    pub presence: Option<PresenceState>,
    /// The fullest first; empty ones are not listed.
    pub largest_mailboxes: Vec<MailboxState>,
    /// Rooms with the most in their mailbox, then the most sockets.
    pub rooms: Vec<Room>,
    /// Sockets for which most waits.
    pub slowest_sockets: Vec<SocketState>,
}

/// One HTTP worker thread's registry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    pub mailbox_depth: usize,
    /// `None` where it did not answer in time.
    pub state: Option<SliceTotals>,
}

/// What a registry has.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SliceTotals {
    pub sockets: usize,
    pub authenticated: usize,
    pub rooms: usize,
    pub draining: bool,
}

/// One mailbox.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MailboxState {
    pub actor: &'static str,
    /// Which one of its type: a room or a socket, or a number.
    pub id: String,
    pub mailbox_depth: usize,
}

/// One room on one slice.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    pub id: RoomId,
    pub mailbox_depth: usize,
    /// `None` where it did not answer in time.
    pub state: Option<RoomState>,
}

impl Inspector {
    /// Asks all of them, side by side.
    pub async fn snapshot(&self) -> Snapshot {
        let registries = self.slices.all();
        let asked = registries.iter().map(describe);
        let (states, presence) = join(join_all(asked), self.presence_state()).await;
        let mut mailboxes = self.singles();
        let mut rooms = Vec::new();
        let mut sockets = Vec::new();
        let mut slices = Vec::new();
        for (number, (registry, state)) in registries.iter().zip(states).enumerate() {
            mailboxes.push(mailbox(ActorKind::RoomRegistry, number, registry.depth()));
            slices.push(Slice {
                mailbox_depth: registry.depth(),
                state: state.as_ref().map(|state| state.totals),
            });
            let state = state.unwrap_or_default();
            rooms.extend(state.rooms);
            sockets.extend(state.sockets);
        }
        let rooms = largest(
            join_all(rooms.into_iter().map(ask_room)).await,
            |room: &Room| {
                (
                    room.mailbox_depth,
                    room.state.as_ref().map_or(0, |state| state.attached),
                )
            },
        );
        let of_rooms = rooms
            .iter()
            .map(|it| mailbox(ActorKind::Room, it.id, it.mailbox_depth));
        mailboxes.extend(of_rooms);
        let of_sockets = sockets.iter();
        mailboxes.extend(
            of_sockets.map(|it| mailbox(ActorKind::Session, it.session_id, it.mailbox_depth)),
        );
        mailboxes.retain(|it| it.mailbox_depth > 0);
        Snapshot {
            taken_at: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION"),
            actors: metrics::get().actors(),
            slices,
            presence,
            largest_mailboxes: largest(mailboxes, |it| it.mailbox_depth),
            rooms,
            slowest_sockets: largest(sockets, |it| it.waiting_bytes),
        }
    }

    async fn presence_state(&self) -> Option<PresenceState> {
        let presence = self.presence.as_ref()?;
        timeout(ASK_TIMEOUT, presence.state()).await.ok()?
    }

    /// The mailboxes of actors of which there are one or a few.
    fn singles(&self) -> Vec<MailboxState> {
        let mut singles = vec![mailbox(
            ActorKind::KafkaBridge,
            0,
            self.bridge.get().depth(),
        )];
        let presence = self.presence.iter();
        singles.extend(presence.map(|it| mailbox(ActorKind::Presence, 0, it.depth())));
        let persistors = self.persistors.iter().enumerate();
        singles
            .extend(persistors.map(|(at, it)| mailbox(ActorKind::Persistor, at, it.get().depth())));
        singles
    }
}

fn mailbox(kind: ActorKind, id: impl ToString, mailbox_depth: usize) -> MailboxState {
    MailboxState {
        actor: kind.name(),
        id: id.to_string(),
        mailbox_depth,
    }
}

async fn describe(registry: &Mailbox<RoomRegistry>) -> Option<SliceState> {
    let asked = registry.send(DescribeSlice);
    timeout(ASK_TIMEOUT, asked).await.ok()?.ok()
}

async fn ask_room((id, room): (RoomId, Mailbox<RoomActor>)) -> Room {
    let mailbox_depth = room.depth();
    let asked = timeout(ASK_TIMEOUT, room.send(GetState)).await;
    Room {
        id,
        mailbox_depth,
        state: asked.ok().and_then(Result::ok),
    }
}

/// Keeps those that have most of something, the first of all first.
pub(super) fn largest<T, K: Ord>(mut all: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    all.sort_by_key(|it| std::cmp::Reverse(key(it)));
    all.truncate(LARGEST);
    all
}
