//! What probes read, and who gets a session of the demo.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Database, TestServer, await_until, is_embedded, raw::exchange};

#[tokio::test]
async fn health_names_the_three_parts() {
    let server = TestServer::start().await;
    let report = server.await_health(&[]).await;
    let up = json!({ "status": "up" });
    let parts = json!({ "database": up, "redis": up, "kafka": up });
    assert_eq!(
        report,
        json!({ "status": "ok", "info": parts, "error": {}, "details": parts })
    );
    await_until("ready", || async { is_ready(&server).await.then_some(()) }).await;
    let answer = reqwest::get(server.url("/health/live")).await;
    assert_eq!(answer.expect("the server answers").status(), 200);
}

async fn is_ready(server: &TestServer) -> bool {
    let answer = reqwest::get(server.url("/health/ready")).await;
    answer.expect("the server answers").status() == 200
}

#[tokio::test]
async fn a_store_that_takes_nothing_in_makes_the_server_not_ready() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("stuck").await;
    let mut socket = ada.connect_to(&room).await;
    let mut database = Database::open(&server).await;
    database.hold().await;
    socket.say(&room, "accepted and not stored").await;
    await_until("not ready", || async {
        (!is_ready(&server).await).then_some(())
    })
    .await;
    server.await_health(&["database"]).await;
    database.release().await;
    socket.expect("newMessage").await;
    await_until("ready", || async { is_ready(&server).await.then_some(()) }).await;
}

#[tokio::test]
async fn what_can_be_read_can_be_asked_for_without_its_body() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("quiet").await;
    let paths = [
        "/me".to_owned(),
        "/rooms".to_owned(),
        format!("/rooms/{room}/members"),
        format!("/rooms/{room}/messages"),
        "/health".to_owned(),
        "/health/live".to_owned(),
        "/health/ready".to_owned(),
        "/".to_owned(),
    ];
    for path in paths {
        // A part of the health may not answer in time for once.
        let (answer, whole) = await_until(&format!("200 on {path}"), || async {
            let answer = Answer::of(ada.request(Method::HEAD, &path)).await;
            let whole = ada.get(&path).await;
            (answer.status == 200 && whole.status == 200).then_some((answer, whole))
        })
        .await;
        assert_eq!(answer.body, "", "{path}");
        assert_eq!(
            answer.header("content-type"),
            whole.header("content-type"),
            "{path}"
        );
    }
    let nobody = ada.with_token("no token");
    let answer = Answer::of(nobody.request(Method::HEAD, "/me")).await;
    assert_eq!(answer.status, 401);
}

/// Asks for a session of the demo; returns the status and the body.
async fn demo_session(server: &TestServer, headers: &str) -> (u16, Value) {
    let request = format!("POST /demo/session HTTP/1.1\r\n{headers}Content-Length: 0\r\n\r\n");
    let answer = exchange(server, request).await;
    let body = serde_json::from_str(&answer.body).expect("JSON");
    (answer.status, body)
}

#[tokio::test]
async fn who_sits_at_the_machine_gets_a_session_of_the_demo() {
    if !is_embedded("the demo is of roomcast dev alone") {
        return;
    }
    let server = TestServer::start().await;
    let (status, session) = demo_session(&server, "Host: localhost\r\n").await;
    assert_eq!(status, 201, "{session}");
    assert_eq!(
        (&session["tokenType"], &session["expiresIn"]),
        (&json!("Bearer"), &json!(86_400))
    );
    let token = session["accessToken"].as_str().expect("a token");
    let demo = server.user("ada").await.with_token(token);
    assert_eq!(demo.get("/me").await.ok(200)["id"], session["userId"]);
}

#[tokio::test]
async fn nobody_else_gets_a_session_of_the_demo() {
    let server = TestServer::start().await;
    for headers in [
        "Host: evil.example\r\n",
        "Host: localhost.evil.example:3000\r\n",
        "Host: localhost\r\nX-Forwarded-For: 203.0.113.9\r\n",
        "Host: localhost\r\nForwarded: for=203.0.113.9\r\n",
        "Host: localhost\r\nX-Real-IP: 203.0.113.9\r\n",
        "Host: localhost\r\nX-Forwarded-Host: evil.example\r\n",
    ] {
        let (status, body) = demo_session(&server, headers).await;
        assert_eq!(
            (status, &body["code"]),
            (404, &json!("NOT_FOUND")),
            "{headers}"
        );
    }
}
