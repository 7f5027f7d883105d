//! The two broadcast topics.

use super::{Fixture, in_time, record, values};
use crate::message_log::{Appending, BroadcastEvent, BroadcastStream, Topic};

/// Reads broadcast values of both topics, each with its topic, until that many are there.
async fn broadcast_values(stream: &mut BroadcastStream, count: usize) -> Vec<(Topic, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let (topic, values) = match in_time(stream.recv()).await {
            Some(BroadcastEvent::Persisted(values)) => (Topic::Persisted, values),
            Some(BroadcastEvent::Events(values)) => (Topic::Events, values),
            other => panic!("no records: {other:?}"),
        };
        let text = |value: bytes::Bytes| String::from_utf8_lossy(&value).into_owned();
        seen.extend(values.into_iter().map(|value| (topic, text(value))));
    }
    seen
}

pub(crate) async fn broadcast_records_arrive_in_the_order_of_their_appends<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let mut stream = log.broadcast();
    let appending: Vec<Appending> = (0..3_000)
        .flat_map(|n| {
            [Topic::Persisted, Topic::Events].map(|topic| log.append(record(topic, "a", n)))
        })
        .collect();
    let seen = broadcast_values(&mut stream, 6_000).await;
    for wanted in [Topic::Persisted, Topic::Events] {
        let of_topic = seen.iter().filter(|(topic, _)| *topic == wanted);
        let of_topic: Vec<_> = of_topic.map(|(_, value)| value.clone()).collect();
        assert_eq!(of_topic, values("a", 0..3_000), "{wanted:?}");
    }
    // Asking for more is what lets go of the last ones.
    drop(log.append(record(Topic::Events, "a", 0)));
    broadcast_values(&mut stream, 1).await;
    for answer in appending {
        in_time(answer).await.expect("an accepted record");
    }
    log.close().await;
}

pub(crate) async fn the_last_subscriber_wins<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let mut first = log.broadcast();
    let mut second = log.broadcast();
    in_time(log.append(record(Topic::Persisted, "a", 1)))
        .await
        .expect("an accepted record");
    let seen = broadcast_values(&mut second, 1).await;
    assert_eq!(seen, [(Topic::Persisted, "a:1".to_owned())]);
    while in_time(first.recv()).await.is_some() {}
    log.close().await;
}
