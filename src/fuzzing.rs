//! What readers of foreign bytes promise, whatever they are given: called by the targets in
//! `fuzz/`, and by a test with the inputs that are kept there.

mod frames;
mod records;

pub use frames::frames;
pub use records::log_records;

use actix_http::ws::{OpCode, Parser};
use bytes::BytesMut;
use serde_json::Value as Json;

use crate::{
    clock::Timestamp,
    http::cursor,
    ids::{MessageId, RoomId},
    message::check_content,
    protocol::{
        MAX_FRAME_BYTES,
        client::{self, BadRequest, ClientEvent, Request, RequestId},
        dialect::Dialect,
        server::{ErrorFrame, Frame, HeartbeatAck, MessageFailed, ServerEvent},
        socket_io::{self, BadPacket, Packet},
    },
    store::PageCursor,
};

/// A text frame of `/ws` is a request, or is answered; the answer has its id.
///
/// # Panics
/// Where that does not hold.
pub fn client_frames(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let read = client::parse(text);
    let (id, reply) = answer(&read);
    let reply = said(Dialect::Json.reply(&reply, id)[0].as_ref());
    let reply: Json = serde_json::from_slice(&reply).expect("JSON");
    let id = id.map(|id| serde_json::to_value(id).expect("JSON"));
    assert_eq!(reply.get("id"), id.as_ref());
}

/// A text frame of `/socket.io/` is a packet, or ends the connection; an event that wants an
/// acknowledgement gets one, with its id.
///
/// # Panics
/// Where that does not hold.
pub fn socket_io_packets(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match socket_io::read(text) {
        Ok(Packet::Event(read)) => {
            assert!(!matches!(read, Err(BadRequest::Frame { .. })), "{read:?}");
            let (id, reply) = answer(&read);
            let reply = said(Dialect::SocketIo.reply(&reply, id)[0].as_ref());
            let begins = match id {
                Some(RequestId::Number(id)) => format!("43{id}[{{"),
                _ => "42[\"".to_owned(),
            };
            assert!(reply.starts_with(begins.as_bytes()), "{begins}: {reply:?}");
        }
        Err(BadPacket::Namespace(name)) => {
            assert!(said(Some(&socket_io::wrong_namespace(name))).starts_with(b"44/"));
        }
        Ok(_) | Err(_) => {}
    }
}

/// A cursor is one that was written so, and the ids in it are read again as they are.
///
/// # Panics
/// Where that does not hold.
pub fn cursors(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(place) = cursor::read_room(text) {
        assert_eq!(cursor::write_room(place), text);
    }
    match cursor::read_page(Some(text), None) {
        Ok(PageCursor::Before(id)) => assert_eq!(id.to_string().parse(), Ok(id)),
        Ok(other) => panic!("`before` was read as {other:?}"),
        Err(_) => assert!(text.parse::<MessageId>().is_err()),
    }
    assert!(cursor::read_page(Some(text), Some(text)).is_err());
    if let Ok(id) = text.parse::<RoomId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
}

/// Makes the reply that a session would give.
fn answer(read: &Result<Request, BadRequest>) -> (Option<&RequestId>, ServerEvent<'_>) {
    match read {
        Ok(Request { id, event }) => {
            if let ClientEvent::SendMessage(msg) = event {
                assert_eq!(check_content(&msg.draft.content), Ok(()));
                assert!(!msg.draft.client_msg_id.0.is_nil());
            }
            let server_time = Timestamp::now();
            let ack = ServerEvent::HeartbeatAck(HeartbeatAck { server_time });
            (id.as_ref(), ack)
        }
        Err(BadRequest::Frame { id, error } | BadRequest::Refused { id, error }) => {
            (id.as_ref(), ServerEvent::Error(ErrorFrame::from(error)))
        }
        Err(BadRequest::Send {
            id,
            client_msg_id,
            error,
        }) => {
            let failed = MessageFailed::new(client_msg_id.as_deref(), error);
            (id.as_ref(), ServerEvent::MessageFailed(failed))
        }
    }
}

/// Returns the text of a frame, which a client's own parser has to take.
fn said(frame: Option<&Frame>) -> BytesMut {
    let frame = frame.expect("an id of a number or none has an answer");
    let mut bytes = BytesMut::from(&frame.bytes[..]);
    let most = 4 * MAX_FRAME_BYTES;
    let parsed = Parser::parse(&mut bytes, false, most).expect("a good frame");
    let (is_last, opcode, payload) = parsed.expect("a whole frame");
    assert!(is_last && opcode == OpCode::Text && bytes.is_empty());
    payload.expect("a text that is not empty")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn what_is_kept_of_fuzzing_holds() {
        let check = |target: &str, promise: fn(&[u8])| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("fuzz/corpus")
                .join(target);
            let inputs = fs::read_dir(&folder).expect("a folder of inputs");
            let inputs = inputs.map(|entry| entry.expect("an entry").path());
            let count = inputs
                .map(|path| promise(&fs::read(path).expect("an input")))
                .count();
            assert!(count > 0, "{target} has no inputs");
        };
        check("frames", super::frames);
        check("client_frames", super::client_frames);
        check("log_records", super::log_records);
        check("cursors", super::cursors);
        check("socket_io_packets", super::socket_io_packets);
    }
}
