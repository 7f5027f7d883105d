//! A message as it came, and the line that it becomes.

use std::{collections::HashMap, fmt};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::escape::escaped;
use crate::{
    clock::Timestamp,
    ids::{MessageId, RoomId, Seq, UserId},
    message::MessageType,
};

/// What a line is made from.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    pub(super) id: MessageId,
    pub(super) room_id: RoomId,
    pub(super) seq: Seq,
    sender_id: UserId,
    r#type: MessageType,
    content: String,
    created_at: Timestamp,
}

impl Message {
    /// Reads a message as REST and WebSocket send it.
    pub(super) fn read(raw: &RawValue) -> serde_json::Result<Self> {
        serde_json::from_str(raw.get())
    }

    /// Shows the message in one line, whatever its sender put into it.
    pub(super) fn line<'a>(&'a self, names: &'a HashMap<UserId, String>) -> Line<'a> {
        Line { msg: self, names }
    }
}

/// See [`Message::line`].
pub(super) struct Line<'a> {
    msg: &'a Message,
    names: &'a HashMap<UserId, String>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { msg, names } = self;
        write!(f, "{} ", msg.created_at)?;
        match names.get(&msg.sender_id) {
            Some(name) => write!(f, "{}", escaped(name))?,
            None => write!(f, "{}", msg.sender_id)?,
        }
        match msg.r#type {
            MessageType::Text => f.write_str(": ")?,
            other => write!(f, " [{}]: ", other.as_str())?,
        }
        write!(f, "{}", escaped(&msg.content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        let sender = UserId::random();
        let message = |kind: &str, content: &str| {
            let json = serde_json::json!({
                "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "roomId": UserId::random(), "seq": 7,
                "senderId": sender, "clientMsgId": UserId::random(), "type": kind,
                "content": content, "createdAt": "2026-03-01T08:00:00.123Z",
            });
            let raw = RawValue::from_string(json.to_string()).expect("JSON");
            Message::read(&raw).expect("a message")
        };
        let known = HashMap::from([(sender, "Ann\u{7}".to_owned())]);
        assert_eq!(
            message("TEXT", "two\nlines").line(&known).to_string(),
            r"2026-03-01T08:00:00.123Z Ann\u{7}: two\nlines"
        );
        assert_eq!(
            message("IMAGE", "a.png").line(&HashMap::new()).to_string(),
            format!("2026-03-01T08:00:00.123Z {sender} [IMAGE]: a.png")
        );
    }
}
