//! A message before and after it is stored, and the records that carry it between processes.

use diesel::{deserialize::FromSqlRow, expression::AsExpression, sql_types::Text};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    clock::Timestamp,
    ids::{ClientMsgId, EventId, MessageId, RoomId, Seq, UserId},
};

/// Most characters (Unicode scalar values) of a message's content.
pub const MAX_CONTENT_CHARS: usize = 5_000;

/// The version of a created record that this build writes; a record without one is of it.
pub const RECORD_VERSION: u32 = 1;

/// What a message's content is. Clients send `TEXT` and `IMAGE`; `SYSTEM` is the server's.
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
#[serde(rename_all = "UPPERCASE")]
#[diesel(sql_type = Text)]
pub enum MessageType {
    #[default]
    Text,
    Image,
    System,
}

impl MessageType {
    /// Returns the name used in payloads.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Image => "IMAGE",
            Self::System => "SYSTEM",
        }
    }
}

/// What makes a repeat recognisable: the same key is stored once, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey {
    pub room_id: RoomId,
    pub sender_id: UserId,
    pub client_msg_id: ClientMsgId,
}

/// A message that a client sent and that is not stored yet: the value of `chat.messages.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmittedMessage {
    pub event_id: EventId,
    pub room_id: RoomId,
    pub sender_id: UserId,
    pub client_msg_id: ClientMsgId,
    #[serde(default)]
    pub message_type: MessageType,
    pub content: String,
    pub produced_at: Timestamp,
    #[serde(default = "record_version")]
    pub version: u32,
}

fn record_version() -> u32 {
    RECORD_VERSION
}

impl SubmittedMessage {
    /// Returns the key under which a repeat is recognised.
    #[must_use]
    pub fn dedup_key(&self) -> DedupKey {
        DedupKey {
            room_id: self.room_id,
            sender_id: self.sender_id,
            client_msg_id: self.client_msg_id,
        }
    }

    /// Returns the message as it is once it is stored.
    #[must_use]
    pub fn persisted(
        &self,
        message_id: MessageId,
        seq: Seq,
        created_at: Timestamp,
    ) -> PersistedMessage {
        PersistedMessage {
            message_id,
            room_id: self.room_id,
            seq,
            sender_id: self.sender_id,
            client_msg_id: self.client_msg_id,
            message_type: self.message_type,
            content: self.content.clone(),
            created_at,
            produced_at: Some(self.produced_at),
            duplicate: false,
            replayed: false,
        }
    }
}

/// A stored message with its place in the room: the value of `chat.messages.persisted.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersistedMessage {
    pub message_id: MessageId,
    pub room_id: RoomId,
    pub seq: Seq,
    pub sender_id: UserId,
    pub client_msg_id: ClientMsgId,
    pub message_type: MessageType,
    pub content: String,
    pub created_at: Timestamp,
    /// When its sender's gateway took it; only where it has just been stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced_at: Option<Timestamp>,
    /// Whether it was stored by an earlier record: published again to answer a repeat.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// Whether it is published again only because the record that stored it was read again:
    /// nobody repeated it, and nobody waits for an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

impl PersistedMessage {
    /// Returns the key under which a repeat is recognised.
    #[must_use]
    pub fn dedup_key(&self) -> DedupKey {
        DedupKey {
            room_id: self.room_id,
            sender_id: self.sender_id,
            client_msg_id: self.client_msg_id,
        }
    }
}

/// Why a content cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most {MAX_CONTENT_CHARS} characters")]
    TooLong,
    #[error("must not contain U+0000")]
    Nul,
}

/// Checks a content by the rule that holds on REST, WebSocket and log records alike.
///
/// # Errors
/// Names the first rule that it breaks.
pub fn check_content(content: &str) -> Result<(), ContentError> {
    if content.is_empty() {
        return Err(ContentError::Empty);
    }
    if content.len() > MAX_CONTENT_CHARS && content.chars().count() > MAX_CONTENT_CHARS {
        return Err(ContentError::TooLong);
    }
    if content.contains('\0') {
        return Err(ContentError::Nul);
    }
    Ok(())
}

/// Why a record of `chat.messages.v1` can never be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("not a created record: {0}")]
    Malformed(String),
    #[error("unknown version {0}")]
    UnknownVersion(u32),
    #[error("content {0}")]
    Content(#[from] ContentError),
    #[error("client message id is nil")]
    NilClientMsgId,
    /// No record was ever there, so that nobody misses it.
    #[error("nothing is at this offset")]
    Hole,
}

/// Reads a record of `chat.messages.v1`, ours or a foreign producer's.
///
/// # Errors
/// Any error is final: the record is a dead letter.
pub fn decode_submitted(value: &[u8]) -> Result<SubmittedMessage, RecordError> {
    let msg: SubmittedMessage =
        serde_json::from_slice(value).map_err(|e| RecordError::Malformed(e.to_string()))?;
    if msg.version != RECORD_VERSION {
        return Err(RecordError::UnknownVersion(msg.version));
    }
    if msg.client_msg_id.0.is_nil() {
        return Err(RecordError::NilClientMsgId);
    }
    check_content(&msg.content)?;
    Ok(msg)
}

/// Sender and repeat key of a record that could not be read as a whole, where they can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordOrigin {
    pub sender_id: UserId,
    pub client_msg_id: ClientMsgId,
    /// It may be what is wrong with the record.
    #[serde(default, deserialize_with = "if_readable")]
    pub room_id: Option<RoomId>,
}

fn if_readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RoomId>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(RoomId::deserialize(value).ok())
}

/// Reads who sent a record that is a dead letter, to tell them.
#[must_use]
pub fn decode_origin(value: &[u8]) -> Option<RecordOrigin> {
    serde_json::from_slice(value).ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn content_is_one_to_five_thousand_scalar_values_without_nul() {
        let check = |content: String, expected: Result<(), ContentError>| {
            assert_eq!(check_content(&content), expected, "{} bytes", content.len());
        };
        check("x".into(), Ok(()));
        check(" \n ".into(), Ok(()));
        check("🦀".repeat(MAX_CONTENT_CHARS), Ok(()));
        check(String::new(), Err(ContentError::Empty));
        check(
            "x".repeat(MAX_CONTENT_CHARS + 1),
            Err(ContentError::TooLong),
        );
        check("a\0b".into(), Err(ContentError::Nul));
    }

    #[test]
    fn a_foreign_record_may_leave_out_version_and_type() {
        let record = br#"{"eventId":"7f7a2c4e-63a5-4a1b-8f0f-0c8f37d7a9a1","roomId":"67E55044-10b1-426f-9247-bb680e5fe0c8",
            "senderId":"67e55044-10b1-426f-9247-bb680e5fe0c9","clientMsgId":"67e55044-10b1-426f-9247-bb680e5fe0ca",
            "content":"hello","producedAt":"2026-03-01T08:00:00Z","extra":true}"#;
        let msg = decode_submitted(record).expect("a valid record");
        assert_eq!((msg.version, msg.message_type), (1, MessageType::Text));
    }

    #[test]
    fn a_record_that_cannot_be_stored_says_why() {
        let check = |value: &str, expected: &str| {
            let error = decode_submitted(value.as_bytes()).expect_err("not storable");
            assert!(error.to_string().contains(expected), "{error}");
        };
        let with = |key: &str, value: &str| {
            let mut record = serde_json::json!({
                "eventId": Uuid::new_v4(), "roomId": Uuid::new_v4(), "senderId": Uuid::new_v4(),
                "clientMsgId": Uuid::new_v4(), "content": "x", "producedAt": "2026-03-01T08:00:00Z"
            });
            record[key] = serde_json::from_str(value).expect("JSON");
            record.to_string()
        };
        check("no json", "not a created record");
        check(&with("version", "2"), "unknown version 2");
        check(&with("content", r#""a\u0000b""#), "U+0000");
        check(&with("roomId", r#""nowhere""#), "must be a UUID");
    }

    #[test]
    fn who_sent_a_record_is_told_whatever_is_wrong_with_its_room() {
        let room_id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let room_id: RoomId = room_id.parse().expect("a UUID");
        let check = |room: serde_json::Value, expected: Option<RoomId>| {
            let record = serde_json::json!({
                "roomId": room, "senderId": Uuid::new_v4(), "clientMsgId": Uuid::new_v4(),
            });
            let origin = decode_origin(record.to_string().as_bytes()).expect("an origin");
            assert_eq!(origin.room_id, expected, "{room}");
        };
        check(serde_json::json!(room_id), Some(room_id));
        for nowhere in ["\"nowhere\"", "null", "5", "{}"] {
            check(serde_json::from_str(nowhere).expect("JSON"), None);
        }
        assert_eq!(
            decode_origin(br#"{"roomId":"67e55044-10b1-426f-9247-bb680e5fe0c8"}"#),
            None
        );
    }
}
