//! Events between gateways may get lost; what they were to tell holds all the same, a little later.
//!
//! Here nothing tells of a change because it is made behind the server's back, in its database.

use serde_json::{Value, json};

use crate::harness::{Database, ServerOptions, TestServer, TestUser, with_failpoints};

/// A server that reads again at each of its sweeps what it else does once in 25 s.
async fn start() -> Option<TestServer> {
    if !with_failpoints() {
        return None;
    }
    let options = ServerOptions::new().failpoint("recheck-at-each-sweep=return");
    Some(options.start().await)
}

/// Changes one row in the server's database.
async fn change(server: &TestServer, statement: &str) {
    Database::open(server).await.change(statement).await;
}

fn claims(user: &TestUser) -> Value {
    jsonwebtoken::dangerous::insecure_decode_claims(&user.token).expect("a token")
}

#[tokio::test]
async fn a_membership_that_ended_without_a_word_ends_on_its_sockets() {
    let Some(server) = start().await else {
        return;
    };
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let other = ada.room_with(&[&bob]).await;
    let mut watcher = ada.connect_to(&room).await;
    let mut phone = bob.connect_to(&room).await;
    phone.join(&other).await;
    change(
        &server,
        &format!(
            "DELETE FROM room_members WHERE room_id = '{room}' AND user_id = '{}'",
            bob.id
        ),
    )
    .await;
    let left = json!({
        "roomId": room, "userId": bob.id, "displayName": "bob", "role": "member"
    });
    for socket in [&mut watcher, &mut phone] {
        assert_eq!(socket.expect("memberLeft").await, left);
    }
    // It was the room's last frame; other rooms go on, and so does the socket.
    for place in [&room, &other] {
        ada.say(place, "without bob?").await;
    }
    assert_eq!(phone.expect("newMessage").await["roomId"], json!(other));
    phone.expect_none("newMessage").await;
    watcher.expect("newMessage").await;
    // Once is enough, and who comes again stays.
    bob.join(&room).await;
    phone.join(&room).await;
    ada.say(&room, "with bob").await;
    assert_eq!(phone.expect("newMessage").await["content"], "with bob");
    for socket in [&mut watcher, &mut phone] {
        socket.expect_none("memberLeft").await;
    }
}

#[tokio::test]
async fn a_logout_without_a_word_closes_the_sockets_of_that_login() {
    let Some(server) = start().await else {
        return;
    };
    let ada = server.user("ada").await;
    let other_login = ada.with_token(&ada.log_in().await);
    let mut doomed = ada.connect().await;
    let mut other = other_login.connect().await;
    let login = claims(&ada)["sid"].clone();
    let login = login.as_str().expect("a login");
    change(
        &server,
        &format!(
            "INSERT INTO revoked_logins (login_id, user_id, expires_at)
             VALUES ('{login}', '{}', '2999-01-01T00:00:00.000Z')",
            ada.id
        ),
    )
    .await;
    assert_eq!(doomed.expect_close().await, 4401);
    ada.get("/me").await.refused(401, "UNAUTHENTICATED");
    other.ask("heartbeat", json!({}), "heartbeatAck").await;
}

#[tokio::test]
async fn a_password_change_without_a_word_closes_the_sockets_of_older_tokens() {
    let Some(server) = start().await else {
        return;
    };
    let ada = server.user("ada").await;
    let keeper = ada.with_token(&ada.log_in().await);
    let (mut doomed, mut kept) = (ada.connect().await, keeper.connect().await);
    let token = claims(&keeper)["jti"].clone();
    let token = token.as_str().expect("a token's id");
    change(
        &server,
        &format!(
            "UPDATE users SET token_generation = token_generation + 1, kept_token = '{token}'
             WHERE id = '{}'",
            ada.id
        ),
    )
    .await;
    assert_eq!(doomed.expect_close().await, 4401);
    ada.get("/me").await.refused(401, "UNAUTHENTICATED");
    kept.ask("heartbeat", json!({}), "heartbeatAck").await;
}
