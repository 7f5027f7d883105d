//! Requests and their callbacks, messages, and both kinds of clients in one room.

use serde_json::{Value, json};

use crate::harness::{SocketIoClient, TestServer, contents, draft, seqs, until_seen, uuid};

#[tokio::test]
async fn clients_of_both_kinds_see_the_same_messages() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("both").await;
    bob.join(&room).await;
    let mut bare = bob.connect_to(&room).await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    client.join(&room).await;

    let mut sent = Vec::new();
    for turn in 0..6 {
        sent.push(match turn % 2 {
            0 => client.send(&room, "from Socket.IO").await,
            _ => bare.say(&room, "from bare JSON").await,
        });
    }
    let mut heard = Vec::new();
    for _ in 0..sent.len() {
        heard.push(client.event("newMessage").await);
    }
    assert_eq!(heard, bare.messages(sent.len()).await);
    assert_eq!(seqs(&heard), [1, 2, 3, 4, 5, 6]);
    let ids: Vec<_> = heard.iter().map(|msg| &msg["clientMsgId"]).collect();
    assert_eq!(json!(ids), json!(sent));
    assert_eq!(
        heard[0]["type"], "TEXT",
        "the fields are those of bare JSON"
    );
}

#[tokio::test]
async fn acceptance_is_told_by_the_callback_then_the_event_then_the_message() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("order").await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    client.join(&room).await;
    for with_callback in [true, false] {
        // Without a type: it is TEXT.
        let data = json!({ "roomId": room, "clientMsgId": uuid(), "content": "x" });
        let ack = if with_callback { "7" } else { "" };
        let send = json!(["sendMessage", data]);
        client.say(&format!("42{ack}{send}")).await;
        let accepted = json!({ "clientMsgId": data["clientMsgId"], "status": "ACCEPTED" });
        if with_callback {
            let packet = client.next().await.expect("a packet");
            assert_eq!(packet, format!("437{}", json!([accepted])));
        }
        let packet = client.next().await.expect("a packet");
        assert_eq!(
            packet,
            format!("42{}", json!(["messageAccepted", accepted]))
        );
        let packet = client.next().await.expect("a packet");
        assert!(packet.starts_with(r#"42["newMessage",{"#), "{packet}");
    }
}

#[tokio::test]
async fn every_request_is_acknowledged() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("answers").await;
    let private = bob.private_room("closed").await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    let id = uuid();
    let message = |room: &str, content: &str| json!({ "roomId": room, "clientMsgId": id, "content": content });
    let (success, failure) = (json!({ "success": true }), json!({ "success": false }));
    let failed = json!({ "status": "FAILED" });
    let refused = |code: &str| json!({ "success": false, "code": code });
    for (args, expected) in [
        (json!(["joinRoom", { "roomId": room }]), &success),
        (json!(["joinRoom", { "roomId": room }, "more"]), &success),
        (json!(["heartbeat", {}]), &success),
        (json!(["heartbeat"]), &success),
        (json!(["heartbeat", null]), &success),
        (
            json!(["typing", { "roomId": room, "isTyping": true }]),
            &success,
        ),
        (
            json!(["sendMessage", message(&room, "x")]),
            &json!({ "clientMsgId": id, "status": "ACCEPTED" }),
        ),
        (json!(["leaveRoom", { "roomId": room }]), &success),
        (json!(["joinRoom"]), &failure),
        (json!(["joinRoom", null]), &failure),
        (json!(["joinRoom", "text"]), &failure),
        (
            json!(["joinRoom", { "roomId": "x" }]),
            &refused("VALIDATION_FAILED"),
        ),
        (
            json!(["joinRoom", { "roomId": private }]),
            &refused("ROOM_NOT_FOUND"),
        ),
        (json!(["leaveRoom"]), &failure),
        (json!(["typing", null]), &failure),
        (
            json!(["typing", { "roomId": private, "isTyping": true }]),
            &refused("ROOM_NOT_FOUND"),
        ),
        (json!(["markRead", 5]), &failure),
        (
            json!(["markRead", { "roomId": private, "lastReadMessageId": "01ARZ3NDEKTSV4RRFFQ69G5FAV" }]),
            &refused("ROOM_NOT_FOUND"),
        ),
        (
            json!(["authenticate", { "token": "bad" }]),
            &refused("UNAUTHENTICATED"),
        ),
        (
            json!(["authenticate", { "token": bob.token }]),
            &refused("FORBIDDEN"),
        ),
        (json!(["fly", {}]), &refused("UNKNOWN_EVENT")),
        (json!(["fly"]), &refused("UNKNOWN_EVENT")),
        (json!(["sendMessage"]), &failed),
        (json!(["sendMessage", null]), &failed),
        (json!(["sendMessage", [1]]), &failed),
        (
            json!(["sendMessage", message(&room, "")]),
            &json!({ "clientMsgId": id, "status": "FAILED", "code": "VALIDATION_FAILED" }),
        ),
        (
            json!(["sendMessage", message(&private, "x")]),
            &json!({ "clientMsgId": id, "status": "FAILED", "code": "ROOM_NOT_FOUND" }),
        ),
    ] {
        let answer = client.ask_with(&args).await;
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(&answer[name], value, "{args}: {answer}");
        }
        let has_failed = answer["success"] == false || answer["status"] == "FAILED";
        assert_eq!(answer["error"].is_string(), has_failed, "{args}: {answer}");
    }
}

#[tokio::test]
async fn a_request_without_a_callback_is_answered_by_an_event() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("events").await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    client.emit("joinRoom", json!({ "roomId": room })).await;
    let joined = client.event("roomJoined").await;
    assert_eq!(
        (&joined["roomId"], &joined["lastSeq"]),
        (&json!(room), &json!(0))
    );
    client.emit("heartbeat", json!({})).await;
    client.event("heartbeatAck").await;
    client.emit("fly", json!({})).await;
    assert_eq!(client.event("error").await["code"], "UNKNOWN_EVENT");
    client.emit("sendMessage", json!(null)).await;
    assert_eq!(client.event("messageFailed").await["status"], "FAILED");
}

#[tokio::test]
async fn a_refused_message_is_told_by_the_callback_and_the_event() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    let told = client.ask("sendMessage", draft(&uuid(), "x")).await;
    assert_eq!(client.event("messageFailed").await, told);
    assert_eq!(told["retryable"], false);
}

#[tokio::test]
async fn what_was_missed_comes_before_the_callback() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("resumed").await;
    let mut bare = ada.connect_to(&room).await;
    for content in ["1", "2", "3", "4"] {
        bare.say(&room, content).await;
    }
    bare.messages(4).await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    let join = json!(["joinRoom", { "roomId": room, "after": 1 }]);
    client.say(&format!("420{join}")).await;
    let mut replayed = Vec::new();
    let joined = loop {
        let packet = client.next().await.expect("a packet");
        if let Some(joined) = packet.strip_prefix("430") {
            break serde_json::from_str::<Value>(joined).expect("JSON")[0].clone();
        }
        let [_, data]: [Value; 2] = serde_json::from_str(&packet[2..]).expect("an event");
        replayed.push(data);
    };
    assert_eq!(contents(&replayed), ["2", "3", "4"]);
    assert_eq!(
        (&joined["success"], &joined["replayed"], &joined["lastSeq"]),
        (&json!(true), &json!(3), &json!(4))
    );
}

#[tokio::test]
async fn others_see_who_is_there_types_reads_and_leaves() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("company").await;
    bob.join(&room).await;
    let mut bare = bob.connect_to(&room).await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    client.join(&room).await;
    let online = bare.expect("presenceChanged").await;
    assert_eq!(
        (&online["userId"], &online["online"]),
        (&json!(ada.id), &json!(true))
    );

    let typing = || json!({ "roomId": room, "isTyping": true });
    client.emit("typing", typing()).await;
    let seen = until_seen(
        async || bare.expect("typing").await,
        async || client.emit("typing", typing()).await,
    );
    assert_eq!(seen.await["userId"], ada.id);
    bare.send("typing", typing()).await;
    let seen = until_seen(
        async || client.event("typing").await,
        async || bare.send("typing", typing()).await,
    );
    assert_eq!(seen.await["userId"], bob.id);

    client.send(&room, "x").await;
    let read = client.event("newMessage").await["id"].clone();
    let mark = json!({ "roomId": room, "lastReadMessageId": read });
    assert_eq!(client.ask("markRead", mark).await["success"], true);
    assert_eq!(bare.expect("readUpdated").await["lastReadMessageId"], read);

    bob.post(&format!("/rooms/{room}/leave"), json!({}))
        .await
        .ok(204);
    assert_eq!(client.event("memberLeft").await["userId"], json!(bob.id));
    client.say("41").await;
    assert_eq!(client.said_until_close().await.1, 1000);
}
