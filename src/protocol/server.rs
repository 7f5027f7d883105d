//! Events that the server sends. How they are written is for the [`dialect`](super::dialect).

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock::Timestamp,
    error::{ApiError, Code},
    ids::{ClientMsgId, Epoch, MessageId, RoomId, Seq, ServerId, SessionId, UserId},
    message::{MessageType, PersistedMessage},
    specifications::schemas,
    store::Role,
};

macro_rules! kinds {
    ($($kind:ident = $name:literal,)+) => {
        /// Which event a frame carries.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Kind { $($kind,)+ }

        impl Kind {
            /// Every kind, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// Returns the event's name on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }
        }
    };
}

kinds! {
    Ready = "ready",
    RoomJoined = "roomJoined",
    RoomLeft = "roomLeft",
    MessageAccepted = "messageAccepted",
    MessageFailed = "messageFailed",
    HeartbeatAck = "heartbeatAck",
    NewMessage = "newMessage",
    MemberJoined = "memberJoined",
    MemberLeft = "memberLeft",
    PresenceChanged = "presenceChanged",
    Typing = "typing",
    ReadUpdated = "readUpdated",
    Reconnect = "reconnect",
    Error = "error",
    Ack = "ack",
    Control = "control",
}

/// An encoded frame, ready for any number of sockets: cloning it shares the bytes.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: Kind,
    pub bytes: Bytes,
}

impl Frame {
    /// Makes a frame that is no event: a ping, a pong, a close, a packet that opens or ends.
    #[must_use]
    pub fn control(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Control,
            bytes,
        }
    }
}

/// A frame's event and data.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum ServerEvent<'a> {
    Ready(Ready),
    RoomJoined(RoomJoined),
    RoomLeft(InRoom),
    MessageAccepted(MessageAccepted),
    MessageFailed(MessageFailed<'a>),
    HeartbeatAck(HeartbeatAck),
    NewMessage(NewMessage<'a>),
    MemberJoined(MemberFrame<'a>),
    MemberLeft(MemberFrame<'a>),
    PresenceChanged(PresenceChanged),
    Typing(Typing),
    ReadUpdated(ReadUpdated),
    Reconnect(Reconnect),
    Error(ErrorFrame<'a>),
}

impl ServerEvent<'_> {
    /// Returns which event it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Ready(_) => Kind::Ready,
            Self::RoomJoined(_) => Kind::RoomJoined,
            Self::RoomLeft(_) => Kind::RoomLeft,
            Self::MessageAccepted(_) => Kind::MessageAccepted,
            Self::MessageFailed(_) => Kind::MessageFailed,
            Self::HeartbeatAck(_) => Kind::HeartbeatAck,
            Self::NewMessage(_) => Kind::NewMessage,
            Self::MemberJoined(_) => Kind::MemberJoined,
            Self::MemberLeft(_) => Kind::MemberLeft,
            Self::PresenceChanged(_) => Kind::PresenceChanged,
            Self::Typing(_) => Kind::Typing,
            Self::ReadUpdated(_) => Kind::ReadUpdated,
            Self::Reconnect(_) => Kind::Reconnect,
            Self::Error(_) => Kind::Error,
        }
    }
}

/// The socket is authenticated.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub server_id: ServerId,
    /// How often the server pings.
    #[schema(examples(25000))]
    pub heartbeat_interval_ms: u64,
    /// When the token expires.
    pub expires_at: Timestamp,
    pub limits: ReadyLimits,
}

/// The limits that a client can keep to by itself; 0 is none.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadyLimits {
    pub max_frame_bytes: usize,
    pub max_content_chars: usize,
    pub send_burst: u32,
    pub send_per_s: u32,
    pub join_burst: u32,
    pub max_replay: u64,
}

/// The room's live messages start at `last_seq + 1`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomJoined {
    pub room_id: RoomId,
    pub epoch: Epoch,
    pub last_seq: Seq,
    /// How many messages were replayed.
    pub replayed: u64,
    /// Whether nothing was replayed although something was missed: page with REST.
    pub truncated: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RoomLeft)]
pub struct InRoom {
    pub room_id: RoomId,
}

/// The message is durable.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageAccepted {
    client_msg_id: ClientMsgId,
    #[schema(schema_with = schemas::accepted)]
    status: &'static str,
}

impl MessageAccepted {
    #[must_use]
    pub fn new(client_msg_id: ClientMsgId) -> Self {
        Self {
            client_msg_id,
            status: "ACCEPTED",
        }
    }
}

/// The message is not stored, or it is unknown whether it is: `retryable` tells which.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageFailed<'a> {
    /// As the client wrote it; null where it could not be read.
    #[schema(required = true)]
    pub client_msg_id: Option<&'a str>,
    #[schema(schema_with = schemas::failed)]
    pub status: &'static str,
    #[schema(value_type = Code)]
    pub code: &'static str,
    /// What is wrong, for people.
    pub error: &'a str,
    /// False alone promises that the message is not and will not be stored.
    pub retryable: bool,
    /// How long to wait, on `RATE_LIMITED`.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl<'a> MessageFailed<'a> {
    #[must_use]
    pub fn new(client_msg_id: Option<&'a str>, error: &'a ApiError) -> Self {
        Self {
            client_msg_id,
            status: "FAILED",
            code: error.code.as_str(),
            error: &error.detail,
            retryable: error.code.is_retryable(),
            retry_after_ms: retry_after_ms(error),
        }
    }

    /// An accepted message that can never be stored.
    #[must_use]
    pub fn rejected(client_msg_id: &'a str, reason: &'a str) -> Self {
        Self {
            client_msg_id: Some(client_msg_id),
            status: "FAILED",
            code: Code::Rejected.as_str(),
            error: reason,
            retryable: false,
            retry_after_ms: None,
        }
    }
}

/// Whole milliseconds; who waits that long must find room.
fn retry_after_ms(error: &ApiError) -> Option<u64> {
    error.retry_after.map(|after| {
        let ms = after.as_nanos().div_ceil(1_000_000);
        u64::try_from(ms).unwrap_or(u64::MAX).max(1)
    })
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatAck {
    pub server_time: Timestamp,
}

/// A stored message, on WebSocket and in a page of history alike.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Message)]
pub struct NewMessage<'a> {
    pub id: MessageId,
    pub room_id: RoomId,
    pub seq: Seq,
    pub sender_id: UserId,
    pub client_msg_id: ClientMsgId,
    pub r#type: MessageType,
    /// 1 to 5,000 characters.
    #[schema(min_length = 1, max_length = 5000, examples("Hello, Bob"))]
    pub content: &'a str,
    pub created_at: Timestamp,
}

impl<'a> From<&'a PersistedMessage> for NewMessage<'a> {
    fn from(msg: &'a PersistedMessage) -> Self {
        Self {
            id: msg.message_id,
            room_id: msg.room_id,
            seq: msg.seq,
            sender_id: msg.sender_id,
            client_msg_id: msg.client_msg_id,
            r#type: msg.message_type,
            content: &msg.content,
            created_at: msg.created_at,
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MemberChanged)]
pub struct MemberFrame<'a> {
    pub room_id: RoomId,
    pub user_id: UserId,
    #[schema(examples("Alice"))]
    pub display_name: &'a str,
    pub role: Role,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceChanged {
    pub room_id: RoomId,
    pub user_id: UserId,
    pub online: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Typing {
    pub room_id: RoomId,
    pub user_id: UserId,
    pub is_typing: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadUpdated {
    pub room_id: RoomId,
    pub user_id: UserId,
    /// Null while nothing was read.
    #[schema(required = true)]
    pub last_read_message_id: Option<MessageId>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reconnect {
    pub after_ms: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ErrorData)]
pub struct ErrorFrame<'a> {
    #[schema(value_type = Code)]
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: &'a str,
    /// Whether repeating the same request can succeed.
    pub retryable: bool,
    /// How long to wait, on `RATE_LIMITED`.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl<'a> From<&'a ApiError> for ErrorFrame<'a> {
    fn from(error: &'a ApiError) -> Self {
        Self {
            code: error.code.as_str(),
            message: &error.detail,
            retryable: error.code.is_retryable(),
            retry_after_ms: retry_after_ms(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_waits_as_long_as_a_refusal_says_has_waited_long_enough() {
        let told = |wait| retry_after_ms(&ApiError::rate_limited(wait));
        assert_eq!(told(Duration::from_micros(1)), Some(1));
        assert_eq!(told(Duration::from_micros(99_001)), Some(100));
        assert_eq!(told(Duration::from_millis(100)), Some(100));
    }
}
