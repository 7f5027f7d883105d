//! Valkey hangs, dies, forgets, or refuses.

use std::time::Duration;

use nix::sys::signal::Signal as ProcessSignal;
use tokio::{sync::mpsc::Receiver, time::timeout};

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

/// Sends a signal until it is heard: one that is sent while a gateway looks for Valkey is lost.
async fn hears(presence: &Presence, signals: &mut Receiver<Signal>) {
    let sent = typing();
    let hearing = async {
        loop {
            // One that was not sent is not heard.
            let _ = presence.signal(std::slice::from_ref(&sent)).await;
            let hearing = expect_signal(signals, &sent);
            if timeout(Duration::from_secs(1), hearing).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, hearing).await.expect("it is heard");
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
    // With the time that a gateway gives a call: while nothing hangs, one may take longer.
    let valkey = ValkeyPresence::open(&server.config(None)).expect("a URL of Valkey");
    let presence = Presence::Valkey(valkey.clone());
    let mut signals = subscribe(&presence).await;
    let user = UserId::random();
    let phone = [socket(user, Duration::ZERO)];
    let touch = || async { presence.touch(&phone).await.is_ok() };
    until("the socket is touched", touch).await;

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
    let users = [user];
    let is_online = || async { presence.online(&users).await == Ok(vec![true]) };
    until("the user is online", is_online).await;
    hears(&presence, &mut signals).await;
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
    hears(&presence, &mut signals).await;
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
