//! What sockets hear of members: joined, left, read.

use serde_json::{Value, json};

use crate::harness::{
    ServerOptions, TestClient, TestServer, TestUser, draft, next_millisecond, uuid,
};

fn member(room: &str, user: &TestUser, name: &str, role: &str) -> Value {
    json!({ "roomId": room, "userId": user.id, "displayName": name, "role": role })
}

async fn mark(socket: &mut TestClient, room: &str, id: &Value) -> Value {
    let data = json!({ "roomId": room, "lastReadMessageId": id });
    socket.ask("markRead", data, "readUpdated").await
}

#[tokio::test]
async fn the_sockets_of_a_room_hear_who_joins_and_leaves() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    let (mut watcher, mut apart) = (ada.connect_to(&room).await, ada.connect().await);
    bob.join(&room).await;
    let expected = member(&room, &bob, "bob", "member");
    assert_eq!(watcher.expect("memberJoined").await, expected);
    let mut socket = bob.connect_to(&room).await;
    bob.post_empty(&format!("/rooms/{room}/leave"))
        .await
        .ok(204);
    assert_eq!(watcher.expect("memberLeft").await, expected);
    assert_eq!(socket.expect("memberLeft").await, expected);
    for event in ["memberJoined", "memberLeft"] {
        apart.expect_none(event).await;
    }
    // Who left stays connected, and may come back.
    bob.join(&room).await;
    socket.join(&room).await;
    assert_eq!(watcher.expect("memberJoined").await, expected);
}

#[tokio::test]
async fn who_accepts_an_invite_is_announced_as_who_joins() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.private_room("secret").await;
    let mut watcher = ada.connect_to(&room).await;
    let invite = ada
        .post_empty(&format!("/rooms/{room}/invites"))
        .await
        .ok(201);
    let accept = format!(
        "/invites/{}/accept",
        invite["token"].as_str().expect("a token")
    );
    bob.post_empty(&accept).await.ok(201);
    assert_eq!(
        watcher.expect("memberJoined").await,
        member(&room, &bob, "bob", "member")
    );
}

#[tokio::test]
async fn member_left_is_the_last_that_a_kicked_user_hears_of_a_room() {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    for _ in 0..5 {
        let room = ada.room_with(&[&bob]).await;
        let mut sender = ada.connect_to(&room).await;
        let (mut first, mut second) = (bob.connect_to(&room).await, bob.connect_to(&room).await);
        // A stream of messages and typing, the kick in its midst.
        let kick = format!("/rooms/{room}/members/{}", bob.id);
        let talking = async {
            for n in 0..100 {
                sender
                    .send("sendMessage", draft(&room, &n.to_string()))
                    .await;
                let typing = json!({ "roomId": room, "isTyping": n % 2 == 0 });
                sender.send("typing", typing).await;
                sender.expect("messageAccepted").await;
            }
            sender.messages(100).await;
        };
        let kicking = async {
            first.messages(10).await;
            ada.delete(&kick).await.ok(204);
        };
        tokio::join!(talking, kicking);
        for socket in [&mut first, &mut second] {
            socket.request_frame("heartbeat", json!({})).await;
            let frames: Vec<_> = socket.unread().cloned().collect();
            let left = frames
                .iter()
                .position(|frame| frame["event"] == "memberLeft");
            let left = left.expect("memberLeft");
            assert_eq!(frames[left]["data"], member(&room, &bob, "bob", "member"));
            assert_eq!(frames.get(left + 1), None, "after memberLeft");
        }
    }
}

#[tokio::test]
async fn a_read_cursor_is_answered_and_pushed_to_the_other_sockets() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let (mut phone, mut laptop) = (ada.connect_to(&room).await, ada.connect_to(&room).await);
    let mut other = bob.connect_to(&room).await;
    for text in ["one", "two"] {
        other.say(&room, text).await;
    }
    let msgs = phone.messages(2).await;
    let updated = |at: &Value| json!({ "roomId": room, "userId": ada.id, "lastReadMessageId": at });
    let last = updated(&msgs[1]["id"]);
    assert_eq!(mark(&mut phone, &room, &msgs[1]["id"]).await, last);
    assert_eq!(laptop.expect("readUpdated").await, last);
    assert_eq!(other.expect("readUpdated").await, last);
    // It never moves back: the answer says where it stays, and nobody is told.
    assert_eq!(mark(&mut phone, &room, &msgs[0]["id"]).await, last);
    assert_eq!(mark(&mut phone, &room, &msgs[1]["id"]).await, last);
    for socket in [&mut phone, &mut laptop, &mut other] {
        socket.expect_none("readUpdated").await;
    }
    let rooms = ada.get("/rooms").await.ok(200);
    assert_eq!(
        (&rooms[0]["lastReadMessageId"], &rooms[0]["unreadCount"]),
        (&msgs[1]["id"], &json!(0))
    );
}

#[tokio::test]
async fn an_unknown_place_stands_for_the_newest_message_not_after_it() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let (room, elsewhere) = (ada.room("one").await, ada.room("two").await);
    let mut socket = ada.connect_to(&room).await;
    socket.join(&elsewhere).await;
    for (room, text) in [(&room, "one"), (&elsewhere, "two"), (&room, "three")] {
        socket.say(room, text).await;
    }
    let mut msgs = socket.messages(3).await;
    msgs.sort_by_key(|msg| msg["id"].to_string());
    let of_room: Vec<_> = msgs.iter().filter(|msg| msg["roomId"] == room).collect();
    let of_other = msgs
        .iter()
        .find(|msg| msg["roomId"] == elsewhere)
        .expect("a message");
    let zero = json!("0".repeat(26));
    assert_eq!(
        mark(&mut socket, &room, &zero).await["lastReadMessageId"],
        Value::Null
    );
    // An id of another room is a place like any other.
    let before = of_room
        .iter()
        .rev()
        .find(|msg| msg["id"].as_str() < of_other["id"].as_str());
    let expected = before.map_or(Value::Null, |msg| msg["id"].clone());
    assert_eq!(
        mark(&mut socket, &room, &of_other["id"]).await["lastReadMessageId"],
        expected
    );
    let beyond = json!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_eq!(
        mark(&mut socket, &room, &beyond).await["lastReadMessageId"],
        of_room[1]["id"]
    );
}

#[tokio::test]
async fn by_rest_too_a_place_of_another_room_is_one_like_any_other() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let (room, elsewhere) = (ada.room("one").await, ada.room("two").await);
    let mut socket = ada.connect_to(&room).await;
    socket.join(&elsewhere).await;
    socket.say(&room, "here").await;
    let here = socket.expect("newMessage").await["id"].clone();
    // Ids of one moment are in no order.
    next_millisecond().await;
    socket.say(&elsewhere, "there").await;
    let there = socket.expect("newMessage").await["id"].clone();
    let marked = async |at: &Value| {
        let path = format!("/rooms/{room}/read");
        let answer = ada.post(&path, json!({ "lastReadMessageId": at })).await;
        assert_eq!(answer.ok(201), json!({ "success": true }));
        let rooms = ada.get("/rooms").await.ok(200);
        let rooms = rooms.as_array().expect("an array").clone();
        let found = rooms.into_iter().find(|it| it["id"] == room);
        found.expect("the room")["lastReadMessageId"].clone()
    };
    assert_eq!(marked(&json!("0".repeat(26))).await, Value::Null);
    assert_eq!(
        marked(&there).await,
        here,
        "the newest of the room before it"
    );
    assert_eq!(marked(&json!("0".repeat(26))).await, here, "never back");
    let path = format!("/rooms/{room}/read");
    for at in [json!("x".repeat(10_000)), json!(""), json!([])] {
        let refused = ada.post(&path, json!({ "lastReadMessageId": at })).await;
        refused.refused(400, "VALIDATION_FAILED");
    }
    assert_eq!(marked(&json!("0".repeat(26))).await, here);
}

#[tokio::test]
async fn a_read_cursor_is_for_members_and_valid_places() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let (public, private) = (ada.room("open").await, ada.private_room("secret").await);
    let mut socket = eve.connect().await;
    let at = |room: &str, id: Value| json!({ "roomId": room, "lastReadMessageId": id });
    let place = json!("0".repeat(26));
    let refusals = [
        (at(&public, place.clone()), "NOT_MEMBER"),
        (at(&private, place.clone()), "ROOM_NOT_FOUND"),
        (at(&uuid(), place.clone()), "ROOM_NOT_FOUND"),
        (at(&public, json!("x")), "VALIDATION_FAILED"),
        (at(&public, json!("x".repeat(10_000))), "VALIDATION_FAILED"),
        (at(&public, json!(7)), "VALIDATION_FAILED"),
        (at(&public, Value::Null), "VALIDATION_FAILED"),
        (at("x", place), "VALIDATION_FAILED"),
    ];
    for (data, code) in refusals {
        let error = socket.ask("markRead", data.clone(), "error").await;
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&json!(code), &json!(false)),
            "{data}"
        );
    }
}
