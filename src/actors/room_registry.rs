//! `RoomRegistry`: the rooms and sessions of one slice. Rank 2; one per HTTP worker thread.
//!
//! | message | from | kind | reply | when refused |
//! |---|---|---|---|---|
//! | [`RegisterSession`], [`IdentifySession`], [`SessionGone`] | SessionActor | tell | – | mailbox full: the sweep finds the socket gone, or it is cut |
//! | [`OpenRoom`] | SessionActor | ask | the room's address | mailbox full: the session waits |
//! | [`DeliverBatch`], [`ApplyEvent`] | KafkaBridge | tell | – | mailbox full: the bridge waits |
//! | [`RoomSignal`] | PresenceActor | tell | – | mailbox full: dropped |
//! | [`ChildDown`] | RoomActor | tell | – | never |
//! | [`DescribeSlice`] | operators | ask | [`SliceState`] | – |
//! | [`DrainSockets`], [`AwaitEmpty`] | server | ask | the sockets that were open; nothing, late | – |
//!
//! It also runs the slice's one sweep: pings, silent, stalled, expired and closing sockets, the
//! rooms' heads, and what an event may have failed to tell: memberships and revoked tokens. When it panics the process ends: it has no state that could be built anew.

mod describe;
mod recheck;
mod sweep;

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture,
};
use futures_util::FutureExt;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

pub use describe::{DescribeSlice, SliceState, SocketState};

use super::{
    mailbox::Mailbox,
    room::{
        ApplyRoomEvent, CheckHead, DeliverPersisted, Departed, RoomActor, RoomParts, RoomSignal,
    },
    session::{MembershipEnded, RejoinRoom, SessionActor},
    supervision::{Budget, ChildDown, Guardian, give_up},
};
use crate::{
    auth::Identity,
    event::{Event, MembershipChange},
    fanout::SharedDelivery,
    ids::{ClientMsgId, RoomId, SessionId, UserId},
    metrics::{self, ActorKind},
    outbox::{self, Outbox},
    presence::Heartbeat,
    protocol::{
        close::CloseCode,
        dialect::Broadcast,
        server::{MessageFailed, ServerEvent},
    },
};

/// Batches, events and requests that wait; the bridge waits when it is full. A storm of
/// handshakes brings two messages a socket in one turn of the arbiter.
const MAILBOX: usize = 8_192;

/// The rooms and sessions of one slice.
pub struct RoomRegistry {
    parts: RoomParts,
    rooms: FxHashMap<RoomId, RoomEntry>,
    sessions: FxHashMap<SessionId, SessionEntry>,
    by_user: FxHashMap<UserId, Vec<SessionId>>,
    /// Sockets of which presence is to hear at the end of this turn.
    arrived: Vec<Heartbeat>,
    departures: Vec<Departure>,
    sweeps: u64,
    /// Sockets that the sweep under way has yet to look at.
    unswept: Vec<SessionId>,
    recheck: recheck::Recheck,
    /// Sockets that open now are sent away at once.
    draining: bool,
    /// Who waits until no session is left.
    empty_waiters: Vec<oneshot::Sender<()>>,
}

struct RoomEntry {
    addr: Mailbox<RoomActor>,
    deaths: Budget,
    /// A batch did not fit in its mailbox: it has to look at the store.
    behind: bool,
}

struct SessionEntry {
    addr: Mailbox<SessionActor>,
    outbox: Arc<Outbox>,
    identity: Option<Arc<Identity>>,
    next_ping: Instant,
    /// When the socket is told to reconnect, while the process drains.
    leaves: Option<Instant>,
}

struct Departure {
    at: Instant,
    room_id: RoomId,
    user_id: UserId,
    generation: u64,
}

impl RoomRegistry {
    /// Makes the registry of a slice without sockets.
    #[must_use]
    pub fn new(parts: RoomParts) -> Self {
        Self {
            parts,
            rooms: FxHashMap::default(),
            sessions: FxHashMap::default(),
            by_user: FxHashMap::default(),
            arrived: Vec::new(),
            departures: Vec::new(),
            sweeps: 0,
            unswept: Vec::new(),
            recheck: recheck::Recheck::default(),
            draining: false,
            empty_waiters: Vec::new(),
        }
    }
}

/// A socket has opened, authenticated or not. Sent by its session when it starts.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RegisterSession {
    pub addr: Mailbox<SessionActor>,
    pub outbox: Arc<Outbox>,
}

/// A socket is authenticated, for the first time or anew.
#[derive(Message)]
#[rtype(result = "()")]
pub struct IdentifySession {
    pub session_id: SessionId,
    pub identity: Arc<Identity>,
}

/// A socket has closed. Sent by its session when it stops.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionGone(pub SessionId);

/// Asks for a room's actor, which is started if it does not run.
#[derive(Message)]
#[rtype(result = "Mailbox<RoomActor>")]
pub struct OpenRoom(pub RoomId);

/// Stored messages of any rooms, per room in order. Sent by the bridge, one for each batch.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DeliverBatch(pub Arc<[SharedDelivery]>);

/// An event that holds from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ApplyEvent(pub Arc<Event>);

/// Sends every socket away, spread over a time; answers with those that were authenticated.
#[derive(Message)]
#[rtype(result = "Vec<(UserId, SessionId)>")]
pub struct DrainSockets {
    pub spread: Duration,
}

/// Waits until no socket is left. Sent by the server while it drains.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AwaitEmpty;

impl Actor for RoomRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        metrics::get().actor(ActorKind::RoomRegistry).started();
        outbox::start_flusher();
        ctx.run_interval(sweep::INTERVAL, Self::sweep);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        metrics::get().actor(ActorKind::RoomRegistry).stopped();
        if std::thread::panicking() {
            give_up(ActorKind::RoomRegistry);
        }
    }
}

// ------------------------------------------------------------------ sessions

impl Handler<RegisterSession> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, register: RegisterSession, _: &mut Context<Self>) {
        let session_id = register.outbox.session_id;
        let entry = SessionEntry {
            addr: register.addr,
            outbox: register.outbox,
            identity: None,
            next_ping: Instant::now() + sweep::first_ping(session_id),
            leaves: self.draining.then(Instant::now),
        };
        self.sessions.insert(session_id, entry);
    }
}

impl Handler<IdentifySession> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, identify: IdentifySession, ctx: &mut Context<Self>) {
        let session_id = identify.session_id;
        let Some(entry) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let user_id = identify.identity.user_id;
        if entry.identity.replace(identify.identity).is_none() {
            // Most users have one socket.
            let sockets = self.by_user.entry(user_id);
            let sockets = sockets.or_insert_with(|| Vec::with_capacity(1));
            sockets.push(session_id);
            let silent_for = entry.outbox.silent_for();
            if self.arrived.is_empty() {
                // Runs when the mailbox is empty: who comes together is told together.
                let turn_ends = async {}.into_actor(self);
                ctx.spawn(turn_ends.map(|(), this, _| this.tell_arrived()));
            }
            self.arrived.push(Heartbeat {
                user_id,
                session_id,
                silent_for,
            });
        }
    }
}

impl Handler<SessionGone> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, SessionGone(session_id): SessionGone, _: &mut Context<Self>) {
        self.forget_session(session_id);
    }
}

impl RoomRegistry {
    fn tell_arrived(&mut self) {
        let arrived = mem::take(&mut self.arrived);
        if !arrived.is_empty() {
            self.parts.presence.touch(arrived);
        }
    }

    fn forget_session(&mut self, session_id: SessionId) {
        let Some(entry) = self.sessions.remove(&session_id) else {
            return;
        };
        if let Some(identity) = entry.identity {
            let user_id = identity.user_id;
            if let Some(sessions) = self.by_user.get_mut(&user_id) {
                sessions.retain(|known| *known != session_id);
                if sessions.is_empty() {
                    self.by_user.remove(&user_id);
                }
            }
            self.arrived
                .retain(|socket| socket.session_id != session_id);
            self.parts.presence.gone(user_id, session_id);
        }
        if self.sessions.is_empty() {
            self.empty_waiters.clear();
        }
    }

    fn sessions_of(&self, user_id: UserId) -> impl Iterator<Item = &SessionEntry> {
        let sessions = self.by_user.get(&user_id).into_iter().flatten();
        sessions.filter_map(|session_id| self.sessions.get(session_id))
    }

    fn close_sessions(&self, user_id: UserId, is_revoked: impl Fn(&Identity) -> bool) {
        for entry in self.sessions_of(user_id) {
            if entry.identity.as_deref().is_some_and(&is_revoked) {
                entry.outbox.close(CloseCode::Unauthenticated);
            }
        }
    }

    fn tell_rejected(&self, sender_id: UserId, client_msg_id: ClientMsgId, reason: &str) {
        let id = client_msg_id.to_string();
        let failed = ServerEvent::MessageFailed(MessageFailed::rejected(&id, reason));
        let failed = Broadcast::new(failed);
        for entry in self.sessions_of(sender_id) {
            metrics::get().failed(crate::error::Code::Rejected);
            entry.outbox.push_shared(&failed);
        }
    }
}

// --------------------------------------------------------------------- rooms

impl Handler<OpenRoom> for RoomRegistry {
    type Result = MessageResult<OpenRoom>;

    fn handle(&mut self, OpenRoom(room_id): OpenRoom, ctx: &mut Context<Self>) -> Self::Result {
        // A dead room is not replaced here but when its `ChildDown` is handled, which is in the
        // mailbox by now: that has those who were attached come back. Who asked asks again.
        if let Some(room) = self.rooms.get(&room_id) {
            return MessageResult(room.addr.clone());
        }
        MessageResult(self.start_room(room_id, Budget::default(), ctx))
    }
}

impl Handler<DeliverBatch> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, DeliverBatch(batch): DeliverBatch, _: &mut Context<Self>) {
        let mut by_room: FxHashMap<RoomId, Vec<SharedDelivery>> = FxHashMap::default();
        for delivery in batch.iter() {
            let msg = delivery.message();
            if msg.duplicate && !msg.replayed {
                self.answer_repeat(delivery);
            }
            if self.rooms.contains_key(&delivery.room_id()) {
                let deliveries = by_room.entry(delivery.room_id()).or_default();
                deliveries.push(Arc::clone(delivery));
            }
        }
        for (room_id, deliveries) in by_room {
            self.tell_messages(room_id, deliveries);
        }
    }
}

impl Handler<ApplyEvent> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, ApplyEvent(event): ApplyEvent, ctx: &mut Context<Self>) {
        match &*event {
            // Told twice: a sweep was faster than the event, or another slice's sweep.
            Event::MemberLeft(change) if self.has_departed(change) => return,
            Event::MemberLeft(change) => self.depart(change),
            Event::LoginRevoked {
                user_id, login_id, ..
            } => self.close_sessions(*user_id, |identity| identity.login_id == *login_id),
            Event::TokensRevoked {
                user_id,
                generation,
                kept_token,
            } => self.close_sessions(*user_id, |identity| {
                identity.token_id != *kept_token && identity.generation < *generation
            }),
            Event::MessageRejected {
                sender_id,
                client_msg_id,
                reason,
                ..
            } => self.tell_rejected(*sender_id, *client_msg_id, reason),
            Event::MemberJoined(_) | Event::ReadMoved { .. } => {}
        }
        if let Some(room_id) = event.room() {
            self.tell_event(room_id, event, ctx);
        }
    }
}

impl Handler<RoomSignal> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, signal: RoomSignal, _: &mut Context<Self>) {
        if let Some(room) = self.rooms.get(&signal.room_id) {
            // Fleeting: a room that is full misses it.
            let _ = room.addr.try_send(signal);
        }
    }
}

impl Handler<ChildDown<RoomId>> for RoomRegistry {
    type Result = ();

    fn handle(&mut self, down: ChildDown<RoomId>, ctx: &mut Context<Self>) {
        let room_id = down.child;
        // Another may have been started since.
        let Some(room) = self.rooms.get(&room_id) else {
            return;
        };
        if room.addr.connected() {
            return;
        }
        let Some(room) = self.rooms.remove(&room_id) else {
            return;
        };
        if down.panicked {
            self.revive(room_id, room.deaths, ctx);
        }
    }
}

impl RoomRegistry {
    fn start_room(
        &mut self,
        room_id: RoomId,
        deaths: Budget,
        ctx: &Context<Self>,
    ) -> Mailbox<RoomActor> {
        let guardian = Guardian::new(ctx.address().recipient(), room_id);
        let departed = self.departures.iter().filter(|d| d.room_id == room_id);
        let departed = departed.map(|d| {
            let (generation, at) = (d.generation, d.at);
            (d.user_id, Departed { generation, at })
        });
        let departed = departed.collect();
        let room = RoomActor::new(room_id, self.parts.clone(), departed, guardian);
        let addr = Mailbox::new(room.start());
        let entry = RoomEntry {
            addr: addr.clone(),
            deaths,
            behind: false,
        };
        self.rooms.insert(room_id, entry);
        addr
    }

    /// Builds a room anew and has its sessions join again; over the budget they are sent away.
    fn revive(&mut self, room_id: RoomId, mut deaths: Budget, ctx: &Context<Self>) {
        let again = deaths.spend(Instant::now()).is_some();
        log::error!(room:% = room_id, again = again; "a room's actor died");
        if again {
            metrics::get().actor(ActorKind::Room).restarted();
            self.start_room(room_id, deaths, ctx);
        }
        for entry in self.sessions.values() {
            if entry.outbox.position(room_id).is_none() {
                continue;
            }
            if !again || entry.addr.try_send(RejoinRoom(room_id)).is_err() {
                entry.outbox.close(CloseCode::ServerError);
            }
        }
    }

    /// Gives a message that was sent once more to its sender's sockets, whether they are attached
    /// to its room by now or still on their way.
    fn answer_repeat(&self, delivery: &SharedDelivery) {
        for entry in self.sessions_of(delivery.sender_id()) {
            entry.outbox.deliver_again(delivery);
        }
    }

    /// Hands a room its messages; if its mailbox is full it will look at the store instead.
    fn tell_messages(&mut self, room_id: RoomId, deliveries: Vec<SharedDelivery>) {
        if let Some(room) = self.rooms.get_mut(&room_id) {
            room.behind |= room.addr.try_send(DeliverPersisted(deliveries)).is_err();
        }
    }

    /// Tells a room of an event; on a full mailbox the event waits for its turn.
    fn tell_event(&self, room_id: RoomId, event: Arc<Event>, ctx: &mut Context<Self>) {
        if let Some(room) = self.rooms.get(&room_id) {
            let telling = room.addr.send(ApplyRoomEvent(event));
            ctx.spawn(telling.map(drop).into_actor(self));
        }
    }

    fn has_departed(&self, change: &MembershipChange) -> bool {
        self.departures.iter().any(|known| {
            known.user_id == change.user_id
                && known.room_id == change.room_id
                && known.generation >= change.generation
        })
    }

    fn depart(&mut self, change: &MembershipChange) {
        let (room_id, generation) = (change.room_id, change.generation);
        self.departures.push(Departure {
            at: Instant::now(),
            room_id,
            user_id: change.user_id,
            generation,
        });
        for entry in self.sessions_of(change.user_id) {
            let ended = MembershipEnded {
                room_id,
                generation,
            };
            if entry.addr.try_send(ended).is_err() {
                entry.outbox.close(CloseCode::ServerError);
            }
        }
    }
}
