//! What clients leave behind that hang up: a change that was stored holds, an answer is sent.

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{
    Answer, Database, RawSocket, ServerOptions, TestServer, TestUser,
    raw::{first, frame, text},
    uuid,
};

/// Posts while the database is held, hangs up, and lets it go on; again until a table has changed.
///
/// Whether a request has come as far as the database cannot be seen: it is tried again.
async fn hang_up(server: &TestServer, user: &TestUser, path: &str, body: &str, table: &str) {
    let other = server.user("other").await;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        user.token,
        body.len()
    );
    let mut database = Database::open(server).await;
    let before = database.count(table).await;
    loop {
        database.hold().await;
        let first = write_first(&other);
        round_trips(&other).await;
        let mut socket = RawSocket::connect(server).await;
        socket.write(request.as_bytes()).await.expect("it is open");
        round_trips(&other).await;
        socket.reset();
        round_trips(&other).await;
        database.release().await;
        first.await.expect("no panic");
        // Written after it: there is one writer.
        other.room("fence").await;
        if database.count(table).await != before {
            return;
        }
    }
}

/// Begins a write that waits for the database; all others wait for it.
fn write_first(user: &TestUser) -> JoinHandle<Answer> {
    let user = user.clone();
    tokio::spawn(async move {
        let body = json!({ "email": format!("{}@example.com", uuid()), "password": "password" });
        user.anonymous(Method::POST, "/auth/register", Some(body))
            .await
    })
}

/// Gives the server about the time to take what was sent to it.
async fn round_trips(user: &TestUser) {
    for _ in 0..10 {
        user.get("/me").await.ok(200);
    }
}

#[tokio::test]
async fn a_leave_holds_although_its_client_hangs_up() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let (mut hears, mut left) = (ada.connect_to(&room).await, bob.connect_to(&room).await);
    bob.get("/me").await.ok(200);
    let path = format!("/rooms/{room}/leave");
    hang_up(
        &server,
        &bob,
        &path,
        "",
        &format!("room_members WHERE room_id = '{room}'"),
    )
    .await;
    assert_eq!(left.expect("memberLeft").await["userId"], bob.id);
    ada.say(&room, "among us").await;
    hears.expect("newMessage").await;
    left.expect_none("newMessage").await;
}

#[tokio::test]
async fn a_join_is_told_although_its_client_hangs_up() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    let mut hears = ada.connect_to(&room).await;
    let path = format!("/rooms/{room}/join");
    hang_up(
        &server,
        &bob,
        &path,
        "",
        &format!("room_members WHERE room_id = '{room}'"),
    )
    .await;
    assert_eq!(hears.expect("memberJoined").await["userId"], bob.id);
}

#[tokio::test]
async fn a_logout_holds_although_its_client_hangs_up() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut socket = ada.connect().await;
    hang_up(&server, &ada, "/auth/logout", "", "revoked_logins").await;
    assert_eq!(socket.expect_close().await, 4401);
    ada.get("/me").await.refused(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_password_change_holds_although_its_client_hangs_up() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let other = ada.with_token(&ada.log_in().await);
    let mut socket = other.connect().await;
    let body = json!({ "current": ada.password, "new": uuid() }).to_string();
    let changed = "users WHERE token_generation > 0";
    hang_up(&server, &ada, "/me/password", &body, changed).await;
    assert_eq!(socket.expect_close().await, 4401);
    other.get("/me").await.refused(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn an_end_costs_no_answer_that_waits() {
    const NORMAL: u16 = 1000;
    const NO_CLOSE_FRAME: u16 = 1006;
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let beat = text(&json!({ "event": "heartbeat", "id": 1 }).to_string());
    let close = frame(first::CLOSE, &NORMAL.to_be_bytes());
    for (last, code) in [(&*close, NORMAL), (&[], NO_CLOSE_FRAME)] {
        // Whether the end is seen together with what is before it is chance.
        for _ in 0..20 {
            let mut socket = RawSocket::open(&server, &ada.token).await;
            let bytes = [&*beat, last].concat();
            socket.write(&bytes).await.expect("it is open");
            socket.finish().await;
            let (said, closed) = socket.said_until_close().await;
            let events: Vec<_> = said.iter().map(|frame| &frame["event"]).collect();
            assert_eq!(events, ["heartbeatAck"]);
            assert_eq!(closed, code);
        }
    }
}
