//! Who is here, who types.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    PRESENCE_PATIENCE, TestServer, TestUser, await_until, is_on_services, until_seen, uuid,
};

/// Half the lease of a gateway's presence: who is away before, is so because his socket closed.
const LONG_BEFORE_THE_LEASE_ENDS: Duration = Duration::from_secs(30);

fn changed(room: &str, user: &TestUser, online: bool) -> Value {
    json!({ "roomId": room, "userId": user.id, "online": online })
}

#[tokio::test]
async fn a_user_comes_once_to_a_room_whatever_the_number_of_devices() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let (one, two) = (ada.room_with(&[&bob]).await, ada.room_with(&[&bob]).await);
    let mut watcher = ada.connect_to(&one).await;
    watcher.join(&two).await;

    let mut phone = bob.connect_to(&one).await;
    assert_eq!(
        watcher.expect("presenceChanged").await,
        changed(&one, &bob, true)
    );
    // The second device, and joining once more, are no news; another room is.
    let mut laptop = bob.connect_to(&one).await;
    phone.join(&one).await;
    laptop.join(&two).await;
    assert_eq!(
        watcher.expect("presenceChanged").await,
        changed(&two, &bob, true)
    );
    watcher.expect_none("presenceChanged").await;
    // Nobody is told about themselves.
    for socket in [&mut phone, &mut laptop] {
        socket.request_frame("heartbeat", json!({})).await;
        let own = socket
            .unread()
            .find(|frame| frame["data"]["userId"] == bob.id);
        assert_eq!(own, None);
    }
}

#[tokio::test]
async fn a_user_goes_when_the_last_socket_has_closed() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let (one, two) = (ada.room_with(&[&bob]).await, ada.room_with(&[&bob]).await);
    let watcher = ada.connect_to(&one).await;
    let mut watcher = watcher.with_patience(PRESENCE_PATIENCE);
    watcher.join(&two).await;
    let mut first = bob.connect_to(&one).await;
    first.join(&two).await;
    let second = bob.connect_to(&one).await;
    for _ in 0..2 {
        watcher.expect("presenceChanged").await;
    }
    // A socket that vanishes without a word counts as one that says goodbye.
    drop(first);
    await_until("the server has one socket less", || async {
        (server.metric("roomcast_sockets", "").await <= 2.0).then_some(())
    })
    .await;
    assert!(ada.sees_online(&one, &bob).await);
    watcher.expect_none("presenceChanged").await;

    let began = Instant::now();
    second.close().await;
    let mut gone = Vec::new();
    for _ in 0..2 {
        gone.push(watcher.expect("presenceChanged").await);
    }
    let took = began.elapsed();
    // On the services the question whether he has gone may have no answer in time.
    assert!(
        is_on_services() || took < LONG_BEFORE_THE_LEASE_ENDS,
        "{took:?}"
    );
    let mut expected = vec![changed(&one, &bob, false), changed(&two, &bob, false)];
    gone.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(gone, expected);
    assert!(!ada.sees_online(&one, &bob).await);

    let _back = bob.connect_to(&one).await;
    assert_eq!(
        watcher.expect("presenceChanged").await,
        changed(&one, &bob, true)
    );
}

#[tokio::test]
async fn online_means_a_live_socket_in_any_room_or_none() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    assert!(!ada.sees_online(&room, &bob).await);
    let socket = bob.connect().await;
    await_until("bob is online", || async {
        ada.sees_online(&room, &bob).await.then_some(())
    })
    .await;
    assert!(!ada.sees_online(&room, &ada).await);
    socket.close().await;
    await_until("bob is offline", || async {
        (!ada.sees_online(&room, &bob).await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_was_away_from_the_room_is_announced_again() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut watcher = ada.connect_to(&room).await;
    let mut socket = bob.connect_to(&room).await;
    watcher.expect("presenceChanged").await;
    bob.post_empty(&format!("/rooms/{room}/leave"))
        .await
        .ok(204);
    watcher.expect("memberLeft").await;
    bob.join(&room).await;
    socket.join(&room).await;
    assert_eq!(
        watcher.expect("presenceChanged").await,
        changed(&room, &bob, true)
    );
}

#[tokio::test]
async fn typing_is_seen_by_others_and_not_by_the_same_user() {
    let server = TestServer::start().await;
    let users = [
        server.user("ada").await,
        server.user("bob").await,
        server.user("eve").await,
    ];
    let [ada, bob, eve] = &users;
    let room = ada.room_with(&[bob, eve]).await;
    let (mut a, mut own_other) = (ada.connect_to(&room).await, ada.connect_to(&room).await);
    let (mut b, mut e) = (bob.connect_to(&room).await, eve.connect_to(&room).await);
    let mut apart = eve.connect().await;
    let seen = [true, false].map(|is_typing| {
        json!({ "event": "typing", "data": {
            "roomId": room, "userId": ada.id, "isTyping": is_typing
        } })
    });
    let resent = Cell::new(0);
    for seen in &seen {
        let data = json!({ "roomId": room, "isTyping": seen["data"]["isTyping"] });
        let frame = json!({ "event": "typing", "data": data, "id": "unanswered" }).to_string();
        a.send_text(frame.as_str()).await;
        for watcher in [&mut b, &mut e] {
            until_seen(
                async || watcher.expect_where("typing", |frame| frame == seen).await,
                async || {
                    resent.set(resent.get() + 1);
                    a.send_text(frame.as_str()).await;
                },
            )
            .await;
        }
    }
    // What was sent again may be seen again.
    for watcher in [&b, &e] {
        let typing = watcher.unread().filter(|frame| frame["event"] == "typing");
        let typing: Vec<_> = typing.collect();
        let was_sent = typing.iter().all(|frame| seen.contains(frame));
        assert!(was_sent && typing.len() <= resent.get(), "{typing:?}");
    }
    for socket in [&mut a, &mut own_other, &mut apart] {
        socket.expect_none("typing").await;
    }
    assert!(a.unread().all(|frame| frame["id"] != "unanswered"));
}

#[tokio::test]
async fn typing_is_for_members() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let (public, private) = (ada.room("open").await, ada.private_room("secret").await);
    let mut watcher = ada.connect_to(&public).await;
    watcher.join(&private).await;
    let mut socket = eve.connect().await;
    let typing = |room: &str| json!({ "roomId": room, "isTyping": true });
    let refusals = [
        (typing(&public), "NOT_MEMBER"),
        (typing(&private), "ROOM_NOT_FOUND"),
        (typing(&uuid()), "ROOM_NOT_FOUND"),
        (json!({ "roomId": public }), "VALIDATION_FAILED"),
        (
            json!({ "roomId": public, "isTyping": "yes" }),
            "VALIDATION_FAILED",
        ),
        (
            json!({ "roomId": "x", "isTyping": true }),
            "VALIDATION_FAILED",
        ),
    ];
    for (data, code) in refusals {
        let error = socket.ask("typing", data.clone(), "error").await;
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&json!(code), &json!(false)),
            "{data}"
        );
    }
    watcher.expect_none("typing").await;
}
