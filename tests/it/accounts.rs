//! Register, log in, refresh, log out, change the password.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, ServerOptions, TestServer, TestUser, uuid};

fn registration(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

async fn register(user: &TestUser, body: Value) -> Answer {
    user.anonymous(Method::POST, "/auth/register", Some(body))
        .await
}

async fn log_in(user: &TestUser, email: &str, password: &str) -> Answer {
    let body = registration(email, password);
    user.anonymous(Method::POST, "/auth/login", Some(body))
        .await
}

/// Returns an address of so many bytes, with no part that is too long.
fn address(bytes: usize) -> String {
    let label = "d".repeat(63);
    let host = format!("{label}.{label}.{label}.com");
    let local = "x".repeat(bytes - host.len() - "@".len());
    format!("{local}@{host}")
}

#[tokio::test]
async fn an_account_is_what_was_registered() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let me = ada.get("/me").await.ok(200);
    assert_eq!(
        (&me["id"], &me["email"], &me["displayName"]),
        (&json!(ada.id), &json!(ada.email), &json!("ada"))
    );
    assert!(
        me["createdAt"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z') && at.len() == 24),
        "{me}"
    );
}

#[tokio::test]
async fn a_display_name_defaults_to_the_part_before_the_at() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let email = format!("Grace.{}@Example.com", uuid());
    let body = register(&ada, registration(&email, "password"))
        .await
        .ok(201);
    let lower = email.to_lowercase();
    assert_eq!(body["email"], lower);
    assert_eq!(
        body["displayName"],
        lower.split('@').next().expect("a part")
    );
    assert_eq!(
        body.as_object().map(serde_json::Map::len),
        Some(3),
        "{body}"
    );
}

#[tokio::test]
async fn a_bad_registration_names_each_field() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let long_local = format!("{}@example.com", "x".repeat(250));
    let cases = [
        (json!({}), vec!["email", "password"]),
        (registration("no address", "password"), vec!["email"]),
        (
            registration("<script>alert(1)</script>@example.com", "password"),
            vec!["email"],
        ),
        (
            registration("a@example.com\r\nBcc: b@example.com", "password"),
            vec!["email"],
        ),
        (registration(&long_local, "password"), vec!["email"]),
        (registration(&address(255), "password"), vec!["email"]),
        (registration("a@example.com", "seven77"), vec!["password"]),
        (
            registration("a@example.com", &"x".repeat(72)),
            vec!["password"],
        ),
        (
            registration("a@example.com", "pass\u{0}word"),
            vec!["password"],
        ),
        (registration("x", "x"), vec!["email", "password"]),
        (
            json!({"email": "a@example.com", "password": "password", "displayName": ""}),
            vec!["displayName"],
        ),
        (
            json!({"email": "a@example.com", "password": "password", "displayName": "a\u{0}"}),
            vec!["displayName"],
        ),
        (
            json!({"email": "a@example.com", "password": "password", "displayName": "x".repeat(101)}),
            vec!["displayName"],
        ),
        (json!({"email": 1, "password": "password"}), vec!["email"]),
    ];
    for (body, expected) in cases {
        let refused = register(&ada, body.clone())
            .await
            .refused(400, "VALIDATION_FAILED");
        let errors = refused.body["errors"].as_array().expect("errors").clone();
        for path in expected {
            assert!(
                errors.iter().any(|error| error["path"] == path),
                "{path}: {errors:?} for {body}"
            );
        }
    }
    let exact = json!({"email": address(254), "password": "é".repeat(35) + "x", "displayName": "🦀".repeat(100)});
    register(&ada, exact).await.ok(201);
}

#[tokio::test]
async fn an_address_has_one_account_however_it_is_written() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let upper = ada.email.to_uppercase();
    register(&ada, registration(&upper, "password"))
        .await
        .refused(409, "EMAIL_TAKEN");
}

#[tokio::test]
async fn of_racing_registrations_exactly_one_wins() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let email = format!("{}@example.com", uuid());
    let racing = (0..8).map(|_| register(&ada, registration(&email, "password")));
    let answers = futures_util::future::join_all(racing).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn a_login_gives_a_bearer_token() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let grant = log_in(&ada, &ada.email.to_uppercase(), &ada.password)
        .await
        .ok(200);
    assert_eq!(
        (&grant["tokenType"], &grant["expiresIn"]),
        (&json!("Bearer"), &json!(86_400))
    );
    ada.with_token(grant["accessToken"].as_str().expect("a token"))
        .get("/me")
        .await
        .ok(200);
}

#[tokio::test]
async fn a_wrong_login_does_not_tell_what_was_wrong() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let unknown = format!("{}@example.com", uuid());
    let mut bodies = Vec::new();
    let attempts = [
        (ada.email.as_str(), "wrong password"),
        (unknown.as_str(), "wrong password"),
        (ada.email.as_str(), "x"),
        (ada.email.as_str(), ""),
        (unknown.as_str(), &"x".repeat(500)),
        ("no address", "wrong password"),
        (&"x".repeat(60_000), "wrong password"),
    ];
    for (email, password) in attempts {
        bodies.push(
            log_in(&ada, email, password)
                .await
                .refused(401, "INVALID_CREDENTIALS")
                .body,
        );
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn an_account_is_locked_after_ten_failures_and_only_failures_count() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    for _ in 0..12 {
        log_in(&ada, &ada.email, &ada.password).await.ok(200);
    }
    for _ in 0..9 {
        log_in(&ada, &ada.email, "wrong password")
            .await
            .refused(401, "INVALID_CREDENTIALS");
    }
    let change = json!({ "current": "wrong password", "new": "a new password" });
    ada.post("/me/password", change)
        .await
        .refused(401, "INVALID_CREDENTIALS");
    let refused = log_in(&ada, &ada.email, &ada.password)
        .await
        .refused(429, "RATE_LIMITED");
    let wait: u64 = refused
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .expect("seconds");
    assert!((1..=900).contains(&wait), "{wait}");
    log_in(&bob, &bob.email, &bob.password).await.ok(200);
}

#[tokio::test]
async fn an_address_is_locked_after_ten_times_as_many() {
    let server = ServerOptions::new()
        .env("LIMIT_LOGIN_FAILURES", 1)
        .start()
        .await;
    let ada = server.user("ada").await;
    for n in 0..10 {
        let email = format!("{n}@example.com");
        log_in(&ada, &email, "wrong password")
            .await
            .refused(401, "INVALID_CREDENTIALS");
    }
    log_in(&ada, &ada.email, &ada.password)
        .await
        .refused(429, "RATE_LIMITED");
}

#[tokio::test]
async fn a_refresh_is_of_the_same_login_and_the_old_token_lives_on() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let grant = ada.post_empty("/auth/refresh").await.ok(200);
    let fresh = ada.with_token(grant["accessToken"].as_str().expect("a token"));
    ada.get("/me").await.ok(200);
    fresh.get("/me").await.ok(200);
    // A logout with either of them ends both.
    fresh.post_empty("/auth/logout").await.ok(204);
    ada.get("/me").await.refused(401, "UNAUTHENTICATED");
    fresh.get("/me").await.refused(401, "UNAUTHENTICATED");
    ada.post_empty("/auth/refresh")
        .await
        .refused(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_logout_closes_the_sockets_of_that_login_alone() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let other = ada.with_token(&ada.log_in().await);
    let (mut gone, mut stays) = (ada.connect().await, other.connect().await);
    ada.post_empty("/auth/logout").await.ok(204);
    assert_eq!(gone.expect_close().await, 4401);
    stays.ask("heartbeat", json!({}), "heartbeatAck").await;
    other.get("/me").await.ok(200);
}

#[tokio::test]
async fn a_logout_survives_a_restart() {
    let mut server = TestServer::start().await;
    let ada = server.user("ada").await;
    ada.post_empty("/auth/logout").await.ok(204);
    server.kill();
    let server = server.restart().await;
    ada.at(&server)
        .get("/me")
        .await
        .refused(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_password_change_revokes_every_other_token() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let other = ada.with_token(&ada.log_in().await);
    let mut socket = other.connect().await;
    let mut own = ada.connect().await;
    let change = json!({ "current": ada.password, "new": "another password" });
    ada.post("/me/password", change).await.ok(204);
    other.get("/me").await.refused(401, "UNAUTHENTICATED");
    assert_eq!(socket.expect_close().await, 4401);
    ada.get("/me").await.ok(200);
    own.ask("heartbeat", json!({}), "heartbeatAck").await;
    log_in(&ada, &ada.email, &ada.password)
        .await
        .refused(401, "INVALID_CREDENTIALS");
    log_in(&ada, &ada.email, "another password").await.ok(200);
    let short = json!({ "current": "another password", "new": "short" });
    ada.post("/me/password", short)
        .await
        .refused(400, "VALIDATION_FAILED");
}

#[tokio::test]
async fn nothing_works_without_a_token_or_with_a_bad_one() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = uuid();
    let routes = [
        (Method::POST, "/auth/refresh".to_owned()),
        (Method::POST, "/auth/logout".to_owned()),
        (Method::POST, "/me/password".to_owned()),
        (Method::GET, "/me".to_owned()),
        (Method::POST, "/rooms".to_owned()),
        (Method::GET, "/rooms".to_owned()),
        (Method::POST, format!("/rooms/{room}/join")),
        (Method::POST, format!("/rooms/{room}/leave")),
        (Method::POST, format!("/rooms/{room}/invites")),
        (Method::POST, "/invites/x/accept".to_owned()),
        (Method::DELETE, format!("/rooms/{room}/members/{}", ada.id)),
        (Method::PATCH, format!("/rooms/{room}/members/{}", ada.id)),
        (Method::GET, format!("/rooms/{room}/members")),
        (Method::GET, format!("/rooms/{room}/messages")),
        (Method::POST, format!("/rooms/{room}/messages")),
        (Method::POST, format!("/rooms/{room}/read")),
    ];
    for (method, path) in routes {
        let answer = ada.anonymous(method.clone(), &path, None).await;
        answer.refused(401, "UNAUTHENTICATED");
        let answer = Answer::of(ada.with_token("no token").request(method, &path)).await;
        answer.refused(401, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn a_token_runs_out() {
    let server = ServerOptions::new()
        .env("JWT_EXPIRES_IN", "1s")
        .start()
        .await;
    let ada = server.user("ada").await;
    let mut socket = ada.connect().await;
    assert_eq!(socket.expect_close().await, 4401);
    // REST allows five seconds of leeway between clocks.
    crate::harness::await_until("the token is refused", || async {
        (ada.get("/me").await.status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_of_the_command_line_is_good_beside_a_running_server() {
    if !crate::harness::is_embedded("roomcast token reads a data folder") {
        return;
    }
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    for name in [&ada.id, &ada.email] {
        let token = server.token(name, 3_600);
        let me = ada.with_token(&token).get("/me").await.ok(200);
        assert_eq!(me["id"], ada.id);
    }
}
