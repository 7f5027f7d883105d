//! REST and WebSocket over TLS.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{
    Cli, RawSocket, ServerOptions, TestServer,
    raw::{first, frame, upgrade_request},
    seqs,
    tls::{Identity, connect},
    within,
};

/// Starts a server with TLS; its URLs are those of a tunnel.
async fn start(identity: &Identity) -> TestServer {
    let options = ServerOptions::new().unlimited();
    options.tls(identity.clone()).start().await
}

#[tokio::test]
async fn members_chat_over_tls() {
    let server = start(&Identity::make()).await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut of_ada = ada.connect().await;
    let mut of_bob = bob.connect().await;
    of_ada.join(&room).await;
    of_bob.join(&room).await;
    for turn in 0..20 {
        of_ada.say(&room, &format!("ada {turn}")).await;
        of_bob.say(&room, &format!("bob {turn}")).await;
    }
    let heard = of_bob.messages(40).await;
    assert_eq!(seqs(&heard), (1..=40).collect::<Vec<_>>());
    assert_eq!(of_ada.messages(40).await, heard);
    assert_eq!(ada.whole_history(&room).await, heard);
    of_ada.close().await;
}

/// More than TLS holds for a socket that is full: what it holds has to go out, too.
#[tokio::test]
async fn a_long_replay_arrives_whole() {
    let server = start(&Identity::make()).await;
    let ada = server.user("ada").await;
    let room = ada.room_with(&[]).await;
    let mut speaker = ada.connect().await;
    speaker.join(&room).await;
    let long = "é".repeat(5_000);
    for _ in 0..200 {
        speaker.say(&room, &long).await;
    }
    speaker.messages(200).await;
    let mut late = ada.connect().await;
    let joined = late.resume(&room, 0).await;
    assert_eq!(joined["replayed"], 200);
    assert_eq!(
        seqs(&late.messages(200).await),
        (1..=200).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn the_server_says_where_it_ends() {
    let identity = Identity::make();
    let server = start(&identity).await;
    let ada = server.user("ada").await;
    let mut stream = connect(&identity.connector(), server.direct_host()).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), None, "none was offered");
    let request = upgrade_request(&format!("Authorization: Bearer {}\r\n", ada.token));
    let close = frame(first::CLOSE, &1_000_u16.to_be_bytes());
    let said = [request.as_bytes(), &close].concat();
    stream.write_all(&said).await.expect("it is open");
    let mut heard = Vec::new();
    // A connection that was cut would be an error here.
    let read = within("the end", stream.read_to_end(&mut heard)).await;
    read.expect("the server ends TLS before it ends the connection");
    assert!(heard.starts_with(b"HTTP/1.1 101 "));
    let close = [first::CLOSE, 2, 0x03, 0xe8];
    assert!(heard.ends_with(&close), "it closes with 1000: {heard:?}");
}

/// Also where it does not wait for an answer to its close frame.
#[tokio::test]
async fn a_connection_that_is_failed_ends_in_order() {
    let identity = Identity::make();
    let server = start(&identity).await;
    let ada = server.user("ada").await;
    let mut stream = connect(&identity.connector(), server.direct_host()).await;
    let request = upgrade_request(&format!("Authorization: Bearer {}\r\n", ada.token));
    let unmasked = [first::TEXT, 2, b'{', b'}'];
    let said = [request.as_bytes(), &unmasked].concat();
    stream.write_all(&said).await.expect("it is open");
    let mut heard = Vec::new();
    let read = within("the end", stream.read_to_end(&mut heard)).await;
    read.expect("the server ends TLS before it ends the connection");
    let close = [&[first::CLOSE, 16, 0x03, 0xea][..], b"protocol error"].concat();
    assert!(heard.ends_with(&close), "it closes with 1002: {heard:?}");
}

#[tokio::test]
async fn a_refused_handshake_has_its_body() {
    let server = start(&Identity::make()).await;
    let mut socket = RawSocket::connect(&server).await;
    let request = upgrade_request("Authorization: Bearer nonsense\r\n");
    socket.write(request.as_bytes()).await.expect("it is open");
    let answer = socket.refusal().await.expect("a refusal");
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("UNAUTHENTICATED"), "{}", answer.body);
}

#[tokio::test]
async fn the_health_is_also_where_no_tls_is() {
    let server = start(&Identity::make()).await;
    let url = server.metrics_url().replace("/metrics", "/health/ready");
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status(), 200);
}

/// As the health check of an image, which has the server's environment.
#[tokio::test]
async fn a_healthcheck_finds_the_health_by_what_the_server_is_told() {
    let identity = Identity::make();
    let server = start(&identity).await;
    let url = server.metrics_url().trim_end_matches("/metrics");
    let port = server.direct_host().rsplit(':').next().expect("a port");
    let cli = Cli::new()
        .env("PORT", port)
        .env("METRICS_ADDR", url.trim_start_matches("http://"));
    let blind = cli.run(&["healthcheck"]);
    assert_eq!(blind.status.code(), Some(1), "{blind:?}");
    let set = |cli: Cli, (name, path): (&str, PathBuf)| cli.env(name, path.display());
    let cli = identity.env().into_iter().fold(cli, set);
    let healthy = cli.run(&["healthcheck"]);
    assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");
}
