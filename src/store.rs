//! The `Store` port: accounts, rooms, members, messages and the ingest offsets, in domain words.
//!
//! # Contract, for every adapter
//! - A method that returned `Ok` is durable: it survives `kill -9` and a power cut.
//! - [`Store::ingest`] is the only writer of messages. It gives `seq` and id under the room's
//!   row lock, so that per room `seq` is 1, 2, 3, … and ids grow with it; the same
//!   [`DedupKey`](crate::message::DedupKey) is stored once.
//! - Each method is one unit of work, run to its end on the storage runtime even when the caller
//!   goes away.
//! - Errors are [`StoreError`]; what a caller can act on is in the method's own outcome type.

mod database;
mod failure;
mod ingest;
mod postgres;
mod schema;
pub mod sql_types;
mod sqlite;
mod storage;
#[cfg(test)]
mod suite;

pub use database::Store;
pub use failure::{IngestError, OpenError, StoreError};

use diesel::{deserialize::FromSqlRow, expression::AsExpression, sql_types::Text};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    clock::Timestamp,
    ids::{Epoch, LogId, MessageId, RoomId, Seq, TokenId, UserId},
    message::{PersistedMessage, RecordError, SubmittedMessage},
};

/// What this database is: its life and the log it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installation {
    pub epoch: Epoch,
    /// The log whose offsets `ingest_offsets` counts; `None` until one was bound.
    pub log_id: Option<LogId>,
}

// ------------------------------------------------------------------ accounts

/// A user's account without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// Lower case.
    pub email: String,
    pub display_name: String,
    pub created_at: Timestamp,
    pub tokens: TokenState,
}

/// Which of a user's tokens count: those of `generation`, and the one that a password change kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenState {
    pub generation: u64,
    pub kept_token: Option<TokenId>,
}

impl TokenState {
    /// Returns whether a token counts: a password change leaves the tokens of the new generation
    /// and the one that made it.
    #[must_use]
    pub fn counts(&self, generation: u64, token_id: TokenId) -> bool {
        generation >= self.generation || self.kept_token == Some(token_id)
    }
}

/// An account to be made. `email` is lower case, `password_hash` a bcrypt string.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub email: String,
    pub password_hash: String,
    pub display_name: String,
}

// --------------------------------------------------------------------- rooms

/// Who may find and join a room.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    AsExpression,
    FromSqlRow,
    ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[diesel(sql_type = Text)]
pub enum Visibility {
    #[default]
    Public,
    Private,
}

/// What a member may do: an owner everything, an admin invite and kick.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow, ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[diesel(sql_type = Text)]
pub enum Role {
    Owner,
    Admin,
    Member,
}

/// A room and the place of its newest message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub id: RoomId,
    pub name: String,
    pub visibility: Visibility,
    pub created_at: Timestamp,
    pub last_seq: Seq,
    pub last_message_id: Option<MessageId>,
    pub last_message_at: Option<Timestamp>,
}

/// A room as one of its members sees it in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSummary {
    pub room: Room,
    pub last_read_message_id: Option<MessageId>,
    /// Others' messages after the read position, and after joining.
    pub unread_count: u64,
}

/// A place in the list of a user's rooms: latest activity first, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomCursor {
    pub active_at: Timestamp,
    pub room_id: RoomId,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub room_id: RoomId,
    pub user_id: UserId,
    pub display_name: String,
    pub role: Role,
    pub joined_at: Timestamp,
    /// Grows with each join of anybody to the room: tells a membership from its successor.
    pub generation: u64,
    pub last_read_message_id: Option<MessageId>,
}

/// What a user is to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Member(Member),
    /// Not a member of a public room.
    Outsider,
    /// The room does not exist, or is private and the user is not in it.
    NoRoom,
}

/// How a join ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    Member(Member),
    AlreadyMember,
    /// The room (or invite) does not exist, or is not for this user.
    NotFound,
}

/// An invite that can be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The hash of its token, which is no secret.
    pub id: String,
    pub room_id: RoomId,
    pub created_by: UserId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// How leaving a room, or a change to another member, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// The member as it was (left, kicked) or is now (role).
    Done(Member),
    /// The caller's role does not allow it.
    Forbidden,
    /// The other user is not a member.
    NoSuchMember,
    /// The caller is not a member of this public room.
    Outsider,
    /// The room does not exist, or is private and the caller is not in it.
    NoRoom,
}

// ------------------------------------------------------------------ messages

/// Where a page of history begins. A cursor need not exist: it is a place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCursor {
    /// The last page.
    Newest,
    /// The page just before this id.
    Before(MessageId),
    /// The page just after this id.
    After(MessageId),
    /// The page just after this seq.
    AfterSeq(Seq),
}

/// A page of history, always oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePage {
    pub messages: Vec<PersistedMessage>,
    /// Whether there is more in the page's own direction (older for `Newest` and `Before`).
    pub has_more: bool,
}

/// How a read cursor moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMark {
    Moved(MessageId),
    /// It never moves back; this is where it stays.
    Unmoved(Option<MessageId>),
    NotMember,
}

// -------------------------------------------------------------------- ingest

/// Consecutive records of one partition of `chat.messages.v1`, the first at offset `from`.
#[derive(Debug, Clone)]
pub struct IngestBatch {
    pub log_id: LogId,
    pub partition: u32,
    pub from: u64,
    /// A record that could not be read keeps its place, so that offsets stay consecutive.
    pub records: Vec<Result<SubmittedMessage, RecordError>>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    /// One outcome a record, in the order of the batch.
    Done(Vec<RecordOutcome>),
    /// The store has ingested only up to `next`, before the batch: read again from there.
    Behind { next: u64 },
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordOutcome {
    /// Stored by this call.
    New(PersistedMessage),
    /// An earlier record had the same key; this is what it stored (`duplicate` is set, and `replayed`
    /// where it was the same record, at another offset: the log is read again from its beginning).
    Duplicate(PersistedMessage),
    /// This offset was ingested before; this is what is stored for it (`duplicate` is set, and
    /// `replayed` where this very record had stored it).
    Replayed(PersistedMessage),
    /// It can never be stored.
    Dead { reason: String, replayed: bool },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_change_keeps_the_token_that_made_it() {
        let (kept, other) = (TokenId::random(), TokenId::random());
        let state = TokenState {
            generation: 2,
            kept_token: Some(kept),
        };
        let check = |generation, token, expected| {
            assert_eq!(state.counts(generation, token), expected, "{generation}");
        };
        check(2, other, true);
        check(1, kept, true);
        check(1, other, false);
        check(0, other, false);
    }
}
