//! Handshakes that are none, and requests that say two things at once.

use nix::sys::resource::{Resource, getrlimit};

use crate::harness::{
    Bystanders, RawSocket, TestServer, is_embedded,
    raw::{RawAnswer, exchange, upgrade_request},
};

/// Sends a handshake by hand; returns how it is refused, or `None`.
async fn refusal(server: &TestServer, handshake: &str) -> Option<RawAnswer> {
    let mut socket = RawSocket::connect(server).await;
    socket
        .write(handshake.as_bytes())
        .await
        .expect("it is open");
    socket.refusal().await
}

async fn assert_refused(server: &TestServer, handshake: &str, status: u16) {
    let Some(answer) = refusal(server, handshake).await else {
        panic!("taken: {handshake}");
    };
    assert_eq!(answer.status, status, "{handshake}{answer:?}");
    assert!(answer.body.contains("\"code\""), "{answer:?}");
}

#[tokio::test]
async fn a_handshake_that_breaks_rfc_6455_is_400() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let bearer = format!("Authorization: Bearer {}\r\n", others.alice.token);
    let good = upgrade_request(&bearer);
    assert!(refusal(&server, &good).await.is_none(), "{good}");
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    for other in ["x", "", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZQ=="] {
        assert_refused(&server, &good.replace(key, other), 400).await;
    }
    for (other, header) in [
        (good.replace("Upgrade: websocket\r\n", ""), "Upgrade"),
        (
            good.replace("Upgrade: websocket", "Upgrade: h2c"),
            "Upgrade",
        ),
        (good.replace("Connection: Upgrade\r\n", ""), "Connection"),
        (
            good.replace("Version: 13", "Version: 14"),
            "Sec-WebSocket-Version",
        ),
        (
            good.replace("Sec-WebSocket-Version: 13\r\n", ""),
            "Sec-WebSocket-Version",
        ),
        (
            good.replace(&format!("Sec-WebSocket-Key: {key}\r\n"), ""),
            "Sec-WebSocket-Key",
        ),
    ] {
        assert_ne!(other, good, "{header} is written otherwise");
        let answer = exchange(&server, other).await;
        assert_eq!(answer.status, 400, "{header}: {answer:?}");
        let path = format!("\"path\":\"{header}\"");
        assert!(answer.body.contains(&path), "{header}: {answer:?}");
    }
    let twice = format!("{bearer}Sec-WebSocket-Key: {key}\r\n");
    assert_refused(&server, &upgrade_request(&twice), 400).await;
    assert_refused(&server, &good.replace("HTTP/1.1", "HTTP/1.0"), 400).await;
    let with_length = upgrade_request(&format!("{bearer}Content-Length: 5\r\n"));
    assert_refused(&server, &format!("{with_length}hello"), 400).await;
    let chunked = upgrade_request(&format!("{bearer}Transfer-Encoding: chunked\r\n"));
    assert_refused(&server, &format!("{chunked}5\r\nhello\r\n0\r\n\r\n"), 400).await;
    others.chat().await;
}

#[tokio::test]
async fn a_token_as_a_subprotocol_needs_ours_beside_it() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let offer =
        |protocols: &str| upgrade_request(&format!("Sec-WebSocket-Protocol: {protocols}\r\n"));
    let bearer = format!("bearer.{}", ada.token);
    assert_refused(&server, &offer(&bearer), 400).await;
    assert_refused(&server, &offer(&format!("chat, {bearer}")), 400).await;
    let pair = offer(&format!("roomcast.v1, {bearer}"));
    assert!(refusal(&server, &pair).await.is_none(), "{pair}");
}

#[tokio::test]
async fn two_tokens_are_none() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let header = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let twice = format!("{}{}", header(&ada.token), header(&bob.token));
    let me = |headers: &str| {
        format!("GET /me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
    };
    assert_eq!(exchange(&server, me(&header(&ada.token))).await.status, 200);
    assert_eq!(exchange(&server, me(&twice)).await.status, 401);
    assert_refused(&server, &upgrade_request(&twice), 401).await;
    let pair = |more: &str| {
        format!(
            "Sec-WebSocket-Protocol: roomcast.v1, bearer.{}{more}\r\n",
            ada.token
        )
    };
    let two = pair(&format!(", bearer.{}", bob.token));
    assert_refused(&server, &upgrade_request(&two), 401).await;
    let differ = format!("{}{}", header(&bob.token), pair(""));
    assert_refused(&server, &upgrade_request(&differ), 401).await;
    let same = upgrade_request(&format!("{}{}", header(&ada.token), pair("")));
    assert!(refusal(&server, &same).await.is_none(), "{same}");
}

#[tokio::test]
async fn two_origins_are_foreign() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let headers = format!(
        "Authorization: Bearer {}\r\nOrigin: http://localhost\r\nOrigin: https://evil.example\r\n",
        ada.token
    );
    assert_refused(&server, &upgrade_request(&headers), 403).await;
}

#[tokio::test]
async fn a_page_of_elsewhere_gets_no_demo_session() {
    if !is_embedded("the demo is of roomcast dev alone") {
        return;
    }
    let server = TestServer::start().await;
    let host = server.host().to_owned();
    let begin = async |headers: &str| {
        let request = format!(
            "POST /demo/session HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Length: 0\r\n{headers}\r\n"
        );
        exchange(&server, request).await.status
    };
    assert_eq!(begin("").await, 201);
    assert_eq!(begin(&format!("Origin: http://{host}\r\n")).await, 201);
    assert_eq!(begin("Sec-Fetch-Site: same-origin\r\n").await, 201);
    for foreign in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        assert_eq!(begin(foreign).await, 404, "{foreign}");
    }
}

/// A table that grows has every thread wait.
#[tokio::test]
async fn the_table_of_descriptors_is_made_at_the_start() {
    let (_, allowed) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let server = TestServer::start().await;
    assert!(server.room_for_descriptors() >= allowed.min(65_536));
}
