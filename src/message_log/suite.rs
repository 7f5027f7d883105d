//! What every adapter of the port must do: one suite, run by each adapter's own tests.
//!
//! An adapter implements [`Fixture`] and calls [`message_log_suite!`](message_log_suite) with it.

use std::{collections::HashMap, time::Duration};

use tokio::time::timeout;

use super::{
    AppendError, Appending, BroadcastEvent, BroadcastStream, IngestEvent, IngestStream, MessageLog,
    NewRecord, Record, Topic,
};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// One log, opened as often as a test wants, by one process at a time.
pub(crate) trait Fixture: Sized {
    /// Makes the place of a log that holds nothing.
    async fn new() -> Self;

    /// Opens the log that the place holds.
    async fn open(&self) -> MessageLog;
}

/// Makes a test of each function of the suite.
macro_rules! message_log_suite {
    ($fixture:ty) => {
        $crate::message_log::suite::message_log_suite!($fixture:
            records_of_a_key_come_back_in_the_order_of_their_appends,
            offsets_have_no_hole,
            an_accepted_record_survives_a_restart,
            a_record_is_appended_though_nobody_waits_for_the_answer,
            reading_resumes_from_an_offset,
            a_live_reader_gets_what_is_appended_later,
            the_last_reader_wins,
            a_commit_is_remembered,
            what_was_not_committed_is_read_again,
            a_commit_never_moves_back,
            a_dead_letter_is_accepted,
            broadcast_records_arrive_in_the_order_of_their_appends,
            the_last_subscriber_wins,
            nothing_is_appended_after_the_close,
            what_was_queued_before_the_close_is_kept,
            closing_twice_is_closing_once,
            a_reader_ends_when_the_log_closes,
        );
    };
    ($fixture:ty: $($name:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            $crate::message_log::suite::$name::<$fixture>().await;
        }
    )+};
}
pub(crate) use message_log_suite;

/// Makes a record of a key with a number for a value.
pub(crate) fn record(topic: Topic, key: &str, n: usize) -> NewRecord {
    NewRecord {
        topic,
        key: key.to_owned(),
        value: value(key, n).into(),
        headers: Vec::new(),
    }
}

fn value(key: &str, n: usize) -> String {
    format!("{key}:{n}")
}

/// Appends numbered messages one after the other, then waits for all answers.
pub(crate) async fn append_messages(log: &MessageLog, key: &str, numbers: std::ops::Range<usize>) {
    let appending: Vec<Appending> = numbers
        .map(|n| log.append(record(Topic::Messages, key, n)))
        .collect();
    for answer in appending {
        in_time(answer).await.expect("an accepted record");
    }
}

/// Waits, but not for ever.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .expect("an answer within the time for it")
}

/// Every partition from its beginning.
pub(crate) fn from_zero(log: &MessageLog) -> Vec<(u32, u64)> {
    (0..log.partitions())
        .map(|partition| (partition, 0))
        .collect()
}

async fn next_records(stream: &mut IngestStream) -> (u32, Vec<Record>) {
    match in_time(stream.recv()).await {
        Some(IngestEvent::Records { partition, records }) => {
            assert!(!records.is_empty(), "an event carries records");
            (partition, records)
        }
        other => panic!("no records: {other:?}"),
    }
}

/// Records by partition, in the order in which they were read.
type Read = HashMap<u32, Vec<Record>>;

/// Reads that many records.
pub(crate) async fn read(stream: &mut IngestStream, count: usize) -> Read {
    let mut read = Read::new();
    let mut seen = 0;
    while seen < count {
        let (partition, records) = next_records(stream).await;
        seen += records.len();
        read.entry(partition).or_default().extend(records);
    }
    assert_eq!(seen, count, "more records than were appended");
    read
}

/// Returns the values of a key, in the order in which they were read.
pub(crate) fn values_of(read: &Read, key: &str) -> Vec<String> {
    let prefix = format!("{key}:");
    read.values()
        .flatten()
        .map(|record| String::from_utf8_lossy(&record.value).into_owned())
        .filter(|value| value.starts_with(&prefix))
        .collect()
}

/// Returns the values that [`append_messages`] appends.
pub(crate) fn values(key: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| value(key, n)).collect()
}

/// Commits everything that was read.
async fn commit_all(log: &MessageLog, read: &Read) {
    for (partition, records) in read {
        let next = records.last().expect("records").offset + 1;
        log.commit(*partition, next).await.expect("a commit");
    }
}

async fn committed(log: &MessageLog) -> Vec<(u32, u64)> {
    let mut committed = Vec::new();
    for partition in 0..log.partitions() {
        let next = log.committed(partition).await.expect("an offset");
        committed.push((partition, next));
    }
    committed
}

pub(crate) async fn records_of_a_key_come_back_in_the_order_of_their_appends<F: Fixture>() {
    let log = F::new().await.open().await;
    let keys = ["a", "b", "c"];
    let appending: Vec<Appending> = (0..300)
        .flat_map(|n| keys.map(|key| log.append(record(Topic::Messages, key, n))))
        .collect();
    for answer in appending {
        in_time(answer).await.expect("an accepted record");
    }
    let read = read(&mut log.ingest(from_zero(&log)), 900).await;
    for key in keys {
        assert_eq!(values_of(&read, key), values(key, 0..300));
    }
    log.close().await;
}

pub(crate) async fn offsets_have_no_hole<F: Fixture>() {
    let log = F::new().await.open().await;
    append_messages(&log, "a", 0..700).await;
    append_messages(&log, "b", 0..700).await;
    let read = read(&mut log.ingest(from_zero(&log)), 1_400).await;
    for records in read.values() {
        let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (0..records.len() as u64).collect::<Vec<_>>());
    }
    log.close().await;
}

pub(crate) async fn an_accepted_record_survives_a_restart<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let id = log.id();
    append_messages(&log, "a", 0..10).await;
    log.close().await;
    let log = fixture.open().await;
    assert_eq!(log.id(), id);
    append_messages(&log, "a", 10..20).await;
    let read = read(&mut log.ingest(from_zero(&log)), 20).await;
    assert_eq!(values_of(&read, "a"), values("a", 0..20));
    log.close().await;
}

pub(crate) async fn a_record_is_appended_though_nobody_waits_for_the_answer<F: Fixture>() {
    let log = F::new().await.open().await;
    for n in 0..10 {
        drop(log.append(record(Topic::Messages, "a", n)));
    }
    let read = read(&mut log.ingest(from_zero(&log)), 10).await;
    assert_eq!(values_of(&read, "a"), values("a", 0..10));
    log.close().await;
}

pub(crate) async fn reading_resumes_from_an_offset<F: Fixture>() {
    let log = F::new().await.open().await;
    append_messages(&log, "a", 0..1_200).await;
    let all = read(&mut log.ingest(from_zero(&log)), 1_200).await;
    let (partition, records) = all.iter().next().expect("one partition of one key");
    for skipped in [1, 499, 500, 1_199] {
        let mut from = from_zero(&log);
        from[*partition as usize].1 = records[skipped].offset;
        let rest = read(&mut log.ingest(from), 1_200 - skipped).await;
        assert_eq!(rest[partition][..], records[skipped..], "after {skipped}");
    }
    log.close().await;
}

pub(crate) async fn a_live_reader_gets_what_is_appended_later<F: Fixture>() {
    let log = F::new().await.open().await;
    let mut stream = log.ingest(from_zero(&log));
    for n in 0..5 {
        append_messages(&log, "a", n..n + 1).await;
        let read = read(&mut stream, 1).await;
        assert_eq!(values_of(&read, "a"), values("a", n..n + 1));
    }
    log.close().await;
}

pub(crate) async fn the_last_reader_wins<F: Fixture>() {
    let log = F::new().await.open().await;
    let mut first = log.ingest(from_zero(&log));
    let mut second = log.ingest(from_zero(&log));
    append_messages(&log, "a", 0..3).await;
    let read = read(&mut second, 3).await;
    assert_eq!(values_of(&read, "a"), values("a", 0..3));
    while in_time(first.recv()).await.is_some() {}
    log.close().await;
}

pub(crate) async fn a_commit_is_remembered<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    assert_eq!(committed(&log).await, from_zero(&log), "a new log");
    append_messages(&log, "a", 0..10).await;
    let read = read(&mut log.ingest(from_zero(&log)), 10).await;
    commit_all(&log, &read).await;
    let noted = committed(&log).await;
    assert_ne!(noted, from_zero(&log));
    log.close().await;
    let log = fixture.open().await;
    assert_eq!(committed(&log).await, noted, "after a restart");
    log.close().await;
}

pub(crate) async fn what_was_not_committed_is_read_again<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    append_messages(&log, "a", 0..10).await;
    let first = read(&mut log.ingest(from_zero(&log)), 10).await;
    commit_all(&log, &first).await;
    append_messages(&log, "a", 10..20).await;
    log.close().await;
    let log = fixture.open().await;
    let from = committed(&log).await;
    let again = read(&mut log.ingest(from), 10).await;
    assert_eq!(values_of(&again, "a"), values("a", 10..20));
    log.close().await;
}

pub(crate) async fn a_commit_never_moves_back<F: Fixture>() {
    let log = F::new().await.open().await;
    append_messages(&log, "a", 0..10).await;
    let read = read(&mut log.ingest(from_zero(&log)), 10).await;
    commit_all(&log, &read).await;
    let noted = committed(&log).await;
    for (partition, _) in &noted {
        log.commit(*partition, 0).await.expect("an old commit");
    }
    assert_eq!(committed(&log).await, noted);
    log.close().await;
}

pub(crate) async fn a_dead_letter_is_accepted<F: Fixture>() {
    let log = F::new().await.open().await;
    let letter = NewRecord {
        headers: vec![("roomcast-reason", "not JSON".to_owned())],
        ..record(Topic::DeadLetters, "", 1)
    };
    in_time(log.append(letter))
        .await
        .expect("an accepted record");
    log.close().await;
}

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
    let log = F::new().await.open().await;
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
    let log = F::new().await.open().await;
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

pub(crate) async fn nothing_is_appended_after_the_close<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    assert!(log.is_healthy().await);
    log.close().await;
    assert!(!log.is_healthy().await);
    for topic in [
        Topic::Messages,
        Topic::Persisted,
        Topic::Events,
        Topic::DeadLetters,
    ] {
        let refused = in_time(log.append(record(topic, "a", 1))).await;
        assert!(matches!(refused, Err(AppendError::Refused(_))), "{topic:?}");
    }
    assert!(in_time(log.ingest(from_zero(&log)).recv()).await.is_none());
    assert!(in_time(log.broadcast().recv()).await.is_none());
    let log = fixture.open().await;
    append_messages(&log, "a", 0..1).await;
    read(&mut log.ingest(from_zero(&log)), 1).await;
    log.close().await;
}

pub(crate) async fn what_was_queued_before_the_close_is_kept<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let appending: Vec<Appending> = (0..2_000)
        .map(|n| log.append(record(Topic::Messages, "a", n)))
        .collect();
    in_time(log.close()).await;
    for answer in appending {
        in_time(answer).await.expect("an accepted record");
    }
    let log = fixture.open().await;
    let read = read(&mut log.ingest(from_zero(&log)), 2_000).await;
    assert_eq!(values_of(&read, "a"), values("a", 0..2_000));
    log.close().await;
}

pub(crate) async fn closing_twice_is_closing_once<F: Fixture>() {
    let log = F::new().await.open().await;
    append_messages(&log, "a", 0..1).await;
    in_time(futures_util::future::join(log.close(), log.close())).await;
    in_time(log.close()).await;
}

pub(crate) async fn a_reader_ends_when_the_log_closes<F: Fixture>() {
    let log = F::new().await.open().await;
    let mut stream = log.ingest(from_zero(&log));
    let mut broadcast = log.broadcast();
    append_messages(&log, "a", 0..1).await;
    in_time(log.close()).await;
    while in_time(stream.recv()).await.is_some() {}
    assert!(in_time(broadcast.recv()).await.is_none());
}
