//! Handshakes that are none, and those that are too many.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::harness::{
    ServerOptions, TestServer, await_until,
    tls::{Identity, over},
    within,
};

/// Connections of each kind.
const EACH: usize = 30;

/// The beginning of a `ClientHello` of 512 bytes.
const BEGUN: [u8; 9] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc];

#[tokio::test]
async fn a_handshake_that_is_none_ends_and_hurts_nobody() {
    let options = ServerOptions::new().unlimited();
    let server = options.tls(Identity::make()).start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut of_ada = ada.connect().await;
    let mut of_bob = bob.connect().await;
    of_ada.join(&room).await;
    of_bob.join(&room).await;

    let silent: &[u8] = b"";
    let plain: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let noise = [0xff; 4_096];
    let endless = [&BEGUN[..], &[0; 100]].concat();
    let mut connections = Vec::new();
    for said in [silent, plain, &noise, &endless] {
        for _ in 0..EACH {
            let host = server.direct_host();
            let mut stream = TcpStream::connect(host).await.expect("it listens");
            // It may be closed before all is written.
            let _ = stream.write_all(said).await;
            connections.push(stream);
        }
    }
    for turn in 0..10 {
        of_ada.say(&room, &format!("turn {turn}")).await;
    }
    assert_eq!(of_bob.messages(10).await.len(), 10);
    assert_eq!(bob.get("/me").await.status, 200);
    for mut stream in connections {
        let mut answer = Vec::new();
        let read = within("the end", stream.read_to_end(&mut answer)).await;
        // An alert, or nothing: no HTTP, and nothing that was not asked for.
        assert!(
            answer.len() < 64 && !answer.starts_with(b"HTTP"),
            "{read:?}"
        );
    }
    of_ada.say(&room, "still here").await;
    of_bob.messages(1).await;
}

/// Connects from an address of this machine.
async fn connect_from(from: Ipv4Addr, server: &TestServer) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of ours");
    let host = server.direct_host().parse().expect("an address");
    socket.connect(host).await.expect("it listens")
}

#[tokio::test]
async fn too_many_handshakes_of_an_address_are_hung_up_on() {
    const HANDSHAKES: usize = 500;
    let identity = Identity::make();
    // Four at once, and four a second: far fewer than come.
    let options = ServerOptions::new().env("LIMIT_HANDSHAKES_PER_S", 2);
    let server = options.tls(identity.clone()).start().await;
    let connector = identity.connector();
    let flooding = (0..HANDSHAKES).map(|_| async {
        let stream = connect_from(Ipv4Addr::new(127, 0, 0, 2), &server).await;
        over(&connector, stream).await.is_ok()
    });
    let shaken = join_all(flooding).await.into_iter().filter(|it| *it);
    assert!(shaken.count() < HANDSHAKES / 2);
    // Nobody else has to wait for that.
    let elsewhere = connect_from(Ipv4Addr::new(127, 0, 0, 3), &server).await;
    over(&connector, elsewhere).await.expect("a handshake");
    await_until("the count of those that were too many", async || {
        let counted = server
            .metric("roomcast_tls_handshakes_total", "limited")
            .await;
        (counted > HANDSHAKES as f64 / 2.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_is_trusted_may_shake_hands_for_many() {
    let identity = Identity::make();
    let options = ServerOptions::new()
        .env("LIMIT_HANDSHAKES_PER_S", 1)
        .env("TRUSTED_PROXIES", "127.0.0.2");
    let server = options.tls(identity.clone()).start().await;
    for _ in 0..20 {
        let stream = connect_from(Ipv4Addr::new(127, 0, 0, 2), &server).await;
        let shaken = over(&identity.connector(), stream).await;
        shaken.expect("a handshake");
    }
}
