//! A client as the protocol wants it, and a witness of what the server promised: it comes back
//! with `after`, drops what it has by seq, and repeats what was not accepted.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{PATIENCE, TestClient, TestServer, TestUser, uuid};

/// The close code of who does not read what it is sent.
const TOO_SLOW: u16 = 4490;

/// Between two tries: nothing but another one tells whether a server takes messages again.
const RETRY: Duration = Duration::from_millis(20);

/// How often it is tried: for as long as a test waits for anything.
const TRIES: u128 = PATIENCE.as_millis() / RETRY.as_millis();

/// Messages without an answer that one witness has on the way.
const WINDOW: usize = 6;

/// One send in so many repeats a message that was accepted before.
const REPEAT_ONE_IN: u128 = 6;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parting {
    /// The close frame's code; 1006 without one.
    pub code: u16,
    /// Whether the server said when to come back.
    pub told_to_reconnect: bool,
}

/// Messages that a join replays.
const MAX_REPLAY: usize = 500;

type Sent = (String, String);

/// Somebody who speaks and listens in some rooms, over any number of connections.
pub struct Witness {
    user: TestUser,
    rooms: Vec<String>,
    socket: Option<TestClient>,
    /// What was seen of each room: in order of seq, from the first, without a hole.
    seen: HashMap<String, Vec<Value>>,
    /// Everything that was ever sent: room and client message id, in order.
    sent: Vec<Sent>,
    /// What of it is not accepted yet.
    pending: VecDeque<Sent>,
    /// How many of those were sent on this connection.
    offered: usize,
    /// What has no answer on this connection yet.
    awaited: HashSet<String>,
    /// A send was refused on this connection: nothing new is said on it.
    refused: bool,
    told_to_reconnect: bool,
    /// How many of its messages were accepted.
    pub accepted: usize,
}

impl Witness {
    /// Makes a witness of rooms that the user is a member of.
    pub fn new(user: TestUser, rooms: &[String]) -> Self {
        Self {
            user,
            rooms: rooms.to_vec(),
            socket: None,
            seen: rooms
                .iter()
                .map(|room| (room.clone(), Vec::new()))
                .collect(),
            sent: Vec::new(),
            pending: VecDeque::new(),
            offered: 0,
            awaited: HashSet::new(),
            refused: false,
            told_to_reconnect: false,
            accepted: 0,
        }
    }

    /// Looks for the server where it is now.
    pub fn at(mut self, server: &TestServer) -> Self {
        self.user = self.user.at(server);
        self
    }

    /// Connects, joins every room from where it was, and speaks until the connection ends.
    pub async fn talk(&mut self) -> Parting {
        match self.talk_on().await {
            Ok(never) => match never {},
            Err(code) => {
                self.socket = None;
                let told_to_reconnect = self.told_to_reconnect;
                Parting {
                    code,
                    told_to_reconnect,
                }
            }
        }
    }

    async fn talk_on(&mut self) -> Result<std::convert::Infallible, u16> {
        self.come_back().await?;
        loop {
            while self.awaited.len() < WINDOW && !self.refused {
                self.say_something().await?;
            }
            self.listen().await?;
        }
    }

    /// Connects and repeats what was not accepted until all of it is accepted and seen.
    ///
    /// Cut for reading too slowly, on a busy machine, it comes back as any client does.
    pub async fn settle(&mut self) {
        for _ in 0..TRIES {
            let Err(code) = self.try_settle().await else {
                return;
            };
            assert_eq!(code, TOO_SLOW, "the server stays");
            sleep(RETRY).await;
        }
        panic!("cut again and again");
    }

    /// As [`Self::settle`]; the error is the close code.
    pub async fn try_settle(&mut self) -> Result<(), u16> {
        for _ in 0..TRIES {
            if self.settles().await? {
                return Ok(());
            }
            sleep(RETRY).await;
        }
        panic!("refused again and again");
    }

    /// Connects and repeats; false when something was refused, and nothing else is on the way.
    async fn settles(&mut self) -> Result<bool, u16> {
        self.come_back().await?;
        while self.offered < self.pending.len() {
            self.offer_pending().await?;
        }
        while !(self.refused && self.awaited.is_empty()) {
            if self.pending.is_empty() && self.has_seen_own() {
                return Ok(true);
            }
            self.listen().await?;
        }
        Ok(false)
    }

    /// Listens until this much of a room was seen.
    pub async fn hear(&mut self, room: &str, messages: usize) {
        while let Err(code) = self.try_hear(room, messages).await {
            assert_eq!(code, TOO_SLOW, "the server stays");
            self.settle().await;
        }
    }

    /// As [`Self::hear`]; the error is the close code.
    pub async fn try_hear(&mut self, room: &str, messages: usize) -> Result<(), u16> {
        while self.seen[room].len() < messages {
            self.listen().await?;
        }
        Ok(())
    }

    async fn come_back(&mut self) -> Result<(), u16> {
        self.offered = 0;
        self.awaited.clear();
        self.refused = false;
        self.told_to_reconnect = false;
        let request = TestClient::request(self.user.ws_url(), Some(&self.user.token));
        let mut socket = TestClient::open(request).await.map_err(|_| 1006_u16)?;
        for (turn, room) in self.rooms.iter().enumerate() {
            let last = self.seen[room].last();
            // By seq or by id: both are places in the order.
            let after = match (last, turn.is_multiple_of(2)) {
                (None, _) => json!(0),
                (Some(last), true) => last["seq"].clone(),
                (Some(last), false) => last["id"].clone(),
            };
            let join = json!({ "roomId": room, "after": after });
            if !socket.offer("joinRoom", join).await {
                return Err(1006);
            }
        }
        self.socket = Some(socket);
        Ok(())
    }

    /// Says what was not accepted before, repeats something, or says something new.
    async fn say_something(&mut self) -> Result<(), u16> {
        if self.offered < self.pending.len() {
            return self.offer_pending().await;
        }
        let dice = uuid::Uuid::new_v4().as_u128();
        if dice.is_multiple_of(REPEAT_ONE_IN)
            && let Some((room, id)) = self.something_said(dice >> 64)
        {
            return self.offer(&room, &id).await;
        }
        let room = self.rooms[(dice >> 64) as usize % self.rooms.len()].clone();
        let id = uuid();
        self.sent.push((room.clone(), id.clone()));
        self.pending.push_back((room, id));
        self.offer_pending().await
    }

    /// Picks something that was accepted and is not under way again.
    fn something_said(&self, dice: u128) -> Option<Sent> {
        let at = (dice as usize).checked_rem(self.sent.len())?;
        let said = &self.sent[at];
        let is_done = !self.pending.contains(said) && !self.awaited.contains(&said.1);
        is_done.then(|| said.clone())
    }

    async fn offer_pending(&mut self) -> Result<(), u16> {
        let (room, id) = self.pending[self.offered].clone();
        self.offered += 1;
        self.offer(&room, &id).await
    }

    async fn offer(&mut self, room: &str, id: &str) -> Result<(), u16> {
        self.awaited.insert(id.to_owned());
        let content = format!("content of {id}");
        let message = json!({ "roomId": room, "clientMsgId": id, "content": content });
        let socket = self.socket.as_mut().ok_or(1006_u16)?;
        if socket.offer("sendMessage", message).await {
            return Ok(());
        }
        // What it was told before the connection broke still waits to be read.
        loop {
            self.listen().await?;
        }
    }

    async fn listen(&mut self) -> Result<(), u16> {
        let socket = self.socket.as_mut().ok_or(1006_u16)?;
        let frame = socket.hear().await?;
        let data = &frame["data"];
        let id = || data["clientMsgId"].as_str().expect("an id");
        match frame["event"].as_str().expect("an event") {
            "newMessage" => self.see(data),
            "messageAccepted" => self.accept(id()),
            "messageFailed" => {
                assert_eq!(data["retryable"], true, "{frame}");
                self.awaited.remove(id());
                self.refused = true;
            }
            "roomJoined" => {
                let room = data["roomId"].as_str().expect("a room");
                if data["truncated"] == true {
                    self.page(room, &data["lastSeq"]).await;
                }
                assert_eq!(
                    data["lastSeq"],
                    self.seen[room].len(),
                    "the replay comes before it"
                );
            }
            "reconnect" => {
                assert!(data["afterMs"].is_u64(), "{frame}");
                self.told_to_reconnect = true;
            }
            "error" => panic!("{frame}"),
            _ => {}
        }
        Ok(())
    }

    /// Reads by REST what was too much for a replay.
    async fn page(&mut self, room: &str, last: &Value) {
        let last = last.as_u64().expect("a seq") as usize;
        let missed = last.saturating_sub(self.seen[room].len());
        assert!(missed > MAX_REPLAY, "{missed} messages could be replayed");
        for msg in self.user.whole_history(room).await.iter().take(last) {
            self.see(msg);
        }
    }

    fn accept(&mut self, id: &str) {
        assert!(
            self.awaited.remove(id),
            "accepted, and not sent or twice: {id}"
        );
        if let Some(at) = self.pending.iter().position(|(_, known)| known == id) {
            self.pending.remove(at);
            self.accepted += 1;
            self.offered -= usize::from(at < self.offered);
        }
    }

    /// Takes a message: the next one, or one that is known already.
    fn see(&mut self, msg: &Value) {
        let room = msg["roomId"].as_str().expect("a room");
        let seq = msg["seq"].as_u64().expect("a seq") as usize;
        let seen = self.seen.get_mut(room).expect("a room that was joined");
        match seq.checked_sub(1).and_then(|at| seen.get(at)) {
            Some(known) => assert_eq!(known, msg, "one place holds one message"),
            None => {
                assert_eq!(seq, seen.len() + 1, "a hole before {msg}");
                seen.push(msg.clone());
            }
        }
    }

    fn has_seen_own(&self) -> bool {
        let seen: HashSet<&str> = self.seen.values().flatten().map(client_msg_id).collect();
        self.sent.iter().all(|(_, id)| seen.contains(id.as_str()))
    }

    /// Asserts that a room's history is what was seen of it, and that it holds what was sent to
    /// it once each and in the order of sending.
    pub fn assert_saw(&self, room: &str, history: &[Value]) {
        assert_eq!(
            self.seen[room].len(),
            history.len(),
            "messages in the history"
        );
        for (seen, stored) in self.seen[room].iter().zip(history) {
            assert_eq!(seen, stored);
        }
        let own = history.iter().filter(|msg| msg["senderId"] == self.user.id);
        let stored: Vec<&str> = own.map(client_msg_id).collect();
        let sent = self.sent.iter().filter(|(to, _)| to == room);
        assert_eq!(stored, sent.map(|(_, id)| id.as_str()).collect::<Vec<_>>());
    }
}

/// Returns whose repeat a message would be.
fn client_msg_id(msg: &Value) -> &str {
    msg["clientMsgId"].as_str().expect("an id")
}

/// Asserts that seqs are 1, 2, 3, … in the order of ids, and that contents are what was sent.
pub fn assert_whole(history: &[Value]) {
    let mut last_id = "";
    for (at, msg) in history.iter().enumerate() {
        assert_eq!(msg["seq"], at + 1, "{msg}");
        let id = msg["id"].as_str().expect("an id");
        assert!(id > last_id, "{msg} after {last_id}");
        last_id = id;
        assert_eq!(msg["content"], format!("content of {}", client_msg_id(msg)));
    }
}
