//! How often somebody may try to log in, and who that somebody is.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Client, Method};
use serde_json::json;

use crate::harness::{Answer, ServerOptions, TestServer, TestUser, await_until, uuid};

async fn log_in(user: &TestUser, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    user.anonymous(Method::POST, "/auth/login", Some(body))
        .await
}

/// How long who logs in waits for a place at least, and then for a turn.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// As [`log_in`]; whoever finds no turn in time, as on a busy machine, comes again.
async fn log_in_patiently(user: &TestUser, password: &str) -> Answer {
    await_until("a login to be judged", || async {
        let began = Instant::now();
        let answer = log_in(user, &user.email, password).await;
        let has_waited = began.elapsed() >= MAX_WAIT;
        assert!(answer.status != 503 || has_waited, "sent away at once");
        (answer.status != 503).then_some(answer)
    })
    .await
}

/// Fails to log in to an account that there is not, by way of a proxy.
async fn fail_by_proxy(server: &TestServer, forwarded_for: &str) -> Answer {
    let body = json!({ "email": format!("{}@example.com", uuid()), "password": "wrong password" });
    let request = Client::new().post(server.url("/auth/login")).json(&body);
    Answer::of(request.header("x-forwarded-for", forwarded_for)).await
}

fn assert_waits(refused: &Answer, most: u64) {
    let wait = refused.header("retry-after").expect("Retry-After");
    let wait: u64 = wait.parse().expect("seconds");
    assert!((1..=most).contains(&wait), "{wait}");
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_are_judged_than_may_fail() {
    let server = ServerOptions::new().env("BCRYPT_COST", 10).start().await;
    let ada = server.user("ada").await;
    let guess = async |n| log_in(&ada, &ada.email, &format!("guess {n}")).await;
    let mut judged = 0;
    // A second time for those that were sent away before they were judged.
    for _ in 0..2 {
        for answer in join_all((0..80).map(guess)).await {
            match answer.status {
                401 => judged += 1,
                429 => assert_waits(&answer, 900),
                _ => assert_waits(&answer.refused(503, "UNAVAILABLE"), 1),
            }
        }
    }
    assert!(judged <= 10, "{judged}");
    for _ in judged..10 {
        let answer = log_in_patiently(&ada, "another guess").await;
        answer.refused(401, "INVALID_CREDENTIALS");
    }
    let refused = log_in_patiently(&ada, &ada.password).await;
    assert_waits(&refused.refused(429, "RATE_LIMITED"), 900);
}

#[tokio::test]
async fn whoever_knows_the_password_is_let_in_however_many_come_at_once() {
    let server = ServerOptions::new()
        .env("LIMIT_LOGIN_FAILURES", 5)
        .start()
        .await;
    let ada = server.user("ada").await;
    let logins = (0..20).map(|_| log_in_patiently(&ada, &ada.password));
    for answer in join_all(logins).await {
        answer.ok(200);
    }
}

#[tokio::test]
async fn who_guesses_addresses_learns_nothing_from_the_time() {
    const PAIRS: usize = 200;
    let server = ServerOptions::new()
        .unlimited()
        .env("BCRYPT_COST", 6)
        .start()
        .await;
    let ada = server.user("ada").await;
    let (mut known, mut unknown) = (Spent::default(), Spent::default());
    let mut bodies = Vec::new();
    // In turn, so that whatever else the machine does is shared.
    for _ in 0..PAIRS {
        let nobody = format!("{}@example.com", uuid());
        for (email, spent) in [(&ada.email, &mut known), (&nobody, &mut unknown)] {
            let (began, cpu) = (Instant::now(), server.cpu_ns());
            let answer = log_in(&ada, email, "wrong password").await;
            spent.time.push(began.elapsed().as_secs_f64());
            spent.work.push((server.cpu_ns() - cpu) as f64);
            bodies.push(answer.refused(401, "INVALID_CREDENTIALS").body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let alike = 0.75..1.33;
    for (what, known, unknown) in [
        ("time", known.time, unknown.time),
        ("work", known.work, unknown.work),
    ] {
        let ratio = median(known) / median(unknown);
        assert!(alike.contains(&ratio), "{what}: {ratio}");
    }
}

/// What logins took, each in seconds and in nanoseconds of the processor.
#[derive(Default)]
struct Spent {
    time: Vec<f64>,
    work: Vec<f64>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test]
async fn who_guesses_a_password_to_change_it_waits_too() {
    let server = ServerOptions::new()
        .env("LIMIT_LOGIN_FAILURES", 2)
        .start()
        .await;
    let ada = server.user("ada").await;
    let change = |current: &str| {
        let body = json!({ "current": current, "new": "a new password" });
        let ada = ada.clone();
        async move { ada.post("/me/password", body).await }
    };
    for _ in 0..2 {
        let refused = change("wrong password").await;
        refused.refused(401, "INVALID_CREDENTIALS");
    }
    let refused = change(&ada.password).await;
    assert_waits(&refused.refused(429, "RATE_LIMITED"), 900);
    ada.get("/me").await.ok(200);
}

#[tokio::test]
async fn an_address_behind_a_trusted_proxy_has_its_own_count() {
    let server = ServerOptions::new()
        .env("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")
        .env("LIMIT_LOGIN_FAILURES", 1)
        .start()
        .await;
    // What is left of the last address that nobody trusted wrote, anybody may have written.
    for n in 0..10 {
        let answer = fail_by_proxy(&server, &format!("garbage {n}, 203.0.113.9, 10.0.0.{n}")).await;
        answer.refused(401, "INVALID_CREDENTIALS");
    }
    let answer = fail_by_proxy(&server, "198.51.100.7, 203.0.113.9").await;
    answer.refused(429, "RATE_LIMITED");
    let answer = fail_by_proxy(&server, "garbage, 203.0.113.10").await;
    answer.refused(401, "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn nobody_is_believed_where_no_proxy_is_trusted() {
    let server = ServerOptions::new()
        .env("LIMIT_LOGIN_FAILURES", 1)
        .start()
        .await;
    for n in 0..10 {
        let answer = fail_by_proxy(&server, &format!("203.0.113.{n}")).await;
        answer.refused(401, "INVALID_CREDENTIALS");
    }
    let answer = fail_by_proxy(&server, "203.0.113.99").await;
    answer.refused(429, "RATE_LIMITED");
}

#[tokio::test]
async fn when_too_many_wait_for_bcrypt_the_next_is_sent_away() {
    const WAITING: usize = 256;
    let options = ServerOptions::new().unlimited().env("BCRYPT_COST", 14);
    let server = options.start().await;
    let http = Client::new();
    let logins = (0..WAITING + 64).map(async |n| {
        let body = json!({ "email": format!("{n}@example.com"), "password": "wrong password" });
        Answer::of(http.post(server.url("/auth/login")).json(&body)).await
    });
    let mut sent_away = 0;
    for answer in join_all(logins).await {
        if answer.status != 401 {
            assert_waits(&answer.refused(503, "UNAVAILABLE"), 1);
            sent_away += 1;
        }
    }
    assert!(sent_away >= 64, "{sent_away}");
}
