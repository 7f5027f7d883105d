//! Peers that take nothing, or are not there any more: they are cut, and cost nobody anything.
//!
//! Contract section 4: 256 KiB or 10 s, then 4490 or a reset; 60 s of silence, then 4408.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    RawSocket, ServerOptions, TestClient, TestServer, TestUser, await_steady, await_until, draft,
    in_time,
    raw::{first, frame, text},
    runs_long,
};

const TOO_SLOW: u16 = 4490;
const HEARTBEAT_TIMEOUT: u16 = 4408;

/// The connection ended without a close frame.
const RESET: u16 = 1006;

/// Close to the largest content, in characters.
const CONTENT: usize = 4_900;

/// Who takes nothing for 8 s is cut: for how long others may talk before somebody is looked at who
/// must not have been.
const IN_TIME: Duration = Duration::from_secs(7);

/// Messages that are sent before any is awaited: a slow store must not take the time that a slow
/// peer is given.
const TOGETHER: usize = 8;

/// What the kernels of both sides and the connection's buffers hold of a socket that is not read,
/// in bytes: 140 KB in the kernels, as seen, and up to 64 KiB that the connection has taken from the outbox.
const IN_BUFFERS: usize = 200 * 1024;

/// One room with somebody who speaks, somebody who listens and somebody who will stop reading.
struct Scene {
    server: TestServer,
    room: String,
    slow: TestUser,
    speaker: TestClient,
    listener: TestClient,
    /// The last seq.
    said: u64,
}

impl Scene {
    async fn set() -> Self {
        let server = ServerOptions::new().unlimited().start().await;
        let (ada, bob, slow) = (
            server.user("ada").await,
            server.user("bob").await,
            server.user("slow").await,
        );
        let room = ada.room("busy").await;
        bob.join(&room).await;
        slow.join(&room).await;
        Self {
            speaker: ada.connect_to(&room).await,
            listener: bob.connect_to(&room).await,
            server,
            room,
            slow,
            said: 0,
        }
    }

    /// Joins as a peer with small buffers that will read nothing from now on.
    async fn stall(&self) -> RawSocket {
        let mut socket = RawSocket::connect_small(&self.server).await;
        socket.upgrade(&self.slow.token, "").await;
        socket.expect("ready").await;
        let join = json!({ "event": "joinRoom", "data": { "roomId": self.room } });
        socket
            .write(&text(&join.to_string()))
            .await
            .expect("it is open");
        socket.expect("roomJoined").await;
        socket
    }

    /// Says so much that it adds up to `bytes`, and asserts that others hear all of it in order.
    async fn talk(&mut self, bytes: usize) -> usize {
        let count = bytes.div_ceil(CONTENT);
        let content = "x".repeat(CONTENT);
        for begin in (0..count).step_by(TOGETHER) {
            let together = TOGETHER.min(count - begin);
            for _ in 0..together {
                let message = draft(&self.room, &content);
                self.speaker.send("sendMessage", message).await;
            }
            for client in [&mut self.speaker, &mut self.listener] {
                let heard = seqs(&client.messages(together).await);
                let expected = self.said + 1..=self.said + together as u64;
                assert_eq!(heard, expected.collect::<Vec<_>>());
            }
            self.said += together as u64;
        }
        count
    }

    async fn slow_sockets(&self) -> f64 {
        self.server.metric("roomcast_slow_sockets_total", "").await
    }
}

fn seqs(messages: &[Value]) -> Vec<u64> {
    let seq = |msg: &Value| msg["seq"].as_u64().expect("a seq");
    messages.iter().map(seq).collect()
}

/// Reads what a cut socket had in its buffers: messages without a hole, and how it ended.
async fn leftovers(socket: &mut RawSocket) -> Vec<u64> {
    let (said, code) = socket.said_until_close().await;
    assert!([TOO_SLOW, RESET].contains(&code), "{code}");
    let messages = said.iter().filter(|frame| frame["event"] == "newMessage");
    let had = seqs(
        &messages
            .map(|frame| frame["data"].clone())
            .collect::<Vec<_>>(),
    );
    assert_eq!(had, (1..=had.len() as u64).collect::<Vec<_>>());
    had
}

#[tokio::test]
async fn a_peer_that_never_reads_is_cut_and_resumes() {
    let mut scene = Scene::set().await;
    let mut stalled = scene.stall().await;
    // More than waits for anybody: the bound in bytes is what cuts.
    let count = scene.talk(IN_BUFFERS + 2 * 256 * 1024).await;
    scene
        .server
        .await_metric("roomcast_slow_sockets_total", "", 1.0)
        .await;
    let gone = scene.server.metric("roomcast_sockets", "");
    assert!(gone.await <= 3.0);

    let had = leftovers(&mut stalled).await;
    assert!(had.len() < count, "it had {} of {count}", had.len());
    let mut back = scene.slow.connect().await;
    let join = json!({ "roomId": scene.room, "after": had.last().copied().unwrap_or(0) });
    let joined = back.ask("joinRoom", join, "roomJoined").await;
    let missed = count - had.len();
    assert_eq!(
        (&joined["replayed"], &joined["truncated"]),
        (&json!(missed), &json!(false))
    );
    let missed = seqs(&back.messages(missed).await);
    assert_eq!(
        missed,
        (had.len() as u64 + 1..=count as u64).collect::<Vec<_>>()
    );
    assert_eq!(scene.slow_sockets().await, 1.0);
}

#[tokio::test]
async fn a_hundred_peers_that_stop_reading_cost_little_and_others_nothing() {
    const STALLED: usize = 100;
    const MOST_KIB: u64 = 256;
    let mut scene = Scene::set().await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(scene.stall().await);
    }
    let before = scene.server.forget_peak();
    scene.talk(IN_BUFFERS + 2 * 256 * 1024).await;
    for (name, label) in [
        ("roomcast_slow_sockets_total", ""),
        ("roomcast_sockets_closed_total", "4490"),
    ] {
        let all = STALLED as f64;
        scene.server.await_metric(name, label, all).await;
    }
    await_until("the end of all who do not read", || async {
        let sockets = scene.server.metric("roomcast_sockets", "").await;
        (sockets <= 2.0).then_some(())
    })
    .await;
    let grown = scene.server.peak_kib().saturating_sub(before);
    assert!(grown <= STALLED as u64 * MOST_KIB, "{grown} KiB more");
    scene.talk(CONTENT).await;
    assert_eq!(scene.slow_sockets().await, STALLED as f64);
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_cut_for_time_when_little_waits() {
    in_time(stop_reading_when_little_waits).await;
}

async fn stop_reading_when_little_waits() -> Option<()> {
    let mut scene = Scene::set().await;
    let mut stalled = scene.stall().await;
    let began = Instant::now();
    // Too little for the bound in bytes, too much for the buffers on the way.
    scene.talk(IN_BUFFERS + 128 * 1024).await;
    let cut = scene.slow_sockets().await;
    if began.elapsed() >= IN_TIME {
        return None;
    }
    assert_eq!(cut, 0.0);
    scene
        .server
        .await_metric("roomcast_slow_sockets_total", "", 1.0)
        .await;
    leftovers(&mut stalled).await;
    scene.talk(CONTENT).await;
    Some(())
}

#[tokio::test]
async fn a_slow_peer_that_reads_in_time_is_not_cut() {
    in_time(read_slowly_in_time).await;
}

async fn read_slowly_in_time() -> Option<()> {
    let mut scene = Scene::set().await;
    let mut stalled = scene.stall().await;
    let mut heard = 0;
    for _ in 0..6 {
        let began = Instant::now();
        heard += scene.talk(160 * 1024).await as u64;
        if began.elapsed() >= IN_TIME {
            return None;
        }
        while stalled.expect("newMessage").await["data"]["seq"] != heard {}
    }
    assert_eq!(scene.slow_sockets().await, 0.0);
    Some(())
}

#[tokio::test]
async fn closed_sockets_give_their_descriptors_back_at_once() {
    let scene = Scene::set().await;
    // What the first ones make the process open, it keeps.
    come_and_go(&scene).await;
    let before = steady_descriptors(&scene.server).await;
    let most = come_and_go(&scene).await;
    // A connection of before may have ended meanwhile.
    assert!(
        most > before + 25,
        "{most} with all of them, {before} before"
    );
    await_until("the descriptors of closed sockets", || async {
        (scene.server.descriptors() <= before).then_some(())
    })
    .await;
}

/// Fifty come and go; returns how many descriptors there were with all of them.
async fn come_and_go(scene: &Scene) -> usize {
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(scene.slow.connect_to(&scene.room).await);
    }
    let most = scene.server.descriptors();
    // Half of them politely, half without a word.
    for socket in sockets.drain(25..) {
        socket.close().await;
    }
    most
}

/// Waits until those who went are gone, and the number of descriptors stands still.
async fn steady_descriptors(server: &TestServer) -> usize {
    await_until("the end of those who went", || async {
        (server.metric("roomcast_sockets", "").await <= 2.0).then_some(())
    })
    .await;
    let look = async || Some(server.descriptors());
    await_steady("the number of descriptors", 8, look).await
}

#[tokio::test]
async fn a_peer_that_vanished_without_a_fin_is_closed_after_a_minute() {
    if !runs_long() {
        return;
    }
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    // Its kernel acknowledges what comes; nobody answers the pings.
    let patience = Duration::from_secs(70);
    let mut vanished = RawSocket::open(&server, &ada.token)
        .await
        .with_patience(patience);
    let mut alive = RawSocket::open(&server, &ada.token)
        .await
        .with_patience(patience);
    let answering = async {
        while let Some((first, payload)) = alive.frame().await {
            if first == first::PING {
                alive
                    .write(&frame(first::PONG, &payload))
                    .await
                    .expect("it is open");
            }
        }
    };
    let silence = async {
        let mut pings = 0;
        loop {
            match vanished.frame().await.expect("a close frame comes first") {
                (first::PING, _) => pings += 1,
                (first::CLOSE, payload) => break (pings, payload),
                _ => {}
            }
        }
    };
    let (pings, payload) = tokio::select! {
        closed = silence => closed,
        () = answering => panic!("a socket that answers pings was closed"),
    };
    assert_eq!(payload[..2], HEARTBEAT_TIMEOUT.to_be_bytes());
    assert!((1..=3).contains(&pings), "{pings} pings in a minute");
    let heartbeat = json!({ "event": "heartbeat" });
    alive
        .write(&text(&heartbeat.to_string()))
        .await
        .expect("it is open");
    alive.expect("heartbeatAck").await;
}
