//! The guard and the codec behind it.

use actix_codec::Decoder;
use actix_http::ws::{Codec, Frame, Message, ProtocolError};
use bytes::BytesMut;
use bytestring::ByteString;

use crate::{
    protocol::{MAX_FRAME_BYTES, close::CloseCode, guard::FrameGuard, wire},
    transport::frames::{Arrived, Binary, Ending, Frames},
};

/// Longest close frame: its header and a control payload.
const MAX_CLOSE_BYTES: usize = 2 + 125;

/// How bytes are cut makes no difference to the guard; what it lets through, the codec reads as the
/// same frames, and finds nothing in it but what is no text, a bad close frame, or binary.
///
/// # Panics
/// Where that does not hold.
pub fn frames(input: &[u8]) {
    let Some((&cut, bytes)) = input.split_first() else {
        return;
    };
    let mut guard = FrameGuard::default();
    let whole = guard.inspect(bytes);
    let mut pieces = FrameGuard::default();
    let mut cut = bytes.chunks(usize::from(cut % 16) + 1);
    assert_eq!(cut.try_for_each(|piece| pieces.inspect(piece)), whole);
    if whole.is_ok() && decode(bytes) {
        assert_eq!(pieces.frames(), guard.frames());
    }
}

/// Decodes what the guard has let through; returns whether all of it are frames.
fn decode(bytes: &[u8]) -> bool {
    let mut guard = FrameGuard::default();
    let (mut codec, mut buffer) = (Codec::new(), BytesMut::from(bytes));
    let mut frames = Frames::new(std::rc::Rc::default(), Binary::Refused);
    loop {
        let left = buffer.len();
        let frame = match codec.decode(&mut buffer) {
            Ok(Some(frame)) => message(frame),
            Ok(None) => return true,
            Err(error) => Err(error),
        };
        let at = bytes.len() - left;
        let end = bytes.len() - buffer.len();
        let before = guard.frames();
        assert_eq!(guard.inspect(&bytes[at..end]), Ok(()));
        assert_eq!(guard.frames(), before + 1, "one frame each");
        let is_close = bytes[at] == 0x88;
        match frames.read(frame) {
            Ok(Arrived::Text(text)) => assert!(text.len() <= MAX_FRAME_BYTES),
            Ok(Arrived::Binary(_)) => panic!("binary messages are refused"),
            Ok(Arrived::Ping(_) | Arrived::Pong | Arrived::Part) => {}
            Err(Ending::Closed(reason)) => {
                assert!(is_close);
                assert!(wire::echo_close(reason).len() <= MAX_CLOSE_BYTES);
                return false;
            }
            Err(Ending::Broken(CloseCode::ProtocolError)) => {
                assert!(is_close);
                return false;
            }
            Err(Ending::Broken(code)) => {
                assert!([CloseCode::InvalidText, CloseCode::Unsupported].contains(&code));
                return false;
            }
            Err(Ending::Lost) => panic!("nothing was lost"),
        }
    }
}

/// As the WebSocket context does.
fn message(frame: Frame) -> Result<Message, ProtocolError> {
    Ok(match frame {
        Frame::Text(text) => {
            let text = ByteString::try_from(text);
            Message::Text(text.map_err(|error| ProtocolError::Io(std::io::Error::other(error)))?)
        }
        Frame::Binary(bytes) => Message::Binary(bytes),
        Frame::Continuation(part) => Message::Continuation(part),
        Frame::Ping(payload) => Message::Ping(payload),
        Frame::Pong(payload) => Message::Pong(payload),
        Frame::Close(reason) => Message::Close(reason),
    })
}
