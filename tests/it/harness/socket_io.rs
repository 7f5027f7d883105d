//! A client of Socket.IO that says exactly what a test writes. How the library of its authors
//! fares is for the tests from Node.

use std::{collections::VecDeque, time::Duration};

use serde_json::{Value, json};

use super::{
    RawSocket, TestServer, draft,
    raw::{first, text, upgrade_request_to},
};

/// What every client asks for.
const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// One connection. Packets that a test does not wait for yet are kept for when it does.
pub struct SocketIoClient {
    socket: RawSocket,
    unread: VecDeque<String>,
    next_ack: u64,
}

impl SocketIoClient {
    /// Opens a connection and reads Engine.IO's first packet.
    pub async fn open(server: &TestServer, more_headers: &str) -> Self {
        let socket = RawSocket::connect(server).await;
        Self::open_on(socket, more_headers).await
    }

    /// As [`open`](Self::open), on a socket of the test's choice.
    pub async fn open_on(mut socket: RawSocket, more_headers: &str) -> Self {
        let request = upgrade_request_to(PATH, more_headers);
        socket.write(request.as_bytes()).await.expect("it is open");
        let head = socket.head().await.expect("the server answers");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self {
            socket,
            unread: VecDeque::new(),
            next_ack: 0,
        }
    }

    /// Opens a connection and connects to the namespace; waits for `ready`.
    pub async fn connect(server: &TestServer, token: &str) -> Self {
        let mut client = Self::open(server, "").await;
        client.introduce(token).await;
        client
    }

    /// Connects to the namespace; waits for `ready`.
    pub async fn introduce(&mut self, token: &str) {
        self.expect("0{").await;
        self.say(&format!("40{}", json!({ "token": token }))).await;
        self.expect("40{").await;
        self.event("ready").await;
    }

    /// Says a packet as it is.
    pub async fn say(&mut self, packet: &str) {
        self.write(&text(packet)).await;
    }

    /// Writes bytes as they are; the server may have closed meanwhile.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.socket.write(bytes).await;
    }

    /// Waits longer than usual for what comes next.
    pub fn with_patience(self, patience: Duration) -> Self {
        let socket = self.socket.with_patience(patience);
        Self { socket, ..self }
    }

    /// Emits an event without a callback.
    pub async fn emit(&mut self, event: &str, data: Value) {
        self.say(&format!("42{}", json!([event, data]))).await;
    }

    /// Emits an event with a callback, and returns what that is called with.
    pub async fn ask(&mut self, event: &str, data: Value) -> Value {
        self.ask_with(&json!([event, data])).await
    }

    /// As [`ask`](Self::ask), with any arguments.
    pub async fn ask_with(&mut self, args: &Value) -> Value {
        let id = self.next_ack;
        self.next_ack += 1;
        self.say(&format!("42{id}{args}")).await;
        self.acknowledged(id).await
    }

    /// Returns what the callback of a number is called with.
    pub async fn acknowledged(&mut self, id: u64) -> Value {
        let start = format!("43{id}[");
        let packet = self.expect(&start).await;
        let [data]: [Value; 1] = serde_json::from_str(&packet[start.len() - 1..]).expect("JSON");
        data
    }

    /// Joins a room.
    pub async fn join(&mut self, room: &str) -> Value {
        let joined = self.ask("joinRoom", json!({ "roomId": room })).await;
        assert_eq!(joined["success"], true, "{joined}");
        joined
    }

    /// Sends a message and waits until it is accepted; returns its client message id.
    pub async fn send(&mut self, room: &str, content: &str) -> String {
        let data = draft(room, content);
        let id = data["clientMsgId"].as_str().expect("a draft has one");
        let (id, accepted) = (id.to_owned(), self.ask("sendMessage", data).await);
        assert_eq!(accepted, json!({ "clientMsgId": id, "status": "ACCEPTED" }));
        id
    }

    /// Returns the data of the next event of a name; packets before it are kept.
    pub async fn event(&mut self, name: &str) -> Value {
        let packet = self.expect(&format!("42[{name:?},")).await;
        let [_, data]: [Value; 2] = serde_json::from_str(&packet[2..]).expect("JSON");
        data
    }

    /// Returns the next packet with this start; packets before it are kept.
    pub async fn expect(&mut self, start: &str) -> String {
        if let Some(at) = self
            .unread
            .iter()
            .position(|packet| packet.starts_with(start))
        {
            return self.unread.remove(at).expect("just found");
        }
        loop {
            match self.read().await {
                Ok(packet) if packet.starts_with(start) => return packet,
                Ok(packet) => self.unread.push_back(packet),
                Err(code) => panic!("closed with {code} while waiting for {start}"),
            }
        }
    }

    /// Returns the next packet, whatever it is, or the close code.
    pub async fn next(&mut self) -> Result<String, u16> {
        match self.unread.pop_front() {
            Some(packet) => Ok(packet),
            None => self.read().await,
        }
    }

    /// Reads until the end; returns what was said, and the close code or 1006 without one.
    pub async fn said_until_close(&mut self) -> (Vec<String>, u16) {
        let mut said = Vec::new();
        loop {
            match self.next().await {
                Ok(packet) => said.push(packet),
                Err(code) => return (said, code),
            }
        }
    }

    async fn read(&mut self) -> Result<String, u16> {
        match self.socket.frame().await {
            Some((first::TEXT, packet)) => Ok(String::from_utf8(packet).expect("text is UTF-8")),
            Some((first::CLOSE, payload)) => match payload[..] {
                [high, low, ..] => Err(u16::from_be_bytes([high, low])),
                _ => Err(1005),
            },
            Some((first, _)) => panic!("a frame that begins with {first:#x}"),
            None => Err(1006),
        }
    }
}
