//! Which tokens a running server believes, and until when.

use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::{ServerOptions, TestServer, TestUser, uuid};

async fn refresh(user: &TestUser) -> TestUser {
    let grant = user.post_empty("/auth/refresh").await.ok(200);
    user.with_token(grant["accessToken"].as_str().expect("a token"))
}

/// Signs claims with the secret of a server.
fn sign(server: &TestServer, header: &Header, claims: &Value) -> String {
    let key = EncodingKey::from_secret(server.ground().secret().as_bytes());
    jsonwebtoken::encode(header, claims, &key).expect("claims encode")
}

#[tokio::test]
async fn a_token_made_elsewhere_counts_if_it_is_as_ours_are() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let now = chrono::Utc::now().timestamp();
    let claims = json!({
        "sub": ada.id, "iat": now, "exp": now + 60, "jti": "made elsewhere",
        "iss": "roomcast", "aud": "roomcast",
    });
    let plain = || Header::new(Algorithm::HS256);
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let good = sign(&server, &plain(), &claims);
    ada.with_token(&good).get("/me").await.ok(200);

    let payload = good.split('.').nth(1).expect("three parts");
    let critical = Header {
        crit: Some(vec!["b64".into()]),
        ..plain()
    };
    let named = Header {
        kid: Some("../../dev/null".into()),
        ..plain()
    };
    let bad = [
        (
            "not yet",
            sign(&server, &plain(), &with("nbf", json!(now + 60))),
        ),
        (
            "run out",
            sign(&server, &plain(), &with("exp", json!(now - 60))),
        ),
        (
            "for ever",
            sign(&server, &plain(), &with("exp", json!(now + 1_000_000))),
        ),
        (
            "of tomorrow",
            sign(&server, &plain(), &with("iat", json!(now + 60))),
        ),
        (
            "for others",
            sign(&server, &plain(), &with("aud", json!("others"))),
        ),
        (
            "by others",
            sign(&server, &plain(), &with("iss", json!("others"))),
        ),
        (
            "of nobody",
            sign(&server, &plain(), &with("sub", json!(uuid()))),
        ),
        ("unknown crit", sign(&server, &critical, &claims)),
        ("a key of its own", sign(&server, &named, &claims)),
        (
            "HS384",
            sign(&server, &Header::new(Algorithm::HS384), &claims),
        ),
        (
            "HS512",
            sign(&server, &Header::new(Algorithm::HS512), &claims),
        ),
        // {"alg":"none"}
        ("unsigned", format!("eyJhbGciOiJub25lIn0.{payload}.")),
        (
            "none with a signature",
            good.replace(
                good.split('.').next().expect("three parts"),
                "eyJhbGciOiJub25lIn0",
            ),
        ),
    ];
    for (what, token) in bad {
        let answer = ada.with_token(&token).get("/me").await;
        assert_eq!(answer.status, 401, "{what}: {:#}", answer.body);
    }
}

#[tokio::test]
async fn a_password_change_revokes_the_other_tokens_of_its_login() {
    let server = TestServer::start().await;
    let before = server.user("ada").await;
    let ada = refresh(&before).await;
    let after = refresh(&ada).await;
    let mut own = ada.connect().await;
    let (mut first, mut second) = (before.connect().await, after.connect().await);
    let change = json!({ "current": ada.password, "new": "another password" });
    ada.post("/me/password", change).await.ok(204);
    for (other, socket) in [(&before, &mut first), (&after, &mut second)] {
        other.get("/me").await.refused(401, "UNAUTHENTICATED");
        other
            .post_empty("/auth/refresh")
            .await
            .refused(401, "UNAUTHENTICATED");
        assert_eq!(socket.expect_close().await, 4401);
    }
    own.ask("heartbeat", json!({}), "heartbeatAck").await;
    refresh(&ada).await.get("/me").await.ok(200);
}

#[tokio::test]
async fn a_refresh_during_a_password_change_does_not_outlive_it() {
    let server = ServerOptions::new().unlimited().start().await;
    let mut ada = server.user("ada").await;
    for _ in 0..5 {
        let thief = ada.with_token(&ada.log_in().await);
        let (over, change_over) = watch::channel(false);
        let thieves = (0..8).map(|_| {
            let (thief, over) = (thief.clone(), change_over.clone());
            tokio::spawn(async move {
                let mut stolen = Vec::new();
                while !*over.borrow() {
                    let answer = thief.post_empty("/auth/refresh").await;
                    if answer.status != 200 {
                        break;
                    }
                    let token = answer.body["accessToken"].as_str().expect("a token");
                    stolen.push(thief.with_token(token));
                }
                stolen
            })
        });
        let thieves: Vec<_> = thieves.collect();
        // They are at it.
        for _ in 0..10 {
            refresh(&ada).await;
        }
        let new = uuid();
        let change = json!({ "current": ada.password, "new": new });
        ada.post("/me/password", change).await.ok(204);
        ada.password = new;
        over.send_replace(true);
        for stolen in join_all(thieves).await {
            // The last ones are those of the moment of the change.
            for token in stolen.expect("no panic").iter().rev().take(3) {
                token.get("/me").await.refused(401, "UNAUTHENTICATED");
            }
        }
    }
}

#[tokio::test]
async fn of_two_password_changes_at_once_one_holds() {
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let other = ada.with_token(&ada.log_in().await);
    let news = [uuid(), uuid()];
    let changes = [&ada, &other].into_iter().zip(&news);
    let changes = changes.map(async |(user, new)| {
        let body = json!({ "current": user.password, "new": new });
        user.post("/me/password", body).await.status
    });
    let statuses = join_all(changes).await;
    let held = statuses.iter().filter(|status| **status == 204).count();
    assert_eq!(held, 1, "{statuses:?}");
    for ((user, new), status) in [&ada, &other].into_iter().zip(&news).zip(statuses) {
        let is_alive = user.get("/me").await.status == 200;
        assert_eq!(is_alive, status == 204, "{new}");
    }
}
