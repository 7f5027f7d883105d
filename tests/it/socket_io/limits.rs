//! The limits of bare JSON hold here too, and so do drains.

use std::{ops::Range, time::Duration};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{
    RawSocket, ServerOptions, SocketIoClient, TestServer, await_until, draft, raw::text,
};

const RESTART: u16 = 1012;
const TOO_MANY: u16 = 4429;
const TOO_SLOW: u16 = 4490;

/// The connection ended without a close frame.
const RESET: u16 = 1006;

#[tokio::test]
async fn sockets_of_both_kinds_count_together() {
    let options = ServerOptions::new().env("LIMIT_SOCKETS_PER_USER", 2);
    let server = options.start().await;
    let ada = server.user("ada").await;
    let bare = ada.connect().await;
    let _first = SocketIoClient::connect(&server, &ada.token).await;
    let mut one_too_many = SocketIoClient::open(&server, "").await;
    one_too_many.expect("0{").await;
    let auth = json!({ "token": ada.token });
    one_too_many.say(&format!("40{auth}")).await;
    let refusal = r#"44{"message":"too many sockets or packets"}"#.to_owned();
    let said = one_too_many.said_until_close().await;
    assert_eq!(said, (vec![refusal], TOO_MANY));
    // A closed one makes room.
    bare.close().await;
    await_until("room for another socket", || async {
        let mut client = SocketIoClient::open(&server, "").await;
        client.say(&format!("40{auth}")).await;
        let said = client.expect("4").await;
        said.starts_with("40").then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_is_over_a_rate_is_told_in_the_callback_and_closed_in_the_end() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("busy").await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    let sends = |ids: Range<u64>| -> Vec<u8> {
        let send = |id| format!("42{id}{}", json!(["sendMessage", draft(&room, "x")]));
        ids.flat_map(|id| text(&send(id))).collect()
    };
    client.write(&sends(0..80)).await;
    let mut accepted = 0;
    for id in 0..80 {
        let told = client.acknowledged(id).await;
        match told["code"].as_str() {
            None => accepted += 1,
            Some(code) => {
                assert_eq!((code, &told["retryable"]), ("RATE_LIMITED", &json!(true)));
                assert!(told["retryAfterMs"].as_u64() > Some(0), "{told}");
                assert_eq!(client.event("messageFailed").await["code"], code);
            }
        }
    }
    assert!((20..80).contains(&accepted), "{accepted} were accepted");
    client.write(&sends(80..400)).await;
    let (_, code) = client.said_until_close().await;
    assert!([TOO_MANY, RESET].contains(&code), "{code}");
}

#[tokio::test]
async fn packets_that_ask_for_nothing_are_limited_too() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    for packet in ["430[]", "3", r#"42["fly"]"#] {
        let mut client = SocketIoClient::connect(&server, &ada.token).await;
        client.write(&text(packet).repeat(2_000)).await;
        let (_, code) = client.said_until_close().await;
        assert!([TOO_MANY, RESET].contains(&code), "{packet}: {code}");
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_cut() {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, slow) = (server.user("ada").await, server.user("slow").await);
    let room = ada.room("busy").await;
    slow.join(&room).await;
    let socket = RawSocket::connect_small(&server).await;
    let mut stalled = SocketIoClient::open_on(socket, "").await;
    stalled.introduce(&slow.token).await;
    stalled.join(&room).await;
    let mut speaker = SocketIoClient::connect(&server, &ada.token).await;
    speaker.join(&room).await;
    let content = "x".repeat(4_900);
    for _ in 0..120 {
        speaker.send(&room, &content).await;
        speaker.event("newMessage").await;
    }
    server
        .await_metric("roomcast_slow_sockets_total", "", 1.0)
        .await;
    let (_, code) = stalled.said_until_close().await;
    assert!([TOO_SLOW, RESET].contains(&code), "{code}");
}

#[tokio::test]
async fn a_drain_tells_when_to_come_back() {
    let mut server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    server.signal(Signal::SIGTERM);
    let reconnect = client.event("reconnect").await;
    assert!(reconnect["afterMs"].as_u64() > Some(0), "{reconnect}");
    // No `41` after it: its client would stay away.
    assert_eq!(client.said_until_close().await, (Vec::new(), RESTART));
    let ended = server.ended(Duration::from_secs(25)).await;
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn the_server_pings() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let client = SocketIoClient::connect(&server, &ada.token).await;
    let mut client = client.with_patience(Duration::from_secs(40));
    assert_eq!(client.expect("2").await, "2");
    client.say("3").await;
    let beat = client.ask("heartbeat", json!({})).await;
    assert_eq!(beat["success"], true);
    server
        .await_metric("roomcast_frames_in_total", "pong", 1.0)
        .await;
}

#[tokio::test]
async fn a_panic_in_a_session_ends_its_connection_alone() {
    if !crate::harness::with_failpoints() {
        return;
    }
    let options = ServerOptions::new().failpoint("session-actor=2*off->1*panic");
    let server = options.expect_errors().start().await;
    let ada = server.user("ada").await;
    // Each of their first packets is one that the point lets pass.
    let mut first = SocketIoClient::connect(&server, &ada.token).await;
    let mut second = SocketIoClient::connect(&server, &ada.token).await;
    first.say("420[\"heartbeat\"]").await;
    let (_, code) = first.said_until_close().await;
    assert_eq!(code, RESET);
    let beat = second.ask("heartbeat", json!({})).await;
    assert_eq!(beat["success"], true);
}
