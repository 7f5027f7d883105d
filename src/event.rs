//! What gateways tell each other besides messages: the values of `chat.events.v1`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{ClientMsgId, LoginId, MessageId, RoomId, ServerId, SessionId, TokenId, UserId},
    store::Role,
};

/// An event and the process that applied it first, which skips it when it comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    pub origin: ServerId,
    pub event: Event,
}

/// A change that every gateway must know of at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    MemberJoined(MembershipChange),
    MemberLeft(MembershipChange),
    ReadMoved {
        room_id: RoomId,
        user_id: UserId,
        last_read_message_id: MessageId,
        /// The socket that asked; it has its answer already.
        except: Option<SessionId>,
    },
    /// A logout: no token of this login counts any more.
    LoginRevoked {
        user_id: UserId,
        login_id: LoginId,
        expires_at: Timestamp,
    },
    /// A password change: only tokens of `generation`, and the kept one, still count.
    TokensRevoked {
        user_id: UserId,
        generation: u64,
        kept_token: TokenId,
    },
    /// An accepted message that can never be stored.
    MessageRejected {
        room_id: Option<RoomId>,
        sender_id: UserId,
        client_msg_id: ClientMsgId,
        reason: String,
    },
}

/// Who joined or left. An event ends only memberships of its own or an older generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MembershipChange {
    pub room_id: RoomId,
    pub user_id: UserId,
    pub display_name: String,
    pub role: Role,
    pub generation: u64,
}

impl Event {
    /// Returns the record key, which keeps the events of one room, or of one user, in order.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::MemberJoined(change) | Self::MemberLeft(change) => change.room_id.to_string(),
            Self::ReadMoved { room_id, .. } => room_id.to_string(),
            Self::LoginRevoked { user_id, .. } | Self::TokensRevoked { user_id, .. } => {
                user_id.to_string()
            }
            Self::MessageRejected {
                room_id, sender_id, ..
            } => room_id.map_or_else(|| sender_id.to_string(), |room| room.to_string()),
        }
    }

    /// Returns the room whose actor handles it; `None` for what concerns a user's sessions.
    #[must_use]
    pub fn room(&self) -> Option<RoomId> {
        match self {
            Self::MemberJoined(change) | Self::MemberLeft(change) => Some(change.room_id),
            Self::ReadMoved { room_id, .. } => Some(*room_id),
            Self::LoginRevoked { .. }
            | Self::TokensRevoked { .. }
            | Self::MessageRejected { .. } => None,
        }
    }
}
