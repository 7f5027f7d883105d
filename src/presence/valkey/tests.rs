//! The port's suite on the shared Valkey, and what only Valkey can do: be away.

mod away;
pub(crate) mod private;

use std::time::{Duration, Instant};

use deadpool_redis::redis::AsyncCommands;
use secrecy::SecretString;
use tokio::time::{sleep, timeout};

use self::private::PrivateValkey;
use super::{
    CHANNEL, ValkeyPresence,
    scripts::{LINGER, key},
};
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

/// How long a call has here. What a gateway gives it is a matter of the one test that is about it:
/// a machine that is busy with other tests may need longer.
const CALL_PATIENCE: Duration = Duration::from_secs(5);

fn open(config: &RedisConfig) -> ValkeyPresence {
    ValkeyPresence::open_with(config, CALL_PATIENCE).expect("a URL of Valkey")
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
    // Not the shared one, where gateways of other tests come, too, and say the same.
    let Some(server) = PrivateValkey::start("gateways_hear_each_other", None).await else {
        return;
    };
    let gateway = || Presence::Valkey(server.presence());
    let (here, there) = (gateway(), gateway());
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
    let later = gateway();
    let _signals = later.signals();
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
    let began = Instant::now();
    presence.touch(&[phone, laptop]).await.expect("it is up");
    let mut connection = presence.0.pool.get().await.expect("it is up");
    let name = format!("presence:user:{user}");
    assert_eq!(name, key(user));
    let mut fields: Vec<String> = connection.hkeys(&name).await.expect("a hash");
    let mut expected = [phone, laptop].map(|socket| socket.session_id.to_string());
    fields.sort();
    expected.sort();
    assert_eq!(fields, expected);
    let left: i64 = connection.pttl(&name).await.expect("it is up");
    let left = Duration::from_millis(left.try_into().expect("it runs out"));
    // It outlives the last of its sockets. A second for clocks that are set meanwhile.
    let most = ALIVE + LINGER;
    let least = most.saturating_sub(began.elapsed() + Duration::from_secs(1));
    assert!((least..=most).contains(&left), "{left:?}");
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
