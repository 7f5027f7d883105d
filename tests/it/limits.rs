//! How much a user, an address and a socket may do, and what happens beyond.
//!
//! Contract section 4, "Limits". Rates are judged by what is certain: so much at once is allowed,
//! and a flood is not. What a client measures as elapsed is an upper bound of what the server saw.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Bystanders, RawSocket, ServerOptions, TestClient, TestServer, TestUser, await_until,
    raw::{RawAnswer, first, frame, text, upgrade_request},
    uuid,
};

const TOO_MANY: u16 = 4429;

/// The refusals after which a socket is closed.
const MAX_REFUSALS: usize = 100;

fn message(room: &str) -> Value {
    json!({ "roomId": room, "clientMsgId": uuid(), "type": "TEXT", "content": "x" })
}

fn request(event: &str, data: &Value) -> Vec<u8> {
    text(&json!({ "event": event, "data": data }).to_string())
}

fn count(said: &[Value], event: &str) -> usize {
    said.iter().filter(|frame| frame["event"] == event).count()
}

/// Asserts that a refusal says when there is room again; returns that.
fn retry_after(frame: &Value) -> Duration {
    let data = &frame["data"];
    assert_eq!(
        (&data["code"], &data["retryable"]),
        (&json!("RATE_LIMITED"), &json!(true)),
        "{frame}"
    );
    let ms = data["retryAfterMs"].as_u64().expect("a time");
    assert!((1..10_000).contains(&ms), "{frame}");
    Duration::from_millis(ms)
}

#[tokio::test]
async fn the_sends_of_a_user_share_one_bucket() {
    const EACH: usize = 60;
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let ada = server.user("ada").await;
    let room = ada.room("busy").await;
    let (mut phone, mut laptop) = (ada.connect().await, ada.connect().await);

    let began = Instant::now();
    let mut answers = phone.burst(&room, EACH).await;
    answers.extend(laptop.burst(&room, EACH).await);
    let mut accepted = count(&answers, "messageAccepted");
    for failed in answers
        .iter()
        .filter(|answer| answer["event"] == "messageFailed")
    {
        retry_after(failed);
    }
    for _ in 0..EACH {
        let body = json!({ "clientMsgId": uuid(), "type": "TEXT", "content": "x" });
        let answer = ada.post(&format!("/rooms/{room}/messages"), body).await;
        if answer.status == 202 {
            accepted += 1;
            continue;
        }
        let refused = answer.refused(429, "RATE_LIMITED");
        let wait: u64 = refused
            .header("retry-after")
            .expect("a time")
            .parse()
            .expect("seconds");
        assert!((1..10).contains(&wait), "{wait}");
    }
    let most = 20.0 + 10.0 * began.elapsed().as_secs_f64() + 1.0;
    assert!(accepted >= 20, "{accepted} were accepted");
    assert!(
        (accepted as f64) <= most,
        "{accepted} were accepted, {most} allowed"
    );
    others.chat().await;
}

#[tokio::test]
async fn after_the_time_that_a_refusal_names_there_is_room() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("busy").await;
    // The last one: whatever comes behind a refusal takes the room that this one waits for.
    let (mut socket, refused) = await_until("the last of a burst to be refused", || async {
        let mut socket = ada.connect().await;
        let last = socket.burst(&room, 90).await.pop()?;
        (last["event"] == "messageFailed").then_some((socket, last))
    })
    .await;
    // This is what a client does.
    tokio::time::sleep(retry_after(&refused)).await;
    let again = json!({
        "roomId": room, "clientMsgId": refused["data"]["clientMsgId"], "content": "again",
    });
    socket.ask("sendMessage", again, "messageAccepted").await;
}

#[tokio::test]
async fn a_flood_of_messages_closes_its_socket_alone() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let ada = server.user("ada").await;
    let room = ada.room("flooded").await;
    let mut socket = RawSocket::open(&server, &ada.token).await;
    let flood = (0..1_000).flat_map(|_| request("sendMessage", &message(&room)));
    let _ = socket.write(&flood.collect::<Vec<_>>()).await;
    let (said, code) = socket.said_until_close().await;
    assert_eq!(code, TOO_MANY);
    let limited = said
        .iter()
        .filter(|frame| frame["data"]["code"] == "RATE_LIMITED");
    assert_eq!(limited.map(retry_after).count(), MAX_REFUSALS);
    others.chat().await;
}

#[tokio::test]
async fn ten_thousand_joins_of_unknown_rooms_are_refused_and_then_the_socket() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let ada = server.user("ada").await;
    // The first on each worker makes resident what any such socket needs.
    for _ in 0..4 {
        flood_of_joins(&server, &ada).await;
    }
    let flooding = async || {
        for _ in 0..2 {
            flood_of_joins(&server, &ada).await;
        }
    };
    let grown = server.least_growth_kib(flooding).await;
    assert!(grown < 1_024, "{grown} KiB more");
    others.chat().await;
}

async fn flood_of_joins(server: &TestServer, user: &TestUser) {
    let mut socket = RawSocket::open(server, &user.token).await;
    let join = || request("joinRoom", &json!({ "roomId": uuid() }));
    let _ = socket
        .write(&(0..10_001).flat_map(|_| join()).collect::<Vec<_>>())
        .await;
    let (said, code) = socket.said_until_close().await;
    assert_eq!(code, TOO_MANY);
    assert_eq!(count(&said, "error"), said.len());
    let limited = said
        .iter()
        .filter(|frame| frame["data"]["code"] == "RATE_LIMITED");
    assert_eq!(limited.map(retry_after).count(), MAX_REFUSALS);
    let unknown = said
        .iter()
        .filter(|frame| frame["data"]["code"] == "ROOM_NOT_FOUND");
    // Joins that were under way when the socket was closed have no answer.
    assert!(unknown.count() + MAX_REFUSALS == said.len());
}

#[tokio::test]
async fn a_thousand_joins_at_once_are_allowed() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut socket = ada.connect().await;
    for _ in 0..1_000 {
        socket.send("joinRoom", json!({ "roomId": uuid() })).await;
    }
    for _ in 0..1_000 {
        assert_eq!(socket.expect("error").await["code"], "ROOM_NOT_FOUND");
    }
}

#[tokio::test]
async fn other_frames_have_a_burst_of_120() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let mut socket = RawSocket::open(&server, &others.alice.token).await;
    let flood = request("heartbeat", &json!({})).repeat(2_000);
    let _ = socket.write(&flood).await;
    let (said, code) = socket.said_until_close().await;
    assert_eq!(code, TOO_MANY);
    assert!(count(&said, "heartbeatAck") >= 120, "{}", said.len());
    let refused = said.iter().filter(|frame| frame["event"] == "error");
    assert_eq!(refused.map(retry_after).count(), MAX_REFUSALS);
    others.chat().await;
}

#[tokio::test]
async fn unknown_events_count_as_frames() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut socket = RawSocket::open(&server, &ada.token).await;
    let _ = socket
        .write(&request("fly", &json!({})).repeat(2_000))
        .await;
    assert_eq!(socket.expect_close().await, TOO_MANY);
}

#[tokio::test]
async fn ten_thousand_pings_close_the_socket() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    for first in [first::PING, first::PONG] {
        let mut socket = RawSocket::open(&server, &others.alice.token).await;
        let _ = socket.write(&frame(first, b"x").repeat(10_000)).await;
        assert_eq!(socket.expect_close().await, TOO_MANY);
    }
    others.chat().await;
}

#[tokio::test]
async fn a_user_has_twenty_sockets_and_the_next_is_closed_instead_of_ready() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(ada.connect().await);
    }
    let on_handshake = TestClient::request(&server.ws_url(), Some(&ada.token));
    let mut one_more = TestClient::open(on_handshake).await.expect("a handshake");
    assert_eq!(one_more.expect_close().await, TOO_MANY);
    assert_eq!(one_more.unread().count(), 0);

    let first_frame = TestClient::request(&server.ws_url(), None);
    let mut one_more = TestClient::open(first_frame).await.expect("a handshake");
    one_more
        .send("authenticate", json!({ "token": ada.token }))
        .await;
    assert_eq!(one_more.expect_close().await, TOO_MANY);
    assert_eq!(one_more.unread().count(), 0);

    server.user("bob").await.connect().await;
    sockets.pop().expect("20 sockets").close().await;
    await_until("room for another socket", || async {
        let mut socket = RawSocket::connect(&server).await;
        socket.upgrade(&ada.token, "").await;
        let (first, _) = socket.frame().await.expect("a frame");
        (first == first::TEXT).then_some(())
    })
    .await;
}

/// Opens a WebSocket; returns the refusal, if it is one.
async fn handshake(server: &TestServer, token: &str) -> Option<RawAnswer> {
    let mut socket = RawSocket::connect(server).await;
    let authorization = format!("Authorization: Bearer {token}\r\n");
    socket
        .write(upgrade_request(&authorization).as_bytes())
        .await
        .expect("it is open");
    socket.refusal().await
}

#[tokio::test]
async fn an_address_that_opens_sockets_too_fast_gets_429() {
    /// Also so many at once.
    const PER_S: f64 = 4.0;
    let server = ServerOptions::new()
        .env("LIMIT_HANDSHAKES_PER_S", PER_S)
        .start()
        .await;
    let mut others = Bystanders::meet(&server).await;
    let (began, mut accepted) = (Instant::now(), 0_u32);
    for _ in 0..60 {
        let Some(answer) = handshake(&server, &others.alice.token).await else {
            accepted += 1;
            continue;
        };
        assert_eq!(answer.status, 429, "{answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        let wait: u64 = answer
            .header("retry-after")
            .expect("a time")
            .parse()
            .expect("seconds");
        assert!((1..5).contains(&wait), "{answer:?}");
    }
    let most = PER_S + PER_S * began.elapsed().as_secs_f64() + 1.0;
    assert!(
        f64::from(accepted) <= most,
        "{accepted} were accepted, {most} allowed"
    );
    others.chat().await;
    others.alice.get("/me").await.ok(200);
}

#[tokio::test]
async fn zero_switches_every_limit_off() {
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let room = ada.room("busy").await;
    let mut socket = ada.connect().await;
    let limits = &socket.ready["limits"];
    assert_eq!(
        (
            &limits["sendBurst"],
            &limits["sendPerS"],
            &limits["joinBurst"]
        ),
        (&json!(0), &json!(0), &json!(0))
    );

    let answers = socket.burst(&room, 500).await;
    assert_eq!(count(&answers, "messageAccepted"), 500);
    for _ in 0..1_500 {
        socket.send("joinRoom", json!({ "roomId": uuid() })).await;
    }
    for _ in 0..1_500 {
        assert_eq!(socket.expect("error").await["code"], "ROOM_NOT_FOUND");
    }
    for _ in 0..500 {
        socket.send("heartbeat", json!({})).await;
    }
    for _ in 0..500 {
        socket.expect("heartbeatAck").await;
    }
    let mut sockets = Vec::new();
    for _ in 0..40 {
        sockets.push(ada.connect().await);
    }
    for _ in 0..15 {
        let body = json!({ "email": ada.email, "password": "not the password" });
        let answer = ada
            .anonymous(reqwest::Method::POST, "/auth/login", Some(body))
            .await;
        answer.refused(401, "INVALID_CREDENTIALS");
    }
    server.await_health(&[]).await;
}
