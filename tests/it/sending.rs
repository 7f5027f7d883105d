//! Sending: two-stage acknowledgement, order, and who sees what.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{
    ServerOptions, TestClient, TestServer, TestUser, contents, draft, seqs, uuid,
};

async fn unlimited() -> TestServer {
    ServerOptions::new().unlimited().start().await
}

/// Sends a frame with a request id of any kind.
async fn send_as(socket: &mut TestClient, id: &Value, event: &str, data: Value) {
    let frame = json!({ "event": event, "data": data, "id": id });
    socket.send_text(frame.to_string()).await;
}

#[tokio::test]
async fn a_message_is_accepted_and_then_stored() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    let data = draft(&room, "hello");
    send_as(&mut socket, &json!("a"), "sendMessage", data.clone()).await;
    let accepted = json!({ "clientMsgId": data["clientMsgId"], "status": "ACCEPTED" });
    let expected = json!({ "event": "messageAccepted", "data": accepted, "id": "a" });
    assert_eq!(socket.next().await, expected);
    let frame = socket.next().await;
    let msg = &frame["data"];
    let stored = json!({
        "id": msg["id"], "roomId": room, "seq": 1, "senderId": ada.id,
        "clientMsgId": data["clientMsgId"], "type": "TEXT", "content": "hello",
        "createdAt": msg["createdAt"]
    });
    assert_eq!(frame, json!({ "event": "newMessage", "data": stored }));
    assert_eq!(ada.history(&room).await, [stored]);
}

#[tokio::test]
async fn a_type_may_be_left_out_and_may_be_an_image() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    let mut plain = draft(&room, "plain");
    plain.as_object_mut().expect("an object").remove("type");
    let mut image = draft(&room, "https://example.com/x.png");
    image["type"] = json!("IMAGE");
    for data in [plain, image] {
        socket.ask("sendMessage", data, "messageAccepted").await;
    }
    let msgs = socket.messages(2).await;
    assert_eq!(
        (&msgs[0]["type"], &msgs[1]["type"]),
        (&json!("TEXT"), &json!("IMAGE"))
    );
}

#[tokio::test]
async fn acceptance_never_comes_after_the_message() {
    const COUNT: usize = 300;
    let server = unlimited().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    for n in 0..COUNT {
        socket
            .send("sendMessage", draft(&room, &n.to_string()))
            .await;
    }
    let mut accepted = std::collections::HashSet::new();
    let mut stored = 0;
    while stored < COUNT {
        let frame = socket.next().await;
        let id = frame["data"]["clientMsgId"]
            .as_str()
            .expect("an id")
            .to_owned();
        match frame["event"].as_str() {
            Some("messageAccepted") => assert!(accepted.insert(id), "accepted twice: {frame}"),
            Some("newMessage") => {
                assert!(accepted.contains(&id), "before its acceptance: {frame}");
                stored += 1;
            }
            _ => panic!("unexpected: {frame}"),
        }
    }
    assert_eq!(accepted.len(), COUNT);
}

#[tokio::test]
async fn what_was_accepted_survives_a_crash() {
    let mut server = unlimited().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect().await;
    for n in 0..100 {
        socket
            .send("sendMessage", draft(&room, &n.to_string()))
            .await;
    }
    let mut accepted = Vec::new();
    for _ in 0..60 {
        accepted.push(socket.expect("messageAccepted").await["clientMsgId"].clone());
    }
    server.kill();
    // What the first process accepted may be the second one's to store and count.
    let options = ServerOptions::new().unlimited().expect_imbalance();
    let server = server.restart_with(options).await;
    let ada = ada.at(&server);
    // A later message is behind all of them in the log.
    let mut socket = ada.connect_to(&room).await;
    let last = socket.say(&room, "last").await;
    socket
        .expect_where("the last one", |frame| {
            frame["event"] == "newMessage" && frame["data"]["clientMsgId"] == last
        })
        .await;
    let history = ada.whole_history(&room).await;
    assert_eq!(
        seqs(&history),
        (1..=history.len() as u64).collect::<Vec<_>>()
    );
    for id in accepted {
        let copies = history
            .iter()
            .filter(|msg| msg["clientMsgId"] == id)
            .count();
        assert_eq!(copies, 1, "{id}");
    }
}

#[tokio::test]
async fn a_reply_carries_the_id_of_its_request() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect().await;
    let ids = [
        json!("x"),
        json!(""),
        json!("é".repeat(64)),
        json!(7),
        json!(0),
        json!(-1),
        json!(1.5),
    ];
    for id in ids {
        let requests = [
            ("joinRoom", json!({ "roomId": room }), "roomJoined"),
            ("sendMessage", draft(&room, "x"), "messageAccepted"),
            ("sendMessage", draft(&room, ""), "messageFailed"),
            (
                "markRead",
                json!({ "roomId": room, "lastReadMessageId": "0".repeat(26) }),
                "readUpdated",
            ),
            ("heartbeat", json!({}), "heartbeatAck"),
            ("leaveRoom", json!({ "roomId": room }), "roomLeft"),
            ("fly", json!({}), "error"),
        ];
        for (event, data, reply) in requests {
            send_as(&mut socket, &id, event, data).await;
            let frame = socket.expect_where(reply, |frame| frame["id"] == id).await;
            assert_eq!(frame["event"], reply, "{frame}");
        }
    }
}

#[tokio::test]
async fn a_request_without_an_id_is_answered_without() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect().await;
    let requests = [
        ("joinRoom", json!({ "roomId": room }), "roomJoined"),
        ("sendMessage", draft(&room, "x"), "messageAccepted"),
        ("sendMessage", draft(&room, ""), "messageFailed"),
        ("heartbeat", json!({}), "heartbeatAck"),
        ("leaveRoom", json!({ "roomId": room }), "roomLeft"),
        ("fly", json!({}), "error"),
    ];
    for (event, data, reply) in requests {
        socket.send(event, data).await;
        let frame = socket
            .expect_where(reply, |frame| frame["event"] == reply)
            .await;
        assert_eq!(frame.get("id"), None, "{frame}");
    }
    // `data` and `id` may be left out or null.
    for frame in [
        r#"{"event":"heartbeat"}"#,
        r#"{"event":"heartbeat","data":null,"id":null}"#,
    ] {
        socket.send_text(frame).await;
        let ack = socket
            .expect_where("an ack", |frame| frame["event"] == "heartbeatAck")
            .await;
        assert_eq!(ack.get("id"), None, "{ack}");
    }
}

#[tokio::test]
async fn sends_of_one_socket_are_stored_in_their_order() {
    const COUNT: usize = 300;
    let server = unlimited().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    // The first send of a room has its membership looked up, the others have it remembered:
    // neither may overtake. Sends that are refused come between.
    let rooms = [
        ada.room("one").await,
        ada.room("two").await,
        ada.room("three").await,
    ];
    let foreign = bob.room("bob's").await;
    let mut socket = ada.connect().await;
    for room in &rooms {
        socket.join(room).await;
    }
    for n in 0..COUNT {
        socket
            .send("sendMessage", draft(&rooms[n * n % 3], &n.to_string()))
            .await;
        if n % 10 == 0 {
            socket.send("sendMessage", draft(&foreign, "refused")).await;
        }
    }
    let msgs = socket.messages(COUNT).await;
    for room in &rooms {
        let of_room: Vec<_> = msgs
            .iter()
            .filter(|msg| msg["roomId"] == *room)
            .cloned()
            .collect();
        assert_eq!(
            seqs(&of_room),
            (1..=of_room.len() as u64).collect::<Vec<_>>()
        );
        let order: Vec<u32> = contents(&of_room)
            .iter()
            .map(|n| n.parse().expect("a number"))
            .collect();
        assert!(order.is_sorted(), "{order:?}");
    }
}

#[tokio::test]
async fn every_socket_that_joined_sees_a_message_and_no_other() {
    let server = unlimited().await;
    let users = [
        server.user("ada").await,
        server.user("bob").await,
        server.user("eve").await,
    ];
    let room = users[0].room_with(&[&users[1], &users[2]]).await;
    let mut joined = Vec::new();
    for user in &users {
        for _ in 0..2 {
            joined.push(user.connect_to(&room).await);
        }
    }
    let mut apart = users[0].connect().await;
    let id = apart.say(&room, "to all").await;
    let mut seen = Vec::new();
    for socket in &mut joined {
        seen.push(socket.expect("newMessage").await);
    }
    assert!(
        seen.iter()
            .all(|msg| msg["clientMsgId"] == id && *msg == seen[0]),
        "{seen:?}"
    );
    // Who has not joined is told that it was accepted, and no more.
    apart.expect_none("newMessage").await;
}

#[tokio::test]
async fn a_message_sent_by_rest_reaches_the_sockets_of_its_sender_too() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let (mut a, mut b) = (ada.connect_to(&room).await, bob.connect_to(&room).await);
    let id = ada.say(&room, "by REST").await;
    let (seen_a, seen_b) = (a.expect("newMessage").await, b.expect("newMessage").await);
    assert_eq!((&seen_a, &seen_a["clientMsgId"]), (&seen_b, &json!(id)));
    // The answer to REST was the acceptance.
    a.expect_none("messageAccepted").await;
}

/// Sends `count` messages on a socket of its own, as fast as they are accepted.
async fn chatter(user: &TestUser, room: &str, count: usize) {
    let mut socket = user.connect().await;
    for n in 0..count {
        socket
            .send("sendMessage", draft(room, &n.to_string()))
            .await;
    }
    for _ in 0..count {
        socket.expect("messageAccepted").await;
    }
}

#[tokio::test]
async fn every_observer_sees_the_same_order_whoever_sends() {
    const SENDERS: usize = 8;
    const EACH: usize = 50;
    let server = unlimited().await;
    let mut users = Vec::new();
    for n in 0..SENDERS {
        users.push(server.user(&format!("user{n}")).await);
    }
    let others: Vec<_> = users[1..].iter().collect();
    let room = users[0].room_with(&others).await;
    let mut observers = join_all(users.iter().map(|user| user.connect_to(&room))).await;
    join_all(users.iter().map(|user| chatter(user, &room, EACH))).await;
    let seen = join_all(
        observers
            .iter_mut()
            .map(|socket| socket.messages(SENDERS * EACH)),
    )
    .await;
    assert_eq!(
        seqs(&seen[0]),
        (1..=(SENDERS * EACH) as u64).collect::<Vec<_>>()
    );
    assert!(seen.iter().all(|msgs| *msgs == seen[0]), "observers differ");
    assert_eq!(users[0].whole_history(&room).await, seen[0]);
    let ids: Vec<_> = seen[0].iter().map(|msg| msg["id"].as_str()).collect();
    assert!(ids.is_sorted(), "ids are in the order of seq");
    // Each sender's own messages are in the order it sent them.
    for user in &users {
        let own: Vec<_> = seen[0]
            .iter()
            .filter(|msg| msg["senderId"] == user.id)
            .cloned()
            .collect();
        let expected: Vec<_> = (0..EACH).map(|n| n.to_string()).collect();
        assert_eq!(contents(&own), expected);
    }
}

#[tokio::test]
async fn content_arrives_as_it_was_sent() {
    let server = unlimited().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    let texts = [
        "שלום, \u{202e}עולם\u{202c}",
        "zero\u{200b}width\u{feff}",
        "é as one, e\u{301} as two",
        "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪",
        " \t\r\n surrounded \u{a0}",
        "\u{1}\u{7f}\u{85}\u{2028}\u{ffff}\u{10ffff}",
        "</script><img src=x onerror=alert(1)> \"'\\ \\u0000",
        "'; DROP TABLE messages; --",
    ];
    for text in texts {
        socket.say(&room, text).await;
    }
    assert_eq!(contents(&socket.messages(texts.len()).await), texts);
    assert_eq!(contents(&ada.history(&room).await), texts);
}

#[tokio::test]
async fn ids_in_capitals_are_the_same_ids() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect().await;
    let joined = socket.join(&room.to_uppercase()).await;
    assert_eq!(joined["roomId"], room);
    let id = uuid();
    for (room, id) in [
        (room.to_uppercase(), id.to_uppercase()),
        (room.clone(), id.clone()),
    ] {
        let data = json!({ "roomId": room, "clientMsgId": id, "content": "x" });
        let accepted = socket.ask("sendMessage", data, "messageAccepted").await;
        assert_eq!(accepted["clientMsgId"], id.to_lowercase());
    }
    let msgs = socket.messages(2).await;
    assert_eq!((&msgs[0], &msgs[0]["clientMsgId"]), (&msgs[1], &json!(id)));
}
