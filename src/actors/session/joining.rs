//! Joins and leaves of one socket: for each room one after another.
//!
//! A join reads the store page by page from its position, as fast as the socket takes it, and
//! attaches once it has what the room has delivered. Nothing live is buffered meanwhile.

use std::{collections::VecDeque, sync::Arc};

use actix::{ActorFutureExt, Addr, AsyncContext, WrapFuture};
use actix_web::web::Data;

use super::{SessionActor, SessionContext, unavailable};
use crate::{
    actors::{
        room::{Attach, AttachRefusal, Detach, JoinReply, RoomActor},
        room_registry::{OpenRoom, RoomRegistry},
    },
    error::{ApiError, Code},
    fanout::{Delivery, Resume, resume},
    gateway::Gateway,
    ids::{RoomId, Seq, UserId},
    metrics::{self, ActorKind},
    outbox::Outbox,
    protocol::{
        MAX_REPLAY,
        client::{After, JoinRoom, RequestId},
        server::{InRoom, ServerEvent},
    },
    store::{Member, PageCursor, Standing},
};

/// Messages read at a time by a replay.
const REPLAY_PAGE: usize = 50;

/// Joins and leaves of one room that wait for the one under way.
const MAX_WAITING: usize = 16;

/// How often a join begins anew when its room or membership changes under it.
const MAX_ATTEMPTS: usize = 5;

/// A room that the socket has joined, is joining or is leaving.
#[derive(Default)]
pub(super) struct RoomSlot {
    attached: Option<AttachedRoom>,
    busy: bool,
    waiting: VecDeque<RoomTask>,
}

struct AttachedRoom {
    addr: Addr<RoomActor>,
    generation: u64,
}

enum RoomTask {
    Join(Option<RequestId>, JoinRoom),
    Leave(Option<RequestId>),
    /// Come back after the death of the room's actor.
    Rejoin,
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

    /// A join under way sees its position gone and judges anew.
    pub(super) fn membership_ended(&mut self, room_id: RoomId, generation: u64) {
        let Some(slot) = self.rooms.get_mut(&room_id) else {
            return;
        };
        if slot.busy {
            self.outbox.end_room(room_id);
        } else if slot
            .attached
            .as_ref()
            .is_some_and(|room| room.generation <= generation)
        {
            self.rooms.remove(&room_id);
        }
    }

    fn enqueue(&mut self, room_id: RoomId, task: RoomTask, ctx: &mut SessionContext) {
        let slot = self.rooms.entry(room_id).or_default();
        if slot.waiting.len() >= MAX_WAITING {
            if let RoomTask::Join(id, _) | RoomTask::Leave(id) = task {
                let error = "too many joins and leaves of this room wait";
                let error = ApiError::with_detail(Code::RateLimited, error);
                self.error(id.as_ref(), &error);
                self.count_refusal();
            }
            return;
        }
        slot.waiting.push_back(task);
        self.next_task(room_id, ctx);
    }

    fn next_task(&mut self, room_id: RoomId, ctx: &mut SessionContext) {
        let Some(slot) = self.rooms.get_mut(&room_id) else {
            return;
        };
        if slot.busy {
            return;
        }
        let Some(task) = slot.waiting.pop_front() else {
            if slot.attached.is_none() {
                self.rooms.remove(&room_id);
            }
            return;
        };
        slot.busy = true;
        let previous = slot.attached.take().map(|room| room.addr);
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
        previous: Option<Addr<RoomActor>>,
        ctx: &mut SessionContext,
    ) {
        let room_id = join.room_id;
        let walk = self.walk(room_id);
        let reply_to = id.clone();
        let joining = async move { walk.join(reply_to, join, previous).await };
        ctx.spawn(joining.into_actor(self).map(move |outcome, this, ctx| {
            this.task_done(room_id, id.as_ref(), outcome, ctx);
        }));
    }

    fn start_rejoin(&mut self, room_id: RoomId, ctx: &mut SessionContext) {
        let walk = self.walk(room_id);
        let joining = async move { walk.rejoin().await };
        ctx.spawn(joining.into_actor(self).map(move |outcome, this, ctx| {
            this.task_done(room_id, None, outcome, ctx);
        }));
    }

    fn start_leave(
        &mut self,
        id: Option<RequestId>,
        room_id: RoomId,
        previous: Option<Addr<RoomActor>>,
        ctx: &mut SessionContext,
    ) {
        let walk = self.walk(room_id);
        let leaving = async move { walk.detach(previous).await };
        ctx.spawn(leaving.into_actor(self).map(move |(), this, ctx| {
            this.outbox.end_room(room_id);
            let left = ServerEvent::RoomLeft(InRoom { room_id });
            this.outbox.reply(&left, id.as_ref());
            this.task_ended(room_id, ctx);
        }));
    }

    fn task_done(
        &mut self,
        room_id: RoomId,
        id: Option<&RequestId>,
        outcome: Result<AttachedRoom, ApiError>,
        ctx: &mut SessionContext,
    ) {
        match outcome {
            Ok(attached) => {
                if let Some(slot) = self.rooms.get_mut(&room_id) {
                    slot.attached = Some(attached);
                }
            }
            Err(error) => {
                self.outbox.end_room(room_id);
                self.error(id, &error);
            }
        }
        self.task_ended(room_id, ctx);
    }

    fn task_ended(&mut self, room_id: RoomId, ctx: &mut SessionContext) {
        if let Some(slot) = self.rooms.get_mut(&room_id) {
            slot.busy = false;
        }
        self.next_task(room_id, ctx);
    }

    fn walk(&self, room_id: RoomId) -> Walk {
        Walk {
            gateway: self.gateway.clone(),
            registry: self.registry.clone(),
            outbox: Arc::clone(&self.outbox),
            user_id: self.user_id(),
            room_id,
        }
    }
}

/// One walk from a position to the room's live end.
struct Walk {
    gateway: Data<Gateway>,
    registry: Addr<RoomRegistry>,
    outbox: Arc<Outbox>,
    user_id: UserId,
    room_id: RoomId,
}

/// Why a walk did not reach its end.
enum Interruption {
    /// The membership ended, or the room's actor died: judge anew.
    Again,
    Failed(ApiError),
}

impl Walk {
    async fn join(
        &self,
        id: Option<RequestId>,
        join: JoinRoom,
        previous: Option<Addr<RoomActor>>,
    ) -> Result<AttachedRoom, ApiError> {
        let mut previous = previous;
        for _ in 0..MAX_ATTEMPTS {
            let (member, head) = self.member().await?;
            let resume = self.resume(&join, head).await?;
            self.detach(previous.take()).await;
            self.outbox.begin_room(self.room_id, resume.position);
            let wants_replay = join.after.is_some() && !resume.truncated;
            match self.reach(&member, wants_replay, Some((&id, resume))).await {
                Ok(attached) => return Ok(attached),
                Err(Interruption::Again) => {}
                Err(Interruption::Failed(error)) => return Err(error),
            }
        }
        Err(ApiError::unavailable("the room is restarting"))
    }

    async fn rejoin(&self) -> Result<AttachedRoom, ApiError> {
        for _ in 0..MAX_ATTEMPTS {
            let (member, _) = self.member().await?;
            if self.outbox.position(self.room_id).is_none() {
                return Err(ApiError::new(Code::NotMember));
            }
            match self.reach(&member, true, None).await {
                Ok(attached) => return Ok(attached),
                Err(Interruption::Again) => {}
                Err(Interruption::Failed(error)) => return Err(error),
            }
        }
        Err(ApiError::unavailable("the room is restarting"))
    }

    async fn member(&self) -> Result<(Member, Seq), ApiError> {
        let standing = self
            .gateway
            .store
            .standing(self.room_id, self.user_id)
            .await;
        match standing.map_err(unavailable)? {
            (Standing::Member(member), head) => Ok((member, head)),
            (Standing::Outsider, _) => Err(ApiError::new(Code::NotMember)),
            (Standing::NoRoom, _) => Err(ApiError::new(Code::RoomNotFound)),
        }
    }

    /// Judges once how much is replayed.
    async fn resume(&self, join: &JoinRoom, head: Seq) -> Result<Resume, ApiError> {
        let same_epoch = join.epoch.is_none_or(|epoch| epoch == self.gateway.epoch);
        let after = match join.after {
            None => None,
            Some(After::Seq(seq)) => Some(seq),
            Some(After::Id(id)) => {
                let store = &self.gateway.store;
                let room = store.room(self.room_id).await.map_err(unavailable)?;
                let newest = room.and_then(|room| room.last_message_id);
                if newest.is_none_or(|newest| id > newest) {
                    // Beyond the head: a place that this database has not reached.
                    Some(Seq(u64::MAX))
                } else {
                    let at = store.seq_at(self.room_id, id).await;
                    Some(at.map_err(unavailable)?)
                }
            }
        };
        if join.after.is_some() {
            metrics::get().resumes.increment(1);
        }
        Ok(resume(after, head, same_epoch, MAX_REPLAY))
    }

    async fn detach(&self, room: Option<Addr<RoomActor>>) {
        if let Some(room) = room {
            metrics::get().actor(ActorKind::Room).sent();
            // A dead room has nobody attached.
            let _ = room.send(Detach(self.outbox.session_id)).await;
        }
    }

    /// Reads and attaches, again and again until the position is the room's.
    async fn reach(
        &self,
        member: &Member,
        wants_replay: bool,
        joined: Option<(&Option<RequestId>, Resume)>,
    ) -> Result<AttachedRoom, Interruption> {
        let mut replayed = 0;
        loop {
            if wants_replay {
                replayed += self.replay().await?;
            }
            let addr = self.open().await?;
            metrics::get().actor(ActorKind::Room).sent();
            let attach = Attach {
                outbox: Arc::clone(&self.outbox),
                user_id: self.user_id,
                generation: member.generation,
                joined: joined.map(|(id, resume)| JoinReply {
                    id: id.clone(),
                    replayed,
                    truncated: resume.truncated,
                }),
            };
            match addr.send(attach).await {
                Ok(Ok(())) => {
                    let generation = member.generation;
                    return Ok(AttachedRoom { addr, generation });
                }
                Ok(Err(AttachRefusal::Behind)) if wants_replay => {}
                Ok(Err(AttachRefusal::Behind)) => self.skip_to_head().await?,
                Ok(Err(AttachRefusal::Departed)) | Err(_) => return Err(Interruption::Again),
            }
        }
    }

    async fn open(&self) -> Result<Addr<RoomActor>, Interruption> {
        metrics::get().actor(ActorKind::RoomRegistry).sent();
        let opened = self.registry.send(OpenRoom(self.room_id)).await;
        opened.map_err(|_| Interruption::Failed(ApiError::unavailable("the server stops")))
    }

    /// Reads from the position to the store's end; returns how many messages were queued.
    async fn replay(&self) -> Result<u64, Interruption> {
        let mut replayed = 0;
        loop {
            let position = self.outbox.position(self.room_id);
            let after = PageCursor::AfterSeq(position.ok_or(Interruption::Again)?);
            let store = &self.gateway.store;
            let page = store.messages(self.room_id, after, REPLAY_PAGE).await;
            let page = page.map_err(|e| Interruption::Failed(unavailable(e)))?;
            for msg in page.messages {
                self.outbox.writable().await;
                self.outbox.deliver(&Delivery::new(msg));
                replayed += 1;
                metrics::get().resume_messages.increment(1);
            }
            if !page.has_more || !self.outbox.is_open() {
                return Ok(replayed);
            }
        }
    }

    /// Nothing is replayed to who did not ask: the position follows the store's head.
    async fn skip_to_head(&self) -> Result<(), Interruption> {
        let heads = self.gateway.store.heads(vec![self.room_id]).await;
        let heads = heads.map_err(|e| Interruption::Failed(unavailable(e)))?;
        let head = heads.first().map_or(Seq::ZERO, |(_, head)| *head);
        self.outbox.begin_room(self.room_id, head);
        Ok(())
    }
}
