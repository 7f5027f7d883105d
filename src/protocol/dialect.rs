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
