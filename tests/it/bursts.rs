//! Bursts: who reads gets all of it, however much comes at once, and is never taken for slow.

use std::{
    slice,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};

use crate::harness::{
    ServerOptions, TestClient, TestServer, TestUser, Witness, draft, in_time, seqs,
};

/// A socket that takes nothing for this long while its outbox is full may be cut.
const FULL_PATIENCE: Duration = Duration::from_secs(1);

/// The longest content, in characters of four bytes.
fn longest() -> String {
    "\u{1f980}".repeat(5_000)
}

/// Two members of a room, and a socket of the first that speaks and hears nothing of it.
async fn members(server: &TestServer) -> (String, TestUser, TestUser, TestClient) {
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let speaker = ada.connect().await;
    (room, ada, bob, speaker)
}

/// Says so much at once.
async fn speak(speaker: &mut TestClient, room: &str, content: &str, count: usize) {
    for _ in 0..count {
        speaker.send("sendMessage", draft(room, content)).await;
    }
}

/// Reads that many messages on every socket at once, and asserts that they have no hole.
async fn hear(sockets: &mut [TestClient], count: usize) {
    let expected: Vec<u64> = (1..=count as u64).collect();
    let heard = join_all(sockets.iter_mut().map(|socket| socket.messages(count))).await;
    for messages in heard {
        assert_eq!(seqs(&messages), expected);
    }
}

async fn cut(server: &TestServer) -> f64 {
    server.metric("roomcast_slow_sockets_total", "").await
}

#[tokio::test]
async fn the_largest_burst_that_is_allowed_cuts_nobody_who_reads() {
    let server = TestServer::start().await;
    let (room, ada, bob, mut speaker) = members(&server).await;
    let mut sockets = vec![ada.connect_to(&room).await];
    for _ in 0..3 {
        sockets.push(bob.connect_to(&room).await);
    }
    let content = longest();
    // Who reads does so from the first byte on, however long it takes to say all of it.
    let speaking = speak(&mut speaker, &room, &content, 20);
    join(speaking, hear(&mut sockets, 20)).await;
    let cut = cut(&server).await;
    assert!(cut.abs() < f64::EPSILON, "{cut} sockets were cut");
}

#[tokio::test]
async fn a_reader_that_falls_behind_a_loud_room_catches_up() {
    in_time(a_loud_room).await;
}

/// `None` when readers were cut, rightly: the machine was too slow for them.
async fn a_loud_room() -> Option<()> {
    /// With 5,000 bytes each more than an outbox and the kernels hold.
    const LOUD: usize = 300;
    let server = ServerOptions::new().unlimited().start().await;
    let (room, ada, bob, mut speaker) = members(&server).await;
    let listening = || Witness::new(bob.clone(), slice::from_ref(&room));
    let mut readers = [listening(), listening(), listening()];
    speak(&mut speaker, &room, "quiet", 1).await;
    for reader in &mut readers {
        reader.settle().await;
        reader.hear(&room, 1).await;
    }
    let began = Instant::now();
    // All of it before anybody reads a byte.
    speak(&mut speaker, &room, &"x".repeat(5_000), LOUD).await;
    // Who was cut meanwhile, because the machine is slow, comes back to where he was.
    let reading = readers.iter_mut();
    join_all(reading.map(|reader| reader.hear(&room, 1 + LOUD))).await;
    let took = began.elapsed();
    let history = ada.whole_history(&room).await;
    assert_eq!(history.len(), 1 + LOUD);
    for reader in &readers {
        reader.assert_saw(&room, &history);
    }
    let cut = cut(&server).await;
    let is_cut = cut > 0.0;
    assert!(!is_cut || took >= FULL_PATIENCE, "{cut} within {took:?}");
    (!is_cut).then_some(())
}
