//! What the topics have to promise, and what becomes of partitions that are added.

use rdkafka::admin::{AlterConfig, NewPartitions, ResourceSpecifier};

use super::*;
use crate::message_log::{BroadcastEvent, NewRecord};

async fn refusal(fixture: &KafkaFixture) -> String {
    match fixture.try_open().await {
        Err(LogError::Refused(reason)) => reason,
        Err(other) => panic!("not refused but: {other}"),
        Ok(_) => panic!("opened"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_promise_too_little_are_refused_with_the_way_out() {
    if !has_kafka() {
        return;
    }
    let mut fixture = KafkaFixture::new().await;
    fixture.open_log().await.close().await;
    fixture.config.min_replication = 2;
    let reason = refusal(&fixture).await;
    assert!(
        reason.contains("KAFKA_MIN_REPLICATION asks for 2"),
        "{reason}"
    );
    fixture.config.min_replication = 1;
    fixture.config.min_isr = 2;
    let reason = refusal(&fixture).await;
    assert!(reason.contains("min.insync.replicas=2"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_more_copies_than_brokers_is_refused() {
    if !has_kafka() {
        return;
    }
    let mut fixture = KafkaFixture::new().await;
    fixture.config.replication = Some(50);
    let reason = refusal(&fixture).await;
    assert!(reason.contains("KAFKA_REPLICATION"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_refused() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    fixture.open_log().await.close().await;
    let name = fixture.settings().topic(Topic::Messages);
    let change = AlterConfig::new(ResourceSpecifier::Topic(&name)).set("cleanup.policy", "compact");
    let admin = fixture.admin();
    let changed = admin.alter_configs([&change], &AdminOptions::new()).await;
    changed.expect("a broker").remove(0).expect("a topic");
    // A broker answers as it knows the cluster, and hears of the change a moment later.
    let refused = async {
        loop {
            match fixture.try_open().await {
                Ok(log) => log.close().await,
                refused => return refused,
            }
        }
    };
    let refused = suite::in_time(refused).await;
    let Err(LogError::Refused(reason)) = refused else {
        panic!("not refused but: {refused:?}");
    };
    assert!(reason.contains("compacted"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topics_are_made_as_they_are_configured() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    let log = fixture.open_log().await;
    assert_eq!(log.partitions(), 3);
    let id = log.id();
    log.close().await;
    let log = fixture.open_log().await;
    assert_eq!((log.partitions(), log.id()), (3, id), "made once");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_is_unavailable() {
    let mut settings = config();
    // Nothing listens on the discard port of this machine.
    settings.brokers = vec!["127.0.0.1:9".into()];
    let opened = suite::in_time(KafkaLog::open(&settings)).await;
    assert!(
        matches!(opened, Err(LogError::Unavailable(_))),
        "{opened:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcast_partitions_that_are_added_are_read_from_their_beginning() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    let log = fixture.open_log().await;
    let mut stream = log.broadcast();
    let name = fixture.settings().topic(Topic::Events);
    let added = NewPartitions::new(&name, 6);
    let admin = fixture.admin();
    let added = admin
        .create_partitions([&added], &AdminOptions::new())
        .await;
    added.expect("a broker").remove(0).expect("a topic");
    // A producer that has not seen the new partitions uses the old ones: by another log.
    let other = fixture.open_log().await;
    let appending: Vec<_> = (0..60)
        .map(|n| {
            other.append(NewRecord {
                topic: Topic::Events,
                key: format!("key-{n}"),
                value: n.to_string().into(),
                headers: Vec::new(),
            })
        })
        .collect();
    for answer in appending {
        suite::in_time(answer).await.expect("an accepted record");
    }
    let mut seen = Vec::new();
    while seen.len() < 60 {
        match suite::in_time(stream.recv()).await {
            Some(BroadcastEvent::Events(values)) => seen.extend(values),
            other => panic!("no events: {other:?}"),
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 60);
    other.close().await;
    log.close().await;
}
