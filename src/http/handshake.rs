//! What a WebSocket handshake says: its token, and whether it is one (RFC 6455, section 4.2.1).

use actix_web::{
    HttpRequest,
    http::{
        Version,
        header::{self, HeaderMap},
    },
};

use super::{caller::bearer, middleware::has_body};
use crate::{
    error::{ApiError, Code},
    protocol::SUBPROTOCOL,
};

/// What a browser puts before a token in `Sec-WebSocket-Protocol`.
const BEARER_PROTOCOL: &str = "bearer.";

/// Reads the token from `Authorization`, or from the subprotocol pair that browsers can send.
///
/// # Errors
/// For a pair that is none, and for two tokens: it is not said which of them counts.
pub(super) fn token(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let in_header = bearer(request);
    let mut offered = protocols(request.headers());
    let mut bearers =
        protocols(request.headers()).filter_map(|protocol| protocol.strip_prefix(BEARER_PROTOCOL));
    let Some(in_protocol) = bearers.next() else {
        return Ok(in_header);
    };
    if !offered.any(|protocol| protocol == SUBPROTOCOL) {
        let rule = format!("must offer {SUBPROTOCOL} beside the token");
        return Err(ApiError::field("Sec-WebSocket-Protocol", rule));
    }
    let is_other = |header: &str| header != in_protocol;
    if bearers.next().is_some() || in_header.is_some_and(is_other) {
        let detail = "the handshake carries two tokens";
        return Err(ApiError::with_detail(Code::Unauthenticated, detail));
    }
    Ok(Some(in_protocol))
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
}

/// Checks what the framework does not.
///
/// # Errors
/// For a handshake of another HTTP version, with a body, or without a key of 16 bytes.
pub(super) fn check(request: &HttpRequest) -> Result<(), ApiError> {
    let refused = |detail| Err(ApiError::with_detail(Code::ValidationFailed, detail));
    if request.version() != Version::HTTP_11 {
        return refused("a WebSocket handshake needs HTTP/1.1");
    }
    if has_body(request.headers()) {
        return refused("a WebSocket handshake has no body");
    }
    let mut keys = request.headers().get_all(header::SEC_WEBSOCKET_KEY);
    // Without one, the framework says so.
    if keys.next().is_some_and(|key| !is_key(key.as_bytes())) || keys.next().is_some() {
        return Err(ApiError::field(
            "Sec-WebSocket-Key",
            "must be 16 bytes in base64, given once",
        ));
    }
    Ok(())
}

/// 16 bytes are 22 characters and two of padding; the last character carries two bits alone.
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    match key {
        [digits @ .., last, b'=', b'='] => {
            digits.len() == 21 && digits.iter().all(is_base64) && b"AQgw".contains(last)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_of_base64() {
        let check = |key: &str, expected: bool| {
            assert_eq!(is_key(key.as_bytes()), expected, "{key}");
        };
        check("dGhlIHNhbXBsZSBub25jZQ==", true);
        check("AAAAAAAAAAAAAAAAAAAAAA==", true);
        check("", false);
        check("==", false);
        check("x", false);
        check("dGhlIHNhbXBsZSBub25jZQ", false);
        check("dGhlIHNhbXBsZSBub25jZQAA", false);
        check("dGhlIHNhbXBsZSBub25jZR==", false);
        check("dGhlIHNhbXBsZSBub25j====", false);
        check("dGhlIHNhbXBsZSBub25jZ!==", false);
        check("dGhlIHNhbXBsZSBub25jZXM=", false);
        check("dGhlIHNhbXBsZSBub25jZSBub25jZQ==", false);
    }
}
