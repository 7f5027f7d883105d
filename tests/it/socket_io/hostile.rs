//! Packets that no client sends: they end the connection that they came on, and no other.

use serde_json::json;

use crate::harness::{
    Bystanders, SocketIoClient, TestServer,
    raw::{declared, first, frame, text},
};

const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED: u16 = 1003;
const INVALID_TEXT: u16 = 1007;
const TOO_BIG: u16 = 1009;
const BAD_FRAMES: u16 = 4400;

#[tokio::test]
async fn a_bad_packet_ends_its_connection_and_no_other() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let ada = server.user("ada").await;
    let mut neighbour = SocketIoClient::connect(&server, &ada.token).await;
    let nested = "[".repeat(30_000);
    let many = format!("42[{}1]", "1,".repeat(30_000));
    let event_of_many_levels = format!(r#"42["x",{nested}"#);
    for (bytes, code) in [
        (text(""), BAD_FRAMES),
        (text("hello"), BAD_FRAMES),
        (text("9"), BAD_FRAMES),
        (text("é"), BAD_FRAMES),
        // Only servers open and ping.
        (text(r#"0{"sid":"x"}"#), BAD_FRAMES),
        (text("2"), BAD_FRAMES),
        (text("2probe"), BAD_FRAMES),
        (text("5"), BAD_FRAMES),
        (text("4"), BAD_FRAMES),
        (text("47[]"), BAD_FRAMES),
        (text("42"), BAD_FRAMES),
        (text("42{}"), BAD_FRAMES),
        (text("42[]"), BAD_FRAMES),
        (text("42["), BAD_FRAMES),
        (text(r#"42["heartbeat""#), BAD_FRAMES),
        (text(r#"42["disconnect"]"#), BAD_FRAMES),
        (text(&event_of_many_levels), BAD_FRAMES),
        (text(&many), BAD_FRAMES),
        (text(r#"4299999999999999999999["heartbeat"]"#), BAD_FRAMES),
        (text("43[]"), BAD_FRAMES),
        (text("44{}"), BAD_FRAMES),
        // Connected already.
        (text("40"), BAD_FRAMES),
        (
            text(r#"451-["x",{"_placeholder":true,"num":0}]"#),
            UNSUPPORTED,
        ),
        (text(r#"450-["x"]"#), UNSUPPORTED),
        (
            text("461-0[{\"_placeholder\":true,\"num\":0}]"),
            UNSUPPORTED,
        ),
        (text("bAAAA"), UNSUPPORTED),
        (frame(first::BINARY, b"x"), UNSUPPORTED),
        (frame(first::TEXT, b"42[\"\xff\"]"), INVALID_TEXT),
        (declared(first::TEXT, 65_537), TOO_BIG),
        (frame(first::TEXT | first::RSV1, b"3"), PROTOCOL_ERROR),
        (text("1"), NORMAL),
        (text("41"), NORMAL),
    ] {
        let mut client = SocketIoClient::connect(&server, &ada.token).await;
        client.write(&bytes).await;
        let (said, closed) = client.said_until_close().await;
        let shown = String::from_utf8_lossy(&bytes);
        let shown = shown.chars().take(60).collect::<String>();
        assert_eq!((said, closed), (Vec::new(), code), "{shown}");
    }
    let beat = neighbour.ask("heartbeat", json!({})).await;
    assert_eq!(beat["success"], true);
    others.chat().await;
}

#[tokio::test]
async fn another_namespace_is_refused_in_the_words_of_socket_io() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let auth = json!({ "token": ada.token });
    for packet in [format!("40/admin,{auth}"), "40/admin".to_owned()] {
        let mut client = SocketIoClient::open(&server, "").await;
        client.expect("0{").await;
        client.say(&packet).await;
        let (said, code) = client.said_until_close().await;
        assert_eq!(said, [r#"44/admin,{"message":"Invalid namespace"}"#]);
        assert_eq!(code, BAD_FRAMES);
    }
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    client.say(r#"42/admin,["heartbeat"]"#).await;
    assert_eq!(client.said_until_close().await.1, BAD_FRAMES);
}

#[tokio::test]
async fn the_largest_packet_is_taken() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    let empty = json!(["heartbeat", { "x": "" }]).to_string();
    let filler = "x".repeat(65_536 - "420".len() - empty.len());
    let beat = client.ask("heartbeat", json!({ "x": filler })).await;
    assert_eq!(beat["success"], true);
}
