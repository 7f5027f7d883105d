//! Who may open a socket, by which of the three ways, and for how long.

use chrono::{DateTime, Utc};
use futures_util::future::join;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};

use crate::harness::{Answer, ServerOptions, TestClient, TestServer, TestUser, uuid};

/// Opens a socket that has yet to say who it is.
async fn open_silent(server: &TestServer) -> TestClient {
    let request = TestClient::request(&server.ws_url(), None);
    TestClient::open(request).await.expect("a handshake")
}

/// Opens a socket as a browser does: the token beside the subprotocol.
async fn open_with_protocols(server: &TestServer, offered: &str) -> TestClient {
    let mut request = TestClient::request(&server.ws_url(), None);
    let offered = HeaderValue::from_str(offered).expect("a valid header");
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, offered);
    TestClient::open(request).await.expect("a handshake")
}

/// Prepares a handshake by hand, to read how it is refused.
fn handshake(server: &TestServer) -> RequestBuilder {
    let request = reqwest::Client::new().request(Method::GET, server.url("/ws"));
    request
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

async fn authenticate(socket: &mut TestClient, token: &str, reply: &str) -> Value {
    socket
        .ask("authenticate", json!({ "token": token }), reply)
        .await
}

fn moment(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().expect("a moment is text");
    assert_eq!(text.len(), "2026-03-01T10:00:00.000Z".len(), "{text}");
    let moment = DateTime::parse_from_rfc3339(text);
    moment.expect("a moment is RFC 3339").to_utc()
}

#[tokio::test]
async fn ready_says_who_it_is_and_what_it_may() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let (first, second) = (ada.connect().await, ada.connect().await);
    let ready = &first.ready;
    let expected = json!({
        "userId": ada.id,
        "sessionId": ready["sessionId"],
        "serverId": ready["serverId"],
        "heartbeatIntervalMs": 25_000,
        "expiresAt": ready["expiresAt"],
        "limits": {
            "maxFrameBytes": 65_536, "maxContentChars": 5_000, "sendBurst": 20, "sendPerS": 10,
            "joinBurst": 1_000, "maxReplay": 500
        }
    });
    assert_eq!(ready, &expected);
    let left = moment(&ready["expiresAt"]) - Utc::now();
    assert!((23..=24).contains(&left.num_hours()), "{left}");
    assert_ne!(ready["sessionId"], second.ready["sessionId"]);
    assert_eq!(ready["serverId"], second.ready["serverId"]);
}

#[tokio::test]
async fn limits_that_are_off_are_zero_in_ready() {
    let server = ServerOptions::new().unlimited().start().await;
    let socket = server.user("ada").await.connect().await;
    let limits = &socket.ready["limits"];
    assert_eq!(
        (&limits["sendBurst"], &limits["joinBurst"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_browser_offers_its_token_as_a_subprotocol_and_does_not_get_it_back() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let bearer = format!("bearer.{}", ada.token);
    for offered in [
        format!("roomcast.v1, {bearer}"),
        format!("{bearer}, roomcast.v1"),
    ] {
        let mut socket = open_with_protocols(&server, &offered).await;
        let headers = socket.handshake.headers();
        let selected: Vec<_> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().collect();
        assert_eq!(selected, ["roomcast.v1"]);
        assert!(!format!("{headers:?}").contains(&ada.token), "{headers:?}");
        assert_eq!(socket.expect("ready").await["userId"], ada.id);
    }
}

#[tokio::test]
async fn a_first_frame_authenticates_and_is_answered_under_its_id() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = open_silent(&server).await;
    let ready = authenticate(&mut socket, &ada.token, "ready").await;
    assert_eq!(ready["userId"], ada.id);
    socket.join(&room).await;
    socket.say(&room, "hello").await;
    assert_eq!(socket.expect("newMessage").await["senderId"], ada.id);
}

#[tokio::test]
async fn what_comes_right_behind_the_first_frame_is_not_lost() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = open_silent(&server).await;
    socket
        .send("authenticate", json!({ "token": ada.token }))
        .await;
    let joined = socket.join(&room).await;
    assert_eq!(joined["lastSeq"], 0);
    assert_eq!(socket.expect("ready").await["userId"], ada.id);
}

#[tokio::test]
async fn a_socket_that_does_not_say_who_it_is_is_closed() {
    let server = TestServer::start().await;
    let mut socket = open_silent(&server).await;
    assert_eq!(socket.expect_close().await, 4401);
}

#[tokio::test]
async fn a_first_frame_that_is_not_a_good_authenticate_closes() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let first_frames = [
        json!({ "event": "heartbeat" }).to_string(),
        json!({ "event": "joinRoom", "data": { "roomId": room } }).to_string(),
        json!({ "event": "fly" }).to_string(),
        json!({ "event": "authenticate" }).to_string(),
        json!({ "event": "authenticate", "data": { "token": "" } }).to_string(),
        json!({ "event": "authenticate", "data": { "token": 1 } }).to_string(),
        json!({ "event": "authenticate", "data": { "token": "no.good.token" } }).to_string(),
        json!({ "event": "authenticate", "data": { "token": format!("{}x", ada.token) } })
            .to_string(),
        ada.token.clone(),
        "{".to_owned(),
    ];
    for frame in first_frames {
        let mut socket = open_silent(&server).await;
        socket.send_text(frame.clone()).await;
        assert_eq!(socket.expect_close().await, 4401, "{frame}");
        assert!(
            socket.unread().all(|frame| frame["event"] == "error"),
            "{frame}"
        );
    }
}

#[tokio::test]
async fn a_bad_token_on_the_handshake_is_refused() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let other = ada.with_token(&ada.log_in().await);
    other.post_empty("/auth/logout").await.ok(204);
    let forged = forge(&ada);
    let tokens = [
        "",
        "x",
        "a.b.c",
        &format!("{}x", ada.token),
        &other.token,
        &forged,
    ];
    for token in tokens {
        let by_header = handshake(&server).header("authorization", format!("Bearer {token}"));
        Answer::of(by_header).await.refused(401, "UNAUTHENTICATED");
        let offered = format!("roomcast.v1, bearer.{token}");
        let by_protocol = handshake(&server).header("sec-websocket-protocol", offered);
        Answer::of(by_protocol)
            .await
            .refused(401, "UNAUTHENTICATED");
    }
}

/// Returns a user's token with the first character of its signature changed.
fn forge(user: &TestUser) -> String {
    let (signed, signature) = user
        .token
        .rsplit_once('.')
        .expect("a token has three parts");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{signed}.{first}{}", &signature[1..])
}

#[tokio::test]
async fn a_token_in_the_query_is_not_read_and_not_logged() {
    let server = ServerOptions::new().env("RUST_LOG", "debug").start().await;
    let ada = server.user("ada").await;
    let url = format!("{}?token={}", server.ws_url(), ada.token);
    let socket = TestClient::open(TestClient::request(&url, None)).await;
    let mut socket = socket.expect("a handshake without a credential");
    socket.send("heartbeat", json!({})).await;
    assert_eq!(socket.expect_close().await, 4401);
    assert_eq!(socket.unread().count(), 0);
    let leaked = server
        .log()
        .into_iter()
        .find(|line| line.contains(&ada.token));
    assert_eq!(leaked, None);
}

#[tokio::test]
async fn a_socket_lives_as_long_as_its_token_and_another_token_extends_it() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let short = ada.with_token(&server.token(&ada.id, 10));
    let (mut doomed, mut extended) = (short.connect().await, short.connect().await);
    let expires_at = moment(&doomed.ready["expiresAt"]);
    assert_eq!(doomed.ready["expiresAt"], extended.ready["expiresAt"]);

    let ready = authenticate(&mut extended, &ada.token, "ready").await;
    assert!(moment(&ready["expiresAt"]) > expires_at, "{ready}");
    assert_eq!(ready["sessionId"], extended.ready["sessionId"]);

    assert_eq!(doomed.expect_close().await, 4401);
    let late = Utc::now() - expires_at;
    assert!(
        (0..=5).contains(&late.num_seconds()),
        "closed {late} after its token ran out"
    );
    extended.ask("heartbeat", json!({}), "heartbeatAck").await;
}

#[tokio::test]
async fn a_live_socket_keeps_its_user_and_survives_a_bad_token() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    for (token, code) in [
        (eve.token.as_str(), "FORBIDDEN"),
        ("no token", "UNAUTHENTICATED"),
    ] {
        let error = authenticate(&mut socket, token, "error").await;
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&json!(code), &json!(false))
        );
    }
    socket.say(&room, "still ada").await;
    assert_eq!(socket.expect("newMessage").await["senderId"], ada.id);
}

#[tokio::test]
async fn a_foreign_origin_may_not_open_a_socket() {
    let app = "https://app.example.com";
    let server = ServerOptions::new().env("CORS_ORIGINS", app).start().await;
    let ada = server.user("ada").await;
    let foreign = [
        "https://evil",
        "null",
        "",
        "https://app.example.com.evil",
        "https://sub.app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com/",
        "https://app.example.com, https://evil",
        &format!("http://evil@{}", server.host()),
        &format!("http://{}.evil", server.host()),
    ];
    for origin in foreign {
        let request = handshake(&server)
            .bearer_auth(&ada.token)
            .header("origin", origin);
        Answer::of(request).await.refused(403, "FORBIDDEN");
    }
    for origin in [app, &server.url("")] {
        let mut request = TestClient::request(&server.ws_url(), Some(&ada.token));
        let origin = HeaderValue::from_str(origin).expect("a valid header");
        request.headers_mut().insert("origin", origin);
        let mut socket = TestClient::open(request).await.expect("an allowed origin");
        socket.expect("ready").await;
    }
}

#[tokio::test]
async fn without_a_list_only_the_own_origin_may() {
    let server = TestServer::start().await;
    let request = handshake(&server).header("origin", "https://app.example.com");
    Answer::of(request).await.refused(403, "FORBIDDEN");
    let mut request = TestClient::request(&server.ws_url(), None);
    let own = HeaderValue::from_str(&server.url("")).expect("a valid header");
    request.headers_mut().insert("origin", own);
    TestClient::open(request)
        .await
        .expect("the page's own origin");
}

#[tokio::test]
async fn a_logout_closes_every_socket_of_its_login() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let grant = ada.post_empty("/auth/refresh").await.ok(200);
    let refreshed = ada.with_token(grant["accessToken"].as_str().expect("a token"));
    let (mut first, mut second) = (ada.connect().await, refreshed.connect().await);
    let mut third = open_silent(&server).await;
    authenticate(&mut third, &ada.token, "ready").await;
    let mut stays = ada.with_token(&ada.log_in().await).connect().await;
    refreshed.post_empty("/auth/logout").await.ok(204);
    for socket in [&mut first, &mut second, &mut third] {
        assert_eq!(socket.expect_close().await, 4401);
    }
    stays.ask("heartbeat", json!({}), "heartbeatAck").await;
}

#[tokio::test]
async fn a_socket_that_opens_during_its_logout_does_not_stay() {
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    for _ in 0..20 {
        let login = ada.with_token(&ada.log_in().await);
        let request = TestClient::request(&server.ws_url(), Some(&login.token));
        let (opened, left) =
            join(TestClient::open(request), login.post_empty("/auth/logout")).await;
        left.ok(204);
        if let Ok(mut socket) = opened {
            assert_eq!(socket.expect_close().await, 4401);
        }
    }
}

#[tokio::test]
async fn a_socket_that_opens_during_a_password_change_does_not_stay() {
    let server = ServerOptions::new().unlimited().start().await;
    let mut ada = server.user("ada").await;
    for _ in 0..10 {
        let other = ada.with_token(&ada.log_in().await);
        let new = uuid();
        let change = json!({ "current": ada.password, "new": new });
        let request = TestClient::request(&server.ws_url(), Some(&other.token));
        let (opened, changed) =
            join(TestClient::open(request), ada.post("/me/password", change)).await;
        changed.ok(204);
        ada.password = new;
        if let Ok(mut socket) = opened {
            assert_eq!(socket.expect_close().await, 4401);
        }
    }
}
