//! Several workers in one group: partitions move, records stay in order, none is lost.

use std::collections::BTreeMap;

use super::*;
use crate::message_log::{Assignment, IngestEvent, Record};

/// What one worker did with a partition, in order.
#[derive(Debug, Default)]
struct Worked {
    /// Offsets by partition.
    offsets: BTreeMap<u32, Vec<u64>>,
    values: Vec<String>,
    /// How many partitions it was given last; `None` before the group has given it any answer.
    given: Option<usize>,
}

/// Works like the bridge: reads from the commit on, commits each batch; when partitions are taken
/// away, finishes the batch that it has.
struct TestWorker {
    log: KafkaLog,
    done: Arc<Mutex<Worked>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl TestWorker {
    async fn start(fixture: &KafkaFixture, commits: bool) -> Self {
        let log = fixture.open_log().await;
        let done = Arc::<Mutex<Worked>>::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let work = work(log.clone(), Arc::clone(&done), commits);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                _ = stopped => {}
            }
        });
        Self {
            log,
            done,
            stop: Some(stop),
            task,
        }
    }

    fn partitions(&self) -> Vec<u32> {
        lock(&self.done).offsets.keys().copied().collect()
    }

    /// Leaves properly: what was handed out is finished and committed.
    async fn close(self) {
        suite::in_time(self.log.close()).await;
        suite::in_time(self.task).await.expect("no panic");
    }

    /// Dies: nothing more is worked on or committed.
    async fn kill(mut self) {
        drop(self.stop.take());
        suite::in_time(self.task).await.expect("no panic");
    }
}

async fn work(log: KafkaLog, done: Arc<Mutex<Worked>>, commits: bool) {
    let mut events = log.ingest();
    let mut tasks = HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            IngestEvent::Assigned(assignments) => {
                lock(&done).given = Some(assignments.len());
                for assignment in assignments {
                    lock(&done).offsets.entry(assignment.partition).or_default();
                    let number = assignment.partition;
                    let (log, done) = (log.clone(), Arc::clone(&done));
                    let log = commits.then_some(log);
                    tasks.insert(number, Task(tokio::spawn(read(log, done, assignment))));
                }
            }
            IngestEvent::Revoked {
                partitions,
                drained,
            } => {
                for partition in partitions {
                    if let Some(mut task) = tasks.remove(&partition) {
                        // Between two batches: one is noted and committed without a pause.
                        task.0.abort();
                        let _ = (&mut task.0).await;
                    }
                }
                let _ = drained.send(());
            }
            IngestEvent::Failed(reason) => panic!("{reason}"),
        }
    }
}

/// Ends with its handle.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(log: Option<KafkaLog>, done: Arc<Mutex<Worked>>, mut assignment: Assignment) {
    let start = assignment.committed.unwrap_or(assignment.first);
    assignment.reader.seek(start).await.expect("it is ours");
    while let Some(records) = assignment.reader.recv().await {
        note(&done, assignment.partition, &records);
        let next = records.last().expect("records").offset + 1;
        if let Some(log) = &log {
            log.commit(assignment.partition, next).expect("it is ours");
        }
        tokio::task::yield_now().await;
    }
}

fn note(done: &Mutex<Worked>, partition: u32, records: &[Record]) {
    let mut done = lock(done);
    let offsets = records.iter().map(|record| record.offset);
    done.offsets.entry(partition).or_default().extend(offsets);
    let text = |record: &Record| String::from_utf8_lossy(&record.value).into_owned();
    done.values.extend(records.iter().map(text));
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(Duration::from_secs(40), waiting).await;
    waited.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn append(log: &KafkaLog, numbers: std::ops::Range<usize>) {
    let log = MessageLog::Kafka(log.clone());
    for key in ["a", "b", "c", "d", "e", "f"] {
        suite::append_messages(&log, key, numbers.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_takes_over_and_no_record_is_lost_or_read_twice() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    let first = TestWorker::start(&fixture, true).await;
    append(&first.log, 0..50).await;
    until("the first has all", || {
        lock(&first.done).values.len() == 300
    })
    .await;
    let second = TestWorker::start(&fixture, true).await;
    until("the second has some", || !second.partitions().is_empty()).await;
    append(&first.log, 50..100).await;
    let seen = || lock(&first.done).values.len() + lock(&second.done).values.len();
    until("all were read", || seen() >= 600).await;
    let (first_done, second_done) = (Arc::clone(&first.done), Arc::clone(&second.done));
    assert!(!lock(&second_done).values.is_empty(), "the second worked");
    first.close().await;
    append(&second.log, 100..150).await;
    let seen = || lock(&first_done).values.len() + lock(&second_done).values.len();
    until("the second has the rest", || seen() >= 900).await;
    second.close().await;

    let (first, second) = (lock(&first_done), lock(&second_done));
    let mut offsets = first.offsets.clone();
    for (partition, more) in &second.offsets {
        offsets.entry(*partition).or_default().extend(more);
    }
    // Handed over with everything committed: each offset once, in order, though by two workers.
    for (partition, offsets) in offsets {
        let expected: Vec<u64> = (0..offsets.len() as u64).collect();
        assert_eq!(offsets, expected, "partition {partition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_more_than_there_are_partitions_takes_over_from_the_others() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(TestWorker::start(&fixture, true).await);
    }
    let has_none = |worker: &TestWorker| lock(&worker.done).given == Some(0);
    until("one has nothing to do", || workers.iter().any(has_none)).await;
    append(&workers[0].log, 0..10).await;
    let seen = |workers: &[TestWorker]| -> usize {
        let seen = workers.iter().map(|it| lock(&it.done).values.len());
        seen.sum()
    };
    until("all were read", || seen(&workers) >= 60).await;
    let spare = workers.iter().position(has_none).expect("one of four");
    let spare = workers.swap_remove(spare);
    for worker in workers {
        worker.close().await;
    }
    let had = lock(&spare.done).values.len();
    append(&spare.log, 10..20).await;
    until("it has the rest", || {
        lock(&spare.done).values.len() >= had + 60
    })
    .await;
    spare.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_bridge_did_not_commit_is_read_again() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    let first = TestWorker::start(&fixture, false).await;
    append(&first.log, 0..50).await;
    until("the first has all", || {
        lock(&first.done).values.len() == 300
    })
    .await;
    let log = first.log.clone();
    first.kill().await;
    let second = TestWorker::start(&fixture, true).await;
    until("the second has all", || {
        lock(&second.done).values.len() == 300
    })
    .await;
    second.close().await;
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_taken_away_cannot_be_committed() {
    if !has_kafka() {
        return;
    }
    let fixture = KafkaFixture::new().await;
    let log = fixture.open_log().await;
    let refused = log.commit(0, 1);
    assert!(
        matches!(refused, Err(LogError::Unavailable(_))),
        "{refused:?}"
    );
    log.close().await;
}
