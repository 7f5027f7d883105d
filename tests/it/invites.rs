//! Invites into private rooms.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{TestServer, await_until};

#[tokio::test]
async fn an_invite_lets_one_user_in_once() {
    let server = TestServer::start().await;
    let [ada, bob, eve] = server.users(["ada", "bob", "eve"]).await;
    let room = ada.private_room("secret").await;
    let invite = ada
        .post_empty(&format!("/rooms/{room}/invites"))
        .await
        .ok(201);
    assert_eq!(invite["roomId"], room);
    assert!(invite["expiresAt"].is_string());
    let accept = format!(
        "/invites/{}/accept",
        invite["token"].as_str().expect("a token")
    );
    ada.post_empty(&accept).await.refused(409, "ALREADY_MEMBER");
    let joined = bob.post_empty(&accept).await.ok(201);
    assert_eq!(
        (&joined["roomId"], &joined["role"]),
        (&json!(room), &json!("member"))
    );
    eve.post_empty(&accept)
        .await
        .refused(404, "INVITE_NOT_FOUND");
    eve.post_empty("/invites/nonsense/accept")
        .await
        .refused(404, "INVITE_NOT_FOUND");
    bob.post_empty(&format!("/rooms/{room}/invites"))
        .await
        .refused(403, "FORBIDDEN");
    bob.get(&format!("/rooms/{room}/messages")).await.ok(200);
}

#[tokio::test]
async fn of_users_racing_for_an_invite_one_gets_in() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.private_room("secret").await;
    let invite = ada
        .post_empty(&format!("/rooms/{room}/invites"))
        .await
        .ok(201);
    let accept = format!(
        "/invites/{}/accept",
        invite["token"].as_str().expect("a token")
    );
    let mut users = Vec::new();
    for n in 0..4 {
        users.push(server.user(&format!("user{n}")).await);
    }
    let answers = join_all(users.iter().map(|user| user.post_empty(&accept))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 404, 404, 404]);
}

#[tokio::test]
async fn an_invite_expires() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.private_room("secret").await;
    let path = format!("/rooms/{room}/invites");
    for seconds in [
        json!(0),
        json!(2_592_001),
        json!(-1),
        json!("1"),
        json!(1.5),
    ] {
        let body = json!({ "expiresInSeconds": seconds });
        ada.post(&path, body)
            .await
            .refused(400, "VALIDATION_FAILED");
    }
    let expired = await_until("an invite runs out before it is used", || async {
        let invite = ada
            .post(&path, json!({ "expiresInSeconds": 1 }))
            .await
            .ok(201);
        let expires_at = invite["expiresAt"].as_str()?.to_owned();
        await_until("its time is over", || async {
            let health = ada.get("/health/live").await;
            let now = health.header("date").map(str::to_owned)?;
            let now = chrono::DateTime::parse_from_rfc2822(&now).ok()?;
            let end = chrono::DateTime::parse_from_rfc3339(&expires_at).ok()?;
            (now > end).then_some(())
        })
        .await;
        Some(invite)
    })
    .await;
    let accept = format!(
        "/invites/{}/accept",
        expired["token"].as_str().expect("a token")
    );
    bob.post_empty(&accept)
        .await
        .refused(404, "INVITE_NOT_FOUND");
}

#[tokio::test]
async fn an_invite_ends_with_the_right_to_invite() {
    let server = TestServer::start().await;
    let [ada, bob, eve] = server.users(["ada", "bob", "eve"]).await;
    let room = ada.room_with(&[&bob]).await;
    let member = format!("/rooms/{room}/members/{}", bob.id);
    let role = |role| ada.patch(&member, json!({ "role": role }));
    role("admin").await.ok(200);
    let invite = bob
        .post_empty(&format!("/rooms/{room}/invites"))
        .await
        .ok(201);
    let token = invite["token"].as_str().expect("a token");
    let accept = format!("/invites/{token}/accept");
    role("member").await.ok(200);
    eve.post_empty(&accept)
        .await
        .refused(404, "INVITE_NOT_FOUND");
    role("admin").await.ok(200);
    eve.post_empty(&accept).await.ok(201);
}

#[tokio::test]
async fn who_may_invite_sees_invites_and_takes_them_back() {
    let server = TestServer::start().await;
    let [ada, bob, eve] = server.users(["ada", "bob", "eve"]).await;
    let room = ada.private_room("secret").await;
    let path = format!("/rooms/{room}/invites");
    let accept = |invite: &Value| {
        let token = invite["token"].as_str().expect("a token");
        format!("/invites/{token}/accept")
    };
    let invites = [
        ada.post_empty(&path).await.ok(201),
        ada.post_empty(&path).await.ok(201),
    ];
    let listed = ada.get(&path).await.ok(200);
    let listed = listed.as_array().expect("an array");
    assert_eq!(listed.len(), 2, "{listed:?}");
    for invite in &invites {
        let mut shown = invite.clone();
        let token = shown.as_object_mut().expect("an object").remove("token");
        assert!(listed.contains(&shown), "{shown} in {listed:?}");
        let token = token.expect("a token");
        let token = token.as_str().expect("a text");
        assert!(
            !json!(listed).to_string().contains(token),
            "a token is told"
        );
    }
    let one = |invite: &Value| format!("{path}/{}", invite["id"].as_str().expect("an id"));

    // A private room is none to others, and a member may not look.
    eve.get(&path).await.refused(404, "ROOM_NOT_FOUND");
    eve.delete(&one(&invites[0]))
        .await
        .refused(404, "ROOM_NOT_FOUND");
    bob.post_empty(&accept(&invites[1])).await.ok(201);
    bob.get(&path).await.refused(403, "FORBIDDEN");
    bob.delete(&one(&invites[0]))
        .await
        .refused(403, "FORBIDDEN");
    // Nor does the right in one room reach into another.
    let elsewhere = eve.room("elsewhere").await;
    let id = invites[0]["id"].as_str().expect("an id");
    let stolen = format!("/rooms/{elsewhere}/invites/{id}");
    eve.delete(&stolen).await.refused(404, "INVITE_NOT_FOUND");

    // An admin takes back what the owner made.
    let member = format!("/rooms/{room}/members/{}", bob.id);
    ada.patch(&member, json!({ "role": "admin" })).await.ok(200);
    let left = bob.get(&path).await.ok(200);
    assert_eq!(
        left.as_array().map(Vec::len),
        Some(1),
        "one was used: {left}"
    );
    bob.delete(&one(&invites[0])).await.ok(204);
    for gone in [&one(&invites[0]), &one(&invites[1]), &format!("{path}/x")] {
        bob.delete(gone).await.refused(404, "INVITE_NOT_FOUND");
    }
    eve.post_empty(&accept(&invites[0]))
        .await
        .refused(404, "INVITE_NOT_FOUND");
    assert_eq!(ada.get(&path).await.ok(200), json!([]));
    // What cannot be accepted any more is not shown.
    bob.post_empty(&path).await.ok(201);
    ada.patch(&member, json!({ "role": "member" }))
        .await
        .ok(200);
    assert_eq!(ada.get(&path).await.ok(200), json!([]));
}
