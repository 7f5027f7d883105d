//! What REST and sockets do in a room in the same way: who may, sending, the read cursor.

use super::Gateway;
use crate::{
    clock::Timestamp,
    error::{ApiError, Code},
    event::Event,
    ids::{EventId, MessageId, RoomId, SessionId, UserId},
    message::{RECORD_VERSION, SubmittedMessage},
    protocol::client::Draft,
    store::{Member, ReadMark, Standing, StoreError},
};

/// The store's errors, as clients see them.
pub trait OrUnavailable<T> {
    /// Turns a store's error into `UNAVAILABLE`, or `INTERNAL` for a fault of ours.
    ///
    /// # Errors
    /// Those.
    fn or_unavailable(self) -> Result<T, ApiError>;
}

impl<T> OrUnavailable<T> for Result<T, StoreError> {
    fn or_unavailable(self) -> Result<T, ApiError> {
        self.map_err(|error| {
            log::warn!(error:%; "the store did not answer a client");
            match error {
                StoreError::Unavailable(_) => ApiError::unavailable("the database is unavailable"),
                StoreError::Fault(_) => ApiError::new(Code::Internal),
            }
        })
    }
}

impl Standing {
    /// Refuses whoever is not a member, without telling private rooms from absent ones.
    ///
    /// # Errors
    /// `NOT_MEMBER` in a public room, else `ROOM_NOT_FOUND`.
    pub fn member(self) -> Result<Member, ApiError> {
        match self {
            Self::Member(member) => Ok(member),
            Self::Outsider => Err(ApiError::new(Code::NotMember)),
            Self::NoRoom => Err(ApiError::new(Code::RoomNotFound)),
        }
    }
}

impl Gateway {
    /// Refuses whoever is not a member.
    ///
    /// # Errors
    /// As [`Standing::member`]; `UNAVAILABLE` when that cannot be looked up.
    pub async fn require_member(&self, room_id: RoomId, user_id: UserId) -> Result<(), ApiError> {
        let standing = self.memberships.standing(room_id, user_id).await;
        standing.or_unavailable()?.member().map(drop)
    }

    /// Counts a send, and refuses what is too much or comes while the server drains.
    ///
    /// # Errors
    /// `RATE_LIMITED` or `UNAVAILABLE`.
    pub fn begin_send(&self, user_id: UserId) -> Result<(), ApiError> {
        let counted = self.limits.check_send(user_id);
        counted.map_err(ApiError::rate_limited)?;
        match self.drain.is_draining() {
            true => Err(ApiError::unavailable("the server restarts")),
            false => Ok(()),
        }
    }

    /// Hands a member's message to the log, in the order of the calls; `then` hears what became of
    /// it, as in [`BridgeHandle::append`](crate::actors::kafka_bridge::BridgeHandle::append).
    pub fn submit(
        &self,
        room_id: RoomId,
        sender_id: UserId,
        draft: Draft,
        then: impl FnOnce(Result<(), ApiError>) + 'static,
    ) {
        let msg = SubmittedMessage {
            event_id: EventId::random(),
            room_id,
            sender_id,
            client_msg_id: draft.client_msg_id,
            message_type: draft.r#type.into(),
            content: draft.content,
            produced_at: Timestamp::now(),
            version: RECORD_VERSION,
        };
        self.bridge.append(&msg, then);
    }

    /// Moves a read cursor and tells the room's sockets but `except`; returns where it is then.
    ///
    /// # Errors
    /// As [`Self::require_member`].
    pub async fn mark_read(
        &self,
        room_id: RoomId,
        user_id: UserId,
        read: MessageId,
        except: Option<SessionId>,
    ) -> Result<Option<MessageId>, ApiError> {
        let marked = self.change(async move |store, bridge| {
            let marked = store.mark_read(room_id, user_id, read).await?;
            if let ReadMark::Moved(last_read_message_id) = marked {
                let moved = Event::ReadMoved {
                    room_id,
                    user_id,
                    last_read_message_id,
                    except,
                };
                bridge.announce(moved).await;
            }
            Ok(marked)
        });
        match marked.await.or_unavailable()? {
            ReadMark::Moved(moved_to) => Ok(Some(moved_to)),
            ReadMark::Unmoved(stays_at) => Ok(stays_at),
            ReadMark::NotMember => {
                let standing = self.store.standing(room_id, user_id).await;
                standing.or_unavailable()?.0.member()?;
                // Joined again since.
                Err(ApiError::new(Code::NotMember))
            }
        }
    }
}
