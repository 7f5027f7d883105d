//! What readers see that the port's suite does not ask.

use rdkafka::{
    ClientConfig,
    admin::AdminOptions,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use super::*;
use crate::message_log::{
    BroadcastEvent, IngestEvent, NewRecord, Record,
    dead_letter::{self, Source},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_after_the_open_is_seen_though_the_reader_begins_later() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    let early = fixture.open_log().await;
    let record = |n| suite::record(Topic::Persisted, "a", n);
    suite::in_time(early.append(record(0)))
        .await
        .expect("accepted");
    let log = fixture.open_log().await;
    suite::in_time(early.append(record(1)))
        .await
        .expect("accepted");
    let mut stream = log.broadcast();
    let event = suite::in_time(stream.recv()).await;
    match event {
        Some(BroadcastEvent::Persisted(values)) => assert_eq!(values, ["a:1"]),
        other => panic!("{other:?}"),
    }
    log.close().await;
    early.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_reader_that_died_leaves_what_it_had_in_its_hands() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    let log = fixture.open_log().await;
    let record = |n| suite::record(Topic::Persisted, "a", n);
    suite::in_time(log.append(record(0)))
        .await
        .expect("accepted");
    let mut first = log.broadcast();
    let seen = suite::in_time(first.recv()).await;
    assert!(
        matches!(seen, Some(BroadcastEvent::Persisted(_))),
        "{seen:?}"
    );
    drop(first);
    suite::in_time(log.append(record(1)))
        .await
        .expect("accepted");
    let mut second = log.broadcast();
    let mut values = Vec::new();
    while values.len() < 2 {
        match suite::in_time(second.recv()).await {
            Some(BroadcastEvent::Persisted(more)) => values.extend(more),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(values, ["a:0", "a:1"]);
    log.close().await;
}

/// Writes a record of a transaction, and behind it the marker that ends it.
///
/// A broker that has seen no transaction yet may hold the marker back for half a minute, unless
/// another transaction follows: so one does, elsewhere.
fn transact(fixture: &KafkaFixture, value: &str) {
    transact_in(fixture, Topic::Messages, value);
    transact_in(fixture, Topic::Events, value);
}

fn transact_in(fixture: &KafkaFixture, topic: Topic, value: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", fixture.config.brokers.join(","))
        .set(
            "transactional.id",
            format!("{}{}", fixture.prefix, topic.name()),
        )
        .create()
        .expect("a producer");
    let patience = Duration::from_secs(20);
    producer.init_transactions(patience).expect("a broker");
    producer.begin_transaction().expect("a transaction");
    let topic = fixture.settings().topic(topic);
    let record = BaseRecord::<(), str>::to(&topic)
        .payload(value)
        .partition(0);
    producer
        .send(record)
        .map_err(|(error, _)| error)
        .expect("room in the queue");
    producer.commit_transaction(patience).expect("a broker");
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_hold_nothing_are_read_as_holes() {
    if !has_kafka() {
        return;
    }
    let mut fixture = KafkaFixture::new().await;
    fixture.config.partitions = 1;
    let log = MessageLog::Kafka(fixture.open_log().await);
    suite::append_messages(&log, "a", 0..2).await;
    transact(&fixture, "foreign");
    suite::append_messages(&log, "a", 2..3).await;
    let read = suite::read(&mut suite::ingest(&log, vec![(0, 0)]), 5).await;
    let show = |record: &Record| (record.offset, record.is_hole);
    let shown: Vec<_> = read[&0].iter().map(show).collect();
    let holes = [(0, false), (1, false), (2, false), (3, true), (4, false)];
    assert_eq!(shown, holes);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_was_removed_is_read_as_a_hole_or_told() {
    if !has_kafka() {
        return;
    }
    let mut fixture = KafkaFixture::new().await;
    fixture.config.partitions = 1;
    let kafka = fixture.open_log().await;
    let log = MessageLog::Kafka(kafka.clone());
    suite::append_messages(&log, "a", 0..5).await;
    let topic = fixture.settings().topic(Topic::Messages);
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(3))
        .expect("an offset");
    let removed = fixture
        .admin()
        .delete_records(&list, &AdminOptions::new())
        .await;
    removed.expect("a broker");
    let mut events = kafka.ingest();
    let Some(IngestEvent::Assigned(mut assigned)) = suite::in_time(events.recv()).await else {
        panic!("nothing assigned");
    };
    let assignment = &mut assigned[0];
    assert_eq!(
        (assignment.committed, assignment.first, assignment.end),
        (None, 3, 5)
    );
    assignment.reader.seek(1).await.expect("it is ours");
    let mut records = Vec::new();
    while records.len() < 4 {
        records.extend(
            suite::in_time(assignment.reader.recv())
                .await
                .expect("records"),
        );
    }
    let shown: Vec<_> = records.iter().map(|it| (it.offset, it.is_hole)).collect();
    assert_eq!(shown, [(1, true), (2, true), (3, false), (4, false)]);
    // Nobody answers when the partition is taken away.
    drop(events);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_read_back_as_they_were_written() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    let log = fixture.open_log().await;
    let source = Source {
        topic: Topic::Messages.name().into(),
        partition: 2,
        offset: 9,
    };
    for value in ["no json", "nor this"] {
        let letter: NewRecord = dead_letter::record(&value.into(), "not JSON", &source);
        suite::in_time(log.append(letter)).await.expect("accepted");
    }
    let mut letters = log.dead_letters();
    let mut read = Vec::new();
    while let Some(letter) = suite::in_time(letters.recv()).await {
        read.push(letter.expect("a dead letter"));
    }
    let values: Vec<_> = read.iter().map(|it| it.value.clone()).collect();
    assert_eq!(values, ["no json", "nor this"]);
    assert!(read.iter().all(|it| it.source.as_ref() == Some(&source)));
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_what_was_not_committed() {
    if !has_kafka() {
        return;
    }
    let mut fixture = KafkaFixture::new().await;
    fixture.config.partitions = 1;
    let kafka = fixture.open_log().await;
    let log = MessageLog::Kafka(kafka.clone());
    suite::append_messages(&log, "a", 0..10).await;
    let mut batches = suite::ingest(&log, vec![(0, 0)]);
    suite::read(&mut batches, 10).await;
    log.commit(0, 7).await.expect("it is ours");
    let counted = async {
        while kafka.lag().iter().all(|lag| lag.records != 3) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    suite::in_time(counted).await;
    log.close().await;
}
