//! The port's suite on the shared Valkey, and what only Valkey can do: be away.

mod away;
pub(crate) mod private;

use std::time::Duration;

use deadpool_redis::redis::AsyncCommands;
use secrecy::SecretString;
use tokio::time::{sleep, timeout};

use super::{CHANNEL, ValkeyPresence, scripts::key};
use crate::{
    config::RedisConfig,
    ids::{RoomId, UserId},
    presence::{
        ALIVE, Presence, Present, Signal,
        suite::{Fixture, PATIENCE, expect_signal, presence_suite, socket, subscribe, typing},
    },
    real_service,
};

/// The Valkey that all tests share.
struct SharedValkey(RedisConfig);

impl Fixture for SharedValkey {
    async fn open(test: &str) -> Option<Self> {
        let host = real_service::setting("REDIS_HOST", test)?;
        let port = real_service::setting("REDIS_PORT", test)?;
        let url = SecretString::from(format!("redis://{host}:{port}"));
        Some(Self(url.into()))
    }

    fn gateway(&self) -> Presence {
        Presence::Valkey(open(&self.0))
    }
}

presence_suite!(SharedValkey);

fn open(config: &RedisConfig) -> ValkeyPresence {
    ValkeyPresence::open(config).expect("a URL of Valkey")
}

/// Waits until something holds.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let polling = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let came = timeout(PATIENCE, polling).await;
    came.unwrap_or_else(|_| panic!("{what}: not in time"));
}

#[tokio::test]
async fn gateways_hear_each_other() {
    let Some(place) = SharedValkey::open("gateways_hear_each_other").await else {
        return;
    };
    let (here, there) = (place.gateway(), place.gateway());
    let mut hears = subscribe(&there).await;
    let (room_id, user_id) = (RoomId::random(), UserId::random());
    let present = vec![Present { room_id, user_id }];
    for signal in [typing(), Signal::Online { present }] {
        here.signal(std::slice::from_ref(&signal))
            .await
            .expect("it is up");
        expect_signal(&mut hears, &signal).await;
    }
    // One that comes later has the others repeat what it missed.
    let _later = place.gateway().signals();
    expect_signal(&mut hears, &Signal::Hello).await;
}

#[tokio::test]
async fn a_user_is_a_hash_that_runs_out_by_itself() {
    let Some(place) = SharedValkey::open("a_user_is_a_hash_that_runs_out_by_itself").await else {
        return;
    };
    let presence = open(&place.0);
    let user = UserId::random();
    let (phone, laptop) = (socket(user, Duration::ZERO), socket(user, ALIVE / 2));
    presence.touch(&[phone, laptop]).await.expect("it is up");
    let mut connection = presence.0.pool.get().await.expect("it is up");
    let name = format!("presence:user:{user}");
    assert_eq!(name, key(user));
    let mut fields: Vec<String> = connection.hkeys(&name).await.expect("a hash");
    let mut expected = [phone, laptop].map(|socket| socket.session_id.to_string());
    fields.sort();
    expected.sort();
    assert_eq!(fields, expected);
    let ttl_ms: i64 = connection.pttl(&name).await.expect("it is up");
    assert!((60_000..=65_000).contains(&ttl_ms), "{ttl_ms}");
    let sockets = [phone, laptop].map(|socket| (user, socket.session_id));
    presence.leave(&sockets).await.expect("it is up");
    let exists: bool = connection.exists(&name).await.expect("it is up");
    assert!(!exists);
}

#[tokio::test]
async fn what_is_no_signal_is_ignored() {
    let Some(place) = SharedValkey::open("what_is_no_signal_is_ignored").await else {
        return;
    };
    let presence = open(&place.0);
    let port = Presence::Valkey(presence.clone());
    let mut signals = subscribe(&port).await;
    let mut connection = presence.0.pool.get().await.expect("it is up");
    let long = "x".repeat(100_000);
    let bad = [
        "",
        "{",
        "null",
        "[]",
        "\u{0}",
        &long,
        r#"{"type": "unknown"}"#,
        r#"{"type": "typing", "roomId": "x", "userId": "y", "isTyping": true}"#,
        r#"{"type": "offline"}"#,
    ];
    for text in bad {
        let _: i64 = connection.publish(CHANNEL, text).await.expect("it is up");
    }
    let good = typing();
    port.signal(std::slice::from_ref(&good))
        .await
        .expect("it is up");
    expect_signal(&mut signals, &good).await;
}

#[test]
fn a_url_that_is_not_one_is_not_told() {
    let url = SecretString::from("http://:hunter2@somewhere");
    let error = ValkeyPresence::open(&url.into()).expect_err("no URL of Valkey");
    let told = format!("{error} {error:?}");
    assert!(!told.contains("hunter2"), "{told}");
}
