//! What requests get that no well-meaning client sends, and what every answer looks like.
//!
//! Contract section 3. What is wrong with a request's framing is answered by the HTTP library
//! itself, without a body; everything that has a path is answered in our shape.

mod origins;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::harness::{
    Bystanders, PATIENCE, RawSocket, TestServer, TestUser,
    raw::{RawAnswer, exchange, upgrade_request},
    uuid,
};

/// Largest body.
const MAX_BODY: usize = 64 * 1024;

/// Headers that every answer of ours has.
const SECURITY_HEADERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

fn get(path: &str, headers: &str) -> String {
    request("GET", path, headers, "")
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n{body}"
    )
}

fn bearer(user: &TestUser) -> String {
    format!("Authorization: Bearer {}\r\n", user.token)
}

/// Asserts the shape that every refusal has.
#[track_caller]
fn assert_problem(answer: &RawAnswer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{answer:?}"
    );
    let body: Value = serde_json::from_str(&answer.body).expect("a JSON body");
    assert_eq!(
        (&body["status"], &body["code"]),
        (&json!(status), &json!(code)),
        "{answer:?}"
    );
    assert!(
        body["type"].is_string() && body["title"].is_string(),
        "{answer:?}"
    );
    assert!(
        body["detail"].is_string() && body["detail"] == body["message"],
        "{answer:?}"
    );
    assert_safe(answer);
}

/// Asserts the headers that every answer of ours has.
#[track_caller]
fn assert_safe(answer: &RawAnswer) {
    for (name, value) in SECURITY_HEADERS {
        assert_eq!(answer.header(name), Some(value), "{name} of {answer:?}");
    }
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| !id.is_empty()),
        "{answer:?}"
    );
    assert_eq!(answer.header("server"), None);
}

// ------------------------------------------------------------------- framing

#[tokio::test]
async fn a_request_with_ambiguous_framing_or_host_is_bad() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let post =
        |headers: &str, body: &str| format!("POST /auth/login HTTP/1.1\r\n{headers}\r\n{body}");
    let cases = [
        (
            "length and chunked",
            post(
                "Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
        ),
        (
            "chunked and length",
            post(
                "Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                "0\r\n\r\n",
            ),
        ),
        (
            "two lengths",
            post(
                "Host: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
                "{}",
            ),
        ),
        (
            "a list of lengths",
            post("Host: x\r\nContent-Length: 2, 3\r\n", "{}"),
        ),
        (
            "a length below zero",
            post("Host: x\r\nContent-Length: -1\r\n", ""),
        ),
        (
            "a length with a plus",
            post("Host: x\r\nContent-Length: +2\r\n", "{}"),
        ),
        (
            "an unknown encoding",
            post("Host: x\r\nTransfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ),
        (
            "chunked twice",
            post(
                "Host: x\r\nTransfer-Encoding: chunked, chunked\r\n",
                "0\r\n\r\n",
            ),
        ),
        ("no host", "GET /health/live HTTP/1.1\r\n\r\n".to_owned()),
        (
            "two hosts",
            "GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        ),
        (
            "a folded header",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n".to_owned(),
        ),
        (
            "a space before the colon",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n".to_owned(),
        ),
        (
            "a NUL in a header",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n".to_owned(),
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned()),
        (
            "TLS",
            "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned(),
        ),
    ];
    for (name, bytes) in cases {
        let mut socket = RawSocket::connect(&server).await;
        socket.write(bytes.as_bytes()).await.expect("it is open");
        let answer = socket.answer().await.expect("an answer");
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        assert_eq!(
            socket.rest().await,
            b"",
            "{name}: closed, nothing more is read as a request"
        );
    }
    others.chat().await;
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused_with_431() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let many: String = (0..200).map(|n| format!("X-Header-{n}: x\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "x".repeat(200 * 1024));
    for headers in [many, large] {
        for request in [get("/health/live", &headers), upgrade_request(&headers)] {
            let answer = exchange(&server, request).await;
            assert_eq!(answer.status, 431, "{:.200}", answer.head);
        }
    }
    others.chat().await;
}

#[tokio::test]
async fn a_silent_connection_and_a_dripping_header_are_closed() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let silent = async {
        let mut socket = RawSocket::connect(&server).await;
        socket.rest().await
    };
    let first = async { drip_a_head(RawSocket::connect(&server).await).await };
    let second = async {
        let mut socket = RawSocket::connect(&server).await;
        let request = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
        socket.write(request.as_bytes()).await.expect("it is open");
        assert_eq!(socket.answer().await.expect("an answer").status, 200);
        drip_a_head(socket).await
    };
    let began = Instant::now();
    let (silent, first, second) = tokio::join!(silent, first, second);
    let took = began.elapsed();
    for said in [silent, first, second] {
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 408 "),
            "{said}"
        );
    }
    // The whole head would take three quarters of a minute.
    assert!(took < Duration::from_secs(25), "{took:?}");
    others.chat().await;
}

/// Sends a request byte by byte until the server has had enough; returns what it says then.
async fn drip_a_head(mut socket: RawSocket) -> Vec<u8> {
    let head = get("/health/live", "X-Drip: drip drip drip\r\n");
    for byte in head.as_bytes() {
        // The attacker's pace.
        sleep(Duration::from_millis(500)).await;
        if socket.write(&[*byte]).await.is_err() || socket.has_ended().await {
            break;
        }
    }
    socket.rest().await
}

#[tokio::test]
async fn a_dripping_body_gets_408() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let mut socket = RawSocket::connect(&server).await;
    let head = "Content-Type: application/json\r\nContent-Length: 1000\r\n";
    let head = request("POST", "/auth/login", head, "{");
    socket.write(head.as_bytes()).await.expect("it is open");
    let began = Instant::now();
    let head = loop {
        // The attacker's pace.
        if let Ok(head) = timeout(Duration::from_millis(500), socket.head()).await {
            break head.expect("an answer");
        }
        // The server may have had enough meanwhile.
        let _ = socket.write(b" ").await;
    };
    let answer = socket.body_of(head).await;
    assert_problem(&answer, 408, "REQUEST_TIMEOUT");
    // The whole body would take eight minutes.
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    socket.rest().await;
    others.chat().await;
}

#[tokio::test]
async fn a_body_that_ends_early_harms_nobody() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let mut socket = RawSocket::connect(&server).await;
    let head = "Content-Type: application/json\r\nContent-Length: 1000\r\n";
    socket
        .write(request("POST", "/auth/login", head, "{").as_bytes())
        .await
        .expect("it is open");
    socket.finish().await;
    let said = String::from_utf8(socket.rest().await).expect("text");
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 400 "),
        "{said}"
    );
    others.chat().await;
}

#[tokio::test]
async fn bodies_over_64_kib_are_refused_declared_or_not() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let json = "Content-Type: application/json\r\n";

    // Refused by what it says, before a byte of it was sent.
    let declared = format!("{json}{}Content-Length: {}\r\n", bearer(&ada), 1 << 30);
    for path in ["/rooms", "/auth/login", "/auth/logout", "/nowhere"] {
        let answer = exchange(&server, request("POST", path, &declared, "")).await;
        assert_problem(&answer, 413, "PAYLOAD_TOO_LARGE");
    }

    let chunked = format!("{json}{}Transfer-Encoding: chunked\r\n", bearer(&ada));
    let chunk = format!("{:x}\r\n{}\r\n", 32 * 1024, " ".repeat(32 * 1024));
    let body = chunk.repeat(3);
    let answer = exchange(&server, request("POST", "/rooms", &chunked, &body)).await;
    assert_problem(&answer, 413, "PAYLOAD_TOO_LARGE");

    let room = json!({ "name": "exactly" }).to_string();
    let exactly = format!("{room}{}", " ".repeat(MAX_BODY - room.len()));
    let length = format!("{json}{}Content-Length: {MAX_BODY}\r\n", bearer(&ada));
    let answer = exchange(&server, request("POST", "/rooms", &length, &exactly)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    ada.post("/rooms", json!({ "name": "x".repeat(1 << 20) }))
        .await
        .refused(413, "PAYLOAD_TOO_LARGE");
}

// -------------------------------------------------------------------- routes

#[tokio::test]
async fn methods_that_a_path_does_not_have_are_405() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    for (method, path, allow) in [
        ("TRACE", "/", "GET, HEAD"),
        ("TRACE", "/health", "GET, HEAD"),
        ("TRACE", "/rooms", "GET, HEAD, POST"),
        ("PUT", "/me", "GET, HEAD"),
        ("DELETE", "/rooms", "GET, HEAD, POST"),
        ("POST", "/ws", "GET"),
        ("GET", "/auth/login", "POST"),
        ("BREW", "/rooms", "GET, HEAD, POST"),
        ("TRACE", "/roomcast.js", "GET, HEAD"),
        ("PUT", "/roomcast.js", "GET, HEAD"),
        ("OPTIONS", "/page/app.js", "GET, HEAD"),
    ] {
        for headers in [String::new(), bearer(&ada)] {
            let answer = exchange(&server, request(method, path, &headers, "")).await;
            assert_problem(&answer, 405, "METHOD_NOT_ALLOWED");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }
    for path in ["/nowhere.js", "/index.html", "/page"] {
        let answer = exchange(&server, request("PUT", path, "", "")).await;
        assert_problem(&answer, 404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_method_override_is_ignored() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("kept").await;
    let path = format!("/rooms/{room}/members/{}?_method=DELETE", ada.id);
    let headers = format!(
        "{}X-HTTP-Method-Override: DELETE\r\nX-Method: DELETE\r\n",
        bearer(&ada)
    );
    let answer = exchange(&server, request("POST", &path, &headers, "")).await;
    assert_problem(&answer, 405, "METHOD_NOT_ALLOWED");
    let answer = exchange(&server, get("/me", &headers)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn what_is_not_there_is_404_with_and_without_a_token() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    for path in [
        "/nowhere",
        "/metrics",
        "/debug",
        "/debug/actors",
        "/.env",
        "/.git/config",
        "/../",
        "/../Cargo.toml",
        "/..%2fCargo.toml",
        "/%2e%2e/Cargo.toml",
        "/%2e%2e%2f%2e%2e%2fetc/passwd",
        "//etc/passwd",
        "/index.html/",
        "/rooms/",
        "/ROOMS",
        "/roomcast.js%00",
        "/jwt.secret",
        "/data/jwt.secret",
        "/me/password/again",
    ] {
        for headers in [
            String::new(),
            bearer(&ada),
            "Authorization: Bearer nonsense\r\n".to_owned(),
        ] {
            let answer = exchange(&server, get(path, &headers)).await;
            assert_problem(&answer, 404, "NOT_FOUND");
        }
        let answer = exchange(&server, request("POST", path, "", "")).await;
        assert_problem(&answer, 404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn an_id_in_a_path_that_is_no_uuid_is_400() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("ids").await;
    let nowhere = format!("/rooms/{room}/members/nobody");
    for (method, path, field) in [
        ("POST", "/rooms/1/join", "roomId"),
        ("POST", "/rooms/%20/leave", "roomId"),
        ("GET", "/rooms/abc/members", "roomId"),
        (
            "GET",
            "/rooms/01ARZ3NDEKTSV4RRFFQ69G5FAV/messages",
            "roomId",
        ),
        ("POST", "/rooms/'%20OR%201=1/invites", "roomId"),
        ("DELETE", &nowhere, "userId"),
    ] {
        let answer = exchange(&server, request(method, path, &bearer(&ada), "")).await;
        assert_problem(&answer, 400, "VALIDATION_FAILED");
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body["errors"][0]["path"], field, "{answer:?}");
    }
    let capitals = format!("/rooms/{}/members", room.to_uppercase());
    assert_eq!(
        exchange(&server, get(&capitals, &bearer(&ada)))
            .await
            .status,
        200
    );
    let absent = format!("/rooms/{}/members", uuid());
    assert_problem(
        &exchange(&server, get(&absent, &bearer(&ada))).await,
        404,
        "ROOM_NOT_FOUND",
    );
}

#[tokio::test]
async fn every_refusal_has_one_shape() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let json = "Content-Type: application/json\r\n";
    let with_body = |headers: &str, body: &str| {
        let length = body.len();
        request(
            "POST",
            "/rooms",
            &format!("{}{headers}Content-Length: {length}\r\n", bearer(&ada)),
            body,
        )
    };
    let xml = "Content-Type: application/xml\r\n";
    for (request, status, code) in [
        (get("/me", ""), 401, "UNAUTHENTICATED"),
        (
            get("/me", "Authorization: Basic YTpi\r\n"),
            401,
            "UNAUTHENTICATED",
        ),
        (
            get("/me", "Authorization: Bearer\r\n"),
            401,
            "UNAUTHENTICATED",
        ),
        (get("/me?token=x", ""), 401, "UNAUTHENTICATED"),
        (
            get("/rooms?limit=0", &bearer(&ada)),
            400,
            "VALIDATION_FAILED",
        ),
        (with_body(json, "{"), 400, "INVALID_JSON"),
        (with_body(json, "[]"), 400, "VALIDATION_FAILED"),
        (with_body(json, ""), 400, "INVALID_JSON"),
        (
            with_body(json, "{\"name\":\"\\ud800\"}"),
            400,
            "INVALID_JSON",
        ),
        (with_body(xml, "<name/>"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (get("/ws", ""), 400, "VALIDATION_FAILED"),
        (
            get("/ws", "Authorization: Bearer x\r\n"),
            401,
            "UNAUTHENTICATED",
        ),
        (
            get("/ws", "Origin: https://evil.example\r\n"),
            403,
            "FORBIDDEN",
        ),
    ] {
        let answer = exchange(&server, &request).await;
        assert_problem(&answer, status, code);
    }
    let mut socket = RawSocket::connect(&server).await;
    let not_utf8 = b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
        Content-Length: 3\r\n\r\n\"\xff\"";
    socket.write(not_utf8).await.expect("it is open");
    assert_problem(
        &socket.answer().await.expect("an answer"),
        400,
        "INVALID_JSON",
    );
}

#[tokio::test]
async fn a_request_id_is_taken_over_when_it_is_plain() {
    let server = TestServer::start().await;
    let with_id = async |id: &str| {
        let answer = exchange(
            &server,
            get("/health/live", &format!("X-Request-Id: {id}\r\n")),
        )
        .await;
        assert_safe(&answer);
        answer
            .header("x-request-id")
            .map(str::to_owned)
            .expect("an id")
    };
    assert_eq!(with_id("req-1_a.b").await, "req-1_a.b");
    for bad in ["", "a b", "<script>", &"x".repeat(65), "\u{e9}"] {
        let made = with_id(bad).await;
        assert_ne!(made, bad);
        assert_eq!(made.len(), 36, "{made}");
    }
}

// ------------------------------------------------------------------- origins
