//! A WebSocket client by an independent implementation.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        handshake::client::{Request, Response},
        http::{HeaderValue, header::AUTHORIZATION},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{PATIENCE, specified::judge_frame, uuid, within};

/// Returns the data of a `sendMessage` with a new client message id.
pub fn draft(room: &str, content: &str) -> Value {
    json!({ "roomId": room, "clientMsgId": uuid(), "type": "TEXT", "content": content })
}

/// One socket. Frames that a test does not wait for yet are kept for when it does.
pub struct TestClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    unread: VecDeque<Value>,
    next_id: u64,
    patience: Duration,
    /// The data of the first `ready`.
    pub ready: Value,
    /// The answer to the handshake.
    pub handshake: Response,
}

impl TestClient {
    /// Opens a socket with a token on the handshake and waits for `ready`.
    pub async fn connect(url: &str, token: &str) -> Self {
        let mut client = Self::open(Self::request(url, Some(token)))
            .await
            .expect("a handshake");
        client.ready = client.expect("ready").await;
        client
    }

    /// Makes a handshake request.
    pub fn request(url: &str, token: Option<&str>) -> Request {
        let mut request = url.into_client_request().expect("a valid URL");
        if let Some(token) = token {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("a valid header");
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        request
    }

    /// Opens a socket with any handshake; nothing is read yet.
    pub async fn open(request: Request) -> Result<Self, Error> {
        let (socket, handshake) = connect_async(request).await?;
        Ok(Self {
            socket,
            unread: VecDeque::new(),
            next_id: 0,
            patience: PATIENCE,
            ready: Value::Null,
            handshake,
        })
    }

    /// Waits longer than usual for what it expects.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends a text frame as it is.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await;
    }

    /// Sends a WebSocket message of any kind.
    pub async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.expect("the socket is open");
    }

    /// Sends an event without an id.
    pub async fn send(&mut self, event: &str, data: Value) {
        self.send_text(json!({ "event": event, "data": data }).to_string())
            .await;
    }

    /// Sends an event and waits for the reply of its id; returns the whole frame.
    pub async fn request_frame(&mut self, event: &str, data: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        self.send_text(json!({ "event": event, "data": data, "id": id }).to_string())
            .await;
        self.expect_where(&format!("the reply to {event}"), |frame| frame["id"] == id)
            .await
    }

    /// Sends an event and waits for its reply, which must be of the event `reply`.
    #[track_caller]
    pub fn ask(&mut self, event: &str, data: Value, reply: &str) -> impl Future<Output = Value> {
        let reply = reply.to_owned();
        let event = event.to_owned();
        async move {
            let frame = self.request_frame(&event, data).await;
            assert_eq!(frame["event"], reply, "{frame}");
            frame["data"].clone()
        }
    }

    /// Joins a room without replay; returns the data of `roomJoined`.
    pub async fn join(&mut self, room: &str) -> Value {
        self.ask("joinRoom", json!({ "roomId": room }), "roomJoined")
            .await
    }

    /// Joins a room and has it replay what came after a place; returns the data of `roomJoined`.
    pub async fn resume(&mut self, room: &str, after: impl Into<Value>) -> Value {
        let data = json!({ "roomId": room, "after": after.into() });
        self.ask("joinRoom", data, "roomJoined").await
    }

    /// Sends a message and waits until it is accepted; returns its client message id.
    pub async fn say(&mut self, room: &str, content: &str) -> String {
        let data = draft(room, content);
        let id = data["clientMsgId"]
            .as_str()
            .expect("a draft has one")
            .to_owned();
        let accepted = self.ask("sendMessage", data, "messageAccepted").await;
        assert_eq!(accepted, json!({ "clientMsgId": id, "status": "ACCEPTED" }));
        id
    }

    /// Sends so many messages at once; returns the answer to each, in the order of sending.
    pub async fn burst(&mut self, room: &str, messages: usize) -> Vec<Value> {
        let drafts: Vec<Value> = (0..messages).map(|_| draft(room, "x")).collect();
        for draft in &drafts {
            self.send("sendMessage", draft.clone()).await;
        }
        let mut answers = Vec::with_capacity(messages);
        for draft in &drafts {
            let is_answer = |frame: &Value| {
                let is = |event: &str| frame["event"] == event;
                let is_its = frame["data"]["clientMsgId"] == draft["clientMsgId"];
                is_its && (is("messageAccepted") || is("messageFailed"))
            };
            answers.push(self.expect_where("an answer", is_answer).await);
        }
        answers
    }

    /// Returns the next frame of an event; frames before it are kept.
    pub async fn expect(&mut self, event: &str) -> Value {
        let frame = self
            .expect_where(event, |frame| frame["event"] == event)
            .await;
        frame["data"].clone()
    }

    /// Returns the next `count` messages.
    pub async fn messages(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            messages.push(self.expect("newMessage").await);
        }
        messages
    }

    /// Returns the next frame that fits; frames before it are kept.
    pub async fn expect_where(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.unread.iter().position(&fits) {
            return self.unread.remove(at).expect("just found");
        }
        loop {
            let frame = match timeout(self.patience, self.read()).await {
                Ok(Ok(frame)) => frame,
                Ok(Err(close)) => panic!("closed ({close:?}) while waiting for {what}"),
                Err(_) => panic!("waited in vain: {what}"),
            };
            if fits(&frame) {
                return frame;
            }
            self.unread.push_back(frame);
        }
    }

    /// Returns the next frame, whatever it is.
    pub async fn next(&mut self) -> Value {
        if let Some(frame) = self.unread.pop_front() {
            return frame;
        }
        within("a frame", self.read())
            .await
            .expect("the socket is open")
    }

    /// Returns the next frames up to one that fits, that one included.
    pub async fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let reading = async {
            let mut frames = Vec::new();
            loop {
                frames.push(self.next().await);
                if frames.last().is_some_and(&fits) {
                    return frames;
                }
            }
        };
        within(what, reading).await
    }

    /// Asks for a heartbeat, and asserts that nothing of an event came before its answer.
    pub async fn expect_none(&mut self, event: &str) {
        self.request_frame("heartbeat", json!({})).await;
        let found = self.unread.iter().find(|frame| frame["event"] == event);
        assert_eq!(found, None, "an unexpected {event}");
    }

    /// Returns what came and was not waited for.
    pub fn unread(&self) -> impl Iterator<Item = &Value> {
        self.unread.iter()
    }

    /// Waits for the close frame; returns its code, or 1006 when the connection just ended.
    pub async fn expect_close(&mut self) -> u16 {
        loop {
            match within("a close frame", self.read()).await {
                Ok(frame) => self.unread.push_back(frame),
                Err(close) => return close.map_or(1006, |close| close.code.into()),
            }
        }
    }

    /// Sends an event; false when the connection has broken.
    pub async fn offer(&mut self, event: &str, data: Value) -> bool {
        let frame = json!({ "event": event, "data": data }).to_string();
        self.socket.send(Message::text(frame)).await.is_ok()
    }

    /// Returns the next frame, or the code of the close frame, 1006 when there was none.
    pub async fn hear(&mut self) -> Result<Value, u16> {
        if let Some(frame) = self.unread.pop_front() {
            return Ok(frame);
        }
        let read = within("a frame or the end", self.read()).await;
        read.map_err(|close| close.map_or(1006, |close| close.code.into()))
    }

    /// Closes politely.
    pub async fn close(mut self) {
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        // The server may have closed first.
        let _ = self.socket.close(Some(frame)).await;
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Reads a text frame; the error is the close frame, if there was one.
    async fn read(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).expect("the server sends JSON");
                    judge_frame(&frame);
                    return Ok(frame);
                }
                Some(Ok(Message::Close(close))) => return Err(close),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }
}
