//! SIGTERM and SIGINT: everybody is sent away politely, and nothing that was accepted is lost.
//!
//! Contract section 7, "Drain on SIGTERM".

use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{
    Parting, RawSocket, ServerOptions, TestClient, TestServer, Witness, assert_whole, await_until,
    in_time, is_embedded, raw::upgrade_request, uuid, within,
};

const RESTART: u16 = 1012;

/// A drain takes no longer.
const MOST: Duration = Duration::from_secs(25);

fn talking(witness: Witness) -> JoinHandle<(Witness, Parting)> {
    let mut witness = witness;
    tokio::spawn(async move {
        let parting = witness.talk().await;
        (witness, parting)
    })
}

#[tokio::test]
async fn sigterm_under_load_loses_nothing() {
    drains_under_load(Signal::SIGTERM).await;
}

#[tokio::test]
async fn sigint_under_load_loses_nothing() {
    drains_under_load(Signal::SIGINT).await;
}

async fn drains_under_load(signal: Signal) {
    // What is accepted last may be stored by the next process.
    let options = ServerOptions::new().unlimited().expect_imbalance();
    let mut server = options.start().await;
    let owner = server.user("owner").await;
    let rooms = [owner.room("one").await, owner.room("two").await];
    let mut witnesses = Vec::new();
    for name in 0..5 {
        let user = server.user(&format!("witness{name}")).await;
        for room in &rooms {
            user.join(room).await;
        }
        witnesses.push(talking(Witness::new(user, &rooms)));
    }
    server
        .await_metric("roomcast_messages_accepted_total", "", 100.0)
        .await;
    // Who has not come in yet is not sent away, but sent elsewhere.
    let joins = (witnesses.len() * rooms.len()) as f64;
    server
        .await_metric("roomcast_frames_out_total", "roomJoined", joins)
        .await;

    server.signal(signal);
    let mut settled = Vec::new();
    for witness in witnesses {
        let (witness, parting) = within("a close frame", witness)
            .await
            .expect("it saw no wrong");
        let polite = Parting {
            code: RESTART,
            told_to_reconnect: true,
        };
        assert_eq!(parting, polite);
        settled.push(witness);
    }
    assert_eq!(server.ended(MOST).await.code(), Some(0));

    let server = server.restart().await;
    let owner = owner.at(&server);
    let mut witnesses: Vec<_> = settled.into_iter().map(|w| w.at(&server)).collect();
    for witness in &mut witnesses {
        witness.settle().await;
    }
    for room in &rooms {
        let history = owner.whole_history(room).await;
        assert_whole(&history);
        for witness in &mut witnesses {
            witness.hear(room, history.len()).await;
            witness.assert_saw(room, &history);
        }
    }
}

#[tokio::test]
async fn while_it_drains_the_server_says_so() {
    let mut server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let room = ada.room("room").await;
    let mut sockets = Vec::new();
    // They go one after another: the last ones are still here when the first have gone.
    for _ in 0..20 {
        sockets.push(ada.connect_to(&room).await);
    }
    ada.get("/health/ready").await.ok(200);

    server.signal(Signal::SIGTERM);
    await_until("readiness to end", || async {
        let ready = ada.anonymous(Method::GET, "/health/ready", None).await;
        (ready.status == 503).then_some(())
    })
    .await;
    // First of all, while the last sockets are here. One may be closed already: then what it was
    // told waits to be read.
    for socket in &mut sockets {
        let message = json!({ "roomId": room, "clientMsgId": uuid(), "content": "too late" });
        socket.offer("sendMessage", message).await;
    }
    let refused = ada.get("/health/ready").await.refused(503, "UNAVAILABLE");
    assert!(refused.header("retry-after").is_some());
    ada.get("/health/live").await.ok(200);

    let body = json!({ "clientMsgId": uuid(), "content": "too late" });
    let refused = ada.post(&format!("/rooms/{room}/messages"), body).await;
    let refused = refused.refused(503, "UNAVAILABLE");
    assert!(refused.header("retry-after").is_some());

    let mut handshake = RawSocket::connect(&server).await;
    let headers = format!("Authorization: Bearer {}\r\n", ada.token);
    handshake
        .write(upgrade_request(&headers).as_bytes())
        .await
        .expect("it is open");
    let refusal = handshake.refusal().await.expect("a refusal");
    assert_eq!(refusal.status, 503, "{refusal:?}");
    assert!(refusal.header("retry-after").is_some(), "{refusal:?}");

    let mut refused = 0;
    for socket in &mut sockets {
        refused += usize::from(part(socket).await);
    }
    assert!(
        refused > 0,
        "the last sockets are there long enough to be refused a message"
    );
    assert_eq!(server.ended(MOST).await.code(), Some(0));
    assert_eq!(
        server
            .log()
            .iter()
            .filter(|line| line.contains("drained"))
            .count(),
        1
    );
}

/// Whoever sends clients here must see it, even when there is none to send away.
#[tokio::test]
async fn a_server_without_sockets_says_that_it_drains() {
    /// For a second it can be asked; a machine that stands still then has to try once more.
    const OFTEN: usize = 5;
    in_time(async || {
        let mut server = TestServer::start().await;
        server.signal(Signal::SIGTERM);
        let told = within("the end of all answers", readiness(&server)).await;
        assert_eq!(server.ended(MOST).await.code(), Some(0));
        let drains = told.iter().skip_while(|status| **status == 200);
        assert!(drains.clone().all(|status| *status == 503), "{told:?}");
        (drains.count() >= OFTEN).then_some(())
    })
    .await;
}

/// Asks whether a server is ready for as long as it answers; returns what it said.
async fn readiness(server: &TestServer) -> Vec<u16> {
    let url = server.url("/health/ready");
    let mut told = Vec::new();
    while let Ok(answer) = reqwest::get(&url).await {
        told.push(answer.status().as_u16());
    }
    told
}

/// Waits for the end; returns whether a message was refused.
async fn part(socket: &mut TestClient) -> bool {
    let (mut refused, mut told) = (false, false);
    loop {
        match socket.hear().await {
            Ok(frame) if frame["event"] == "messageFailed" => {
                let data = &frame["data"];
                assert_eq!(
                    (&data["code"], &data["retryable"]),
                    (&json!("UNAVAILABLE"), &json!(true))
                );
                refused = true;
            }
            Ok(frame) if frame["event"] == "reconnect" => {
                assert!(
                    frame["data"]["afterMs"].as_u64().is_some_and(|ms| ms > 0),
                    "{frame}"
                );
                told = true;
            }
            Ok(frame) => assert_ne!(frame["event"], "messageAccepted", "{frame}"),
            Err(code) => {
                assert_eq!((code, told), (RESTART, true));
                return refused;
            }
        }
    }
}

#[tokio::test]
async fn a_socket_that_reads_nothing_does_not_hold_up_the_end() {
    let mut server = TestServer::start().await;
    let ada = server.user("ada").await;
    let _deaf = RawSocket::open(&server, &ada.token).await;
    let mut anonymous = RawSocket::connect(&server).await;
    anonymous
        .write(upgrade_request("").as_bytes())
        .await
        .expect("it is open");
    anonymous.head().await.expect("an answer");
    let mut half_a_request = RawSocket::connect(&server).await;
    half_a_request
        .write(b"GET /health HTTP/1.1\r\n")
        .await
        .expect("it is open");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ended(MOST).await.code(), Some(0));
}

#[tokio::test]
async fn a_server_without_sockets_ends_and_can_start_again() {
    let mut server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("room").await;
    ada.say(&room, "before").await;
    server.signal(Signal::SIGINT);
    assert_eq!(server.ended(MOST).await.code(), Some(0));
    let server = server
        .restart_with(ServerOptions::new().expect_imbalance())
        .await;
    let ada = ada.at(&server);
    await_until("the message", || async {
        (ada.whole_history(&room).await.len() == 1).then_some(())
    })
    .await;
}

/// A log that closes ends its reader, too: that is no trouble.
#[tokio::test]
async fn an_end_in_order_warns_of_nothing() {
    const SLOW_CLOSE: &str = "the store did not close in time";
    if !is_embedded("Kafka has warnings of its own") {
        return;
    }
    let mut is_in_time = false;
    for _ in 0..5 {
        let mut server = TestServer::start().await;
        let ada = server.user("ada").await;
        let room = ada.room("room").await;
        ada.say(&room, "hello").await;
        let persisted = "roomcast_messages_persisted_total";
        server.await_metric(persisted, "", 1.0).await;
        server.signal(Signal::SIGTERM);
        assert_eq!(server.ended(MOST).await.code(), Some(0));
        let lines = server.log();
        assert!(lines.iter().any(|line| line.contains("drained")));
        // A checkpoint takes as long as the disk does.
        let is_slow = |it: &String| it.contains(SLOW_CLOSE);
        is_in_time |= !lines.iter().any(is_slow);
        let warns = |it: &&String| it.contains(" WARN ") && !is_slow(it);
        let warned: Vec<_> = lines.iter().filter(warns).collect();
        assert!(warned.is_empty(), "{warned:?}");
    }
    assert!(is_in_time, "{SLOW_CLOSE}, five times");
}
