//! What every adapter of the port must do: one suite, run by each adapter's own tests.
//!
//! An adapter implements [`Fixture`] and calls [`message_log_suite!`](message_log_suite) with it.

pub(crate) mod broadcast;
pub(crate) mod close;
pub(crate) mod ingest;

use std::{collections::HashMap, ops::Range, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::{
    Appending, Assignment, IngestEvent, IngestStream, MessageLog, NewRecord, Record, Topic,
};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// One log, opened as often as a test wants, by one process at a time.
pub(crate) trait Fixture: Sized {
    /// Returns whether there is what it needs; says so if not.
    fn is_available() -> bool {
        true
    }

    /// Makes the place of a log that holds nothing.
    async fn new() -> Self;

    /// Opens the log that the place holds.
    async fn open(&self) -> MessageLog;
}

/// Makes a test of each function of the suite.
macro_rules! message_log_suite {
    ($fixture:ty) => {
        $crate::message_log::suite::message_log_suite!($fixture, ingest:
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
        );
        $crate::message_log::suite::message_log_suite!($fixture, broadcast:
            broadcast_records_arrive_in_the_order_of_their_appends,
            the_last_subscriber_wins,
        );
        $crate::message_log::suite::message_log_suite!($fixture, close:
            nothing_is_appended_after_the_close,
            what_was_queued_before_the_close_is_kept,
            closing_twice_is_closing_once,
            a_reader_ends_when_the_log_closes,
        );
    };
    ($fixture:ty, $module:ident: $($name:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            if !<$fixture as $crate::message_log::suite::Fixture>::is_available() {
                return;
            }
            $crate::message_log::suite::$module::$name::<$fixture>().await;
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
pub(crate) async fn append_messages(log: &MessageLog, key: &str, numbers: Range<usize>) {
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

/// Batches of all partitions, each with its partition.
pub(crate) type Batches = mpsc::Receiver<(u32, Vec<Record>)>;

/// Reads each partition from an offset, or from where it was committed.
pub(crate) fn ingest(log: &MessageLog, from: Vec<(u32, u64)>) -> Batches {
    let (sender, batches) = mpsc::channel(1);
    // Before anything is awaited, so that the caller's order is the readers' order.
    let stream = log.ingest();
    tokio::spawn(follow(stream, from, sender));
    batches
}

async fn follow(
    mut stream: IngestStream,
    from: Vec<(u32, u64)>,
    sender: mpsc::Sender<(u32, Vec<Record>)>,
) {
    while let Some(event) = stream.recv().await {
        match event {
            IngestEvent::Assigned(assignments) => {
                for assignment in assignments {
                    let start = from.iter().find(|(p, _)| *p == assignment.partition);
                    let start =
                        start.map_or(assignment.committed.unwrap_or(0), |(_, start)| *start);
                    tokio::spawn(forward(assignment, start, sender.clone()));
                }
            }
            IngestEvent::Revoked { drained, .. } => drop(drained.send(())),
            IngestEvent::Failed(_) => return,
        }
    }
}

async fn forward(mut assignment: Assignment, start: u64, sender: mpsc::Sender<(u32, Vec<Record>)>) {
    if assignment.reader.seek(start).await.is_err() {
        return;
    }
    while let Some(records) = assignment.reader.recv().await {
        assert!(!records.is_empty(), "a batch carries records");
        if sender.send((assignment.partition, records)).await.is_err() {
            return;
        }
    }
}

/// Records by partition, in the order in which they were read.
type Read = HashMap<u32, Vec<Record>>;

/// Reads that many records.
pub(crate) async fn read(batches: &mut Batches, count: usize) -> Read {
    let mut read = Read::new();
    let mut seen = 0;
    while seen < count {
        let (partition, records) = in_time(batches.recv()).await.expect("more records");
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
pub(crate) fn values(key: &str, numbers: Range<usize>) -> Vec<String> {
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
