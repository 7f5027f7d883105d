//! What clients and operators see while a service is away, under load.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use super::{probe::online, system::System};
use crate::harness::{TestUser, uuid};

/// Nothing is accepted, and everybody is told to try again.
pub async fn kafka_is_away(system: &System) {
    system.answer("/health/ready", 503).await;
    let before = system.counted("accepted").await;
    system.count_on("failed", 20.0).await;
    for user in users(system) {
        let body = json!({ "clientMsgId": uuid(), "content": "refused" });
        let path = format!("/rooms/{}/messages", system.probe().rooms[0]);
        let answer = user.post(&path, body).await.refused(503, "UNAVAILABLE");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(system.counted("accepted").await, before, "without a broker");
}

/// Members who are known go on sending; REST says when to come back.
pub async fn postgres_is_away(system: &System) {
    system.answer("/health/ready", 503).await;
    system.count_on("accepted", 100.0).await;
    for user in users(system) {
        let answer = user.get("/rooms").await.refused(503, "UNAVAILABLE");
        assert!(answer.header("retry-after").is_some());
    }
}

/// Nobody notices, but for presence, which is unknown.
pub async fn valkey_is_away(system: &System) {
    system.answer("/health", 503).await;
    system.answer("/health/ready", 200).await;
    system.count_on("accepted", 200.0).await;
    system.count_on("delivered", 800.0).await;
    for user in users(system) {
        let room = &system.probe().rooms[0];
        assert_eq!(online(&user, room).await, [Value::Null]);
    }
}

/// Valkey forgets all it knows, and nobody notices but presence, for a while.
pub async fn flush_valkey(system: &System) {
    let url = system.services.services().valkey;
    let url = Url::parse(&url).expect("a URL");
    let address = url.socket_addrs(|| None).expect("an address");
    let mut valkey = TcpStream::connect(&*address).await.expect("it is up");
    valkey.write_all(b"FLUSHALL\r\n").await.expect("it listens");
    let mut answer = [0; 5];
    valkey.read_exact(&mut answer).await.expect("it answers");
    assert_eq!(&answer, b"+OK\r\n");
}

/// The same user, at each gateway.
fn users(system: &System) -> [TestUser; 2] {
    let user = &system.probe().user;
    system.gateways().map(|gateway| user.at(gateway))
}
