//! What clients say.
//!
//! As in the reference implementation, a packet that breaks the protocol ends the connection,
//! while a request that breaks a rule of ours is answered.

use engineioxide_core::{Packet as EnginePacket, ProtocolVersion};
use serde::Deserialize;
use serde_json::{Value as Json, value::RawValue};
use socketioxide_core::{
    Value,
    packet::PacketData,
    parser::{Parse, ParseConfig, ParseError, ParserState},
};
use socketioxide_parser_common::CommonParser;

use super::NAMESPACE;
use crate::protocol::client::{self, BadRequest, Request, RequestId};

/// Names that an event cannot have: Socket.IO's libraries use them themselves.
const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// A packet that was understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// The client wants in; the token is that of its `auth`.
    Connect {
        token: Option<String>,
    },
    /// An event; one that breaks a rule of ours is answered.
    Event(Result<Request, BadRequest>),
    /// An acknowledgement, although nothing asks for one.
    Ack,
    Pong,
    /// The client leaves.
    Disconnect,
}

/// A packet that ends the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum BadPacket {
    /// Of another namespace than `/`.
    Namespace(String),
    /// It has binary attachments.
    Binary,
    /// Anything else that the protocol does not have.
    Malformed,
}

impl From<ParseError> for BadPacket {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::NeedsMoreBinaryData | ParseError::TooManyAttachments { .. } => Self::Binary,
            _ => Self::Malformed,
        }
    }
}

/// Reads a text frame.
///
/// # Errors
/// [`BadPacket`] says how the connection ends.
pub fn read(text: &str) -> Result<Packet, BadPacket> {
    let packet = EnginePacket::parse(ProtocolVersion::V4, text.to_owned());
    let message = match packet.map_err(|_| BadPacket::Malformed)? {
        EnginePacket::Message(message) => message,
        EnginePacket::Pong => return Ok(Packet::Pong),
        EnginePacket::Close => return Ok(Packet::Disconnect),
        EnginePacket::Binary(_) | EnginePacket::BinaryV3(_) => return Err(BadPacket::Binary),
        _ => return Err(BadPacket::Malformed),
    };
    // Attachments are refused, so that no packet waits for the next one.
    let state = ParserState::default();
    let packet = CommonParser.decode_str(&ParseConfig::default(), &state, message.clone())?;
    if packet.ns.as_str() != NAMESPACE {
        return Err(BadPacket::Namespace(packet.ns.into()));
    }
    match packet.inner {
        PacketData::Connect(auth) => read_connect(auth.as_ref()),
        PacketData::Event(_, None) if names_an_ack(&message) => Err(BadPacket::Malformed),
        PacketData::Event(args, ack) => read_event(&args, ack),
        PacketData::EventAck(..) => Ok(Packet::Ack),
        PacketData::Disconnect => Ok(Packet::Disconnect),
        PacketData::BinaryEvent(..) | PacketData::BinaryAck(..) => Err(BadPacket::Binary),
        PacketData::ConnectError(_) => Err(BadPacket::Malformed),
    }
}

/// Returns whether a packet asks for an acknowledgement. The parser drops an id that is too large,
/// and who waits for it would wait for ever.
fn names_an_ack(packet: &str) -> bool {
    let after_type = packet.get(1..).unwrap_or_default();
    let after_namespace = match after_type.strip_prefix('/') {
        Some(named) => named.split_once(',').map_or("", |(_, rest)| rest),
        None => after_type,
    };
    after_namespace.starts_with(|first: char| first.is_ascii_digit())
}

fn read_connect(auth: Option<&Value>) -> Result<Packet, BadPacket> {
    #[derive(Deserialize)]
    struct Auth {
        #[serde(default)]
        token: Json,
    }
    let is_object = |auth: &Value| auth.as_str().is_some_and(|auth| auth.starts_with('{'));
    if auth.is_some_and(|auth| !is_object(auth)) {
        return Err(BadPacket::Malformed);
    }
    let auth: Auth = CommonParser
        .decode_default(auth)
        .map_err(|_| BadPacket::Malformed)?;
    let token = match auth.token {
        Json::Null => None,
        Json::String(token) if token.is_empty() => None,
        Json::String(token) => Some(token),
        // No token either, but one was meant: the header's does not stand in for it.
        other => Some(other.to_string()),
    };
    Ok(Packet::Connect { token })
}

fn read_event(args: &Value, ack: Option<i64>) -> Result<Packet, BadPacket> {
    let args = args.as_str().ok_or(BadPacket::Malformed)?;
    let args: Vec<&RawValue> = serde_json::from_str(args).map_err(|_| BadPacket::Malformed)?;
    let event = args.first().ok_or(BadPacket::Malformed)?.get();
    let event: String = serde_json::from_str(event).map_err(|_| BadPacket::Malformed)?;
    if RESERVED_EVENTS.contains(&&*event) {
        return Err(BadPacket::Malformed);
    }
    let id = ack.map(|id| RequestId::Number(id.into()));
    let data = args.get(1).map(|data| data.get());
    Ok(Packet::Event(client::read_event(id, &event, data)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::client::ClientEvent;

    #[test]
    fn packets_are_read_or_end_the_connection() {
        let check = |text: &str, expected: Result<Packet, BadPacket>| {
            assert_eq!(read(text), expected, "{text}");
        };
        let connect = |token: Option<&str>| {
            Ok(Packet::Connect {
                token: token.map(str::to_owned),
            })
        };
        let heartbeat = |id: Option<i64>| {
            Ok(Packet::Event(Ok(Request {
                id: id.map(|id| RequestId::Number(id.into())),
                event: ClientEvent::Heartbeat,
            })))
        };
        let namespace = |name: &str| Err(BadPacket::Namespace(name.to_owned()));
        check("40", connect(None));
        check("40/,", connect(None));
        check("40{}", connect(None));
        check(r#"40{"token":null}"#, connect(None));
        check(r#"40{"token":""}"#, connect(None));
        check(r#"40{"token":"a.b.c","x":1}"#, connect(Some("a.b.c")));
        check(r#"40{"token":5}"#, connect(Some("5")));
        check(r#"42["heartbeat"]"#, heartbeat(None));
        check(r#"42["heartbeat",null]"#, heartbeat(None));
        check(r#"42["heartbeat",{},"more"]"#, heartbeat(None));
        check(r#"42["heart\u0062eat"]"#, heartbeat(None));
        check(r#"420["heartbeat"]"#, heartbeat(Some(0)));
        check(r#"42/,12["heartbeat",{}]"#, heartbeat(Some(12)));
        let largest = format!(r#"42{}["heartbeat"]"#, i64::MAX);
        check(&largest, heartbeat(Some(i64::MAX)));
        check("430[]", Ok(Packet::Ack));
        check("41", Ok(Packet::Disconnect));
        check("1", Ok(Packet::Disconnect));
        check("3", Ok(Packet::Pong));
        check(r#"40/admin,{"token":"x"}"#, namespace("/admin"));
        check("40/admin", namespace("/admin"));
        check(r#"42/admin,["heartbeat"]"#, namespace("/admin"));
        let attachment = r#"51-["heartbeat",{"_placeholder":true,"num":0}]"#;
        check(&format!("4{attachment}"), Err(BadPacket::Binary));
        check(r#"450-["heartbeat"]"#, Err(BadPacket::Binary));
        check(r#"4599999-["heartbeat"]"#, Err(BadPacket::Binary));
        check("bAAAA", Err(BadPacket::Binary));
    }

    #[test]
    fn what_the_protocol_does_not_have_is_malformed() {
        for text in [
            "",
            "x",
            "é",
            "0",
            "2",
            "2probe",
            "5",
            "6",
            "9",
            "b!",
            "4",
            "4x",
            "47",
            "40[]",
            r#"40"x""#,
            "40null",
            "40{",
            "42",
            "42{}",
            "42[]",
            "42[",
            "42[1]",
            "42[null]",
            r#"42["heartbeat""#,
            r#"42["heartbeat"] x"#,
            r#"42["disconnect"]"#,
            r#"42["\ud800"]"#,
            r#"4299999999999999999999["heartbeat"]"#,
            r#"42/,9223372036854775808["heartbeat"]"#,
            r#"42-1["heartbeat"]"#,
            "421",
            "43[]",
            r#"44{"message":"x"}"#,
            r#"45["heartbeat"]"#,
            "46-[]",
        ] {
            assert_eq!(read(text), Err(BadPacket::Malformed), "{text}");
        }
    }

    #[test]
    fn a_request_that_breaks_a_rule_keeps_its_id() {
        let check = |text: &str, expected: &str| {
            let Ok(Packet::Event(Err(bad))) = read(text) else {
                panic!("{text} is taken");
            };
            let outcome = match bad {
                BadRequest::Frame { .. } => "frame".to_owned(),
                BadRequest::Refused { id, error } => format!("{id:?} {}", error.code.as_str()),
                BadRequest::Send { id, error, .. } => {
                    format!("send {id:?} {}", error.code.as_str())
                }
            };
            let expected = expected.replace("7", "Some(Number(Number(7)))");
            assert_eq!(outcome, expected, "{text}");
        };
        check(r#"427["fly",{}]"#, "7 UNKNOWN_EVENT");
        check(r#"427["fly",5]"#, "7 UNKNOWN_EVENT");
        check(r#"42["fly"]"#, "None UNKNOWN_EVENT");
        check(r#"427["joinRoom"]"#, "7 VALIDATION_FAILED");
        check(r#"427["joinRoom",null]"#, "7 VALIDATION_FAILED");
        check(r#"427["joinRoom","x"]"#, "7 VALIDATION_FAILED");
        check(r#"427["sendMessage"]"#, "send 7 VALIDATION_FAILED");
        check(r#"427["sendMessage",[1]]"#, "send 7 VALIDATION_FAILED");
        check(r#"42["sendMessage",{}]"#, "send None VALIDATION_FAILED");
    }

    proptest! {
        /// The parsers behind it cut texts by bytes.
        #[test]
        fn whatever_is_said_is_read_or_refused(
            any_text in ".{0,40}",
            packet in r#"[0-7b][0-7]?[0-9]{0,3}-?(/[a-zé]{0,3},?)?[0-9]{0,22}[\[{"a-zé,}\]]{0,20}"#,
        ) {
            for text in [any_text, packet] {
                let _ = read(&text);
            }
        }
    }
}
