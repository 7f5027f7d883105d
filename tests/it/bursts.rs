//! Bursts: who reads gets all of it, however much comes at once, and is never taken for slow.

use futures_util::future::join_all;
use serde_json::Value;

use crate::harness::{ServerOptions, TestClient, TestServer, draft, seqs};

/// The longest content, in characters of four bytes.
fn longest() -> String {
    "\u{1f980}".repeat(5_000)
}

/// Reads that many messages on every socket at once, and asserts that they have no hole.
async fn hear(sockets: &mut [TestClient], count: usize) {
    let expected: Vec<u64> = (1..=count as u64).collect();
    let heard = join_all(sockets.iter_mut().map(|socket| socket.messages(count))).await;
    for messages in heard {
        assert_eq!(seqs(&messages), expected);
    }
}

async fn sockets(server: &TestServer, count: usize) -> (String, Vec<TestClient>) {
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("loud").await;
    bob.join(&room).await;
    let mut sockets = vec![ada.connect_to(&room).await];
    for _ in 1..count {
        sockets.push(bob.connect_to(&room).await);
    }
    (room, sockets)
}

#[tokio::test]
async fn the_largest_burst_that_is_allowed_cuts_nobody_who_reads() {
    let server = TestServer::start().await;
    let (room, mut sockets) = sockets(&server, 4).await;
    let content = longest();
    for _ in 0..20 {
        let data = draft(&room, &content);
        sockets[0].send("sendMessage", data).await;
    }
    hear(&mut sockets, 20).await;
    let cut = server.metric("roomcast_slow_sockets_total", "").await;
    assert!(cut.abs() < f64::EPSILON, "{cut} sockets were cut");
}

#[tokio::test]
async fn a_reader_that_falls_behind_a_loud_room_catches_up() {
    let server = ServerOptions::new().unlimited().start().await;
    let (room, mut sockets) = sockets(&server, 3).await;
    let content = "x".repeat(5_000);
    let mut speaker = sockets.remove(0);
    // More than an outbox and the kernels hold, before anybody reads a byte of it.
    let count = 300;
    let speaking = async {
        for _ in 0..count {
            speaker.send("sendMessage", draft(&room, &content)).await;
        }
        speaker.messages(count).await
    };
    let spoken: Vec<Value> = speaking.await;
    assert_eq!(spoken.len(), count);
    hear(&mut sockets, count).await;
}
