//! Frames as a client sees them, borrowed from the bytes they came in.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ledger::Row;
use crate::ids::{ClientMsgId, Epoch, MessageId, RoomId, Seq};

/// What a client of this kind acts on; everything else is [`Received::Other`].
#[derive(Debug)]
pub(super) enum Received {
    Ready(ReadyLimits),
    Joined(RoomJoined),
    Accepted(ClientMsgId),
    Failed(Failed),
    Message(RoomId, Row),
    /// The server goes: come back after this time.
    Reconnect(Duration),
    Error(ErrorData),
    Other,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Ready {
    limits: ReadyLimits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadyLimits {
    pub(super) send_per_s: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoomJoined {
    pub(super) room_id: RoomId,
    pub(super) epoch: Epoch,
    pub(super) last_seq: Seq,
    pub(super) truncated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    client_msg_id: ClientMsgId,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failed {
    pub(super) client_msg_id: Option<ClientMsgId>,
    pub(super) retryable: bool,
    retry_after_ms: Option<u64>,
}

impl Failed {
    pub(super) fn retry_after(&self) -> Duration {
        Duration::from_millis(self.retry_after_ms.unwrap_or_default())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorData {
    pub(super) code: String,
    pub(super) message: String,
    retry_after_ms: Option<u64>,
}

impl ErrorData {
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reconnect {
    after_ms: u64,
}

/// A message on the wire, and in a page of history; its content is skipped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewMessage {
    id: MessageId,
    room_id: RoomId,
    seq: Seq,
    client_msg_id: ClientMsgId,
}

impl NewMessage {
    pub(super) fn row(&self) -> Row {
        Row {
            seq: self.seq,
            id: self.id,
            client_msg_id: self.client_msg_id,
        }
    }
}

/// Reads a frame.
pub(super) fn read(text: &str) -> serde_json::Result<Received> {
    let frame: Frame<'_> = serde_json::from_str(text)?;
    let data = frame.data.get();
    Ok(match frame.event {
        "newMessage" => {
            let msg: NewMessage = serde_json::from_str(data)?;
            Received::Message(msg.room_id, msg.row())
        }
        "messageAccepted" => {
            Received::Accepted(serde_json::from_str::<Accepted>(data)?.client_msg_id)
        }
        "messageFailed" => Received::Failed(serde_json::from_str(data)?),
        "roomJoined" => Received::Joined(serde_json::from_str(data)?),
        "ready" => Received::Ready(serde_json::from_str::<Ready>(data)?.limits),
        "reconnect" => {
            let after = serde_json::from_str::<Reconnect>(data)?.after_ms;
            Received::Reconnect(Duration::from_millis(after))
        }
        "error" => Received::Error(serde_json::from_str(data)?),
        _ => Received::Other,
    })
}

/// Writes the frame that sends a message.
pub(super) fn send_message(room_id: RoomId, client_msg_id: ClientMsgId) -> String {
    format!(
        r#"{{"event":"sendMessage","data":{{"roomId":"{room_id}","clientMsgId":"{client_msg_id}","type":"TEXT","content":"a message of an ordinary length, as people write them"}}}}"#
    )
}

/// Writes the frame that joins a room after a seq.
pub(super) fn join_room(room_id: RoomId, after: Seq, epoch: Option<Epoch>) -> String {
    let epoch = epoch.map(|epoch| format!(r#","epoch":"{epoch}""#));
    let epoch = epoch.unwrap_or_default();
    format!(r#"{{"event":"joinRoom","data":{{"roomId":"{room_id}","after":{after}{epoch}}}}}"#)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::client;

    #[test]
    fn frames_are_read_as_the_server_writes_them() {
        let (room_id, name) = (RoomId::random(), ClientMsgId::random());
        let check = |event: &str, data: Value, expected: fn(&Received) -> bool| {
            let frame = json!({ "event": event, "data": data }).to_string();
            let received = read(&frame).expect("a frame");
            assert!(expected(&received), "{frame} is {received:?}");
        };
        let msg = json!({
            "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "roomId": room_id, "seq": 7, "content": "\"\n",
            "senderId": RoomId::random(), "clientMsgId": name, "type": "TEXT",
            "createdAt": "2026-03-01T08:00:00.123Z",
        });
        check("newMessage", msg, |received| {
            matches!(received, Received::Message(_, Row { seq: Seq(7), .. }))
        });
        check(
            "messageAccepted",
            json!({ "clientMsgId": name }),
            |received| matches!(received, Received::Accepted(_)),
        );
        let failed = json!({ "clientMsgId": null, "status": "FAILED", "code": "RATE_LIMITED",
            "error": "x", "retryable": true, "retryAfterMs": 100 });
        check("messageFailed", failed, |received| {
            matches!(received, Received::Failed(failed)
                if failed.retryable && failed.retry_after() == Duration::from_millis(100))
        });
        check(
            "reconnect",
            json!({ "afterMs": 5 }),
            |received| matches!(received, Received::Reconnect(after) if after.as_millis() == 5),
        );
        check("presenceChanged", json!({}), |received| {
            matches!(received, Received::Other)
        });
    }

    #[test]
    fn frames_are_written_as_the_server_reads_them() {
        let check = |frame: &str| {
            let read = client::parse(frame);
            assert!(read.is_ok(), "{frame}");
        };
        let room_id = RoomId::random();
        check(&send_message(room_id, ClientMsgId::random()));
        check(&join_room(room_id, Seq(0), None));
        check(&join_room(room_id, Seq(7), Some(Epoch::random())));
    }
}
