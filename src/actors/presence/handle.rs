//! The handle by which everything outside talks to presence.

use std::time::Duration;

use actix::{Handler, Message};
use tokio::time::timeout;

use super::{
    AnnounceOnline, AskHealth, AskOnline, ForgetMember, GetState, LeaveAll, PresenceActor,
    PresenceState, SendTyping, SocketGone, TouchSockets,
};
use crate::{
    actors::Reference,
    ids::{RoomId, SessionId, UserId},
    presence::{Heartbeat, Present},
};

/// How long anybody waits for presence.
const ASK_TIMEOUT: Duration = Duration::from_millis(250);

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
        // Dropped when it is full: deadlines heal what is missed.
        let _ = self.0.get().try_send(msg);
    }

    /// Notes that sockets are alive.
    pub fn touch(&self, sockets: Vec<Heartbeat>) {
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
        self.tell(AnnounceOnline(Present { room_id, user_id }));
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
        self.tell(ForgetMember(Present { room_id, user_id }));
    }

    /// Returns for each user whether it has a live socket; `None` when that is unknown.
    pub async fn online(&self, users: Vec<UserId>) -> Option<Vec<bool>> {
        let asked = self.0.get().send(AskOnline(users));
        timeout(ASK_TIMEOUT, asked).await.ok()?.ok()?.ok()
    }

    /// Returns whether presence is known now.
    pub async fn is_healthy(&self) -> bool {
        let asked = self.0.get().send(AskHealth);
        matches!(timeout(ASK_TIMEOUT, asked).await, Ok(Ok(true)))
    }

    /// Returns how many messages wait for the actor.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.get().depth()
    }

    /// Asks the actor for a snapshot; `None` when it has just died.
    pub async fn state(&self) -> Option<PresenceState> {
        self.0.get().send(GetState).await.ok()
    }

    /// Removes sockets and tells who is offline, without the usual delay: the process ends.
    pub async fn leave_all(&self, sockets: Vec<(UserId, SessionId)>) {
        // A dead actor has nothing to remove: deadlines do.
        let _ = self.0.get().send(LeaveAll(sockets)).await;
    }
}
