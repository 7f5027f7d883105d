//! Replays to a reader that takes its time.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::harness::{
    RawSocket, ServerOptions, TestClient, TestServer, TestUser, await_until, draft, raw::text, seqs,
};

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

/// Asks for everything, reads nothing, and waits until the replay stands still.
async fn stall(server: &TestServer, socket: &mut TestClient, room: &str) {
    let data = json!({ "roomId": room, "after": 0 });
    let frame = json!({ "event": "joinRoom", "data": data, "id": "slow" });
    socket.send_text(frame.to_string()).await;
    let replayed = stands_still(server).await;
    assert!(replayed < COUNT as f64, "all {replayed} were taken at once");
}

/// Waits until no replay goes on; returns how many messages were replayed.
async fn stands_still(server: &TestServer) -> f64 {
    let (last, steady) = (Cell::new(0.0), Cell::new(0));
    await_until("the replay waits", || async {
        let replayed = server.metric("roomcast_resume_messages_total", "").await;
        let waits = replayed > 0.0 && replayed == last.replace(replayed);
        steady.set(if waits { steady.get() + 1 } else { 0 });
        (steady.get() == 20).then_some(replayed)
    })
    .await
}

fn messages(frames: &[Value]) -> Vec<Value> {
    let msgs = frames.iter().filter(|frame| frame["event"] == "newMessage");
    msgs.map(|frame| frame["data"].clone()).collect()
}

#[tokio::test]
async fn a_replay_waits_for_its_reader_and_goes_on_to_the_live_end() {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, bob, room) = long_room(&server).await;
    let mut socket = bob.connect().await;
    stall(&server, &mut socket, &room).await;
    for n in 0..5 {
        ada.say(&room, &n.to_string()).await;
    }
    let frames = socket
        .until("the reply", |frame| frame["id"] == "slow")
        .await;
    let joined = &frames.last().expect("the reply")["data"];
    let mut msgs = messages(&frames);
    assert_eq!(
        (&joined["replayed"], &joined["truncated"]),
        (&json!(msgs.len()), &json!(false))
    );
    assert_eq!(joined["lastSeq"], msgs.len());
    msgs.extend(socket.messages(COUNT + 5 - msgs.len()).await);
    assert_eq!(seqs(&msgs), (1..=COUNT as u64 + 5).collect::<Vec<_>>());
    assert_eq!(server.metric("roomcast_slow_sockets_total", "").await, 0.0);
}

#[tokio::test]
async fn who_is_kicked_during_a_replay_reads_no_further() {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, bob, room) = long_room(&server).await;
    let mut socket = bob.connect().await;
    stall(&server, &mut socket, &room).await;
    ada.delete(&format!("/rooms/{room}/members/{}", bob.id))
        .await
        .ok(204);
    ada.say(&room, "without bob").await;
    let frames = socket
        .until("the reply", |frame| frame["id"] == "slow")
        .await;
    let reply = frames.last().expect("the reply");
    assert_eq!(
        (&reply["event"], &reply["data"]["code"]),
        (&json!("error"), &json!("NOT_MEMBER"))
    );
    let msgs = messages(&frames);
    assert!(msgs.len() < COUNT, "{} messages", msgs.len());
    assert_eq!(seqs(&msgs), (1..=msgs.len() as u64).collect::<Vec<_>>());
    socket.expect_none("newMessage").await;
}

/// What waits for a slow reader lies in the store, and not in the server.
#[tokio::test]
async fn replays_that_wait_cost_little() {
    const ROOMS: usize = 16;
    /// What SQLite and the allocator keep, for each thread that has read, is in it: 0 to 13 MiB. A
    /// page of each room would be 31 to 40.
    const MOST_KIB: u64 = 16 * 1_024;
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
    stands_still(&server).await;
    let grown = server.peak_kib() - before;
    assert!(grown < MOST_KIB, "{grown} KiB more");
}
