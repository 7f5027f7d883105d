//! Replays to a reader that takes its time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    RawSocket, ServerOptions, TestClient, TestServer, TestUser, await_steady, await_until, draft,
    in_time, raw::text, seqs,
};

/// How the connection ends of who takes nothing: by this close code, or without one.
const TOO_SLOW: [u16; 2] = [4490, 1006];

/// Who takes nothing for 8 s is cut. Nobody may be before that.
const IN_TIME: Duration = Duration::from_secs(7);

/// Messages in the room: in all, ten times what the server and the kernels would hold.
const COUNT: usize = 500;

/// A room of long messages, with its owner and another member.
async fn long_room(server: &TestServer) -> (TestUser, TestUser, String) {
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    fill(&ada, &room, COUNT).await;
    (ada, bob, room)
}

/// Says so many long messages in a room, and waits until they are stored.
async fn fill(user: &TestUser, room: &str, count: usize) {
    let mut socket = user.connect().await;
    let content = "🦀".repeat(5_000);
    for _ in 0..count {
        socket
            .ask("sendMessage", draft(room, &content), "messageAccepted")
            .await;
    }
    let last = json!(count);
    await_until("everything is stored", || async {
        let rooms = user.get("/rooms").await.ok(200);
        let mut rooms = rooms.as_array().expect("a list").iter();
        let found = rooms.find(|found| found["id"] == room);
        found.filter(|found| found["lastSeq"] == last).map(drop)
    })
    .await;
}

/// Somebody who asked for everything, and reads nothing of it yet.
struct Stalled {
    socket: TestClient,
    since: Instant,
}

impl Stalled {
    /// Asks for everything, and waits until the replay stands still.
    async fn begin(server: &TestServer, user: &TestUser, room: &str) -> Self {
        let mut socket = user.connect().await;
        let since = Instant::now();
        let data = json!({ "roomId": room, "after": 0 });
        let frame = json!({ "event": "joinRoom", "data": data, "id": "slow" });
        socket.send_text(frame.to_string()).await;
        let replayed = stands_still(server, 8).await;
        assert!(replayed < COUNT as f64, "all {replayed} were taken at once");
        Self { socket, since }
    }

    /// Reads up to the reply; `None` when it was cut, because so much time had gone by before.
    async fn read(&mut self) -> Option<Vec<Value>> {
        let mut frames = Vec::new();
        loop {
            let frame = match self.socket.hear().await {
                Ok(frame) => frame,
                Err(code) => {
                    let waited = self.since.elapsed();
                    assert!(TOO_SLOW.contains(&code), "closed with {code}");
                    assert!(waited >= IN_TIME, "cut after {waited:?}");
                    return None;
                }
            };
            let is_reply = frame["id"] == "slow";
            frames.push(frame);
            if is_reply {
                return Some(frames);
            }
        }
    }
}

/// Waits until no replay goes on; returns how many messages were replayed.
async fn stands_still(server: &TestServer, looks: usize) -> f64 {
    let look = async || {
        let replayed = server.metric("roomcast_resume_messages_total", "").await;
        (replayed > 0.0).then_some(replayed)
    };
    await_steady("the replay waits", looks, look).await
}

fn messages(frames: &[Value]) -> Vec<Value> {
    let msgs = frames.iter().filter(|frame| frame["event"] == "newMessage");
    msgs.map(|frame| frame["data"].clone()).collect()
}

#[tokio::test]
async fn a_replay_waits_for_its_reader_and_goes_on_to_the_live_end() {
    in_time(a_replay_that_waits).await;
}

async fn a_replay_that_waits() -> Option<()> {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, bob, room) = long_room(&server).await;
    let mut stalled = Stalled::begin(&server, &bob, &room).await;
    for n in 0..5 {
        ada.say(&room, &n.to_string()).await;
    }
    let frames = stalled.read().await?;
    let joined = &frames.last().expect("the reply")["data"];
    let mut msgs = messages(&frames);
    assert_eq!(
        (&joined["replayed"], &joined["truncated"]),
        (&json!(msgs.len()), &json!(false))
    );
    assert_eq!(joined["lastSeq"], msgs.len());
    msgs.extend(stalled.socket.messages(COUNT + 5 - msgs.len()).await);
    assert_eq!(seqs(&msgs), (1..=COUNT as u64 + 5).collect::<Vec<_>>());
    assert_eq!(server.metric("roomcast_slow_sockets_total", "").await, 0.0);
    Some(())
}

#[tokio::test]
async fn who_is_kicked_during_a_replay_reads_no_further() {
    in_time(a_kick_during_a_replay).await;
}

async fn a_kick_during_a_replay() -> Option<()> {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, bob, room) = long_room(&server).await;
    let mut stalled = Stalled::begin(&server, &bob, &room).await;
    ada.delete(&format!("/rooms/{room}/members/{}", bob.id))
        .await
        .ok(204);
    ada.say(&room, "without bob").await;
    let frames = stalled.read().await?;
    let reply = frames.last().expect("the reply");
    assert_eq!(
        (&reply["event"], &reply["data"]["code"]),
        (&json!("error"), &json!("NOT_MEMBER"))
    );
    let msgs = messages(&frames);
    assert!(msgs.len() < COUNT, "{} messages", msgs.len());
    assert_eq!(seqs(&msgs), (1..=msgs.len() as u64).collect::<Vec<_>>());
    stalled.socket.expect_none("newMessage").await;
    Some(())
}

/// What waits for a slow reader lies in the store, and not in the server.
#[tokio::test]
async fn replays_that_wait_cost_little() {
    /// What SQLite and the allocator keep, for each thread that has read, is in it: 0 to 13 MiB. A
    /// page of each room would be 31 to 40.
    const MOST_KIB: u64 = 16 * 1_024;
    let mut least = u64::MAX;
    // Each time on another server: one keeps what it took for the last. What replays cost, they
    // cost each time.
    for _ in 0..3 {
        least = least.min(growth_by_replays_that_wait().await);
        if least < MOST_KIB {
            return;
        }
    }
    panic!("{least} KiB more");
}

/// Returns by how much a server's memory grows, in KiB.
async fn growth_by_replays_that_wait() -> u64 {
    const ROOMS: usize = 16;
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        let room = ada.room("long").await;
        fill(&ada, &room, 50).await;
        rooms.push(room);
    }
    let before = server.forget_peak();
    let mut socket = RawSocket::open(&server, &ada.token).await;
    for room in &rooms {
        let data = json!({ "roomId": room, "after": 0 });
        let join = json!({ "event": "joinRoom", "data": data });
        let sent = socket.write(&text(&join.to_string())).await;
        sent.expect("it is open");
    }
    stands_still(&server, 20).await;
    server.peak_kib() - before
}
