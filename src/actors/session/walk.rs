//! A walk: from a position to the room's live end.
//!
//! It reads the store page by page, as fast as the socket takes it, and attaches once it has what
//! the room has delivered. Nothing live is buffered meanwhile. It stops where it is when the
//! membership under it ends, so that nobody reads on after a leave or a kick.

use std::{cell::Cell, rc::Rc, sync::Arc};

use actix_web::web::Data;
use fail::fail_point;

use crate::{
    actors::{
        mailbox::Mailbox,
        room::{Attach, AttachRefusal, Detach, JoinReply, RoomActor},
        room_registry::{OpenRoom, RoomRegistry},
    },
    error::{ApiError, Code},
    fanout::{Delivery, Resume, resume},
    gateway::{Gateway, OrUnavailable},
    ids::{MessageId, RoomId, Seq, UserId},
    metrics,
    outbox::Outbox,
    protocol::{
        MAX_REPLAY,
        client::{After, JoinRoom, RequestId},
    },
    store::{Member, MessagePage, PageCursor, Store, StoreError},
};

/// Messages that a replay reads first, while it does not know how long they are.
const FIRST_REPLAY_PAGE: usize = 4;

/// Most messages read at a time by a replay.
const REPLAY_PAGE: usize = 50;

/// What a page of a replay may hold, about: as much as the outbox has room for.
const REPLAY_PAGE_BYTES: usize = 64 * 1024;

/// What a message is in bytes beside its content, about.
const ENVELOPE_BYTES: usize = 512;

/// How often a walk bears that its room dies, or that its membership ends and begins again.
const MAX_ATTEMPTS: usize = 5;

/// A room that the socket is attached to.
pub(super) struct AttachedRoom {
    pub(super) addr: Mailbox<RoomActor>,
    pub(super) generation: u64,
}

/// What one walk works with.
pub(super) struct Walk {
    pub(super) gateway: Data<Gateway>,
    pub(super) registry: Mailbox<RoomRegistry>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) user_id: UserId,
    pub(super) room_id: RoomId,
    /// The generation up to which the user's memberships have ended. Moved by the session.
    pub(super) ended: Rc<Cell<u64>>,
}

/// What a walk brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Just what comes from the room's head on, which is not before this.
    Live(Seq),
    /// What was missed since the position; the reply says how much.
    Replay,
    /// All since the position, for a socket that never left.
    On,
}

/// Why a walk did not reach its end.
enum Interruption {
    /// The membership ended: there may be another.
    Ended,
    Failed(ApiError),
}

impl From<ApiError> for Interruption {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl Walk {
    /// Joins: from where the client asks, or from the room's head.
    pub(super) async fn join(
        &self,
        id: Option<RequestId>,
        join: JoinRoom,
        previous: &mut Option<AttachedRoom>,
    ) -> Result<AttachedRoom, ApiError> {
        let mut goes_on = join.after.is_none() && previous.is_some();
        for _ in 0..MAX_ATTEMPTS {
            let (member, head) = self.member().await?;
            if goes_on {
                match self.reach(&member, Mode::On, Some((&id, false))).await {
                    Ok(attached) => return Ok(attached),
                    Err(Interruption::Ended) => {
                        goes_on = false;
                        continue;
                    }
                    Err(Interruption::Failed(error)) => return Err(error),
                }
            }
            let resume = self.resume(&join, head).await?;
            let mode = match join.after {
                Some(_) if !resume.truncated => Mode::Replay,
                _ => Mode::Live(resume.position),
            };
            match mode {
                Mode::Live(_) => {
                    self.detach(previous.take()).await;
                    self.outbox.expect_room(self.room_id);
                }
                Mode::Replay | Mode::On => {
                    self.leave_forgotten().await?;
                    *previous = None;
                    self.outbox.begin_room(self.room_id, resume.position);
                }
            }
            let reply = Some((&id, resume.truncated));
            match self.reach(&member, mode, reply).await {
                Ok(attached) => return Ok(attached),
                Err(Interruption::Ended) => {}
                Err(Interruption::Failed(error)) => return Err(error),
            }
        }
        Err(restarting())
    }

    /// Comes back after the death of the room's actor, or when the socket was too slow, from the
    /// outbox's position.
    pub(super) async fn rejoin(&self) -> Result<AttachedRoom, ApiError> {
        let (member, _) = self.member().await?;
        match self.reach(&member, Mode::On, None).await {
            Ok(attached) => Ok(attached),
            Err(Interruption::Ended) => Err(ApiError::new(Code::NotMember)),
            Err(Interruption::Failed(error)) => Err(error),
        }
    }

    async fn member(&self) -> Result<(Member, Seq), ApiError> {
        let (store, room_id, user_id) = (self.store(), self.room_id, self.user_id);
        let reading = async move || store.standing(room_id, user_id).await;
        let standing = self.gateway.turns.read(reading).await?;
        let (standing, head) = standing.or_unavailable()?;
        Ok((standing.member()?, head))
    }

    /// Judges once how much is replayed.
    async fn resume(&self, join: &JoinRoom, head: Seq) -> Result<Resume, ApiError> {
        let epoch = self.gateway.epoch;
        let same_epoch = join.epoch.is_none_or(|seen| seen.is(epoch));
        let after = match join.after {
            None => None,
            Some(After::Seq(seq)) => Some(seq),
            Some(After::Id(id)) => {
                let (store, room_id) = (self.store(), self.room_id);
                let reading = async move || seq_of(&store, room_id, id).await;
                Some(self.gateway.turns.read(reading).await?.or_unavailable()?)
            }
        };
        if join.after.is_some() {
            metrics::get().resumes.increment(1);
        }
        Ok(resume(after, head, same_epoch, MAX_REPLAY))
    }

    /// Takes the socket out of the room, also where a membership has ended of which the room has yet
    /// to hear: nothing may come from it into a replay.
    async fn leave_forgotten(&self) -> Result<(), ApiError> {
        let addr = self.open().await?;
        self.take_out_of(&addr).await;
        Ok(())
    }

    /// Takes the socket out of its room; on return nothing more comes from it.
    pub(super) async fn detach(&self, room: Option<AttachedRoom>) {
        if let Some(room) = room {
            self.take_out_of(&room.addr).await;
        }
    }

    async fn take_out_of(&self, room: &Mailbox<RoomActor>) {
        // A dead room has nobody attached.
        let _ = room.send(Detach(self.outbox.session_id)).await;
    }

    /// Reads and attaches, again and again until the position is the room's.
    async fn reach(
        &self,
        member: &Member,
        mode: Mode,
        joined: Option<(&Option<RequestId>, bool)>,
    ) -> Result<AttachedRoom, Interruption> {
        let mut replayed = 0;
        let mut deaths = 0;
        while deaths < MAX_ATTEMPTS {
            let begins = match mode {
                Mode::Live(head) => Some(head),
                Mode::Replay | Mode::On => None,
            };
            if begins.is_none() {
                replayed += self.replay(member).await?;
            }
            let addr = self.open().await?;
            let attach = Attach {
                outbox: Arc::clone(&self.outbox),
                user_id: self.user_id,
                generation: member.generation,
                begins,
                joined: joined.map(|(id, truncated)| JoinReply {
                    id: id.clone(),
                    replayed: if mode == Mode::Replay { replayed } else { 0 },
                    truncated,
                }),
            };
            match addr.send(attach).await {
                Ok(Ok(())) => {
                    let generation = member.generation;
                    return Ok(AttachedRoom { addr, generation });
                }
                Ok(Err(AttachRefusal::Behind)) => {}
                Ok(Err(AttachRefusal::Departed)) => return Err(Interruption::Ended),
                Ok(Err(AttachRefusal::Closed)) => return Err(closed().into()),
                // It goes on from its position when the room lives again.
                Err(_) => deaths += 1,
            }
        }
        Err(restarting().into())
    }

    async fn open(&self) -> Result<Mailbox<RoomActor>, ApiError> {
        let opened = self.registry.send(OpenRoom(self.room_id)).await;
        opened.map_err(|_| ApiError::unavailable("the server stops"))
    }

    async fn page(&self, after: PageCursor, limit: usize) -> Result<MessagePage, ApiError> {
        let (store, room_id) = (self.store(), self.room_id);
        let reading = async move || store.messages(room_id, after, limit).await;
        self.gateway.turns.read(reading).await?.or_unavailable()
    }

    fn store(&self) -> Store {
        self.gateway.store.clone()
    }

    /// Reads from the position to the store's end; returns how many messages were queued.
    ///
    /// It waits for the peer before it reads, and holds nothing while it waits: what finds no room in
    /// the outbox is read again, when no other replay of the socket takes the room.
    async fn replay(&self, member: &Member) -> Result<u64, Interruption> {
        fail_point!("replay", |_| Err(restarting().into()));
        let mut replayed = 0;
        let mut limit = FIRST_REPLAY_PAGE;
        let mut turn = None;
        loop {
            self.outbox.writable().await;
            let Some(position) = self.outbox.position(self.room_id) else {
                // Taken by the room, which knows that the membership has ended, or by the end.
                return Err(if self.outbox.is_open() {
                    Interruption::Ended
                } else {
                    closed().into()
                });
            };
            let after = PageCursor::AfterSeq(position);
            let page = self.page(after, limit).await?;
            if self.ended.get() >= member.generation {
                return Err(Interruption::Ended);
            }
            limit = limit_after(&page);
            let mut complete = true;
            for msg in page.messages {
                if !self.outbox.takes_replay() || !self.outbox.deliver(&Delivery::new(msg)) {
                    // Others have taken the room meanwhile.
                    complete = false;
                    break;
                }
                replayed += 1;
                metrics::get().resume_messages.increment(1);
            }
            if !self.outbox.is_open() {
                return Err(closed().into());
            }
            if !page.has_more && complete {
                return Ok(replayed);
            }
            if !complete && turn.is_none() {
                turn = self.outbox.replay_turn().await;
            }
        }
    }
}

/// Returns how many messages the page after this one may have, if they are as long.
fn limit_after(page: &MessagePage) -> usize {
    let lengths = page.messages.iter().map(|msg| msg.content.len());
    let bytes: usize = lengths.map(|length| length + ENVELOPE_BYTES).sum();
    let fits = REPLAY_PAGE_BYTES * page.messages.len() / bytes.max(1);
    fits.clamp(1, REPLAY_PAGE)
}

/// Returns the seq of a place; beyond every head when this database has not reached it.
async fn seq_of(store: &Store, room_id: RoomId, id: MessageId) -> Result<Seq, StoreError> {
    let room = store.room(room_id).await?;
    let newest = room.and_then(|room| room.last_message_id);
    match newest {
        Some(newest) if id <= newest => store.seq_at(room_id, id).await,
        _ => Ok(Seq(u64::MAX)),
    }
}

fn restarting() -> ApiError {
    ApiError::unavailable("the room is restarting")
}

/// Nobody reads it: the socket is closing.
fn closed() -> ApiError {
    ApiError::unavailable("the socket closes")
}
