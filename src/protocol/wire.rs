//! Server frames as bytes on a WebSocket. Encoded once, then shared by every receiver.

use actix_http::ws::{CloseCode as WsCloseCode, CloseReason, OpCode, Parser};
use bytes::{Bytes, BytesMut};

use super::close::CloseCode;

/// Room for the longest header of an unmasked frame.
const MAX_HEADER_BYTES: usize = 10;

fn frame(payload: &[u8], opcode: OpCode) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + MAX_HEADER_BYTES);
    Parser::write_message(&mut frame, payload, opcode, true, false);
    frame.freeze()
}

/// Makes a text frame.
#[must_use]
pub fn text(payload: &[u8]) -> Bytes {
    frame(payload, OpCode::Text)
}

/// Makes a binary frame, which only the echo sends.
#[cfg(feature = "echo")]
#[must_use]
pub fn binary(payload: &[u8]) -> Bytes {
    frame(payload, OpCode::Binary)
}

/// Makes a ping frame.
#[must_use]
pub fn ping() -> Bytes {
    frame(b"", OpCode::Ping)
}

/// Makes the pong frame that answers a ping.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    frame(payload, OpCode::Pong)
}

/// Makes a close frame.
#[must_use]
pub fn close(code: CloseCode) -> Bytes {
    let mut frame = BytesMut::new();
    let reason = CloseReason {
        code: WsCloseCode::from(code.number()),
        description: Some(code.reason().to_owned()),
    };
    Parser::write_close(&mut frame, Some(reason), false);
    frame.freeze()
}

/// Makes the close frame that answers the peer's, with its code.
#[must_use]
pub fn echo_close(reason: Option<CloseReason>) -> Bytes {
    let mut frame = BytesMut::new();
    let code = reason.map_or(WsCloseCode::Normal, |reason| reason.code);
    Parser::write_close(&mut frame, Some(CloseReason::from(code)), false);
    frame.freeze()
}
