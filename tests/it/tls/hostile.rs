//! Handshakes that are none.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{ServerOptions, tls::Identity, within};

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
