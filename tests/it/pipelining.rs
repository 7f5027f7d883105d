//! Requests sent before the answers to earlier ones: all answered in order, at a bounded cost.

use std::fmt::Write;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Bystanders, RawSocket, ServerOptions, TestServer};

/// Connections of peers that do not read.
const PEERS: usize = 8;

/// What the server may need for all of them, debug build and sockets included.
const MOST_KIB: u64 = 24 * 1024;

#[tokio::test]
async fn who_pipelines_and_does_not_read_costs_little_and_is_cut() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let before = server.forget_peak();
    let requests = "GET /nope HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
    let peers = (0..PEERS).map(async |_| {
        let mut socket = RawSocket::connect_small(&server).await;
        // Each write that takes too long fails the test: the server has to hang up before.
        while socket.write(requests.as_bytes()).await.is_ok() {}
    });
    join_all(peers).await;
    let grown = server.peak_kib().saturating_sub(before);
    assert!(grown < MOST_KIB, "{grown} KiB for {PEERS} peers");
    others.chat().await;
}

#[tokio::test]
async fn answers_without_a_body_are_bounded_too() {
    let server = TestServer::start().await;
    let before = server.forget_peak();
    let requests = "HEAD /health/live HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
    let peers = (0..PEERS).map(async |_| {
        let mut socket = RawSocket::connect_small(&server).await;
        while socket.write(requests.as_bytes()).await.is_ok() {}
    });
    join_all(peers).await;
    let grown = server.peak_kib().saturating_sub(before);
    assert!(grown < MOST_KIB, "{grown} KiB for {PEERS} peers");
}

#[tokio::test]
async fn pipelined_requests_are_all_answered_in_order() {
    let server = TestServer::start().await;
    let mut socket = RawSocket::connect(&server).await;
    let mut requests = String::new();
    for n in 0..2_000 {
        let path = if n % 3 == 0 { "/health/live" } else { "/nope" };
        write!(
            requests,
            "GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: n-{n}\r\n\r\n"
        )
        .expect("a text takes all");
    }
    socket.write(requests.as_bytes()).await.expect("it is open");
    for n in 0..2_000 {
        let answer = socket.answer().await.expect("an answer");
        let expected = if n % 3 == 0 { 200 } else { 404 };
        assert_eq!(answer.status, expected, "{n}: {answer:?}");
        assert_eq!(answer.header("x-request-id"), Some(&*format!("n-{n}")));
    }
}

#[tokio::test]
async fn large_bodies_reach_their_requests_on_one_connection() {
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let mut socket = RawSocket::connect(&server).await;
    let bearer = format!("Authorization: Bearer {}\r\n", ada.token);
    let head =
        format!("POST /rooms HTTP/1.1\r\nHost: x\r\n{bearer}Content-Type: application/json\r\n");
    // Padding makes them longer than what is read at once.
    for n in 0..20 {
        let padding = "x".repeat(n % 4 * 20_000);
        let body = json!({ "name": format!("room {n}"), "padding": padding }).to_string();
        let length = body.len();
        let request = match n % 2 {
            0 => format!("{head}Content-Length: {length}\r\n\r\n{body}"),
            _ => {
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
            }
        };
        socket.write(request.as_bytes()).await.expect("it is open");
        let answer = socket.answer().await.expect("an answer");
        assert_eq!(answer.status, 201, "{n}: {answer:?}");
        let room: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(room["name"], format!("room {n}"));
    }
}
