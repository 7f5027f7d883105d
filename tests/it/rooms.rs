//! Rooms, members, invites.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, next_millisecond, uuid};

#[tokio::test]
async fn a_room_is_what_was_asked_for_and_its_creator_owns_it() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let name = "<b>Müller & Söhne</b> 🦀";
    let room = ada.post("/rooms", json!({ "name": name })).await.ok(201);
    assert_eq!(
        (&room["name"], &room["visibility"]),
        (&json!(name), &json!("public"))
    );
    let id = room["id"].as_str().expect("an id");
    let members = ada.get(&format!("/rooms/{id}/members")).await.ok(200);
    assert_eq!(
        (&members[0]["userId"], &members[0]["role"]),
        (&json!(ada.id), &json!("owner"))
    );
    assert_eq!(members[0]["displayName"], "ada");
    assert!(!ada.sees_online(id, &ada).await);
}

#[tokio::test]
async fn a_room_has_a_name_of_one_to_a_hundred_characters() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    for name in [
        json!(""),
        json!("x".repeat(101)),
        json!("a\u{0}b"),
        json!(1),
        Value::Null,
    ] {
        ada.post("/rooms", json!({ "name": name }))
            .await
            .refused(400, "VALIDATION_FAILED");
    }
    ada.post("/rooms", json!({ "name": "x", "visibility": "secret" }))
        .await
        .refused(400, "VALIDATION_FAILED");
    ada.post("/rooms", json!({ "name": "é".repeat(100) }))
        .await
        .ok(201);
    let huge = ada
        .request(Method::POST, "/rooms")
        .body("x".repeat(1 << 20));
    Answer::of(huge).await.refused(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn my_rooms_are_listed_by_latest_activity_page_by_page() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mut rooms = Vec::new();
    for n in 0..5 {
        rooms.push(ada.room(&format!("room {n}")).await);
        // Of two of one moment, neither is the later one.
        next_millisecond().await;
    }
    bob.join(&rooms[1]).await;
    let mut live = ada.connect_to(&rooms[1]).await;
    bob.say(&rooms[1], "hello").await;
    let msg = live.expect("newMessage").await;
    let list = ada.get("/rooms").await;
    assert_eq!(list.header("link"), None);
    let list = list.ok(200);
    let ids: Vec<_> = list
        .as_array()
        .expect("an array")
        .iter()
        .map(|room| room["id"].clone())
        .collect();
    let expected = [&rooms[1], &rooms[4], &rooms[3], &rooms[2], &rooms[0]];
    assert_eq!(json!(ids), json!(expected));
    let first = &list[0];
    assert_eq!(
        (&first["lastMessageId"], &first["lastSeq"]),
        (&msg["id"], &json!(1))
    );
    assert_eq!(
        (&first["unreadCount"], &first["lastMessageAt"]),
        (&json!(1), &msg["createdAt"])
    );
    assert_eq!(
        (&first["lastReadMessageId"], first["epoch"].is_string()),
        (&Value::Null, true)
    );

    let mut paged = Vec::new();
    let mut path = "/rooms?limit=2".to_owned();
    loop {
        let page = ada.get(&path).await;
        let link = page.header("link").map(str::to_owned);
        paged.extend(
            page.ok(200)
                .as_array()
                .expect("an array")
                .iter()
                .map(|room| room["id"].clone()),
        );
        let Some(link) = link else { break };
        assert!(link.ends_with("; rel=\"next\""), "{link}");
        path = link[1..link.find('>').expect("an address")].to_owned();
    }
    assert_eq!(json!(paged), json!(expected));
}

#[tokio::test]
async fn a_bad_limit_or_cursor_is_refused() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1e9",
        "limit=abc",
        "limit=",
        "cursor=x",
        "cursor=",
    ] {
        ada.get(&format!("/rooms?{query}"))
            .await
            .refused(400, "VALIDATION_FAILED");
    }
}

#[tokio::test]
async fn a_public_room_is_joined_once() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    let joined = bob.join(&room.to_uppercase()).await;
    assert_eq!(
        (&joined["roomId"], &joined["userId"], &joined["role"]),
        (&json!(room), &json!(bob.id), &json!("member"))
    );
    assert!(joined["joinedAt"].is_string());
    bob.post_empty(&format!("/rooms/{room}/join"))
        .await
        .refused(409, "ALREADY_MEMBER");
    bob.post_empty(&format!("/rooms/{}/join", uuid()))
        .await
        .refused(404, "ROOM_NOT_FOUND");
    bob.post_empty("/rooms/nonsense/join")
        .await
        .refused(400, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_body_where_none_is_needed_does_not_matter() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    let request = bob.request(Method::POST, &format!("/rooms/{room}/join"));
    Answer::of(request.header("content-type", "text/plain").body("{"))
        .await
        .ok(201);
    let invite = |content_type: &'static str, body: &'static str| {
        let request = ada.request(Method::POST, &format!("/rooms/{room}/invites"));
        Answer::of(request.header("content-type", content_type).body(body))
    };
    for content_type in ["application/json", "text/plain", "nonsense"] {
        for body in ["", " ", "{}", "{ }"] {
            invite(content_type, body).await.ok(201);
        }
    }
    invite("text/plain", r#"{"expiresInSeconds":5}"#)
        .await
        .refused(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn a_private_room_looks_like_none_to_outsiders() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let (private, absent) = (ada.private_room("secret").await, uuid());
    let id = uuid();
    let message = json!({ "clientMsgId": id, "type": "TEXT", "content": "x" });
    let read = json!({ "lastReadMessageId": "01ARZ3NDEKTSV4RRFFQ69G5FAV" });
    let attempts = [
        (Method::POST, "join", None),
        (Method::POST, "leave", None),
        (Method::POST, "invites", None),
        (Method::GET, "members", None),
        (Method::GET, "messages", None),
        (Method::POST, "messages", Some(message)),
        (Method::POST, "read", Some(read)),
    ];
    for (method, path, body) in attempts {
        let mut bodies = Vec::new();
        for room in [&private, &absent] {
            let request = eve.request(method.clone(), &format!("/rooms/{room}/{path}"));
            let request = match &body {
                Some(body) => request.json(body),
                None => request,
            };
            bodies.push(
                Answer::of(request)
                    .await
                    .refused(404, "ROOM_NOT_FOUND")
                    .body,
            );
        }
        assert_eq!(bodies[0], bodies[1], "{path}");
    }
    let target = format!("/rooms/{private}/members/{}", ada.id);
    eve.delete(&target).await.refused(404, "ROOM_NOT_FOUND");
    eve.patch(&target, json!({ "role": "member" }))
        .await
        .refused(404, "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn a_public_room_tells_outsiders_that_they_are_not_in_it() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let room = ada.room("open").await;
    eve.get(&format!("/rooms/{room}/messages"))
        .await
        .refused(403, "NOT_MEMBER");
    eve.get(&format!("/rooms/{room}/members"))
        .await
        .refused(403, "NOT_MEMBER");
    eve.post_empty(&format!("/rooms/{room}/leave"))
        .await
        .refused(403, "NOT_MEMBER");
    eve.post_empty(&format!("/rooms/{room}/invites"))
        .await
        .refused(403, "NOT_MEMBER");
    let message = json!({ "clientMsgId": uuid(), "type": "TEXT", "content": "x" });
    eve.post(&format!("/rooms/{room}/messages"), message)
        .await
        .refused(403, "NOT_MEMBER");
    let read = json!({ "lastReadMessageId": "01ARZ3NDEKTSV4RRFFQ69G5FAV" });
    eve.post(&format!("/rooms/{room}/read"), read)
        .await
        .refused(403, "NOT_MEMBER");
}

#[tokio::test]
async fn a_kicked_member_loses_the_room_and_keeps_the_socket() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    bob.join(&room).await;
    let (mut a, mut b) = (ada.connect_to(&room).await, bob.connect_to(&room).await);
    ada.delete(&format!("/rooms/{room}/members/{}", bob.id))
        .await
        .ok(204);
    let expected =
        json!({ "roomId": room, "userId": bob.id, "displayName": "bob", "role": "member" });
    assert_eq!(a.expect("memberLeft").await, expected);
    assert_eq!(b.expect("memberLeft").await, expected);
    ada.say(&room, "without bob").await;
    a.expect("newMessage").await;
    b.expect_none("newMessage").await;
    let frame = b.request_frame("joinRoom", json!({ "roomId": room })).await;
    assert_eq!(
        (&frame["event"], &frame["data"]["code"]),
        (&json!("error"), &json!("NOT_MEMBER"))
    );
    bob.join(&room).await;
    assert_eq!(a.expect("memberJoined").await["userId"], bob.id);
    b.join(&room).await;
}

#[tokio::test]
async fn roles_decide_who_may_kick_invite_and_promote() {
    let server = TestServer::start().await;
    let [ada, bob, eve] = server.users(["ada", "bob", "eve"]).await;
    let room = ada.room("open").await;
    bob.join(&room).await;
    eve.join(&room).await;
    let member = |user: &str| format!("/rooms/{room}/members/{user}");
    bob.delete(&member(&eve.id)).await.refused(403, "FORBIDDEN");
    bob.patch(&member(&eve.id), json!({ "role": "admin" }))
        .await
        .refused(403, "FORBIDDEN");
    ada.patch(&member(&bob.id), json!({ "role": "owner" }))
        .await
        .refused(400, "VALIDATION_FAILED");
    ada.patch(&member(&uuid()), json!({ "role": "admin" }))
        .await
        .refused(404, "NOT_FOUND");
    let promoted = ada
        .patch(&member(&bob.id), json!({ "role": "admin" }))
        .await
        .ok(200);
    assert_eq!(
        (&promoted["userId"], &promoted["role"]),
        (&json!(bob.id), &json!("admin"))
    );
    bob.post_empty(&format!("/rooms/{room}/invites"))
        .await
        .ok(201);
    bob.delete(&member(&ada.id)).await.refused(403, "FORBIDDEN");
    bob.delete(&member(&bob.id)).await.refused(403, "FORBIDDEN");
    ada.delete(&member(&ada.id)).await.refused(403, "FORBIDDEN");
    bob.delete(&member(&eve.id)).await.ok(204);
    bob.delete(&member(&eve.id)).await.refused(404, "NOT_FOUND");
    bob.delete("/rooms/x/members/y")
        .await
        .refused(400, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_leaving_owner_hands_over_admins_first() {
    let server = TestServer::start().await;
    let [ada, bob, eve] = server.users(["ada", "bob", "eve"]).await;
    let room = ada.room("open").await;
    bob.join(&room).await;
    eve.join(&room).await;
    let admin = json!({ "role": "admin" });
    ada.patch(&format!("/rooms/{room}/members/{}", eve.id), admin)
        .await
        .ok(200);
    let leave = format!("/rooms/{room}/leave");
    ada.post_empty(&leave).await.ok(204);
    let role_of = async |user: &str| {
        let members = bob.get(&format!("/rooms/{room}/members")).await.ok(200);
        let members = members.as_array().expect("an array").clone();
        members
            .iter()
            .find(|member| member["userId"] == user)
            .expect("a member")["role"]
            .clone()
    };
    assert_eq!(role_of(&eve.id).await, "owner");
    eve.post_empty(&leave).await.ok(204);
    assert_eq!(role_of(&bob.id).await, "owner");
    bob.post_empty(&leave).await.ok(204);
    // An empty room stays, and who joins it next owns it.
    assert_eq!(ada.join(&room).await["role"], "owner");
}

#[tokio::test]
async fn who_leaves_stops_receiving_at_once() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    bob.join(&room).await;
    let mut first = bob.connect_to(&room).await;
    let mut second = bob.connect_to(&room).await;
    bob.post_empty(&format!("/rooms/{room}/leave"))
        .await
        .ok(204);
    ada.say(&room, "gone").await;
    for socket in [&mut first, &mut second] {
        socket.expect("memberLeft").await;
        socket.expect_none("newMessage").await;
        let data = json!({ "roomId": room, "clientMsgId": uuid(), "type": "TEXT", "content": "x" });
        let failed = socket.ask("sendMessage", data, "messageFailed").await;
        assert_eq!(
            (&failed["code"], &failed["retryable"]),
            (&json!("NOT_MEMBER"), &json!(false))
        );
    }
}

#[tokio::test]
async fn unread_counts_others_messages_since_joining() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    let mut live = ada.connect_to(&room).await;
    ada.say(&room, "before bob").await;
    live.expect("newMessage").await;
    bob.join(&room).await;
    ada.say(&room, "one").await;
    bob.say(&room, "own").await;
    ada.say(&room, "two").await;
    let msgs = live.messages(3).await;
    let unread = async || bob.get("/rooms").await.ok(200)[0]["unreadCount"].clone();
    assert_eq!(unread().await, 2);
    let read = |id: &Value| json!({ "lastReadMessageId": id });
    let path = format!("/rooms/{room}/read");
    let answer = bob.post(&path, read(&msgs[0]["id"])).await.ok(201);
    assert_eq!(answer, json!({ "success": true }));
    let updated = live.expect("readUpdated").await;
    assert_eq!(
        updated,
        json!({ "roomId": room, "userId": bob.id, "lastReadMessageId": msgs[0]["id"] })
    );
    assert_eq!(unread().await, 1);
    // Beyond the end stands for the newest; it never moves back.
    bob.post(&path, read(&json!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ")))
        .await
        .ok(201);
    assert_eq!(unread().await, 0);
    bob.post(&path, read(&msgs[0]["id"])).await.ok(201);
    assert_eq!(
        bob.get("/rooms").await.ok(200)[0]["lastReadMessageId"],
        msgs[2]["id"]
    );
    for bad in [
        json!("nonsense"),
        json!("x".repeat(10_000)),
        json!(1),
        Value::Null,
    ] {
        bob.post(&path, read(&bad))
            .await
            .refused(400, "VALIDATION_FAILED");
    }
}
