//! `RoomActor`: one room's live sockets on one slice. Rank 1; supervised by the RoomRegistry.
//!
//! | message | from | kind | reply | when refused |
//! |---|---|---|---|---|
//! | [`Attach`] | SessionActor | ask | attached, or read on first | closed: the session asks the registry for the room again |
//! | [`Detach`] | SessionActor | ask | – | closed: nothing to detach from |
//! | [`DeliverPersisted`] | RoomRegistry | tell | – | mailbox full: the registry marks the room behind |
//! | [`ApplyRoomEvent`], [`RoomSignal`] | RoomRegistry | tell | – | mailbox full: the event waits, a signal is dropped |
//! | [`CheckHead`] | RoomRegistry | tell | – | mailbox full: the next sweep asks again |
//! | [`GetState`] | tests, operators | ask | [`RoomState`] | – |
//!
//! Invariants: messages go to sockets in order of seq without a hole; what is missing is read
//! from the store, one walk at a time; a socket is attached only at or beyond `last`, in one
//! handler. A restart builds it anew from the store's head, and the registry has its sessions
//! join again from their positions: clients see a pause at most.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult,
    WrapFuture,
};
use fail::fail_point;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::{Slices, presence::PresenceHandle, supervision::Guardian};
use crate::{
    auth::Authenticator,
    clock::Timestamp,
    event::{Event, MembershipChange},
    fanout::{Arrival, Delivery, SharedDelivery, arrival},
    ids::{Epoch, RoomId, Seq, SessionId, UserId},
    memberships::Memberships,
    metrics::{self, ActorKind},
    outbox::{self, Outbox},
    protocol::{
        client::RequestId,
        dialect::Broadcast,
        server::{MemberFrame, PresenceChanged, ReadUpdated, RoomJoined, ServerEvent, Typing},
    },
    store::{MessagePage, PageCursor, Store, StoreError},
};

/// Batches and requests that wait.
pub const MAILBOX: usize = 256;

/// Messages read at a time to fill a hole.
const FILL_PAGE: usize = 100;

/// Bytes that each socket gets before the arbiter's connections have a turn to write: without it
/// a burst would fill the outbox of a socket that reads all the time.
const TURN_BYTES: usize = 64 * 1024;

/// How long to wait before a hole is read again.
const FILL_RETRY: Duration = Duration::from_millis(250);

/// How long a membership's end is remembered: whoever was judged before has attached by then.
pub(super) const DEPARTURE_TTL: Duration = Duration::from_secs(60);

/// What a slice's registry and rooms work with.
#[derive(Clone)]
pub struct RoomParts {
    pub store: Store,
    pub presence: PresenceHandle,
    pub auth: Authenticator,
    pub memberships: Memberships,
    pub slices: Slices,
    pub epoch: Epoch,
}

/// One room's live sockets on one slice.
pub struct RoomActor {
    room_id: RoomId,
    parts: RoomParts,
    guardian: Guardian<RoomId>,
    /// The last seq that everybody attached has. Moved by `deliver` alone.
    last: Seq,
    /// The highest seq heard of; above `last` while a hole is read.
    heard: Seq,
    /// Stored messages in order, to be delivered turn by turn.
    queue: VecDeque<SharedDelivery>,
    /// Bytes that each socket got in this turn.
    turn_bytes: usize,
    filling: Option<Filling>,
    attached: Vec<Attached>,
    /// Memberships that ended a moment ago: whoever attaches may have been judged before.
    departed: FxHashMap<UserId, Departed>,
    /// Whether the last sweep found nobody attached.
    idle: bool,
}

struct Attached {
    user_id: UserId,
    generation: u64,
    outbox: Arc<Outbox>,
    /// It had no room for a message, and reads the store until it has caught up.
    behind: bool,
}

/// The end of a membership.
#[derive(Debug, Clone, Copy)]
pub struct Departed {
    /// Of this generation, and of those before.
    pub generation: u64,
    pub at: Instant,
}

/// A hole that is being read.
#[derive(Debug, Clone, Copy)]
struct Filling {
    /// What was delivered and heard of when the last page was asked for.
    last: Seq,
    heard: Seq,
    /// The page is here, and is delivered.
    delivers: bool,
}

impl RoomActor {
    /// Makes a room that has yet to learn its head from the store.
    #[must_use]
    pub fn new(
        room_id: RoomId,
        parts: RoomParts,
        departed: FxHashMap<UserId, Departed>,
        guardian: Guardian<RoomId>,
    ) -> Self {
        Self {
            room_id,
            parts,
            guardian,
            last: Seq::ZERO,
            heard: Seq::ZERO,
            queue: VecDeque::new(),
            turn_bytes: 0,
            filling: None,
            attached: Vec::new(),
            departed,
            idle: false,
        }
    }
}

/// Attaches a session. Sent when a join has replayed all it read.
#[derive(Message)]
#[rtype(result = "Result<(), AttachRefusal>")]
pub struct Attach {
    pub outbox: Arc<Outbox>,
    pub user_id: UserId,
    pub generation: u64,
    /// Where it begins at the earliest, to get just what comes; `None` for one that goes on from its
    /// outbox's position.
    pub begins: Option<Seq>,
    /// The reply to the join; `None` when a session comes back after the room's death.
    pub joined: Option<JoinReply>,
}

/// What the reply to a join says, besides its position.
#[derive(Debug, Clone)]
pub struct JoinReply {
    pub id: Option<RequestId>,
    pub replayed: u64,
    pub truncated: bool,
}

/// Why a session is not attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachRefusal {
    /// More was delivered meanwhile: read on from the position.
    Behind,
    /// The membership ended meanwhile.
    Departed,
    /// The socket is closing.
    Closed,
}

/// Takes a session out. Sent before a replay or a second join, and on `leaveRoom`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Detach(pub SessionId);

/// Stored messages of this room, in order. Sent by the registry for each batch.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DeliverPersisted(pub Vec<SharedDelivery>);

/// Something happened to the room or its members.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ApplyRoomEvent(pub Arc<Event>);

/// Something fleeting about a user. Sent by the registry when presence has told it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct RoomSignal {
    pub room_id: RoomId,
    pub user_id: UserId,
    pub change: Fleeting,
}

/// What others see of a user besides messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fleeting {
    Typing(bool),
    Online(bool),
}

/// The store's head, as a sweep saw it: heals a lost tail, and lets an empty room end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CheckHead(pub Seq);

/// Asks for a snapshot.
#[derive(Debug, Message)]
#[rtype(result = "RoomState")]
pub struct GetState;

/// A room as tests and operators see it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomState {
    pub last: Seq,
    pub heard: Seq,
    pub attached: usize,
}

impl Actor for RoomActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        metrics::get().actor(ActorKind::Room).started();
        let waking = wake(self.parts.store.clone(), self.room_id);
        ctx.wait(waking.into_actor(self).map(|woken, this, ctx| match woken {
            Ok(head) => {
                this.last = head;
                this.heard = head;
            }
            Err(error) => {
                log::warn!(error:%; "a room cannot wake");
                ctx.stop();
            }
        }));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        metrics::get().actor(ActorKind::Room).stopped();
        self.guardian.child_down();
    }
}

async fn wake(store: Store, room_id: RoomId) -> Result<Seq, StoreError> {
    let heads = store.heads(vec![room_id]).await?;
    Ok(heads.first().map_or(Seq::ZERO, |(_, head)| *head))
}

impl Handler<Attach> for RoomActor {
    type Result = Result<(), AttachRefusal>;

    fn handle(&mut self, attach: Attach, _: &mut Context<Self>) -> Self::Result {
        if !attach.outbox.is_open() {
            // Nobody is to be told that its user is here.
            return Err(AttachRefusal::Closed);
        }
        if self.has_departed(attach.user_id, attach.generation) {
            return Err(AttachRefusal::Departed);
        }
        let position = match attach.begins {
            Some(head) => head.max(self.last),
            None => {
                let position = attach.outbox.position(self.room_id);
                let position = position.ok_or(AttachRefusal::Departed)?;
                if position < self.last {
                    return Err(AttachRefusal::Behind);
                }
                position
            }
        };
        let comes_back = attach.joined.is_none();
        if let Some(joined) = attach.joined {
            let reply = self.joined_reply(position, &joined);
            attach.outbox.reply(&reply, joined.id.as_ref());
        }
        if attach.begins.is_some() {
            attach.outbox.begin_room(self.room_id, position);
        }
        self.attach(attach.outbox, attach.user_id, attach.generation);
        if !comes_back {
            self.parts.presence.announce(self.room_id, attach.user_id);
        }
        Ok(())
    }
}

impl Handler<Detach> for RoomActor {
    type Result = ();

    fn handle(&mut self, Detach(session_id): Detach, _: &mut Context<Self>) {
        self.detach(session_id);
    }
}

impl Handler<DeliverPersisted> for RoomActor {
    type Result = ();

    fn handle(&mut self, DeliverPersisted(batch): DeliverPersisted, ctx: &mut Context<Self>) {
        fail_point!("room-actor");
        self.queue.extend(batch);
        self.deliver_queued(ctx);
    }
}

impl Handler<ApplyRoomEvent> for RoomActor {
    type Result = ();

    fn handle(&mut self, ApplyRoomEvent(event): ApplyRoomEvent, _: &mut Context<Self>) {
        match &*event {
            Event::MemberJoined(change) => {
                self.push(ServerEvent::MemberJoined(member_frame(change)));
            }
            Event::MemberLeft(change) => self.depart(change),
            Event::ReadMoved {
                room_id,
                user_id,
                last_read_message_id,
                except,
            } => {
                let updated = ReadUpdated {
                    room_id: *room_id,
                    user_id: *user_id,
                    last_read_message_id: Some(*last_read_message_id),
                };
                self.push_where(ServerEvent::ReadUpdated(updated), |attached| {
                    Some(attached.outbox.session_id) != *except
                });
            }
            Event::LoginRevoked { .. }
            | Event::TokensRevoked { .. }
            | Event::MessageRejected { .. } => {}
        }
    }
}

impl Handler<RoomSignal> for RoomActor {
    type Result = ();

    fn handle(&mut self, signal: RoomSignal, _: &mut Context<Self>) {
        let RoomSignal {
            room_id,
            user_id,
            change,
        } = signal;
        let event = match change {
            Fleeting::Typing(is_typing) => ServerEvent::Typing(Typing {
                room_id,
                user_id,
                is_typing,
            }),
            Fleeting::Online(online) => ServerEvent::PresenceChanged(PresenceChanged {
                room_id,
                user_id,
                online,
            }),
        };
        // Never about oneself.
        self.push_where(event, |attached| attached.user_id != user_id);
    }
}

impl Handler<CheckHead> for RoomActor {
    type Result = ();

    fn handle(&mut self, CheckHead(head): CheckHead, ctx: &mut Context<Self>) {
        self.departed
            .retain(|_, ended| ended.at.elapsed() < DEPARTURE_TTL);
        self.attached.retain(|attached| attached.outbox.is_open());
        if self.attached.is_empty() && self.idle {
            ctx.stop();
            return;
        }
        self.idle = self.attached.is_empty();
        if head > self.heard {
            self.fill_to(head, ctx);
        }
    }
}

impl Handler<GetState> for RoomActor {
    type Result = MessageResult<GetState>;

    fn handle(&mut self, _: GetState, _: &mut Context<Self>) -> Self::Result {
        MessageResult(RoomState {
            last: self.last,
            heard: self.heard,
            attached: self.attached.len(),
        })
    }
}

impl RoomActor {
    // -------------------------------------------------------------- messages

    /// Delivers what is queued; after a turn's worth the connections have theirs.
    fn deliver_queued(&mut self, ctx: &mut Context<Self>) {
        while let Some(delivery) = self.queue.pop_front() {
            self.arrived(&delivery, ctx);
            if self.turn_bytes >= TURN_BYTES {
                ctx.wait(outbox::flushed().into_actor(self).map(|(), this, ctx| {
                    this.turn_bytes = 0;
                    this.deliver_queued(ctx);
                }));
                return;
            }
        }
        if self.filling.is_some_and(|filling| filling.delivers) {
            self.go_on_filling(ctx);
        }
    }

    fn arrived(&mut self, delivery: &SharedDelivery, ctx: &mut Context<Self>) {
        let msg = delivery.message();
        match arrival(self.last, msg.seq) {
            Arrival::Next => {
                self.deliver(delivery);
                self.heard = self.heard.max(self.last);
            }
            Arrival::Hole => self.fill_to(msg.seq, ctx),
            Arrival::Old => {}
        }
    }

    fn deliver(&mut self, delivery: &Delivery) {
        for attached in self.attached.iter_mut().filter(|attached| !attached.behind) {
            attached.behind = !attached.outbox.deliver(delivery);
        }
        self.last = delivery.seq();
        self.turn_bytes += delivery.encoded_bytes();
        if let Some(sent) = delivery.message().produced_at {
            metrics::get().deliver.record(Timestamp::now().since(sent));
        }
    }

    fn fill_to(&mut self, seq: Seq, ctx: &mut Context<Self>) {
        self.heard = self.heard.max(seq);
        if self.filling.is_none() {
            metrics::get().gap_fills.increment(1);
            self.fill(ctx);
        }
    }

    fn fill(&mut self, ctx: &mut Context<Self>) {
        self.filling = Some(Filling {
            last: self.last,
            heard: self.heard,
            delivers: false,
        });
        let (store, room_id) = (self.parts.store.clone(), self.room_id);
        let after = PageCursor::AfterSeq(self.last);
        let reading = async move { store.messages(room_id, after, FILL_PAGE).await };
        ctx.spawn(
            reading
                .into_actor(self)
                .map(|page, this, ctx| this.filled(page, ctx)),
        );
    }

    fn filled(&mut self, page: Result<MessagePage, StoreError>, ctx: &mut Context<Self>) {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                log::warn!(error:%; "a hole cannot be read yet");
                ctx.run_later(FILL_RETRY, |this, ctx| this.fill(ctx));
                return;
            }
        };
        if let Some(filling) = &mut self.filling {
            filling.delivers = true;
        }
        self.queue
            .extend(page.messages.into_iter().map(Delivery::new));
        self.deliver_queued(ctx);
    }

    /// A page is delivered: reads the next one, if there has to be one.
    fn go_on_filling(&mut self, ctx: &mut Context<Self>) {
        let Some(asked) = self.filling.take() else {
            return;
        };
        if self.last == asked.last && self.heard == asked.heard {
            // The store is the truth: what was heard of is not there.
            self.heard = self.last;
        }
        self.heard = self.heard.max(self.last);
        if self.heard > self.last {
            self.fill(ctx);
        }
    }

    // --------------------------------------------------------------- members

    fn joined_reply(&self, position: Seq, joined: &JoinReply) -> ServerEvent<'static> {
        ServerEvent::RoomJoined(RoomJoined {
            room_id: self.room_id,
            epoch: self.parts.epoch,
            last_seq: position,
            replayed: joined.replayed,
            truncated: joined.truncated,
        })
    }

    fn attach(&mut self, outbox: Arc<Outbox>, user_id: UserId, generation: u64) {
        self.detach(outbox.session_id);
        self.idle = false;
        self.attached.push(Attached {
            user_id,
            generation,
            outbox,
            behind: false,
        });
    }

    fn detach(&mut self, session_id: SessionId) {
        self.attached
            .retain(|attached| attached.outbox.session_id != session_id);
    }

    fn has_departed(&self, user_id: UserId, generation: u64) -> bool {
        let ended = self.departed.get(&user_id);
        ended.is_some_and(|ended| generation <= ended.generation)
    }

    /// `memberLeft` to everybody; to the one who left as the room's last frame.
    fn depart(&mut self, change: &MembershipChange) {
        let before = self.departed.get(&change.user_id);
        let before = before.map_or(0, |ended| ended.generation);
        let ended = Departed {
            generation: change.generation.max(before),
            at: Instant::now(),
        };
        self.departed.insert(change.user_id, ended);
        self.push(ServerEvent::MemberLeft(member_frame(change)));
        let room_id = self.room_id;
        self.attached.retain(|attached| {
            let leaves =
                attached.user_id == change.user_id && attached.generation <= change.generation;
            if leaves {
                attached.outbox.end_room(room_id);
            }
            !leaves
        });
    }

    // ---------------------------------------------------------------- frames

    fn push(&self, event: ServerEvent<'_>) {
        self.push_where(event, |_| true);
    }

    fn push_where(&self, event: ServerEvent<'_>, receives: impl Fn(&Attached) -> bool) {
        let broadcast = Broadcast::new(event);
        for attached in self.attached.iter().filter(|attached| receives(attached)) {
            attached.outbox.push_shared(&broadcast);
        }
    }
}

fn member_frame(change: &MembershipChange) -> MemberFrame<'_> {
    MemberFrame {
        room_id: change.room_id,
        user_id: change.user_id,
        display_name: &change.display_name,
        role: change.role,
    }
}
