//! Sends that are refused: which are not valid, and who may not.

use serde_json::{Value, json};

use crate::harness::{ServerOptions, TestClient, TestServer, draft, uuid};

/// Asserts that a `sendMessage` with this text as its data fails; returns its failure.
async fn fails(socket: &mut TestClient, data: &str, code: &str) -> Value {
    let id = uuid();
    socket
        .send_text(format!(
            r#"{{"event":"sendMessage","data":{data},"id":"{id}"}}"#
        ))
        .await;
    let frame = socket.expect_where(data, |frame| frame["id"] == id).await;
    assert_eq!(frame["event"], "messageFailed", "{data}: {frame}");
    let failure = frame["data"].clone();
    let seen = (&failure["status"], &failure["code"], &failure["retryable"]);
    assert_eq!(
        seen,
        (&json!("FAILED"), &json!(code), &json!(false)),
        "{data}: {failure}"
    );
    assert!(
        failure["error"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{failure}"
    );
    failure
}

/// A valid draft with one field replaced by a text that need not even be JSON's own.
fn with(draft: &Value, field: &str, value: &str) -> String {
    let mut draft = draft.clone();
    draft[field] = json!("HOLE");
    draft.to_string().replace("\"HOLE\"", value)
}

#[tokio::test]
async fn what_is_not_valid_fails_and_the_room_flows_on() {
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    let valid = draft(&room, "x");
    let quoted = |text: &str| json!(text).to_string();
    let cases = [
        ("content", r#""""#.to_owned()),
        ("content", r#""a\u0000b""#.to_owned()),
        ("content", r#""\ud800""#.to_owned()),
        ("content", r#""\udc00\ud800""#.to_owned()),
        ("content", quoted(&"x".repeat(5_001))),
        ("content", quoted(&"🦀".repeat(5_001))),
        // 20,001 bytes.
        ("content", quoted(&format!("{}x", "🦀".repeat(5_000)))),
        ("content", "null".to_owned()),
        ("content", "1".to_owned()),
        ("content", r#"["x"]"#.to_owned()),
        ("type", r#""SYSTEM""#.to_owned()),
        ("type", r#""text""#.to_owned()),
        ("type", r#""""#.to_owned()),
        ("type", "1".to_owned()),
        ("roomId", r#""nonsense""#.to_owned()),
        ("roomId", quoted(&room.replace('-', ""))),
        ("roomId", format!(r#""{{{room}}}""#)),
        ("roomId", "null".to_owned()),
        ("roomId", format!(r#"["{room}"]"#)),
    ];
    for (field, value) in cases {
        let failure = fails(
            &mut socket,
            &with(&valid, field, &value),
            "VALIDATION_FAILED",
        )
        .await;
        assert_eq!(
            failure["clientMsgId"], valid["clientMsgId"],
            "{field}: {value}"
        );
    }
    // The id as the client wrote it, where it can be read.
    let cases = [
        (r#""nonsense""#, json!("nonsense")),
        (
            r#""00000000-0000-0000-0000-000000000000""#,
            json!("00000000-0000-0000-0000-000000000000"),
        ),
        ("null", Value::Null),
        ("7", Value::Null),
        ("[]", Value::Null),
    ];
    for (value, echoed) in cases {
        let data = with(&valid, "clientMsgId", value);
        let failure = fails(&mut socket, &data, "VALIDATION_FAILED").await;
        assert_eq!(failure["clientMsgId"], echoed, "{value}");
    }
    for field in ["roomId", "clientMsgId", "content"] {
        let mut data = valid.clone();
        data.as_object_mut().expect("an object").remove(field);
        fails(&mut socket, &data.to_string(), "VALIDATION_FAILED").await;
    }
    for data in ["{}", "null"] {
        fails(&mut socket, data, "VALIDATION_FAILED").await;
    }
    socket.ask("sendMessage", valid, "messageAccepted").await;
    // No number was burned.
    assert_eq!(socket.expect("newMessage").await["seq"], 1);
}

#[tokio::test]
async fn a_send_without_data_fails() {
    let server = TestServer::start().await;
    let mut socket = server.user("ada").await.connect().await;
    socket.send_text(r#"{"event":"sendMessage","id":1}"#).await;
    let frame = socket
        .expect_where("an answer", |frame| frame["id"] == 1)
        .await;
    let seen = (
        &frame["event"],
        &frame["data"]["code"],
        &frame["data"]["clientMsgId"],
    );
    assert_eq!(
        seen,
        (
            &json!("messageFailed"),
            &json!("VALIDATION_FAILED"),
            &Value::Null
        )
    );
}

#[tokio::test]
async fn data_that_is_no_object_is_a_bad_frame() {
    let server = TestServer::start().await;
    let mut socket = server.user("ada").await.connect().await;
    for data in [json!([]), json!("x"), json!(1)] {
        let frame = socket.request_frame("sendMessage", data).await;
        let seen = (&frame["event"], &frame["data"]["code"]);
        assert_eq!(seen, (&json!("error"), &json!("BAD_FRAME")), "{frame}");
    }
}

#[tokio::test]
async fn a_content_of_five_thousand_characters_is_taken_however_long_they_are() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    for content in ["x".repeat(5_000), "🦀".repeat(5_000), " ".to_owned()] {
        socket.say(&room, &content).await;
        assert_eq!(socket.expect("newMessage").await["content"], content);
    }
}

#[tokio::test]
async fn a_field_that_nobody_knows_does_not_matter() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    let mut data = draft(&room, "x");
    data["extra"] = json!({ "deep": [1, 2, 3] });
    data["seq"] = json!(1_000);
    data["senderId"] = json!(uuid());
    socket.ask("sendMessage", data, "messageAccepted").await;
    let msg = socket.expect("newMessage").await;
    assert_eq!((&msg["seq"], &msg["senderId"]), (&json!(1), &json!(ada.id)));
    assert_eq!(msg.get("extra"), None);
}

#[tokio::test]
async fn who_is_not_a_member_cannot_send() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let (public, private) = (ada.room("open").await, ada.private_room("secret").await);
    let mut socket = eve.connect().await;
    let failure = fails(&mut socket, &draft(&public, "x").to_string(), "NOT_MEMBER").await;
    assert!(failure["clientMsgId"].is_string());
    // A private room looks like none.
    let id = uuid();
    let nil = uuid::Uuid::nil().to_string();
    let mut failures = Vec::new();
    for room in [&private, &uuid(), &nil] {
        let data = json!({ "roomId": room, "clientMsgId": id, "content": "x" });
        failures.push(fails(&mut socket, &data.to_string(), "ROOM_NOT_FOUND").await);
    }
    failures.dedup();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(
        ada.history(&public).await.len() + ada.history(&private).await.len(),
        0
    );
}

#[tokio::test]
async fn who_left_cannot_send_any_more() {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    let mut socket = bob.connect().await;
    for _ in 0..10 {
        bob.join(&room).await;
        socket.say(&room, "as a member").await;
        bob.post_empty(&format!("/rooms/{room}/leave"))
            .await
            .ok(204);
        fails(&mut socket, &draft(&room, "x").to_string(), "NOT_MEMBER").await;
    }
}

#[tokio::test]
async fn a_value_of_a_wrong_type_is_named_and_is_still_json() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let check = async |path: &str, body: Value, field: &str| {
        let answer = ada.post(path, body).await.refused(400, "VALIDATION_FAILED");
        assert_eq!(answer.body["errors"][0]["path"], field, "{:?}", answer.body);
        let text = answer.body.to_string();
        for internal in ["struct", "enum", "deserialize", "u64"] {
            assert!(!text.contains(internal), "{text}");
        }
    };
    for value in [json!(""), json!(5), json!([])] {
        let body = json!({ "name": "x", "visibility": value });
        check("/rooms", body, "visibility").await;
        let body = json!({ "clientMsgId": uuid(), "content": "x", "type": value });
        check(&format!("/rooms/{room}/messages"), body, "type").await;
    }
    let body = json!({ "name": "x", "visibility": null });
    let made = ada.post("/rooms", body).await.ok(201);
    assert_eq!(
        made["visibility"], "public",
        "null is as if it were left out"
    );
    let body = json!({ "clientMsgId": uuid(), "content": "x", "type": null });
    let path = format!("/rooms/{room}/messages");
    ada.post(&path, body).await.ok(202);
    let mut socket = ada.connect_to(&room).await;
    let mut body = draft(&room, "y");
    body["type"] = Value::Null;
    socket.send("sendMessage", body).await;
    let heard = socket
        .expect_where("the message", |it| it["data"]["content"] == "y")
        .await;
    assert_eq!(heard["data"]["type"], "TEXT");
    let body = json!({ "email": "a@example.com", "password": "short" });
    let answer = ada.post("/auth/register", body).await;
    assert!(
        answer.body.to_string().contains("8 to 71 bytes"),
        "{:?}",
        answer.body
    );
}
