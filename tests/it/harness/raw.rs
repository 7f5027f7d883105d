//! A TCP connection that says exactly what a test writes: frames and requests that no client makes.

use std::{io, net::Ipv4Addr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    PATIENCE, TestServer,
    specified::{Heard, judge_answer, judge_frame},
    within,
};

/// The key and hash of RFC 6455's own example; the server need not see another.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The first byte of a frame: FIN and opcode.
pub mod first {
    pub const TEXT: u8 = 0x81;
    pub const TEXT_BEGINS: u8 = 0x01;
    pub const CONTINUES: u8 = 0x00;
    pub const ENDS: u8 = 0x80;
    pub const BINARY: u8 = 0x82;
    pub const CLOSE: u8 = 0x88;
    pub const PING: u8 = 0x89;
    pub const PONG: u8 = 0x8a;
    /// The bit that permessage-deflate sets.
    pub const RSV1: u8 = 0x40;
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Makes a handshake; each of `more_headers` ends in CR LF.
pub fn upgrade_request(more_headers: &str) -> String {
    upgrade_request_to("/ws", more_headers)
}

/// Makes a handshake on another path.
pub fn upgrade_request_to(path: &str, more_headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more_headers}\r\n"
    )
}

/// Makes a masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Makes a text frame.
pub fn text(payload: &str) -> Vec<u8> {
    frame(first::TEXT, payload.as_bytes())
}

/// Makes the header of a masked frame whose payload is still to come.
pub fn declared(first: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend(len.to_be_bytes());
    bytes.extend(MASK);
    bytes
}

/// A connection.
pub struct RawSocket {
    stream: TcpStream,
    /// What was read and not looked at yet.
    received: Vec<u8>,
    /// What was asked: each line that a request may begin with.
    asked: Vec<String>,
    patience: Duration,
}

/// An answer to a request, read as a whole.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl RawAnswer {
    /// Returns a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }
}

impl RawSocket {
    /// Connects.
    pub async fn connect(server: &TestServer) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        Self::connect_by(socket, server).await
    }

    /// Connects with so small a receive buffer that what is not read shows at the sender.
    pub async fn connect_small(server: &TestServer) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("a small buffer");
        Self::connect_by(socket, server).await
    }

    /// Connects from another of this machine's own addresses.
    pub async fn connect_from(from: Ipv4Addr, server: &TestServer) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an own address");
        Self::connect_by(socket, server).await
    }

    async fn connect_by(socket: TcpSocket, server: &TestServer) -> Self {
        let addr = server.host().parse().expect("an address");
        let stream = socket.connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self {
            stream,
            received: Vec::new(),
            asked: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// Waits longer than usual for what comes next.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects and becomes a WebSocket; waits for `ready`.
    pub async fn open(server: &TestServer, token: &str) -> Self {
        let mut socket = Self::connect(server).await;
        socket.upgrade(token, "").await;
        socket.expect("ready").await;
        socket
    }

    /// Becomes a WebSocket; returns the head of the answer.
    pub async fn upgrade(&mut self, token: &str, more_headers: &str) -> String {
        let headers = format!("Authorization: Bearer {token}\r\n{more_headers}");
        let request = upgrade_request(&headers);
        self.write(request.as_bytes()).await.expect("it is open");
        let head = self.head().await.expect("the server answers");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        head
    }

    /// Writes all of it; an error when the server has closed meanwhile.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| std::str::from_utf8(line).ok());
        let requests = lines.filter(|line| line.contains(" HTTP/1."));
        self.asked
            .extend(requests.map(|line| line.trim_end().to_owned()));
        within("room to write", self.stream.write_all(bytes)).await
    }

    /// Ends the sending direction.
    pub async fn finish(&mut self) {
        // The server may have closed first.
        let _ = self.stream.shutdown().await;
    }

    /// Hangs up so that the server learns of it at once.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a TCP socket");
    }

    /// Reads more; false at the end of the connection.
    async fn more(&mut self) -> bool {
        let reading = timeout(self.patience, self.stream.read_buf(&mut self.received));
        let Ok(read) = reading.await else {
            panic!("waited in vain: more bytes, or the end of the connection");
        };
        matches!(read, Ok(1..))
    }

    /// Returns whether the server has closed already.
    pub async fn has_ended(&mut self) -> bool {
        let reading = self.stream.read_buf(&mut self.received);
        matches!(timeout(Duration::ZERO, reading).await, Ok(Ok(0) | Err(_)))
    }

    /// Waits until the server has closed; returns what came before that.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.received)
    }

    // ------------------------------------------------------------------- HTTP

    /// Reads the head of an answer; `None` when the connection ends first.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            let end = self.received.windows(4).position(|at| at == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.received.drain(..end + 4).collect();
                return Some(String::from_utf8(head).expect("heads are ASCII"));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads the answer to a handshake; `None` when it became a WebSocket.
    pub async fn refusal(&mut self) -> Option<RawAnswer> {
        let head = self.head().await.expect("the server answers");
        match head.starts_with("HTTP/1.1 101 ") {
            true => None,
            false => Some(self.body_of(head).await),
        }
    }

    /// Reads an answer; `None` when the connection ends before it.
    pub async fn answer(&mut self) -> Option<RawAnswer> {
        let head = self.head().await?;
        Some(self.body_of(head).await)
    }

    /// Reads the rest of an answer whose head was read. Nobody may stop it halfway: the head would
    /// be lost.
    pub async fn body_of(&mut self, head: String) -> RawAnswer {
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let mut answer = RawAnswer {
            status: status.expect("a status line"),
            head,
            body: String::new(),
        };
        let body = match answer.header("content-length") {
            Some(length) => self.exactly(length.parse().expect("a number")).await,
            None => self.rest().await,
        };
        answer.body = String::from_utf8(body).expect("bodies are text");
        self.judge(&answer);
        answer
    }

    /// An answer to the only request that was written must be specified. Of others it is not known
    /// what they answer; 400 is what a text is answered with that is no request.
    fn judge(&self, answer: &RawAnswer) {
        let [line] = self.asked.as_slice() else {
            return;
        };
        let mut words = line.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return;
        };
        if !target.starts_with('/') || answer.header("x-request-id").is_none() {
            return;
        }
        let header = |name: &str| answer.header(name).map(ToOwned::to_owned);
        judge_answer(&Heard {
            method,
            path: target.split('?').next().unwrap_or_default(),
            status: answer.status,
            header: &header,
            body: &answer.body,
        });
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            assert!(self.more().await, "the body is shorter than it says");
        }
        self.received.drain(..length).collect()
    }

    // ----------------------------------------------------------------- frames

    /// Reads a frame: its first byte and its payload; `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((header, length)) = header(&self.received)
                && self.received.len() >= header + length
            {
                let first = self.received[0];
                let frame: Vec<u8> = self.received.drain(..header + length).collect();
                let payload = frame[header..].to_vec();
                // Other protocols than that of `/ws` have other texts.
                if first == first::TEXT
                    && let Ok(frame) = serde_json::from_slice::<Value>(&payload)
                    && frame.get("event").is_some()
                {
                    judge_frame(&frame);
                }
                return Some((first, payload));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads text frames until one is of the event; returns all of it.
    pub async fn expect(&mut self, event: &str) -> Value {
        loop {
            match self.frame().await {
                Some((first::TEXT, payload)) => {
                    let frame: Value = serde_json::from_slice(&payload).expect("JSON");
                    if frame["event"] == event {
                        return frame;
                    }
                }
                Some((first::CLOSE, payload)) => {
                    panic!("closed with {} while waiting for {event}", code(&payload));
                }
                Some(_) => {}
                None => panic!("the connection ended while waiting for {event}"),
            }
        }
    }

    /// Reads until the end; returns what was said, and the close code or 1006 without one.
    pub async fn said_until_close(&mut self) -> (Vec<Value>, u16) {
        let mut said = Vec::new();
        loop {
            match self.frame().await {
                Some((first::TEXT, payload)) => {
                    said.push(serde_json::from_slice(&payload).expect("JSON"));
                }
                Some((first::CLOSE, payload)) => return (said, code(&payload)),
                Some(_) => {}
                None => return (said, 1006),
            }
        }
    }

    /// Reads until the close frame; returns its code, or 1006 when the connection just ended.
    pub async fn expect_close(&mut self) -> u16 {
        self.said_until_close().await.1
    }
}

/// Sends a request and reads its answer.
pub async fn exchange(server: &TestServer, request: impl AsRef<[u8]>) -> RawAnswer {
    let mut socket = RawSocket::connect(server).await;
    // The server may refuse before it has read all.
    let _ = socket.write(request.as_ref()).await;
    socket.answer().await.expect("the server answers")
}

/// Returns the lengths of an unmasked frame's header and payload.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let short = usize::from(*bytes.get(1)? & 0x7f);
    let extended = |bytes: &[u8]| {
        let fold = |length, byte: &u8| (length << 8) | usize::from(*byte);
        bytes.iter().fold(0, fold)
    };
    match short {
        126 => Some((4, extended(bytes.get(2..4)?))),
        127 => Some((10, extended(bytes.get(2..10)?))),
        length => Some((2, length)),
    }
}

fn code(payload: &[u8]) -> u16 {
    match payload {
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 1005,
    }
}
