//! The forms in which a socket speaks: bare JSON on `/ws`, Socket.IO packets on `/socket.io/`.
//!
//! The session, its rooms and its outbox deal in events, and meet a dialect only here. What goes
//! to many sockets is encoded once for each dialect that is spoken, not once for each socket.

use std::sync::OnceLock;

use serde::Serialize;

use super::{
    client::RequestId,
    close::CloseCode,
    server::{Frame, Kind, ServerEvent},
    socket_io, wire,
};
use crate::ids::SessionId;

/// How a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    #[default]
    Json,
    SocketIo,
}

/// One frame, or two where a request is acknowledged and answered by an event as well.
pub type Reply = [Option<Frame>; 2];

impl Dialect {
    /// Encodes an event as a push.
    #[must_use]
    pub fn push(self, event: &ServerEvent<'_>) -> Frame {
        match self {
            Self::Json => json(event, None),
            Self::SocketIo => socket_io::event(event),
        }
    }

    /// Encodes an event as the reply to a request, with its id if it had one.
    #[must_use]
    pub fn reply(self, event: &ServerEvent<'_>, id: Option<&RequestId>) -> Reply {
        match (self, id) {
            (Self::Json, id) => [Some(json(event, id)), None],
            (Self::SocketIo, None) => [Some(socket_io::event(event)), None],
            (Self::SocketIo, Some(id)) => {
                let is_told_twice = [Kind::MessageAccepted, Kind::MessageFailed];
                let event_too = is_told_twice.contains(&event.kind());
                let event_too = event_too.then(|| socket_io::event(event));
                [socket_io::ack(id, event), event_too]
            }
        }
    }

    /// Encodes that a request is done which has no event for it; `None` where nobody waits.
    #[must_use]
    pub fn done(self, id: Option<&RequestId>) -> Option<Frame> {
        match self {
            Self::Json => None,
            Self::SocketIo => socket_io::done(id?),
        }
    }

    /// Returns what is said before anything else.
    #[must_use]
    pub fn opening(self) -> Option<Frame> {
        match self {
            Self::Json => None,
            Self::SocketIo => Some(socket_io::opening()),
        }
    }

    /// Returns how a client is told that it is let in, besides `ready`.
    #[must_use]
    pub fn greeting(self, session_id: SessionId) -> Option<Frame> {
        match self {
            Self::Json => None,
            Self::SocketIo => Some(socket_io::greeting(session_id)),
        }
    }

    /// Returns a ping.
    #[must_use]
    pub fn ping(self) -> Frame {
        match self {
            Self::Json => Frame::control(wire::ping()),
            Self::SocketIo => socket_io::ping(),
        }
    }

    /// Returns what is said before a close frame, of which not every client sees the code.
    #[must_use]
    pub fn farewell(self, code: CloseCode, is_greeted: bool) -> Option<Frame> {
        match self {
            Self::Json => None,
            Self::SocketIo => socket_io::farewell(code, is_greeted),
        }
    }
}

fn json(event: &ServerEvent<'_>, id: Option<&RequestId>) -> Frame {
    #[derive(Serialize)]
    struct Envelope<'a> {
        event: &'static str,
        data: &'a ServerEvent<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
    }
    let envelope = Envelope {
        event: event.kind().name(),
        data: event,
        id,
    };
    let json = serde_json::to_vec(&envelope).expect("frames have string keys and no NaN");
    Frame {
        kind: event.kind(),
        bytes: wire::text(&json),
    }
}

/// The frames of one event, made when they are first asked for.
#[derive(Debug, Default)]
pub struct Encodings {
    json: OnceLock<Frame>,
    socket_io: OnceLock<Frame>,
}

impl Encodings {
    /// Returns the frame in a dialect; `event` makes what is encoded.
    pub fn get_or_encode<'a>(
        &self,
        dialect: Dialect,
        event: impl FnOnce() -> ServerEvent<'a>,
    ) -> &Frame {
        let frame = match dialect {
            Dialect::Json => &self.json,
            Dialect::SocketIo => &self.socket_io,
        };
        frame.get_or_init(|| dialect.push(&event()))
    }

    /// Returns the length of the longest frame that was made.
    #[must_use]
    pub fn longest(&self) -> usize {
        let made = [self.json.get(), self.socket_io.get()]
            .into_iter()
            .flatten();
        made.map(|frame| frame.bytes.len()).max().unwrap_or(0)
    }
}

/// An event on its way to several sockets.
#[derive(Debug)]
pub struct Broadcast<'a> {
    event: ServerEvent<'a>,
    encodings: Encodings,
}

impl<'a> Broadcast<'a> {
    #[must_use]
    pub fn new(event: ServerEvent<'a>) -> Self {
        Self {
            event,
            encodings: Encodings::default(),
        }
    }

    /// Returns the frame, encoding it at the first call for a dialect.
    pub fn frame(&self, dialect: Dialect) -> &Frame {
        self.encodings.get_or_encode(dialect, || self.event.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        error::{ApiError, Code},
        ids::ClientMsgId,
        protocol::server::{ErrorFrame, InRoom, MessageAccepted, MessageFailed},
    };

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    /// What is in a short text frame.
    fn text(frame: &Frame) -> &str {
        let payload = match frame.bytes[1] {
            126 => &frame.bytes[4..],
            _ => &frame.bytes[2..],
        };
        std::str::from_utf8(payload).expect("text is UTF-8")
    }

    fn in_room() -> InRoom {
        let room_id = ID.parse().expect("a UUID");
        InRoom { room_id }
    }

    #[test]
    fn an_event_is_encoded_once_for_each_dialect() {
        let broadcast = Broadcast::new(ServerEvent::RoomLeft(in_room()));
        assert_eq!(broadcast.encodings.longest(), 0);
        for (dialect, expected) in [
            (
                Dialect::Json,
                format!(r#"{{"event":"roomLeft","data":{{"roomId":"{ID}"}}}}"#),
            ),
            (
                Dialect::SocketIo,
                format!(r#"42["roomLeft",{{"roomId":"{ID}"}}]"#),
            ),
        ] {
            let frame = broadcast.frame(dialect);
            assert_eq!((text(frame), frame.kind), (&*expected, Kind::RoomLeft));
            let again = broadcast.frame(dialect);
            assert_eq!(again.bytes.as_ptr(), frame.bytes.as_ptr());
            assert!(broadcast.encodings.longest() >= frame.bytes.len());
        }
    }

    #[test]
    fn a_reply_is_the_callback_the_event_or_both() {
        let check = |event: ServerEvent<'_>, id: Option<u64>, expected: &[String]| {
            let id = id.map(|id| RequestId::Number(id.into()));
            let reply = Dialect::SocketIo.reply(&event, id.as_ref());
            let said: Vec<_> = reply.iter().flatten().map(text).collect();
            assert_eq!(said, expected);
        };
        let left = || ServerEvent::RoomLeft(in_room());
        let event = |name: &str, data: &serde_json::Value| format!("42{}", json!([name, data]));
        let room = json!({ "roomId": ID });
        check(left(), None, &[event("roomLeft", &room)]);
        let done = format!(r#"4312[{{"success":true,"roomId":"{ID}"}}]"#);
        check(left(), Some(12), &[done]);

        let accepted = || {
            ServerEvent::MessageAccepted(MessageAccepted::new(ClientMsgId(
                ID.parse().expect("a UUID"),
            )))
        };
        let data = json!({ "clientMsgId": ID, "status": "ACCEPTED" });
        let told = event("messageAccepted", &data);
        check(accepted(), None, std::slice::from_ref(&told));
        check(accepted(), Some(0), &[format!("430[{data}]"), told]);

        let error = ApiError::new(Code::NotMember);
        let detail = &error.detail;
        let failed = || ServerEvent::Error(ErrorFrame::from(&error));
        let fields = format!(r#""code":"NOT_MEMBER","message":"{detail}","retryable":false"#);
        check(failed(), None, &[format!(r#"42["error",{{{fields}}}]"#)]);
        let acknowledged = format!(r#"431[{{"success":false,"error":"{detail}",{fields}}}]"#);
        check(failed(), Some(1), &[acknowledged]);
        let refused = ServerEvent::MessageFailed(MessageFailed::new(None, &error));
        let reply = Dialect::SocketIo.reply(&refused, Some(&RequestId::Number(1.into())));
        assert_eq!(reply.iter().flatten().count(), 2);
    }

    #[test]
    fn a_farewell_says_whether_to_come_back() {
        let check = |code, is_greeted, expected: Option<&str>| {
            assert!(Dialect::Json.farewell(code, is_greeted).is_none());
            let frame = Dialect::SocketIo.farewell(code, is_greeted);
            assert_eq!(frame.as_ref().map(text), expected, "{code:?}");
        };
        check(CloseCode::Unauthenticated, true, Some("41"));
        check(CloseCode::Unauthenticated, false, None);
        let refusal = r#"44{"message":"too many sockets or packets"}"#;
        check(CloseCode::TooMany, false, Some(refusal));
        check(CloseCode::TooMany, true, None);
        check(CloseCode::Restart, true, None);
        check(CloseCode::TooSlow, true, None);
    }
}
