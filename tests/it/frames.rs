//! What a peer that breaks the rules of framing gets, and that nobody else notices.
//!
//! Contract section 4, "Limits"; RFC 6455, sections 5 and 7.

use serde_json::json;

use crate::harness::{
    Bystanders, RawSocket, TestServer, TestUser, await_until,
    raw::{declared, first, frame, text},
    uuid,
};

/// Largest frame and message.
const MAX_BYTES: usize = 65_536;

const TOO_BIG: u16 = 1009;
const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED: u16 = 1003;
const NOT_UTF8: u16 = 1007;
const BAD_FRAMES: u16 = 4400;

async fn open(server: &TestServer, user: &TestUser) -> RawSocket {
    RawSocket::open(server, &user.token).await
}

/// A message of `count` one-byte or empty fragments around nothing that matters.
fn fragmented(count: usize, part: &[u8]) -> Vec<u8> {
    let mut bytes = frame(first::TEXT_BEGINS, part);
    (0..count - 2).for_each(|_| bytes.extend(frame(first::CONTINUES, part)));
    bytes.extend(frame(first::ENDS, part));
    bytes
}

/// A heartbeat of exactly so many bytes.
fn heartbeat(bytes: usize) -> String {
    let padding = bytes
        - json!({ "event": "heartbeat", "id": 7, "x": "" })
            .to_string()
            .len();
    json!({ "event": "heartbeat", "id": 7, "x": "x".repeat(padding) }).to_string()
}

#[tokio::test]
async fn each_broken_rule_of_framing_closes_with_its_code() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let mut unmasked = vec![first::TEXT, 2];
    unmasked.extend(b"{}");
    let cases = [
        ("unmasked", unmasked, PROTOCOL_ERROR),
        (
            "reserved bit 1",
            frame(first::TEXT | 0x40, b"{}"),
            PROTOCOL_ERROR,
        ),
        (
            "reserved bit 3",
            frame(first::TEXT | 0x10, b"{}"),
            PROTOCOL_ERROR,
        ),
        ("opcode 3", frame(0x83, b"{}"), PROTOCOL_ERROR),
        ("opcode 11", frame(0x8b, b""), PROTOCOL_ERROR),
        ("fragmented ping", frame(0x09, b"x"), PROTOCOL_ERROR),
        (
            "ping of 126 bytes",
            frame(first::PING, &[0; 126]),
            PROTOCOL_ERROR,
        ),
        (
            "a short length in two bytes",
            vec![first::TEXT, 0x80 | 126, 0, 125],
            PROTOCOL_ERROR,
        ),
        (
            "a short length in eight bytes",
            declared(first::TEXT, 0xffff),
            PROTOCOL_ERROR,
        ),
        (
            "continuation of nothing",
            frame(first::ENDS, b"{}"),
            PROTOCOL_ERROR,
        ),
        (
            "text within a message",
            [frame(first::TEXT_BEGINS, b"{"), text("{}")].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "close of one byte",
            frame(first::CLOSE, b"x"),
            PROTOCOL_ERROR,
        ),
        (
            "close with code 1005",
            frame(first::CLOSE, &1005_u16.to_be_bytes()),
            PROTOCOL_ERROR,
        ),
        ("binary", frame(first::BINARY, b"{}"), UNSUPPORTED),
        ("fragmented binary", frame(0x02, b"{"), UNSUPPORTED),
        ("not UTF-8", frame(first::TEXT, b"\xc3\x28"), NOT_UTF8),
        (
            "cut within a code point",
            frame(first::TEXT, b"\xe2\x82"),
            NOT_UTF8,
        ),
        (
            "not UTF-8 over fragments",
            [
                frame(first::TEXT_BEGINS, b"\xe2\x82"),
                frame(first::ENDS, b"\x28"),
            ]
            .concat(),
            NOT_UTF8,
        ),
        (
            "one byte too many",
            text(&heartbeat(MAX_BYTES + 1)),
            TOO_BIG,
        ),
        (
            "one byte too many in all",
            [
                frame(first::TEXT_BEGINS, &[b' '; MAX_BYTES]),
                frame(first::ENDS, b" "),
            ]
            .concat(),
            TOO_BIG,
        ),
        ("65 fragments", fragmented(65, b" "), TOO_BIG),
        (
            "event name of 1 MB",
            text(&json!({ "event": "x".repeat(1 << 20) }).to_string()),
            TOO_BIG,
        ),
    ];
    for (name, bytes, code) in cases {
        let mut socket = open(&server, &others.alice).await;
        // The server may close before it has read all.
        let _ = socket.write(&bytes).await;
        assert_eq!(socket.expect_close().await, code, "{name}");
    }
    others.chat().await;
}

#[tokio::test]
async fn what_comes_before_a_violation_does_not_matter() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    for len in [1 << 20, 1 << 30, 8 << 30, u64::MAX >> 1, u64::MAX] {
        let mut socket = open(&server, &others.alice).await;
        socket
            .write(&text(&heartbeat(200)))
            .await
            .expect("it is open");
        socket.expect("heartbeatAck").await;
        let mut bytes = frame(first::PING, b"");
        bytes.extend(declared(first::TEXT, len));
        socket.write(&bytes).await.expect("it is open");
        assert_eq!(
            socket.expect_close().await,
            TOO_BIG,
            "{len} bytes declared, none sent"
        );
    }
    others.chat().await;
}

#[tokio::test]
async fn a_declared_length_is_not_believed() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    // The first on each worker makes resident what any such socket needs.
    for _ in 0..4 {
        stream(&server, &others.alice, 8 << 30).await;
    }
    for len in [1 << 30, 8 << 30] {
        let streaming = async || stream(&server, &others.alice, len).await;
        let grown = server.least_growth_kib(streaming).await;
        assert!(grown < 1_024, "{grown} KiB more for a frame of {len} bytes");
        others.chat().await;
    }
}

/// Declares a frame and streams as much of it as the server lets in.
async fn stream(server: &TestServer, user: &TestUser, len: u64) {
    static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let mut socket = open(server, user).await;
    socket
        .write(&declared(first::TEXT, len))
        .await
        .expect("it is open");
    let mut sent = 0;
    while sent < 300 << 20 && socket.write(&CHUNK).await.is_ok() {
        sent += CHUNK.len();
    }
    assert_eq!(socket.expect_close().await, TOO_BIG);
}

#[tokio::test]
async fn a_million_empty_fragments_are_one_violation() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let flood = async |server: &TestServer, user: &TestUser| {
        let mut socket = open(server, user).await;
        let _ = socket.write(&fragmented(1_000_000, b"")).await;
        assert_eq!(socket.expect_close().await, TOO_BIG);
    };
    for _ in 0..4 {
        flood(&server, &others.alice).await;
    }
    let flooding = async || flood(&server, &others.alice).await;
    let grown = server.least_growth_kib(flooding).await;
    assert!(grown < 1_024, "{grown} KiB more");
    others.chat().await;
}

#[tokio::test]
async fn the_largest_frame_and_the_most_fragments_are_taken() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut socket = open(&server, &ada).await;
    socket
        .write(&text(&heartbeat(MAX_BYTES)))
        .await
        .expect("it is open");
    assert_eq!(socket.expect("heartbeatAck").await["id"], 7);

    let whole = heartbeat(MAX_BYTES);
    let parts: Vec<&[u8]> = whole.as_bytes().chunks(MAX_BYTES / 64).collect();
    for (at, part) in parts.iter().enumerate() {
        let first = match at {
            0 => first::TEXT_BEGINS,
            63 => first::ENDS,
            _ => first::CONTINUES,
        };
        socket.write(&frame(first, part)).await.expect("it is open");
    }
    assert_eq!(parts.len(), 64);
    assert_eq!(socket.expect("heartbeatAck").await["id"], 7);
}

#[tokio::test]
async fn a_ping_within_a_message_is_answered_before_it() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut socket = open(&server, &ada).await;
    let (head, tail) = (r#"{"event":"heart"#, r#"beat"}"#);
    let bytes = [
        frame(first::TEXT_BEGINS, head.as_bytes()),
        frame(first::PING, b"payload"),
        frame(first::PONG, b"unasked"),
        frame(first::ENDS, tail.as_bytes()),
    ];
    socket.write(&bytes.concat()).await.expect("it is open");
    assert_eq!(
        socket.frame().await,
        Some((first::PONG, b"payload".to_vec()))
    );
    socket.expect("heartbeatAck").await;
}

#[tokio::test]
async fn a_code_point_may_be_split_over_fragments_and_bytes() {
    let server = TestServer::start().await;
    let others = Bystanders::meet(&server).await;
    let mut socket = open(&server, &others.bob).await;
    let content = "crab 🦀, ligature \u{fb01}, family 👨‍👩‍👧";
    let message = json!({ "event": "sendMessage", "data": {
        "roomId": others.room, "clientMsgId": uuid(), "type": "TEXT", "content": content,
    } });
    let bytes = message.to_string().into_bytes();
    let crab = bytes
        .windows(4)
        .position(|at| at == "🦀".as_bytes())
        .expect("a crab");
    let frames = [
        frame(first::TEXT_BEGINS, &bytes[..crab + 1]),
        frame(first::CONTINUES, &bytes[crab + 1..crab + 3]),
        frame(first::ENDS, &bytes[crab + 3..]),
    ];
    // Nor does it matter how the network cuts it.
    for byte in frames.concat() {
        socket.write(&[byte]).await.expect("it is open");
    }
    socket.expect("messageAccepted").await;
    await_until("the message in the history", async || {
        let last = others.alice.history(&others.room).await.pop()?;
        (last["content"] == content).then_some(())
    })
    .await;
}

#[tokio::test]
async fn compression_is_offered_in_vain() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut socket = RawSocket::connect(&server).await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let head = socket.upgrade(&ada.token, offer).await.to_lowercase();
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    assert!(
        head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    socket.expect("ready").await;
    let compressed = frame(
        first::TEXT | first::RSV1,
        b"\xaa\x56\x4a\x2d\x4b\xcd\x2b\x51\xb2\x52",
    );
    socket.write(&compressed).await.expect("it is open");
    assert_eq!(socket.expect_close().await, PROTOCOL_ERROR);
}

#[tokio::test]
async fn three_bad_frames_are_answered_and_the_fourth_closes() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let duplicate = r#"{"event":"heartbeat","event":"heartbeat"}"#;
    let deep = format!("{}1{}", r#"{"event":"#.repeat(200), "}".repeat(200));
    for (bad, code) in [
        ("{", "INVALID_JSON"),
        ("", "INVALID_JSON"),
        ("[]", "BAD_FRAME"),
        (r#"["heartbeat",{}]"#, "BAD_FRAME"),
        ("null", "BAD_FRAME"),
        (r#""x""#, "BAD_FRAME"),
        ("1e400", "INVALID_JSON"),
        (duplicate, "BAD_FRAME"),
        (r#"{"event":"heartbeat","data":[]}"#, "BAD_FRAME"),
        (r#"{"event":"heartbeat","id":[1]}"#, "BAD_FRAME"),
        (&deep, "BAD_FRAME"),
    ] {
        let mut socket = open(&server, &others.alice).await;
        for _ in 0..3 {
            socket.write(&text(bad)).await.expect("it is open");
            let error = socket.expect("error").await;
            assert_eq!(error["data"]["code"], code, "{bad}: {error}");
            assert_eq!(error["data"]["retryable"], false, "{bad}: {error}");
            assert!(error["data"]["message"].is_string(), "{bad}: {error}");
        }
        socket.write(&text(bad)).await.expect("it is open");
        assert_eq!(socket.expect_close().await, BAD_FRAMES, "{bad}");
    }
    others.chat().await;
}

#[tokio::test]
async fn good_frames_between_bad_ones_are_still_answered() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut socket = ada.connect().await;
    for _ in 0..3 {
        socket.send_text("{").await;
        socket.expect("error").await;
        socket.ask("heartbeat", json!({}), "heartbeatAck").await;
    }
    socket.send_text("{").await;
    assert_eq!(socket.expect_close().await, BAD_FRAMES);
}

#[tokio::test]
async fn an_unknown_event_is_refused_under_its_id_and_unknown_fields_are_ignored() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut socket = ada.connect().await;
    // More than three: they are no bad frames.
    for event in ["fly", "", "HEARTBEAT", "newMessage", "ready"] {
        let frame = socket.request_frame(event, json!({})).await;
        assert_eq!(frame["event"], "error", "{frame}");
        assert_eq!(frame["data"]["code"], "UNKNOWN_EVENT", "{frame}");
        assert_eq!(frame["data"]["retryable"], false, "{frame}");
    }
    let more = json!({ "event": "heartbeat", "data": { "more": 1 }, "id": "a", "more": [2] });
    socket.send_text(more.to_string()).await;
    let ack = socket
        .expect_where("an answer", |frame| frame["id"] == "a")
        .await;
    assert_eq!(ack["event"], "heartbeatAck");
    // A request without an id is answered without one, and may leave out its data.
    socket.send_text(r#"{"event":"heartbeat"}"#).await;
    let ack = socket.next().await;
    assert_eq!(
        (&ack["event"], ack.get("id")),
        (&json!("heartbeatAck"), None),
        "{ack}"
    );
}
