//! `PresenceActor`: who is online, and the signals between gateways. Rank 3.
//!
//! | message | from | kind | reply | when refused |
//! |---|---|---|---|---|
//! | [`TouchSockets`] | RoomRegistry | tell | – | mailbox full: dropped, the next sweep touches again |
//! | [`SocketGone`] | RoomRegistry | tell | – | mailbox full: dropped, the socket's deadline runs out |
//! | [`AnnounceOnline`], [`SendTyping`] | rooms, sessions | tell | – | mailbox full: dropped |
//! | [`ForgetMember`] | KafkaBridge | tell | – | mailbox full: dropped, a rejoin is not announced |
//! | [`AskOnline`], [`AskHealth`] | REST, rooms | ask | online or not, a user each | presence is unknown |
//! | [`LeaveAll`] | server | ask | –, when it is written | – |
//! | [`GetState`] | operators | ask | [`PresenceState`] | – |
//!
//! Invariants: nothing waits for presence but who asks for it, and the actor waits for nobody: one
//! write is under way, and what comes meanwhile goes with the next; a user is announced to a room
//! once, whatever the number of devices and gateways, and goes offline once, a second after the
//! last socket, so that reloading a page is not a departure. What a gateway has said of its own
//! users and not heard itself it says again. The users of a gateway that dies run out, and one of
//! the others tells all. A restart subscribes anew and has forgotten whom it announced: other
//! gateways repeat it, its own sockets come with the next touch, and somebody may be announced
//! twice.

mod handle;
mod outgoing;
mod roster;
#[cfg(test)]
mod tests;

use std::{
    mem,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture,
    StreamHandler, WrapFuture,
};
use fail::fail_point;
use futures_util::FutureExt;
use rustc_hash::FxHashSet;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio_stream::wrappers::ReceiverStream;

pub use handle::PresenceHandle;

use self::{
    outgoing::{Outgoing, Written},
    roster::{Judgement, Roster},
};
use super::{
    Slices,
    room::{Fleeting, RoomSignal},
    supervision::Guardian,
};
use crate::{
    ids::{RoomId, SessionId, UserId},
    metrics::{self, ActorKind},
    presence::{Heartbeat, Life, Presence, PresenceUnavailable, Present, Signal},
};

/// Notes that wait; more are dropped.
const MAILBOX: usize = 1_024;

/// How long a user may be without a socket before others are told.
const OFFLINE_DELAY: Duration = Duration::from_secs(1);

/// How often sockets whose gateway died are looked for. A key outlives its last socket by longer.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

/// Owns the `Presence` port of this gateway.
pub struct PresenceActor {
    presence: Presence,
    slices: Slices,
    guardian: Guardian,
    /// Who is known to be online. Changed by signals and by what sockets do here.
    roster: Roster,
    /// What is not written yet.
    outgoing: Outgoing,
    is_writing: bool,
    /// A sweep's answer is awaited.
    is_sweeping: bool,
    /// Users whose last socket has just gone.
    departing: FxHashSet<UserId>,
}

impl PresenceActor {
    /// Makes the actor over a port.
    #[must_use]
    pub fn new(presence: Presence, slices: Slices, guardian: Guardian) -> Self {
        Self {
            presence,
            slices,
            guardian,
            roster: Roster::default(),
            outgoing: Outgoing::default(),
            is_writing: false,
            is_sweeping: false,
            departing: FxHashSet::default(),
        }
    }
}

/// These sockets are alive. Sent by a sweep, and when a socket is authenticated.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TouchSockets(pub Vec<Heartbeat>);

/// A socket has closed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SocketGone {
    pub user_id: UserId,
    pub session_id: SessionId,
}

/// These sockets have closed, and those who have no other are offline at once. Sent when the
/// process ends.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LeaveAll(pub Vec<(UserId, SessionId)>);

/// A socket of the user has joined the room: others are told, unless they were.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AnnounceOnline(pub Present);

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
pub struct ForgetMember(pub Present);

/// Asks who of these has a live socket.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<bool>, PresenceUnavailable>")]
pub struct AskOnline(pub Vec<UserId>);

/// Asks whether presence is known now.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct AskHealth;

/// Asks for a snapshot.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "PresenceState")]
pub struct GetState;

/// Presence as operators see it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceState {
    /// Users with a socket here.
    pub users_here: usize,
    /// Users of any gateway whom rooms were told of.
    pub announced: usize,
    /// A write to the port is under way.
    pub is_writing: bool,
}

impl Actor for PresenceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        metrics::get().actor(ActorKind::Presence).started();
        ctx.add_stream(ReceiverStream::new(self.presence.signals()));
        ctx.run_interval(SWEEP_INTERVAL, Self::sweep);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        metrics::get().actor(ActorKind::Presence).stopped();
        self.guardian.child_down();
    }
}

impl StreamHandler<Signal> for PresenceActor {
    fn handle(&mut self, signal: Signal, ctx: &mut Context<Self>) {
        match signal {
            Signal::Typing {
                room_id,
                user_id,
                is_typing,
            } => self.tell_rooms(Present { room_id, user_id }, Fleeting::Typing(is_typing)),
            Signal::Online { present } => self.came(&present),
            Signal::Offline { user_id, rooms } => self.went(user_id, rooms),
            Signal::Hello => self.say_again(),
        }
        self.flush(ctx);
    }

    /// Another subscriber has taken over: this actor's successor.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<TouchSockets> for PresenceActor {
    type Result = ();

    fn handle(&mut self, TouchSockets(sockets): TouchSockets, ctx: &mut Context<Self>) {
        let now = Instant::now();
        for socket in sockets {
            self.roster.heard(&socket, now);
            self.outgoing.touch(socket);
        }
        self.flush(ctx);
    }
}

impl Handler<SocketGone> for PresenceActor {
    type Result = ();

    fn handle(&mut self, gone: SocketGone, ctx: &mut Context<Self>) {
        self.leave(gone.user_id, gone.session_id);
        self.flush(ctx);
    }
}

impl Handler<LeaveAll> for PresenceActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, LeaveAll(sockets): LeaveAll, ctx: &mut Context<Self>) -> Self::Result {
        for (user_id, session_id) in sockets {
            self.leave(user_id, session_id);
        }
        let (waiter, written) = oneshot::channel();
        self.outgoing.tell_left(waiter);
        self.flush(ctx);
        // Dropping the waiter is the signal.
        Box::pin(written.map(drop))
    }
}

impl Handler<AnnounceOnline> for PresenceActor {
    type Result = ();

    fn handle(&mut self, AnnounceOnline(present): AnnounceOnline, ctx: &mut Context<Self>) {
        if self.roster.joined(present) {
            self.outgoing.announce(&[present]);
            self.flush(ctx);
        }
    }
}

impl Handler<SendTyping> for PresenceActor {
    type Result = ();

    fn handle(&mut self, typing: SendTyping, ctx: &mut Context<Self>) {
        fail_point!("presence-actor");
        self.outgoing.signal(Signal::Typing {
            room_id: typing.room_id,
            user_id: typing.user_id,
            is_typing: typing.is_typing,
        });
        self.flush(ctx);
    }
}

impl Handler<ForgetMember> for PresenceActor {
    type Result = ();

    fn handle(&mut self, ForgetMember(present): ForgetMember, _: &mut Context<Self>) {
        self.roster.forget_member(present);
    }
}

impl Handler<AskOnline> for PresenceActor {
    type Result = ResponseFuture<Result<Vec<bool>, PresenceUnavailable>>;

    fn handle(&mut self, AskOnline(users): AskOnline, _: &mut Context<Self>) -> Self::Result {
        let presence = self.presence.clone();
        Box::pin(async move { presence.online(&users).await })
    }
}

impl Handler<AskHealth> for PresenceActor {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, _: AskHealth, _: &mut Context<Self>) -> Self::Result {
        let presence = self.presence.clone();
        Box::pin(async move { presence.is_healthy().await })
    }
}

impl Handler<GetState> for PresenceActor {
    type Result = MessageResult<GetState>;

    fn handle(&mut self, _: GetState, _: &mut Context<Self>) -> Self::Result {
        let (users_here, announced) = self.roster.counts();
        MessageResult(PresenceState {
            users_here,
            announced,
            is_writing: self.is_writing,
        })
    }
}

impl PresenceActor {
    // --------------------------------------------------------------- signals

    fn came(&mut self, present: &[Present]) {
        let now = Instant::now();
        for one in present {
            if self.roster.online(*one, now) {
                self.tell_rooms(*one, Fleeting::Online(true));
            }
        }
    }

    fn went(&mut self, user_id: UserId, rooms: Vec<RoomId>) {
        // Who is here again, or still, has not gone: the sweep says so to the others.
        let is_here = self.roster.is_here(user_id);
        let told = self.roster.offline(user_id, rooms);
        if is_here {
            return;
        }
        for room_id in told {
            self.tell_rooms(Present { room_id, user_id }, Fleeting::Online(false));
        }
    }

    /// A gateway knows of nothing, or this one was cut off: what is known here is repeated.
    fn say_again(&mut self) {
        let present: Vec<_> = self.roster.present().collect();
        self.outgoing.announce(&present);
        for socket in self.roster.heartbeats(Instant::now()) {
            self.outgoing.touch(socket);
        }
    }

    /// Tells the room's actors on every slice; a full one misses it.
    fn tell_rooms(&self, present: Present, change: Fleeting) {
        let signal = RoomSignal {
            room_id: present.room_id,
            user_id: present.user_id,
            change,
        };
        for registry in self.slices.all() {
            // A full slice misses it.
            let _ = registry.try_send(signal);
        }
    }

    // --------------------------------------------------------------- writing

    fn leave(&mut self, user_id: UserId, session_id: SessionId) {
        self.roster.gone(user_id, session_id);
        self.outgoing.leave(user_id, session_id);
    }

    /// Writes what waits, unless a write is under way: that is followed by another.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.is_writing || self.outgoing.is_empty() {
            return;
        }
        self.is_writing = true;
        let writing = mem::take(&mut self.outgoing).write(self.presence.clone());
        ctx.spawn(writing.into_actor(self).map(|written, this, ctx| {
            this.is_writing = false;
            this.written(written, ctx);
            this.flush(ctx);
        }));
    }

    fn written(&mut self, written: Written, ctx: &mut Context<Self>) {
        for user_id in written.last {
            if self.departing.insert(user_id) {
                ctx.run_later(OFFLINE_DELAY, move |this, ctx| {
                    if this.departing.remove(&user_id) {
                        this.tell_departed(vec![user_id], Vec::new(), ctx);
                    }
                });
            }
        }
        if !written.leaving.is_empty() {
            let departed = self.departing.drain().collect();
            self.tell_departed(departed, written.leaving, ctx);
        }
    }

    /// Tells that these users are offline, if they have no socket by now.
    fn tell_departed(
        &mut self,
        users: Vec<UserId>,
        waiters: Vec<oneshot::Sender<()>>,
        ctx: &mut Context<Self>,
    ) {
        let presence = self.presence.clone();
        let asking = async move {
            let online = presence.online(&users).await.unwrap_or_default();
            let users = users.into_iter().zip(online);
            let users = users.filter(|(_, is_online)| !is_online);
            users.map(|(user_id, _)| user_id).collect::<Vec<_>>()
        };
        ctx.spawn(asking.into_actor(self).map(|offline, this, ctx| {
            for user_id in offline {
                this.tell_offline(user_id);
            }
            this.outgoing.tell_written(waiters);
            this.flush(ctx);
        }));
    }

    fn tell_offline(&mut self, user_id: UserId) {
        let rooms = self.roster.rooms_of(user_id);
        self.outgoing.signal(Signal::Offline { user_id, rooms });
    }

    // -------------------------------------------------------------- sweeping

    /// Looks for users whose gateway has died, and repeats what nobody has heard.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.roster.prune(now);
        let unheard = self.roster.unheard();
        self.outgoing.announce(&unheard);
        self.flush(ctx);
        let due = self.roster.due(now);
        if due.is_empty() || self.is_sweeping {
            return;
        }
        self.is_sweeping = true;
        let presence = self.presence.clone();
        let asking = async move {
            let found = presence.expire(&due).await.unwrap_or_default();
            due.into_iter().zip(found).collect::<Vec<_>>()
        };
        ctx.spawn(asking.into_actor(self).map(|found, this, ctx| {
            this.is_sweeping = false;
            for (user_id, life) in found {
                this.judge(user_id, life);
            }
            this.flush(ctx);
        }));
    }

    fn judge(&mut self, user_id: UserId, life: Life) {
        match self.roster.judge(user_id, life, Instant::now()) {
            Judgement::Stays => {}
            Judgement::TellAll => self.tell_offline(user_id),
            Judgement::TellHere => self.went(user_id, Vec::new()),
        }
    }
}
