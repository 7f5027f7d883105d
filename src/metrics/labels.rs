//! The values that labels have, so that every series exists at zero.

use super::{
    actors::{ActorKind, Outcome},
    table::Series,
};
use crate::{
    error::Code,
    protocol::{close::CloseCode, server::Kind},
};

/// Events that clients send, and what else comes in.
pub const FRAMES_IN: [&str; 10] = [
    "authenticate",
    "joinRoom",
    "leaveRoom",
    "sendMessage",
    "heartbeat",
    "typing",
    "markRead",
    "ping",
    "pong",
    "bad",
];

const CLOSE_CODES: [CloseCode; 12] = [
    CloseCode::Normal,
    CloseCode::ProtocolError,
    CloseCode::Unsupported,
    CloseCode::InvalidText,
    CloseCode::TooBig,
    CloseCode::ServerError,
    CloseCode::Restart,
    CloseCode::BadFrames,
    CloseCode::Unauthenticated,
    CloseCode::HeartbeatTimeout,
    CloseCode::TooMany,
    CloseCode::TooSlow,
];

/// How a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    SocketIo,
}

/// What became of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginOutcome {
    Succeeded,
    /// Wrong address or password.
    Refused,
    /// Too many failures before it.
    Limited,
    /// The store is away, or too many wait for bcrypt.
    Unavailable,
}

impl LoginOutcome {
    /// Names the outcome of a login that failed.
    #[must_use]
    pub fn of(code: Code) -> Self {
        match code {
            Code::RateLimited => Self::Limited,
            Code::Unavailable | Code::Internal => Self::Unavailable,
            _ => Self::Refused,
        }
    }

    pub(super) fn series() -> Series {
        ones(["succeeded", "refused", "limited", "unavailable"])
    }
}

/// What became of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeOutcome {
    Done,
    /// No TLS, or none that is spoken here, or not in time.
    Failed,
    /// Too many of its address.
    Limited,
}

impl HandshakeOutcome {
    pub(super) fn series() -> Series {
        ones(["done", "failed", "limited"])
    }
}

pub(super) const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Series of one label.
fn ones(values: impl IntoIterator<Item = impl Into<String>>) -> Series {
    values.into_iter().map(|value| vec![value.into()]).collect()
}

pub(super) fn codes() -> Series {
    ones(Code::ALL.iter().map(|code| code.as_str()))
}

pub(super) fn close_codes() -> Series {
    ones(CLOSE_CODES.iter().map(|code| code.number().to_string()))
}

pub(super) fn transports() -> Series {
    ones(["websocket", "socketio"])
}

pub(super) fn frames_in() -> Series {
    ones(FRAMES_IN)
}

pub(super) fn frames_out() -> Series {
    ones(Kind::ALL.iter().map(|kind| kind.name()))
}

pub(super) fn status_classes() -> Series {
    ones(STATUS_CLASSES)
}

pub(super) fn actors() -> Series {
    ones(ActorKind::ALL.iter().map(|kind| kind.name()))
}

pub(super) fn actors_by_outcome() -> Series {
    let pair = |kind: ActorKind, outcome: Outcome| vec![kind.name().into(), outcome.name().into()];
    let outcomes = |kind| Outcome::ALL.map(|outcome| pair(kind, outcome));
    ActorKind::ALL.into_iter().flat_map(outcomes).collect()
}
