//! Golden transcripts: conversations as they are printed in docs/PROTOCOL.md, replayed against a
//! server.
//!
//! A file holds one conversation, a line a step:
//!
//! ```text
//! # Comment; the first one is the title
//! alice> {…}                 alice's socket sends this frame
//! alice< {…}                 and receives this one
//! alice< close 4401          and is closed by the server with this code
//! alice! POST /path {…}      alice asks REST for this, and it succeeds
//! alice! close               alice closes her socket
//! server! SIGTERM            an operator stops the server
//! ```
//!
//! A socket opens when it is first used, and again after its close: with a token on the
//! handshake, unless its first frame is `authenticate`. Its `ready` may be left out.
//!
//! A text that begins with `$` is a hole. `"$room"` is a room with the members that the test
//! says, `"$alice"` alice's id, `"$alice.token"` her token. Any other name takes what comes first
//! and stands for it from then on; `"$name:kind"` also says what it has to be, and `"$any:kind"`
//! takes something else each time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, PRESENCE_PATIENCE, ServerOptions, TestClient, TestServer, TestUser, until_seen, uuid,
};

/// The contract's time for a drain.
const DRAINED_WITHIN: Duration = Duration::from_secs(25);

macro_rules! transcripts {
    ($($name:ident: $file:literal, $members:expr;)+) => {
        $(#[tokio::test]
        async fn $name() {
            replay(include_str!(concat!("transcripts/", $file)), &$members).await;
        })+

        /// Every conversation's text.
        const ALL: &[&str] = &[$(include_str!(concat!("transcripts/", $file))),+];
    };
}

transcripts! {
    a_socket_authenticates_with_its_first_frame: "authenticate.txt", [];
    a_message_is_accepted_then_stored: "send.txt", ["alice", "bob"];
    a_repeat_is_answered_and_stored_once: "repeat.txt", ["alice", "bob"];
    what_cannot_be_done_is_refused: "refuse.txt", ["alice"];
    a_client_comes_back_and_misses_nothing: "resume.txt", ["alice", "bob"];
    a_place_that_cannot_be_resumed_is_truncated: "truncate.txt", ["alice"];
    a_socket_stops_listening: "leave.txt", ["alice", "bob"];
    members_come_and_go: "members.txt", ["alice"];
    others_are_seen_and_heard_typing: "presence.txt", ["alice", "bob"];
    reading_moves_a_cursor: "read.txt", ["alice", "bob"];
    a_draining_server_sends_its_clients_away: "drain.txt", ["alice"];
}

/// What the test knows by name, and who takes part.
struct Stage {
    server: TestServer,
    users: BTreeMap<String, TestUser>,
    sockets: BTreeMap<String, TestClient>,
    names: BTreeMap<String, Value>,
    /// The last signal, which may be lost on its way: who sent it, and the frame.
    signal: Option<(String, String)>,
    /// What came of signals that were sent again, as nothing came at first: it may come again.
    repeated: Vec<Value>,
    stops: bool,
}

async fn replay(text: &str, members: &[&str]) {
    let mut stage = Stage::set(text, members).await;
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let step = line.split_once(' ').and_then(|(who, what)| {
            let (who, mark) = who.split_at_checked(who.len() - 1)?;
            Some((who, mark, what))
        });
        let place = format!("line {}: {line}", number + 1);
        match step {
            Some(("server", "!", "SIGTERM")) => stage.stop(),
            Some((who, "!", "close")) => stage.close(who).await,
            Some((who, "!", request)) => stage.ask_rest(who, request, &place).await,
            Some((who, ">", frame)) => stage.send(who, frame).await,
            Some((who, "<", expected)) => stage.receive(who, expected, &place).await,
            _ => panic!("not a step: {place}"),
        }
    }
    stage.end().await;
}

impl Stage {
    /// Registers everybody who appears, and makes the members' room.
    async fn set(text: &str, members: &[&str]) -> Self {
        let server = ServerOptions::new().start().await;
        let actors = text
            .lines()
            .filter_map(|line| line.split_once(' ')?.0.strip_suffix(['>', '<', '!']));
        let actors: BTreeSet<_> = actors.filter(|name| *name != "server").collect();
        let (mut users, mut names) = (BTreeMap::new(), BTreeMap::new());
        for name in actors {
            let user = server.user(name).await;
            names.insert(name.to_owned(), json!(user.id));
            names.insert(format!("{name}.token"), json!(user.token));
            users.insert(name.to_owned(), user);
        }
        if let Some((owner, others)) = members.split_first() {
            let others: Vec<_> = others.iter().map(|name| &users[*name]).collect();
            let room = users[*owner].room_with(&others).await;
            names.insert("room".to_owned(), json!(room));
        }
        Self {
            server,
            users,
            sockets: BTreeMap::new(),
            names,
            signal: None,
            repeated: Vec::new(),
            stops: false,
        }
    }

    fn stop(&mut self) {
        self.server.signal(Signal::SIGTERM);
        self.stops = true;
    }

    async fn open(&mut self, who: &str, token: Option<&str>, expects_ready: bool) {
        if !self.sockets.contains_key(who) {
            let request = TestClient::request(&self.server.ws_url(), token);
            let socket = TestClient::open(request).await.expect("a handshake");
            let mut socket = socket.with_patience(PRESENCE_PATIENCE);
            if token.is_some() && !expects_ready {
                socket.expect("ready").await;
            }
            self.sockets.insert(who.to_owned(), socket);
        }
    }

    async fn send(&mut self, who: &str, frame: &str) {
        // What a client sends need not be JSON; holes are filled in its text.
        let mut frame = frame.to_owned();
        for (name, value) in &self.names {
            frame = frame.replace(&format!("\"${name}\""), &value.to_string());
        }
        while let Some((at, name)) = free_hole(&frame) {
            let value = json!(uuid());
            let hole = format!("\"${name}\"");
            frame.replace_range(at..at + hole.len(), &value.to_string());
            frame = frame.replace(&hole, &value.to_string());
            self.names.insert(name, value);
        }
        let token = self.users[who].token.clone();
        let first = frame.contains("\"authenticate\"");
        self.open(who, (!first).then_some(token.as_str()), false)
            .await;
        if frame.contains("\"typing\"") {
            self.signal = Some((who.to_owned(), frame.clone()));
        }
        let socket = self.sockets.get_mut(who).expect("it is open");
        socket.send_text(frame).await;
    }

    async fn receive(&mut self, who: &str, expected: &str, place: &str) {
        if let Some(code) = expected.strip_prefix("close ") {
            let mut socket = self.sockets.remove(who).expect("it is open");
            assert_eq!(socket.expect_close().await.to_string(), code, "{place}");
            return;
        }
        let expected: Value = serde_json::from_str(expected).expect(place);
        let token = self.users[who].token.clone();
        self.open(who, Some(&token), expected["event"] == "ready")
            .await;
        let frame = self.next(who, &expected, place).await;
        if let Err(problem) = self.matches(&expected, &frame) {
            panic!("{place}\n{problem}\nreceived {frame}");
        }
    }

    /// Takes the next frame of a socket that has its place there, whatever it says.
    async fn next(&mut self, who: &str, expected: &Value, place: &str) -> Value {
        let mut socket = self.sockets.remove(who).expect("it is open");
        // Presence is told beside everything else, not in one order with it.
        let is_presence = |frame: &Value| frame["event"] == "presenceChanged";
        let fits = |frame: &Value| {
            is_presence(frame) == is_presence(expected) && !self.repeated.contains(frame)
        };
        let signal = self.signal.as_ref();
        let frame = match signal.filter(|_| expected["event"] == "typing") {
            None => socket.expect_where(place, fits).await,
            Some((sender, signal)) => {
                let sender = self.sockets.get_mut(sender).expect("it is open");
                let mut is_repeated = false;
                let frame = until_seen(
                    async || socket.expect_where(place, fits).await,
                    async || {
                        is_repeated = true;
                        sender.send_text(signal.as_str()).await;
                    },
                );
                let frame = frame.await;
                if is_repeated {
                    self.repeated.push(frame.clone());
                }
                frame
            }
        };
        self.sockets.insert(who.to_owned(), socket);
        frame
    }

    /// Compares what was received with what was expected, and fills holes.
    fn matches(&mut self, expected: &Value, received: &Value) -> Result<(), String> {
        match (expected, received) {
            (Value::String(text), _) if text.starts_with('$') => self.fits(&text[1..], received),
            (Value::Object(expected), Value::Object(received)) => {
                let keys = |map: &serde_json::Map<_, _>| map.keys().cloned().collect::<Vec<_>>();
                if keys(expected) != keys(received) {
                    return Err(format!(
                        "fields {:?}, not {:?}",
                        keys(received),
                        keys(expected)
                    ));
                }
                let mut pairs = expected.iter().map(|(key, value)| (value, &received[key]));
                pairs.try_for_each(|(expected, received)| self.matches(expected, received))
            }
            _ if expected == received => Ok(()),
            _ => Err(format!("{received}, not {expected}")),
        }
    }

    fn fits(&mut self, hole: &str, received: &Value) -> Result<(), String> {
        let (name, kind) = match hole.split_once(':') {
            Some((name, kind)) => (name, Some(kind)),
            None => (hole, None),
        };
        if kind.is_some_and(|kind| !is_of_kind(received, kind)) {
            return Err(format!("{received} does not fit ${hole}"));
        }
        if name == "any" {
            return Ok(());
        }
        let known = self
            .names
            .entry(name.to_owned())
            .or_insert_with(|| received.clone());
        match known == received {
            true => Ok(()),
            false => Err(format!("{received}, but ${name} is {known}")),
        }
    }

    async fn ask_rest(&mut self, who: &str, request: &str, place: &str) {
        let mut request = request.to_owned();
        for (name, value) in &self.names {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            request = request.replace(&format!("${name}"), &value);
        }
        let mut words = request.splitn(3, ' ');
        let method: Method = words.next().unwrap_or_default().parse().expect(place);
        let path = words.next().expect(place);
        let asked = self.users[who].request(method, path);
        let asked = match words.next() {
            Some(body) => asked
                .header("content-type", "application/json")
                .body(body.to_owned()),
            None => asked,
        };
        let answer = Answer::of(asked).await;
        assert!((200..300).contains(&answer.status), "{place}\n{answer:?}");
    }

    async fn close(&mut self, who: &str) {
        self.sockets.remove(who).expect("it is open").close().await;
    }

    /// Nothing that the transcript does not show has come.
    async fn end(mut self) {
        for (who, mut socket) in std::mem::take(&mut self.sockets) {
            socket.request_frame("heartbeat", json!({})).await;
            let hidden = socket.unread().find(|frame| {
                frame["event"] != "presenceChanged" && !self.repeated.contains(frame)
            });
            assert_eq!(hidden, None, "{who} received more than is shown");
        }
        if self.stops {
            let status = self.server.ended(DRAINED_WITHIN).await;
            assert!(status.success(), "{status}");
        }
    }
}

/// Returns the first hole that no name fills yet.
fn free_hole(frame: &str) -> Option<(usize, String)> {
    let at = frame.find("\"$")?;
    let name = frame[at + 2..].split('"').next()?;
    Some((at, name.to_owned()))
}

fn is_of_kind(value: &Value, kind: &str) -> bool {
    let text = value.as_str().unwrap_or_default();
    match kind {
        "uuid" => text.parse::<uuid::Uuid>().is_ok(),
        "ulid" => text.parse::<ulid::Ulid>().is_ok(),
        "time" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        "text" => !text.is_empty(),
        "number" => value.is_number(),
        _ => panic!("no kind of hole: {kind}"),
    }
}

#[test]
fn every_event_has_an_example() {
    let shown = |mark: &str, event: &str| {
        let mut lines = ALL.iter().flat_map(|text| text.lines());
        let event = format!("\"event\":\"{event}\"");
        lines.any(|line| {
            let frame = line.split_once(' ').filter(|(who, _)| who.ends_with(mark));
            frame.is_some_and(|(_, frame)| frame.contains(&event))
        })
    };
    let sent = [
        "authenticate",
        "joinRoom",
        "leaveRoom",
        "sendMessage",
        "heartbeat",
        "typing",
        "markRead",
    ];
    let received = [
        "ready",
        "roomJoined",
        "roomLeft",
        "messageAccepted",
        "messageFailed",
        "heartbeatAck",
        "newMessage",
        "memberJoined",
        "memberLeft",
        "presenceChanged",
        "typing",
        "readUpdated",
        "reconnect",
        "error",
    ];
    let missing = |mark, events: &[&'static str]| -> Vec<_> {
        let missing = events.iter().copied();
        missing.filter(|event| !shown(mark, event)).collect()
    };
    assert_eq!(missing(">", &sent), Vec::<&str>::new());
    assert_eq!(missing("<", &received), Vec::<&str>::new());
}

#[test]
fn every_conversation_begins_with_its_title() {
    for text in ALL {
        assert!(text.starts_with("# "), "{text}");
    }
}
