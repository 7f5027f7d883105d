//! What happens at one gateway and has to be known at the other.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Stack, unread_messages};
use crate::harness::{Answer, PRESENCE_PATIENCE, TestClient, TestUser, until_seen};

/// Of each way to leave a room, some.
const ROUNDS: usize = 4;

/// Waits until a socket has handled a message of this content: so has its gateway.
async fn hear(socket: &mut TestClient, content: &str) {
    socket
        .expect_where(content, |frame| frame["data"]["content"] == content)
        .await;
}

/// Waits until a socket hears that its user is no longer in the room.
async fn hear_of_leaving(socket: &mut TestClient, user: &TestUser) {
    let left = |frame: &Value| frame["event"] == "memberLeft" && frame["data"]["userId"] == user.id;
    socket.expect_where("memberLeft", left).await;
}

/// Asserts that a socket has not heard a message of this content, nor will.
async fn assert_unheard(socket: &mut TestClient, content: &str) {
    socket.request_frame("heartbeat", json!({})).await;
    let unread = unread_messages(socket).into_iter();
    let heard: Vec<_> = unread
        .filter(|frame| frame["data"]["content"] == content)
        .collect();
    assert!(heard.is_empty(), "{heard:?}");
}

#[tokio::test]
async fn a_kick_and_a_leave_hold_at_the_other_gateway() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let (ada, bob) = (stack.user("ada").await, stack.user("bob").await);
    let carol = stack.user("carol").await;
    let room = ada.room_with(&[&bob, &carol]).await;
    let mut watcher = stack.socket(1, &carol, &room).await;
    let mut gone = stack.socket(1, &bob, &room).await;
    for round in 0..ROUNDS {
        match round % 2 {
            0 => {
                let path = format!("/rooms/{room}/members/{}", bob.id);
                let kick = Answer::of(ada.request(Method::DELETE, &path)).await;
                kick.ok(204);
            }
            _ => {
                let left = bob.post_empty(&format!("/rooms/{room}/leave")).await;
                left.ok(204);
            }
        }
        // What is said comes by another topic: there is no order until this was heard.
        hear_of_leaving(&mut gone, &bob).await;
        let content = format!("without bob, {round}");
        ada.say(&room, &content).await;
        hear(&mut watcher, &content).await;
        assert_unheard(&mut gone, &content).await;
        // The socket stays, and so does what the gateway knows: a message needs a membership.
        let refused = gone
            .ask(
                "sendMessage",
                crate::harness::draft(&room, "let me"),
                "messageFailed",
            )
            .await;
        assert_eq!(refused["retryable"], false, "{refused}");
        bob.join(&room).await;
        gone.join(&room).await;
        let content = format!("with bob, {round}");
        ada.say(&room, &content).await;
        hear(&mut gone, &content).await;
    }
}

#[tokio::test]
async fn a_logout_closes_the_sockets_at_the_other_gateway() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let ada = stack.user("ada").await;
    let there = ada.at(&stack.gateways[1]);
    let mut doomed = there.connect().await;
    let mut other = there.with_token(&ada.log_in().await).connect().await;
    ada.post_empty("/auth/logout").await.ok(204);
    assert_eq!(doomed.expect_close().await, 4401);
    there.get("/me").await.refused(401, "UNAUTHENTICATED");
    other.ask("heartbeat", json!({}), "heartbeatAck").await;
}

#[tokio::test]
async fn presence_and_typing_cross_gateways() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let (ada, bob) = (stack.user("ada").await, stack.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let watcher = stack.socket(0, &ada, &room).await;
    let mut watcher = watcher.with_patience(PRESENCE_PATIENCE);
    let changed = |online| json!({ "roomId": room, "userId": bob.id, "online": online });
    let mut phone = stack.socket(1, &bob, &room).await;
    assert_eq!(watcher.expect("presenceChanged").await, changed(true));
    // A second device, at yet another gateway, is no news.
    let laptop = stack.socket(0, &bob, &room).await;
    for member in [&ada, &bob] {
        assert!(ada.sees_online(&room, member).await, "{}", member.id);
    }

    let typing = json!({ "roomId": room, "isTyping": true });
    phone.send("typing", typing.clone()).await;
    let seen = until_seen(
        async || watcher.expect("typing").await,
        async || phone.send("typing", typing.clone()).await,
    )
    .await;
    assert_eq!(
        (&seen["userId"], &seen["isTyping"]),
        (&json!(bob.id), &json!(true))
    );
    watcher.expect_none("presenceChanged").await;
    phone.close().await;
    laptop.close().await;
    assert_eq!(watcher.expect("presenceChanged").await, changed(false));
}

#[tokio::test]
async fn members_and_read_cursors_cross_gateways() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let (ada, bob) = (stack.user("ada").await, stack.user("bob").await);
    let room = ada.room("open").await;
    let mut watcher = stack.socket(0, &ada, &room).await;
    let there = bob.at(&stack.gateways[1]);
    there.join(&room).await;
    assert_eq!(watcher.expect("memberJoined").await["userId"], bob.id);
    let mut reader = there.connect_to(&room).await;
    watcher.say(&room, "read me").await;
    let msg = reader.expect("newMessage").await;
    let read = json!({ "roomId": room, "lastReadMessageId": msg["id"] });
    reader.ask("markRead", read, "readUpdated").await;
    let seen = watcher.expect("readUpdated").await;
    assert_eq!(
        seen,
        json!({ "roomId": room, "userId": bob.id, "lastReadMessageId": msg["id"] })
    );
}
