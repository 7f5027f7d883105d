//! `PresenceActor`: who is online, and the signals between gateways. Rank 3.
//!
//! | message | from | kind | reply | when refused |
//! |---|---|---|---|---|
//! | [`TouchSockets`] | RoomRegistry | tell | – | mailbox full: dropped, the next sweep touches again |
//! | [`SocketGone`] | RoomRegistry | tell | – | mailbox full: dropped, the socket's deadline runs out |
//! | [`AnnounceOnline`], [`SendTyping`] | rooms, sessions | tell | – | mailbox full: dropped |
//! | [`ForgetMember`] | KafkaBridge | tell | – | mailbox full: dropped, a rejoin is not announced |
//! | [`AskOnline`] | REST, rooms | ask | online or not, a user each | presence is unknown |
//!
//! Invariants: nothing waits for presence but who asks for it; a user is announced to a room once,
//! whatever the number of devices, and goes offline once, a second after the last socket, so that
//! reloading a page is not a departure. A restart subscribes anew and has forgotten whom it
//! announced: somebody may be announced twice.

use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, StreamHandler,
    WrapFuture,
};
use fail::fail_point;
use futures_util::future::join_all;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Reference, Slices,
    room::{Fleeting, RoomSignal},
    supervision::Guardian,
};
use crate::{
    ids::{RoomId, SessionId, UserId},
    metrics::{self, ActorKind},
    presence::{Presence, PresenceUnavailable, Signal},
};

/// Notes that wait; more are dropped.
const MAILBOX: usize = 1_024;

/// How long a user may be without a socket before others are told.
const OFFLINE_DELAY: Duration = Duration::from_secs(1);

/// How often sockets whose gateway died are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3);

/// How long anybody waits for presence.
const ASK_TIMEOUT: Duration = Duration::from_millis(250);

/// Owns the `Presence` port of this gateway.
pub struct PresenceActor {
    presence: Presence,
    slices: Slices,
    guardian: Guardian,
    /// The rooms that each online user was announced to.
    announced: FxHashMap<UserId, FxHashSet<RoomId>>,
}

impl PresenceActor {
    /// Makes the actor over a port.
    #[must_use]
    pub fn new(presence: Presence, slices: Slices, guardian: Guardian) -> Self {
        Self {
            presence,
            slices,
            guardian,
            announced: FxHashMap::default(),
        }
    }

    /// Handles a signal of any gateway, this one included.
    fn signalled(&mut self, signal: Signal) {
        match signal {
            Signal::Typing {
                room_id,
                user_id,
                is_typing,
            } => self.tell_rooms(room_id, user_id, Fleeting::Typing(is_typing)),
            Signal::Online { room_id, user_id } => {
                if self.announced.entry(user_id).or_default().insert(room_id) {
                    self.tell_rooms(room_id, user_id, Fleeting::Online(true));
                }
            }
            Signal::Offline { user_id } => {
                for room_id in self.announced.remove(&user_id).unwrap_or_default() {
                    self.tell_rooms(room_id, user_id, Fleeting::Online(false));
                }
            }
        }
    }

    /// Tells the room's actors on every slice; a full one misses it.
    fn tell_rooms(&self, room_id: RoomId, user_id: UserId, change: Fleeting) {
        let signal = RoomSignal {
            room_id,
            user_id,
            change,
        };
        for registry in self.slices.all() {
            if registry.try_send(signal).is_ok() {
                metrics::get().actor(ActorKind::RoomRegistry).sent();
            }
        }
    }

    fn beside(&self, ctx: &mut Context<Self>, work: impl Future<Output = ()> + 'static) {
        ctx.spawn(work.into_actor(self));
    }
}

/// These sockets are alive. Sent by a sweep, and when a socket is authenticated.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TouchSockets(pub Vec<(UserId, SessionId)>);

/// A socket has closed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SocketGone {
    pub user_id: UserId,
    pub session_id: SessionId,
}

/// A socket of the user has joined the room: others are told, unless they were.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AnnounceOnline {
    pub room_id: RoomId,
    pub user_id: UserId,
}

/// A user types, or has stopped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendTyping {
    pub room_id: RoomId,
    pub user_id: UserId,
    pub is_typing: bool,
}

/// A user has left the room: if it comes again, it is announced again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ForgetMember {
    pub room_id: RoomId,
    pub user_id: UserId,
}

/// Asks who of these has a live socket.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<bool>, PresenceUnavailable>")]
pub struct AskOnline(pub Vec<UserId>);

impl Actor for PresenceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        metrics::get()
            .actor(ActorKind::Presence)
            .count
            .increment(1.0);
        ctx.add_stream(ReceiverStream::new(self.presence.signals()));
        ctx.run_interval(SWEEP_INTERVAL, |this, ctx| {
            let presence = this.presence.clone();
            this.beside(ctx, async move {
                for user_id in presence.expire().await.unwrap_or_default() {
                    presence.signal(Signal::Offline { user_id }).await;
                }
            });
        });
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        metrics::get()
            .actor(ActorKind::Presence)
            .count
            .decrement(1.0);
        self.guardian.child_down();
    }
}

impl StreamHandler<Signal> for PresenceActor {
    fn handle(&mut self, signal: Signal, _: &mut Context<Self>) {
        self.signalled(signal);
    }

    /// Another subscriber has taken over: this actor's successor.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<TouchSockets> for PresenceActor {
    type Result = ();

    fn handle(&mut self, TouchSockets(sockets): TouchSockets, ctx: &mut Context<Self>) {
        let _handling = metrics::get().actor(ActorKind::Presence).handle();
        let presence = self.presence.clone();
        // Before what comes next: a socket is alive before its room is told.
        ctx.wait(
            async move {
                if presence.touch(&sockets).await.is_err() {
                    log::debug!("presence was not noted");
                }
            }
            .into_actor(self),
        );
    }
}

impl Handler<SocketGone> for PresenceActor {
    type Result = ();

    fn handle(&mut self, gone: SocketGone, ctx: &mut Context<Self>) {
        let _handling = metrics::get().actor(ActorKind::Presence).handle();
        let presence = self.presence.clone();
        let leaving = async move { presence.leave(gone.user_id, gone.session_id).await };
        ctx.spawn(leaving.into_actor(self).map(move |last, _, ctx| {
            if last.unwrap_or(false) {
                ctx.run_later(OFFLINE_DELAY, move |this, ctx| {
                    this.beside(ctx, tell_if_offline(this.presence.clone(), gone.user_id));
                });
            }
        }));
    }
}

async fn tell_if_offline(presence: Presence, user_id: UserId) {
    if let Ok([false]) = presence.online(&[user_id]).await.as_deref() {
        presence.signal(Signal::Offline { user_id }).await;
    }
}

impl Handler<AnnounceOnline> for PresenceActor {
    type Result = ();

    fn handle(
        &mut self,
        AnnounceOnline { room_id, user_id }: AnnounceOnline,
        ctx: &mut Context<Self>,
    ) {
        let _handling = metrics::get().actor(ActorKind::Presence).handle();
        let known = self.announced.get(&user_id);
        if !known.is_some_and(|rooms| rooms.contains(&room_id)) {
            let presence = self.presence.clone();
            self.beside(ctx, async move {
                presence.signal(Signal::Online { room_id, user_id }).await;
            });
        }
    }
}

impl Handler<SendTyping> for PresenceActor {
    type Result = ();

    fn handle(&mut self, typing: SendTyping, ctx: &mut Context<Self>) {
        let _handling = metrics::get().actor(ActorKind::Presence).handle();
        fail_point!("presence-actor");
        let presence = self.presence.clone();
        let signal = Signal::Typing {
            room_id: typing.room_id,
            user_id: typing.user_id,
            is_typing: typing.is_typing,
        };
        self.beside(ctx, async move { presence.signal(signal).await });
    }
}

impl Handler<ForgetMember> for PresenceActor {
    type Result = ();

    fn handle(&mut self, ForgetMember { room_id, user_id }: ForgetMember, _: &mut Context<Self>) {
        let _handling = metrics::get().actor(ActorKind::Presence).handle();
        if let Some(rooms) = self.announced.get_mut(&user_id) {
            rooms.remove(&room_id);
        }
    }
}

impl Handler<AskOnline> for PresenceActor {
    type Result = ResponseFuture<Result<Vec<bool>, PresenceUnavailable>>;

    fn handle(&mut self, AskOnline(users): AskOnline, _: &mut Context<Self>) -> Self::Result {
        let _handling = metrics::get().actor(ActorKind::Presence).handle();
        let presence = self.presence.clone();
        Box::pin(async move { presence.online(&users).await })
    }
}

/// How everything outside talks to presence. Nothing here ever fails or waits for long.
#[derive(Clone)]
pub struct PresenceHandle(Reference<PresenceActor>);

impl PresenceHandle {
    /// Makes a handle of the supervised actor.
    #[must_use]
    pub fn new(actor: Reference<PresenceActor>) -> Self {
        Self(actor)
    }

    fn tell<M>(&self, msg: M)
    where
        M: Message<Result = ()> + Send + 'static,
        PresenceActor: Handler<M>,
    {
        if self.0.get().try_send(msg).is_ok() {
            metrics::get().actor(ActorKind::Presence).sent();
        }
    }

    /// Notes that sockets are alive.
    pub fn touch(&self, sockets: Vec<(UserId, SessionId)>) {
        self.tell(TouchSockets(sockets));
    }

    /// Notes that a socket has closed.
    pub fn gone(&self, user_id: UserId, session_id: SessionId) {
        self.tell(SocketGone {
            user_id,
            session_id,
        });
    }

    /// Tells every gateway that a user's first socket has joined a room.
    pub fn announce(&self, room_id: RoomId, user_id: UserId) {
        self.tell(AnnounceOnline { room_id, user_id });
    }

    /// Tells every gateway that a user types, or has stopped.
    pub fn typing(&self, room_id: RoomId, user_id: UserId, is_typing: bool) {
        self.tell(SendTyping {
            room_id,
            user_id,
            is_typing,
        });
    }

    /// Notes that a user has left a room.
    pub fn forget_member(&self, room_id: RoomId, user_id: UserId) {
        self.tell(ForgetMember { room_id, user_id });
    }

    /// Returns for each user whether it has a live socket; `None` when that is unknown.
    pub async fn online(&self, users: Vec<UserId>) -> Option<Vec<bool>> {
        metrics::get().actor(ActorKind::Presence).sent();
        let asked = self.0.get().send(AskOnline(users));
        timeout(ASK_TIMEOUT, asked).await.ok()?.ok()?.ok()
    }

    /// Returns whether presence is known.
    pub async fn is_healthy(&self) -> bool {
        self.online(Vec::new()).await.is_some()
    }

    /// Removes sockets at once, without the usual delay: the process ends.
    pub async fn leave_all(&self, sockets: Vec<(UserId, SessionId)>) {
        let leaving = sockets.into_iter().map(|(user_id, session_id)| {
            metrics::get().actor(ActorKind::Presence).sent();
            self.0.get().send(SocketGone {
                user_id,
                session_id,
            })
        });
        join_all(leaving).await;
    }
}
