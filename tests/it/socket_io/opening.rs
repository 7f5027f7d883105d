//! The handshake, the first packets, and who is let in.

use serde_json::{Value, json};

use crate::harness::{
    ServerOptions, SocketIoClient, TestServer,
    raw::{exchange, upgrade_request_to},
};

const UNAUTHENTICATED: u16 = 4401;
const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

#[tokio::test]
async fn the_first_packets_are_those_of_engine_io_and_socket_io() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut client = SocketIoClient::open(&server, "").await;
    let opening = client.next().await.expect("a packet");
    let opening: Value = serde_json::from_str(&opening[1..]).expect("JSON");
    assert_eq!(opening["sid"].as_str().map(str::len), Some(16));
    let expected = json!({
        "sid": opening["sid"], "upgrades": [],
        "pingInterval": 25_000, "pingTimeout": 35_000, "maxPayload": 65_536,
    });
    assert_eq!(opening, expected);

    let auth = json!({ "token": ada.token });
    client.say(&format!("40{auth}")).await;
    let connected = client.next().await.expect("a packet");
    let ready = client.event("ready").await;
    assert_eq!(
        connected,
        format!("40{}", json!({ "sid": ready["sessionId"] }))
    );
    assert_eq!(ready["userId"], ada.id);
}

#[tokio::test]
async fn the_token_of_auth_counts_before_the_headers() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let header = |token: &str| format!("Authorization: Bearer {token}\r\n");
    for (headers, auth, expected) in [
        (String::new(), json!({ "token": ada.token }), &ada),
        (header(&ada.token), Value::Null, &ada),
        (header(&ada.token), json!({}), &ada),
        (header(&ada.token), json!({ "token": null }), &ada),
        (header(&ada.token), json!({ "token": bob.token }), &bob),
        (header("bad"), json!({ "token": bob.token }), &bob),
    ] {
        let mut client = SocketIoClient::open(&server, &headers).await;
        let auth = match auth {
            Value::Null => String::new(),
            auth => auth.to_string(),
        };
        client.say(&format!("40{auth}")).await;
        let ready = client.event("ready").await;
        assert_eq!(ready["userId"], expected.id, "{headers} {auth}");
    }
}

#[tokio::test]
async fn a_bad_token_connects_and_is_disconnected_at_once() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let good = format!("Authorization: Bearer {}\r\n", ada.token);
    for (headers, connect) in [
        ("", r#"40{"token":"bad"}"#),
        ("", "40"),
        ("Authorization: Bearer bad\r\n", "40"),
        ("Authorization: Basic YTpi\r\n", "40"),
        // What is given in `auth` is what counts.
        (&*good, r#"40{"token":"bad"}"#),
        (&*good, r#"40{"token":5}"#),
    ] {
        let mut client = SocketIoClient::open(&server, headers).await;
        client.say(connect).await;
        let (said, code) = client.said_until_close().await;
        let starts: Vec<_> = said.iter().map(|packet| &packet[..2]).collect();
        assert_eq!(starts, ["0{", "40", "41"], "{connect}");
        assert_eq!(code, UNAUTHENTICATED, "{connect}");
    }
}

#[tokio::test]
async fn who_does_not_say_who_it_is_is_sent_away() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut silent = SocketIoClient::open(&server, "").await;
    for packet in [r#"42["heartbeat"]"#, "430[]"] {
        let mut client = SocketIoClient::open(&server, "").await;
        client.say(packet).await;
        assert_eq!(client.said_until_close().await.1, UNAUTHENTICATED);
    }
    // The event of bare JSON does not stand in for a connect.
    let mut client = SocketIoClient::open(&server, "").await;
    let auth = json!({ "token": ada.token });
    client.emit("authenticate", auth).await;
    assert_eq!(client.said_until_close().await.1, UNAUTHENTICATED);
    assert_eq!(silent.said_until_close().await.1, UNAUTHENTICATED);
}

#[tokio::test]
async fn a_token_that_expires_disconnects_and_a_new_one_extends() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let short = server.token(&ada.id, 10);
    let mut idle = SocketIoClient::connect(&server, &short).await;
    let mut extended = SocketIoClient::connect(&server, &short).await;
    let auth = json!({ "token": ada.token });
    let ready = extended.ask("authenticate", auth).await;
    assert_eq!(
        (&ready["success"], &ready["userId"]),
        (&json!(true), &json!(ada.id))
    );
    let (said, code) = idle.said_until_close().await;
    assert_eq!(said.last().map(String::as_str), Some("41"));
    assert_eq!(code, UNAUTHENTICATED);
    let beat = extended.ask("heartbeat", json!({})).await;
    assert_eq!(beat["success"], true);
}

#[tokio::test]
async fn a_handshake_is_refused_in_the_words_of_engine_io() {
    let server = TestServer::start().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let post = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n40")
    };
    let polling = "/socket.io/?EIO=4&transport=polling";
    let unknown = json!({ "code": 0, "message": "Transport unknown" });
    let bad_request = json!({ "code": 3, "message": "Bad request" });
    for (request, expected) in [
        (get(polling), &unknown),
        (post(polling), &unknown),
        (get(&format!("{polling}&sid=abc")), &unknown),
        (get("/socket.io/"), &unknown),
        (get("/socket.io"), &unknown),
        (upgrade_request_to("/socket.io/", ""), &unknown),
        (
            upgrade_request_to(&format!("{WEBSOCKET}&sid=abc"), ""),
            &json!({ "code": 1, "message": "Session ID unknown" }),
        ),
        (
            post(WEBSOCKET),
            &json!({ "code": 2, "message": "Bad handshake method" }),
        ),
        (get(WEBSOCKET), &bad_request),
        (
            upgrade_request_to("/socket.io/?EIO=3&transport=websocket", ""),
            &json!({ "code": 5, "message": "Unsupported protocol version" }),
        ),
    ] {
        let answer = exchange(&server, &request).await;
        assert_eq!(answer.status, 400, "{request}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(&body, expected, "{request}");
    }
}

#[tokio::test]
async fn a_foreign_origin_is_forbidden() {
    let options = ServerOptions::new().env("CORS_ORIGINS", "https://chat.example");
    let server = options.start().await;
    let foreign = "Origin: https://evil.example\r\n";
    let answer = exchange(&server, upgrade_request_to(WEBSOCKET, foreign)).await;
    assert_eq!(answer.status, 403);
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(body, json!({ "code": 4, "message": "Forbidden" }));
    let mut client = SocketIoClient::open(&server, "Origin: https://chat.example\r\n").await;
    client.expect("0{").await;
}
