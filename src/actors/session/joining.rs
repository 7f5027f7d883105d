//! Joins and leaves of one socket: for each room one after another, of all rooms a few at a time.
//!
//! What a join does is its [`Walk`]; here is when it may.

use std::{cell::Cell, collections::VecDeque, rc::Rc, sync::Arc, time::Duration};

use actix::{ActorFutureExt, AsyncContext, WrapFuture};

use super::{
    SessionActor, SessionContext,
    walk::{AttachedRoom, Walk},
};
use crate::{
    error::ApiError,
    ids::RoomId,
    protocol::{
        client::{JoinRoom, RequestId},
        close::CloseCode,
        server::{InRoom, ServerEvent},
    },
};

/// Joins and leaves of one room that wait for the one under way.
const MAX_WAITING: usize = 16;

/// Joins and leaves of all rooms of one socket that wait; more where more joins at once are allowed.
const MAX_WAITING_IN_ALL: usize = 4_096;

/// The same where joins have no limit.
const MAX_WAITING_UNLIMITED: usize = 1_000_000;

/// Joins and leaves of one socket that are under way. A client that comes back joins a thousand
/// rooms at once: what waits here costs little, what is under way a walk each.
const MAX_UNDER_WAY: usize = 8;

/// When a client may try again that had too many of them wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A room that the socket has joined, is joining or is leaving.
#[derive(Default)]
pub(super) struct RoomSlot {
    attached: Option<AttachedRoom>,
    /// What is to be done; none for a room at rest, of which a socket has many.
    tasks: Option<Box<RoomTasks>>,
}

struct RoomTasks {
    busy: bool,
    /// It has its place in [`RoomTurns`].
    queued: bool,
    waiting: VecDeque<RoomTask>,
    /// The generation up to which memberships have ended; read by the walk under way.
    ended: Rc<Cell<u64>>,
}

impl RoomSlot {
    fn tasks(&mut self) -> &mut RoomTasks {
        self.tasks.get_or_insert_with(|| {
            Box::new(RoomTasks {
                busy: false,
                queued: false,
                // Hardly ever more, and for each of a thousand rooms that are joined at once.
                waiting: VecDeque::with_capacity(1),
                ended: Rc::default(),
            })
        })
    }
}

/// Whose turn it is when too many are under way.
#[derive(Default)]
pub(super) struct RoomTurns {
    under_way: usize,
    /// Joins and leaves, of whatever room.
    waiting: usize,
    queue: VecDeque<RoomId>,
}

enum RoomTask {
    Join(Option<RequestId>, JoinRoom),
    Leave(Option<RequestId>),
    /// Come back after the death of the room's actor, or because the socket was too slow.
    Rejoin,
}

impl RoomTask {
    fn is_join(&self) -> bool {
        matches!(self, Self::Join(..))
    }

    fn is_rejoin(&self) -> bool {
        matches!(self, Self::Rejoin)
    }
}

impl SessionActor {
    pub(super) fn join_room(
        &mut self,
        id: Option<RequestId>,
        join: JoinRoom,
        ctx: &mut SessionContext,
    ) {
        self.enqueue(join.room_id, RoomTask::Join(id, join), ctx);
    }

    pub(super) fn leave_room(
        &mut self,
        id: Option<RequestId>,
        room_id: RoomId,
        ctx: &mut SessionContext,
    ) {
        self.enqueue(room_id, RoomTask::Leave(id), ctx);
    }

    pub(super) fn rejoin(&mut self, room_id: RoomId, ctx: &mut SessionContext) {
        self.enqueue(room_id, RoomTask::Rejoin, ctx);
    }

    /// A join under way stops where it is and judges anew.
    pub(super) fn membership_ended(&mut self, room_id: RoomId, generation: u64) {
        let Some(slot) = self.rooms.get_mut(room_id) else {
            return;
        };
        if let Some(tasks) = slot.tasks.as_ref().filter(|tasks| tasks.busy) {
            tasks.ended.set(tasks.ended.get().max(generation));
        } else if slot
            .attached
            .as_ref()
            .is_some_and(|room| room.generation <= generation)
        {
            slot.attached = None;
            if slot.tasks.is_none() {
                self.rooms.remove(room_id);
            }
        }
    }

    fn enqueue(&mut self, room_id: RoomId, task: RoomTask, ctx: &mut SessionContext) {
        let is_full = self.turns.waiting >= self.most_waiting();
        let tasks = self.rooms.get_or_default(room_id).tasks();
        match task {
            RoomTask::Rejoin => {
                // Never left out: the room passes the socket by until then.
                if tasks.waiting.iter().any(RoomTask::is_rejoin) {
                    return;
                }
            }
            RoomTask::Join(id, _) | RoomTask::Leave(id)
                if tasks.waiting.len() >= MAX_WAITING || is_full =>
            {
                // Not by a bucket: those before it have yet to end.
                self.error(id.as_ref(), &ApiError::rate_limited(RETRY_AFTER));
                self.count_refusal();
                // A room that nothing else is known of is forgotten.
                return self.next_task(room_id, ctx);
            }
            RoomTask::Join(..) | RoomTask::Leave(_) => self.turns.waiting += 1,
        }
        let joins = task.is_join();
        tasks.waiting.push_back(task);
        if joins {
            self.expect_room(room_id);
        }
        self.next_task(room_id, ctx);
    }

    fn most_waiting(&self) -> usize {
        let joins = self.gateway.limits.config().joins;
        joins.map_or(MAX_WAITING_UNLIMITED, |rate| {
            MAX_WAITING_IN_ALL.max(rate.burst as usize)
        })
    }

    fn next_task(&mut self, room_id: RoomId, ctx: &mut SessionContext) {
        let Some(slot) = self.rooms.get_mut(room_id) else {
            return;
        };
        let tasks = slot.tasks();
        if tasks.busy {
            return;
        }
        if self.turns.under_way >= MAX_UNDER_WAY && !tasks.waiting.is_empty() {
            if !std::mem::replace(&mut tasks.queued, true) {
                self.turns.queue.push_back(room_id);
            }
            return;
        }
        let Some(task) = tasks.waiting.pop_front() else {
            slot.tasks = None;
            if slot.attached.is_none() {
                self.rooms.remove(room_id);
            }
            return;
        };
        tasks.busy = true;
        self.turns.under_way += 1;
        if !task.is_rejoin() {
            self.turns.waiting -= 1;
        }
        let previous = slot.attached.take();
        match task {
            RoomTask::Join(id, join) => self.start_join(id, join, previous, ctx),
            RoomTask::Leave(id) => self.start_leave(id, room_id, previous, ctx),
            RoomTask::Rejoin => self.start_rejoin(room_id, ctx),
        }
    }

    fn start_join(
        &mut self,
        id: Option<RequestId>,
        join: JoinRoom,
        previous: Option<AttachedRoom>,
        ctx: &mut SessionContext,
    ) {
        let room_id = join.room_id;
        self.expect_room(room_id);
        let walk = self.walk(room_id);
        let reply_to = id.clone();
        let before = previous.as_ref().map(|room| room.generation);
        let joining = async move {
            let mut previous = previous;
            let outcome = walk.join(reply_to, join, &mut previous).await;
            if outcome
                .as_ref()
                .is_err_and(|error| !error.code.is_retryable())
            {
                walk.detach(previous.take()).await;
            }
            (outcome, previous)
        };
        ctx.spawn(
            joining
                .into_actor(self)
                .map(move |(outcome, previous), this, ctx| {
                    match (outcome, previous) {
                        (Ok(attached), _) => this.attached(room_id, attached),
                        (Err(error), previous) => {
                            this.error(id.as_ref(), &error);
                            let is_in_doubt = previous.is_none() && error.code.is_retryable();
                            this.join_failed(room_id, previous);
                            if let Some(generation) = before.filter(|_| is_in_doubt) {
                                this.place_given_up(room_id, generation);
                            }
                        }
                    }
                    this.task_ended(room_id, ctx);
                }),
        );
    }

    /// A client that was in the room, and gave its place up for a new one that it did not get,
    /// believes that it is still there: it has to come back. Unless it was told that it has left.
    fn place_given_up(&mut self, room_id: RoomId, generation: u64) {
        let slot = self.rooms.get_mut(room_id);
        if slot.is_none_or(|slot| slot.tasks().ended.get() < generation) {
            self.outbox.close(CloseCode::ServerError);
        }
    }

    /// A join that failed for a passing reason leaves the socket where it was, if it still is there.
    fn join_failed(&mut self, room_id: RoomId, previous: Option<AttachedRoom>) {
        match previous {
            Some(attached) if self.outbox.position(room_id).is_some() => {
                self.attached(room_id, attached);
            }
            _ => self.end_room(room_id),
        }
    }

    /// A client that joins a room has the answers to its repeats kept from then on.
    fn expect_room(&self, room_id: RoomId) {
        if self.outbox.position(room_id).is_none() {
            self.outbox.expect_room(room_id);
        }
    }

    /// The client is not in the room any more, though it may be about to come back.
    fn end_room(&self, room_id: RoomId) {
        self.outbox.end_room(room_id);
        let tasks = self.rooms.get(room_id).and_then(|slot| slot.tasks.as_ref());
        if tasks.is_some_and(|tasks| tasks.waiting.iter().any(RoomTask::is_join)) {
            self.expect_room(room_id);
        }
    }

    fn start_rejoin(&mut self, room_id: RoomId, ctx: &mut SessionContext) {
        if self.outbox.position(room_id).is_none() {
            // It has left meanwhile.
            return self.task_ended(room_id, ctx);
        }
        let walk = self.walk(room_id);
        let joining = async move { walk.rejoin().await };
        ctx.spawn(joining.into_actor(self).map(move |outcome, this, ctx| {
            match outcome {
                Ok(attached) => this.attached(room_id, attached),
                // The client still believes that it is in the room: it has to come back.
                Err(_) => this.outbox.close(CloseCode::ServerError),
            }
            this.task_ended(room_id, ctx);
        }));
    }

    fn start_leave(
        &mut self,
        id: Option<RequestId>,
        room_id: RoomId,
        previous: Option<AttachedRoom>,
        ctx: &mut SessionContext,
    ) {
        let walk = self.walk(room_id);
        let leaving = async move { walk.detach(previous).await };
        ctx.spawn(leaving.into_actor(self).map(move |(), this, ctx| {
            this.end_room(room_id);
            let left = ServerEvent::RoomLeft(InRoom { room_id });
            this.outbox.reply(&left, id.as_ref());
            this.task_ended(room_id, ctx);
        }));
    }

    fn attached(&mut self, room_id: RoomId, attached: AttachedRoom) {
        if let Some(slot) = self.rooms.get_mut(room_id)
            && slot.tasks().ended.get() < attached.generation
        {
            slot.attached = Some(attached);
        }
    }

    fn task_ended(&mut self, room_id: RoomId, ctx: &mut SessionContext) {
        self.turns.under_way -= 1;
        if let Some(slot) = self.rooms.get_mut(room_id) {
            slot.tasks().busy = false;
        }
        // Those who wait for longer come first.
        while self.turns.under_way < MAX_UNDER_WAY
            && let Some(first) = self.turns.queue.pop_front()
        {
            if let Some(slot) = self.rooms.get_mut(first) {
                slot.tasks().queued = false;
            }
            self.next_task(first, ctx);
        }
        self.next_task(room_id, ctx);
    }

    fn walk(&self, room_id: RoomId) -> Walk {
        let tasks = self.rooms.get(room_id).and_then(|slot| slot.tasks.as_ref());
        Walk {
            gateway: self.gateway.clone(),
            registry: self.registry.clone(),
            outbox: Arc::clone(&self.outbox),
            user_id: self.user_id(),
            room_id,
            ended: tasks.map_or_else(Rc::default, |tasks| Rc::clone(&tasks.ended)),
        }
    }
}
