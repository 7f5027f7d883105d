//! Valkey hangs, dies, forgets, or refuses.

use std::time::Duration;

use nix::sys::signal::Signal as ProcessSignal;
use tokio::time::timeout;

use super::{private::PrivateValkey, until};
use crate::{
    ids::UserId,
    presence::{
        Life, Presence, PresenceUnavailable, Signal,
        suite::{PATIENCE, expect_signal, socket, subscribe, typing},
        valkey::{ValkeyPresence, breaker::FAILURES, ping},
    },
};

/// More calls than anybody could make one after the other if each waited.
const MANY: usize = 10_000;

async fn fails(presence: &Presence) {
    let users = [UserId::random()];
    let answer = timeout(PATIENCE, presence.online(&users)).await;
    let answer = answer.expect("a call is bounded");
    assert_eq!(answer, Err(PresenceUnavailable));
}

async fn heals(valkey: &ValkeyPresence) {
    until("Valkey is back", || valkey.is_healthy()).await;
}

#[tokio::test]
async fn a_valkey_that_hangs_costs_nobody_anything() {
    let test = "a_valkey_that_hangs_costs_nobody_anything";
    let Some(server) = PrivateValkey::start(test, None).await else {
        return;
    };
    let valkey = server.presence();
    let presence = Presence::Valkey(valkey.clone());
    let mut signals = subscribe(&presence).await;
    let user = UserId::random();
    let phone = socket(user, Duration::ZERO);
    assert_eq!(presence.touch(&[phone]).await, Ok(vec![user]));

    server.signal(ProcessSignal::SIGSTOP);
    for _ in 0..FAILURES {
        fails(&presence).await;
    }
    assert!(valkey.0.breaker.is_open());
    let many = async {
        for _ in 0..MANY {
            fails(&presence).await;
        }
    };
    timeout(PATIENCE, many).await.expect("they fail at once");
    assert!(!presence.is_healthy().await);

    server.signal(ProcessSignal::SIGCONT);
    heals(&valkey).await;
    assert_eq!(presence.online(&[user]).await, Ok(vec![true]));
    let sent = typing();
    presence
        .signal(std::slice::from_ref(&sent))
        .await
        .expect("it is back");
    expect_signal(&mut signals, &sent).await;
}

#[tokio::test]
async fn a_valkey_that_was_killed_is_found_again() {
    let test = "a_valkey_that_was_killed_is_found_again";
    let Some(mut server) = PrivateValkey::start(test, None).await else {
        return;
    };
    let valkey = server.presence();
    let presence = Presence::Valkey(valkey.clone());
    let mut signals = subscribe(&presence).await;
    let user = UserId::random();
    let phone = socket(user, Duration::ZERO);
    presence.touch(&[phone]).await.expect("it is up");

    server.kill();
    for _ in 0..FAILURES {
        fails(&presence).await;
    }
    server.restart().await;
    // What is known is to be said again, and the sockets touched.
    expect_signal(&mut signals, &Signal::Hello).await;
    heals(&valkey).await;
    let sent = typing();
    presence
        .signal(std::slice::from_ref(&sent))
        .await
        .expect("it is back");
    expect_signal(&mut signals, &sent).await;
    // It has forgotten everything: a socket, and the scripts.
    assert_eq!(presence.expire(&[user]).await, Ok(vec![Life::Absent]));
    assert_eq!(presence.touch(&[phone]).await, Ok(vec![user]));
    assert_eq!(presence.online(&[user]).await, Ok(vec![true]));
}

#[tokio::test]
async fn a_gateway_may_start_before_valkey() {
    let Some(mut server) = PrivateValkey::start("a_gateway_may_start_before_valkey", None).await
    else {
        return;
    };
    server.kill();
    let valkey = server.presence();
    let mut signals = Presence::Valkey(valkey.clone()).signals();
    assert!(!valkey.is_healthy().await);
    server.restart().await;
    expect_signal(&mut signals, &Signal::Hello).await;
    heals(&valkey).await;
}

#[tokio::test]
async fn a_wrong_password_is_a_failure_that_does_not_tell_it() {
    let test = "a_wrong_password_is_a_failure_that_does_not_tell_it";
    let Some(server) = PrivateValkey::start(test, Some("correct")).await else {
        return;
    };
    assert!(server.presence().is_healthy().await);
    for password in [None, Some("hunter2")] {
        let valkey = super::open(&server.config(password));
        assert!(!valkey.is_healthy().await);
        let fault = valkey.0.try_call(ping).await.expect_err("not let in");
        let told = format!("{fault} {valkey:?}");
        assert!(!told.contains("hunter2"), "{told}");
        assert!(!told.contains("127.0.0.1"), "{told}");
    }
}
