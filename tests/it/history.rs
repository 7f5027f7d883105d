//! Pages of history, and sending by REST.

use std::time::Instant;

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, ServerOptions, TestServer, TestUser, uuid};

/// A room with `count` messages `1`, `2`, …
async fn filled(server: &TestServer, count: usize) -> (TestUser, String, Vec<Value>) {
    let ada = server.user("ada").await;
    let room = ada.room("history").await;
    let mut live = ada.connect_to(&room).await;
    for n in 1..=count {
        ada.say(&room, &n.to_string()).await;
    }
    let msgs = live.messages(count).await;
    (ada, room, msgs)
}

fn contents(page: &Value) -> Vec<u64> {
    let page = page.as_array().expect("an array");
    page.iter()
        .map(|msg| {
            msg["content"]
                .as_str()
                .expect("text")
                .parse()
                .expect("a number")
        })
        .collect()
}

#[tokio::test]
async fn a_page_is_always_oldest_first_and_says_whether_there_is_more() {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, room, msgs) = filled(&server, 7).await;
    let id = |n: usize| msgs[n - 1]["id"].as_str().expect("an id").to_owned();
    let check = async |query: String, expected: &[u64], more: &str| {
        let page = ada.get(&format!("/rooms/{room}/messages?{query}")).await;
        assert_eq!(page.header("x-has-more"), Some(more), "{query}");
        assert_eq!(contents(&page.ok(200)), expected, "{query}");
    };
    check("limit=3".into(), &[5, 6, 7], "true").await;
    check(String::new(), &[1, 2, 3, 4, 5, 6, 7], "false").await;
    check(format!("limit=3&before={}", id(5)), &[2, 3, 4], "true").await;
    check(format!("limit=3&before={}", id(4)), &[1, 2, 3], "false").await;
    check(format!("limit=3&before={}", id(1)), &[], "false").await;
    check(format!("limit=3&after={}", id(2)), &[3, 4, 5], "true").await;
    check(format!("limit=3&after={}", id(4)), &[5, 6, 7], "false").await;
    check(format!("limit=3&after={}", id(7)), &[], "false").await;
    // A cursor is a place in the order and need not exist.
    check(
        "limit=2&after=00000000000000000000000000".into(),
        &[1, 2],
        "true",
    )
    .await;
    check(
        "limit=2&before=7ZZZZZZZZZZZZZZZZZZZZZZZZZ".into(),
        &[6, 7],
        "true",
    )
    .await;
}

#[tokio::test]
async fn a_message_is_the_same_for_every_observer() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    bob.join(&room).await;
    let (mut a, mut b) = (ada.connect_to(&room).await, bob.connect_to(&room).await);
    // Right to left, zero width, decomposed, joined emoji: stored as they were sent.
    let content = "שלום \u{200b}e\u{301} é 👩‍👩‍👧 <img src=x onerror=alert(1)> \"\\\n";
    let id = ada.say(&room, content).await;
    let (seen_a, seen_b) = (a.expect("newMessage").await, b.expect("newMessage").await);
    assert_eq!(seen_a, seen_b);
    assert_eq!(ada.history(&room).await, std::slice::from_ref(&seen_a));
    let expected = json!({
        "id": seen_a["id"], "roomId": room, "seq": 1, "senderId": ada.id, "clientMsgId": id,
        "type": "TEXT", "content": content, "createdAt": seen_a["createdAt"]
    });
    assert_eq!(seen_a, expected);
    assert_eq!(seen_a["id"].as_str().map(str::len), Some(26));
}

#[tokio::test]
async fn a_bad_cursor_or_limit_is_refused() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let mut queries: Vec<String> = ["0", "101", "-1", "1e9", "abc", ""]
        .iter()
        .map(|limit| format!("limit={limit}"))
        .collect();
    queries.push(format!("before={ulid}&after={ulid}"));
    queries.push("before=nonsense".into());
    queries.push("after=8ZZZZZZZZZZZZZZZZZZZZZZZZZ".into());
    queries.push("after=".into());
    for query in queries {
        let path = format!("/rooms/{room}/messages?{query}");
        ada.get(&path).await.refused(400, "VALIDATION_FAILED");
    }
    ada.get("/rooms/nonsense/messages")
        .await
        .refused(400, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_message_sent_by_rest_is_accepted_and_stored_once() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut live = ada.connect_to(&room).await;
    let id = uuid();
    let body = json!({ "clientMsgId": id.to_uppercase(), "type": "IMAGE", "content": "https://example.com/x.png" });
    let path = format!("/rooms/{room}/messages");
    for _ in 0..3 {
        let accepted = ada.post(&path, body.clone()).await.ok(202);
        assert_eq!(accepted, json!({ "clientMsgId": id, "status": "ACCEPTED" }));
    }
    let seen = live.messages(3).await;
    assert_eq!((&seen[0], &seen[0]), (&seen[1], &seen[2]));
    assert_eq!(
        (&seen[0]["type"], &seen[0]["seq"]),
        (&json!("IMAGE"), &json!(1))
    );
    assert_eq!(ada.history(&room).await.len(), 1);
}

#[tokio::test]
async fn a_bad_message_is_refused() {
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let path = format!("/rooms/{room}/messages");
    let id = uuid();
    let bad = [
        json!({}),
        json!({ "clientMsgId": id, "type": "TEXT", "content": "" }),
        json!({ "clientMsgId": id, "type": "TEXT", "content": "a\u{0}b" }),
        json!({ "clientMsgId": id, "type": "TEXT", "content": "x".repeat(5_001) }),
        json!({ "clientMsgId": id, "type": "SYSTEM", "content": "x" }),
        json!({ "clientMsgId": "x", "type": "TEXT", "content": "x" }),
        json!({ "clientMsgId": "00000000-0000-0000-0000-000000000000", "type": "TEXT", "content": "x" }),
        json!({ "clientMsgId": [id], "type": "TEXT", "content": "x" }),
        json!([id, "TEXT", "x"]),
    ];
    for body in bad {
        ada.post(&path, body)
            .await
            .refused(400, "VALIDATION_FAILED");
    }
    let raw = |content_type: &'static str, body: &'static str| {
        Answer::of(
            ada.request(Method::POST, &path)
                .header("content-type", content_type)
                .body(body),
        )
    };
    raw("application/json", "{")
        .await
        .refused(400, "INVALID_JSON");
    raw("application/json", r#"{"content":"\ud800"}"#)
        .await
        .refused(400, "INVALID_JSON");
    raw("text/plain", "{}")
        .await
        .refused(415, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(ada.history(&room).await.len(), 0);
    let longest = json!({ "clientMsgId": id, "content": "🦀".repeat(5_000) });
    ada.post(&path, longest).await.ok(202);
}

#[tokio::test]
async fn sends_of_a_user_are_limited_on_rest_and_websocket_together() {
    const BURST: f64 = 20.0;
    const PER_S: f64 = 10.0;
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room("open").await;
    bob.join(&room).await;
    let mut socket = ada.connect_to(&room).await;
    let path = format!("/rooms/{room}/messages");
    let body = || json!({ "clientMsgId": uuid(), "type": "TEXT", "content": "x" });
    let began = Instant::now();
    // All at once: one after the other there may be room for each by the time that it comes.
    let sends = join_all((0..40).map(|_| ada.post(&path, body())));
    let (answers, frames) = join(sends, socket.burst(&room, 90)).await;
    let most = BURST + PER_S * began.elapsed().as_secs_f64() + 1.0;
    let mut accepted = 0_u32;
    for answer in answers {
        if answer.status == 202 {
            accepted += 1;
            continue;
        }
        let answer = answer.refused(429, "RATE_LIMITED");
        assert!(answer.header("retry-after").is_some());
    }
    for frame in frames {
        if frame["event"] == "messageAccepted" {
            accepted += 1;
            continue;
        }
        let data = &frame["data"];
        assert_eq!(
            (&data["code"], &data["retryable"]),
            (&json!("RATE_LIMITED"), &json!(true))
        );
        let after = data["retryAfterMs"].as_u64();
        assert!(after.is_some_and(|ms| ms > 0), "{frame}");
    }
    assert!(
        f64::from(accepted) <= most,
        "{accepted} were accepted, {most} allowed"
    );
    bob.say(&room, "others are not concerned").await;
}
