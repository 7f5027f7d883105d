//! The counters that operators add up agree with what clients saw (contract section 7).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{
    Database, Ground, Part, ServerOptions, Services, SocketIoClient, TestClient, TestServer,
    TestUser, await_until, draft, uuid,
};

/// What is counted of messages, summed over processes.
async fn counted(servers: &[&TestServer], what: &str) -> f64 {
    let name = format!("roomcast_messages_{what}_total");
    let mut sum = 0.0;
    for server in servers {
        sum += server.metric(&name, "").await;
    }
    sum
}

/// Waits until each counter has its value, and asserts that none has more.
async fn assert_counted(servers: &[&TestServer], expected: &[(&str, f64)]) {
    for (what, expected) in expected {
        await_until(&format!("{expected} {what}"), || async {
            (counted(servers, what).await >= *expected).then_some(())
        })
        .await;
    }
    for (what, expected) in expected {
        assert_eq!(counted(servers, what).await, *expected, "{what}");
    }
}

/// Sends on one socket and judges what became of it; returns whether it was accepted.
async fn send(socket: &mut TestClient, data: Value) -> bool {
    let frame = socket.request_frame("sendMessage", data).await;
    match frame["event"].as_str() {
        Some("messageAccepted") => true,
        Some("messageFailed") => false,
        _ => panic!("{frame}"),
    }
}

/// Sends the same text by all three ways, and again, and what fails; returns what was accepted
/// and what failed.
async fn mixed(user: &TestUser, server: &TestServer, room: &str, rounds: usize) -> (usize, usize) {
    let mut socket = user.connect().await;
    let mut client = SocketIoClient::connect(server, &user.token).await;
    let (mut accepted, mut failed) = (0, 0);
    let mut note = |was_accepted: bool| match was_accepted {
        true => accepted += 1,
        false => failed += 1,
    };
    for n in 0..rounds {
        let good = draft(room, &format!("message {n}"));
        // Once more of each by the same way: repeats.
        for _ in 0..2 {
            note(send(&mut socket, good.clone()).await);
            let told = client.ask("sendMessage", good.clone()).await;
            note(told["status"] == "ACCEPTED");
        }
        let by_rest = json!({ "clientMsgId": uuid(), "content": "by REST" });
        let path = format!("/rooms/{room}/messages");
        user.post(&path, by_rest).await.ok(202);
        note(true);
        note(send(&mut socket, draft(room, "")).await);
        note(send(&mut socket, draft(&uuid(), "nowhere")).await);
        let told = client.ask("sendMessage", draft(room, "a\0b")).await;
        note(told["status"] == "ACCEPTED");
    }
    (accepted, failed)
}

#[tokio::test]
async fn after_a_mixed_run_every_message_has_one_outcome() {
    const ROUNDS: usize = 10;
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut listener = bob.connect_to(&room).await;
    let (accepted, failed) = mixed(&ada, &server, &room, ROUNDS).await;
    assert_eq!((accepted, failed), (5 * ROUNDS, 3 * ROUNDS));
    let new = 2 * ROUNDS;
    listener.messages(new).await;
    let expected = [
        ("accepted", accepted as f64),
        ("failed", failed as f64),
        ("persisted", new as f64),
        ("duplicate", (accepted - new) as f64),
        ("dead_lettered", 0.0),
        ("unknown", 0.0),
        ("replayed", 0.0),
        // To the listener alone: the sender's sockets have not joined.
        ("delivered", new as f64),
    ];
    assert_counted(&[&server], &expected).await;
}

#[tokio::test]
async fn dead_letters_are_in_the_balance() {
    const DOOMED: usize = 4;
    const KEPT: usize = 6;
    let Some(services) = Services::of_run() else {
        return;
    };
    let ground = Arc::new(Ground::on(services).await);
    let start = |part| {
        // A worker logs what it puts aside.
        let options = ServerOptions::new().unlimited().part(part).expect_errors();
        options.start_on(Arc::clone(&ground))
    };
    let gateway = start(Part::Gateway).await;
    let ada = gateway.user("ada").await;
    let (kept, doomed) = (ada.room("kept").await, ada.room("doomed").await);
    let mut socket = ada.connect_to(&kept).await;
    for n in 0..KEPT {
        let data = draft(&kept, &format!("message {n}"));
        assert!(send(&mut socket, data.clone()).await);
        assert!(send(&mut socket, data).await);
    }
    for _ in 0..DOOMED {
        assert!(send(&mut socket, draft(&doomed, "in vain")).await);
    }
    // Nothing is stored yet: what was accepted for this room never can be.
    let mut database = Database::open(&gateway).await;
    database
        .change(&format!("DELETE FROM rooms WHERE id = '{doomed}'"))
        .await;
    let worker = start(Part::Worker).await;
    for _ in 0..DOOMED {
        let failed = socket.expect("messageFailed").await;
        assert_eq!(failed["code"], "REJECTED", "{failed}");
    }
    // Each once, and again for its repeat.
    socket.messages(2 * KEPT).await;
    let expected = [
        ("accepted", (2 * KEPT + DOOMED) as f64),
        ("persisted", KEPT as f64),
        ("duplicate", KEPT as f64),
        ("dead_lettered", DOOMED as f64),
        ("failed", DOOMED as f64),
        ("unknown", 0.0),
        ("delivered", 2.0 * KEPT as f64),
    ];
    assert_counted(&[&gateway, &worker], &expected).await;
}
