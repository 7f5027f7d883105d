//! WebSocket frames, the least that a load needs: whole text frames out, server frames in.

/// The text that every sender says.
pub(crate) const CONTENT: &str = "a message of an ordinary length, as people write them";

/// What a server's frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// `newMessage`, with its place in the room.
    Message {
        seq: u64,
        text: &'a str,
    },
    /// `messageAccepted`.
    Accepted {
        text: &'a str,
    },
    /// `messageFailed`.
    Failed,
    Ping,
    Close,
    /// Any other text.
    Text(&'a str),
}

/// Takes the first frame off what a server sent; `None` until all of it is there.
pub(crate) fn split(bytes: &[u8]) -> Option<(Received<'_>, &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match second & 0x7f {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*len) as usize, rest)
        }
        len => (usize::from(len), rest),
    };
    let (payload, rest) = rest.split_at_checked(len)?;
    let received = match first & 0x0f {
        8 => Received::Close,
        9 => Received::Ping,
        // Pushes are not checked for UTF-8: the reader must be cheaper than the server.
        _ => text(std::str::from_utf8(payload).unwrap_or("")),
    };
    Some((received, rest))
}

fn text(text: &str) -> Received<'_> {
    let Some(event) = text.strip_prefix(r#"{"event":""#) else {
        return Received::Text(text);
    };
    if event.starts_with("newMessage") {
        return match number(text, r#""seq":"#) {
            Some(seq) => Received::Message { seq, text },
            None => Received::Text(text),
        };
    }
    if event.starts_with("messageAccepted") {
        return Received::Accepted { text };
    }
    if event.starts_with("messageFailed") {
        return Received::Failed;
    }
    Received::Text(text)
}

/// Finds the number that follows a key.
fn number(text: &str, key: &str) -> Option<u64> {
    let digits = &text[text.find(key)? + key.len()..];
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok()
}

/// Encodes a frame as a client has to: masked.
pub(crate) fn client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    header(&mut frame, payload.len(), 0x80);
    let mask = fastrand::u32(..).to_be_bytes();
    frame.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// Encodes a text frame as a server does.
pub(crate) fn server(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    header(&mut frame, text.len(), 0);
    frame.extend_from_slice(text.as_bytes());
    frame
}

fn header(frame: &mut Vec<u8>, len: usize, mask_bit: u8) {
    match len {
        0..=125 => frame.push(mask_bit | len as u8),
        126..=0xffff => {
            frame.push(mask_bit | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            frame.push(mask_bit | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Returns how long the client's frame at the beginning is, and its opcode.
pub(crate) fn client_frame_len(bytes: &[u8]) -> Option<(usize, u8)> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let len = match second & 0x7f {
        126 => 4 + usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?)),
        127 => 10 + u64::from_be_bytes(*rest.first_chunk::<8>()?) as usize,
        len => 2 + usize::from(len),
    };
    Some((len + 4, first & 0x0f))
}

pub(crate) fn send_message(room: &str) -> Vec<u8> {
    send_text(room, CONTENT)
}

pub(crate) fn send_text(room: &str, content: &str) -> Vec<u8> {
    send_as(room, &uuid::Uuid::new_v4().to_string(), content)
}

/// Sends a message whose number in a run is read back by [`numbered`].
pub(crate) fn send_numbered(room: &str, run: Run, number: u64) -> Vec<u8> {
    send_as(
        room,
        &format!("{:08x}-0000-4000-8000-{number:012x}", run.0),
        CONTENT,
    )
}

fn send_as(room: &str, client_msg_id: &str, content: &str) -> Vec<u8> {
    let text = format!(
        r#"{{"event":"sendMessage","data":{{"roomId":"{room}","clientMsgId":"{client_msg_id}","type":"TEXT","content":"{content}"}}}}"#
    );
    client(1, text.as_bytes())
}

/// Tells the messages of one run from those of another in the same room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run(u32);

impl Run {
    pub(crate) fn random() -> Self {
        Self(fastrand::u32(..))
    }
}

/// Reads the number of a message in its run from its `clientMsgId`.
pub(crate) fn numbered(text: &str, run: Run) -> Option<u64> {
    const KEY: &str = r#""clientMsgId":""#;
    let id = text[text.find(KEY)? + KEY.len()..].get(..36)?;
    let of_run = id.strip_prefix(&format!("{:08x}-", run.0))?;
    u64::from_str_radix(of_run.rsplit('-').next()?, 16).ok()
}

pub(crate) fn join_room(room: &str) -> Vec<u8> {
    let text = format!(r#"{{"event":"joinRoom","data":{{"roomId":"{room}"}}}}"#);
    client(1, text.as_bytes())
}

pub(crate) fn heartbeat() -> Vec<u8> {
    client(1, br#"{"event":"heartbeat","data":{}}"#)
}

/// The handshake; a floor does not look at the token.
pub(crate) fn handshake(token: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
}

/// Returns where the head of an HTTP message ends.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_off_once_all_of_it_is_there() {
        let first = server(r#"{"event":"newMessage","data":{"id":"x","seq":42,"type":"TEXT"}}"#);
        let long = server(&format!(
            r#"{{"event":"error","data":"{}"}}"#,
            "x".repeat(70_000)
        ));
        let bytes = [first.clone(), long].concat();
        for len in 0..first.len() {
            assert!(split(&bytes[..len]).is_none(), "{len}");
        }
        let (received, rest) = split(&bytes).expect("a frame");
        assert!(
            matches!(received, Received::Message { seq: 42, .. }),
            "{received:?}"
        );
        let (received, rest) = split(rest).expect("a second frame");
        assert!(matches!(received, Received::Text(_)));
        assert!(rest.is_empty());
    }

    #[test]
    fn a_clients_frame_has_the_length_that_it_says() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let frame = client(1, &vec![b'x'; len]);
            assert_eq!(client_frame_len(&frame), Some((frame.len(), 1)));
        }
    }
}
