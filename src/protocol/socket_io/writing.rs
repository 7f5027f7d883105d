//! What the server says.

use std::time::Duration;

use engineioxide_core::{OpenPacket, Packet as EnginePacket, Sid};
use serde::Serialize;
use socketioxide_core::{Str, Value, packet::Packet, parser::Parse};
use socketioxide_parser_common::CommonParser;

use super::NAMESPACE;
use crate::{
    ids::SessionId,
    protocol::{
        HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT, MAX_FRAME_BYTES,
        client::RequestId,
        close::CloseCode,
        server::{Frame, Kind, ServerEvent},
        wire,
    },
};

/// How long a pong may take: with it, a client hears of a dead server when the server would cut
/// a silent client.
const PING_TIMEOUT: Duration = HEARTBEAT_TIMEOUT.saturating_sub(HEARTBEAT_INTERVAL);

/// Encodes an event.
pub(in crate::protocol) fn event(event: &ServerEvent<'_>) -> Frame {
    let kind = event.kind();
    packet(
        kind,
        Packet::event(NAMESPACE, value(event, Some(kind.name()))),
    )
}

/// Encodes the acknowledgement that a reply is; `None` for an id that no packet has.
pub(in crate::protocol) fn ack(id: &RequestId, event: &ServerEvent<'_>) -> Option<Frame> {
    Some(acknowledgement(ack_id(id)?, &Acknowledged::from(event)))
}

/// Encodes the acknowledgement of a request that has no reply.
pub(in crate::protocol) fn done(id: &RequestId) -> Option<Frame> {
    #[derive(Serialize)]
    struct Done {
        success: bool,
    }
    Some(acknowledgement(ack_id(id)?, &Done { success: true }))
}

/// Encodes Engine.IO's first packet.
pub(in crate::protocol) fn opening() -> Frame {
    engine_packet(
        Kind::Control,
        EnginePacket::Open(OpenPacket {
            sid: Sid::new(),
            upgrades: Vec::new().into(),
            ping_interval: HEARTBEAT_INTERVAL,
            ping_timeout: PING_TIMEOUT,
            max_payload: MAX_FRAME_BYTES as u64,
        }),
    )
}

/// Encodes that a client is connected; the session's id is its `socket.id`.
pub(in crate::protocol) fn greeting(session_id: SessionId) -> Frame {
    #[derive(Serialize)]
    struct Connected {
        sid: SessionId,
    }
    let connected = CommonParser.encode_default(&Connected { sid: session_id });
    let connected = connected.expect("an id is a string");
    packet(Kind::Control, Packet::connect(NAMESPACE, Some(connected)))
}

/// Encodes Engine.IO's ping.
pub(in crate::protocol) fn ping() -> Frame {
    engine_packet(Kind::Control, EnginePacket::Ping)
}

/// Returns what is said before a close: a client comes back by itself unless it is told not to.
pub(in crate::protocol) fn farewell(code: CloseCode, is_greeted: bool) -> Option<Frame> {
    let packet_out = match (code, is_greeted) {
        (CloseCode::Unauthenticated, true) => Packet::disconnect(NAMESPACE),
        (CloseCode::TooMany, false) => {
            Packet::connect_error(NAMESPACE, "too many sockets or packets")
        }
        _ => return None,
    };
    Some(packet(Kind::Control, packet_out))
}

/// Encodes the refusal of a namespace, in Socket.IO's own words.
#[must_use]
pub fn wrong_namespace(namespace: String) -> Frame {
    let refusal = Packet::connect_error(namespace, "Invalid namespace");
    packet(Kind::Control, refusal)
}

/// The payload of an acknowledgement.
#[derive(Serialize)]
#[serde(untagged)]
enum Acknowledged<'a> {
    /// It says by itself how it went.
    Message(&'a ServerEvent<'a>),
    Done {
        success: bool,
        #[serde(flatten)]
        data: &'a ServerEvent<'a>,
    },
    Failed {
        success: bool,
        error: &'a str,
        #[serde(flatten)]
        data: &'a ServerEvent<'a>,
    },
}

impl<'a> From<&'a ServerEvent<'a>> for Acknowledged<'a> {
    fn from(event: &'a ServerEvent<'a>) -> Self {
        match event {
            ServerEvent::MessageAccepted(_) | ServerEvent::MessageFailed(_) => Self::Message(event),
            ServerEvent::Error(failed) => Self::Failed {
                success: false,
                error: failed.message,
                data: event,
            },
            _ => Self::Done {
                success: true,
                data: event,
            },
        }
    }
}

fn ack_id(id: &RequestId) -> Option<i64> {
    match id {
        RequestId::Number(id) => id.as_i64(),
        RequestId::Text(_) => None,
    }
}

fn acknowledgement(id: i64, data: &impl Serialize) -> Frame {
    packet(Kind::Ack, Packet::ack(NAMESPACE, value(data, None), id))
}

fn value(data: &impl Serialize, event: Option<&str>) -> Value {
    let value = CommonParser.encode_value(data, event);
    value.expect("events have string keys and no NaN")
}

fn packet(kind: Kind, packet: Packet) -> Frame {
    let text = match CommonParser.encode(packet) {
        Value::Str(text, _) => text,
        // No packet of ours has an attachment.
        Value::Bytes(_) => Str::default(),
    };
    engine_packet(kind, EnginePacket::Message(text))
}

fn engine_packet(kind: Kind, packet: EnginePacket) -> Frame {
    Frame {
        kind,
        bytes: wire::text(String::from(packet).as_bytes()),
    }
}
