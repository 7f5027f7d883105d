//! The worker's half of the bridge: log → persistor → publish → commit.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use fail::fail_point;
use futures_util::future::join_all;

use super::{BridgeParts, encode, publish};
use crate::{
    actors::{persistor::PersistBatch, supervision::give_up},
    event::Event,
    message::{PersistedMessage, decode_origin},
    message_log::{AppendError, IngestEvent, NewRecord, Record, Topic},
    metrics::{self, ActorKind},
    store::{IngestError, Ingested, RecordOutcome, StoreError},
};

/// Most of a record's value that its dead letter carries, in bytes.
const DEAD_LETTER_BYTES: usize = 64 * 1024;

/// Why a partition is not read on.
enum Stop {
    /// The store is at another offset than this reader: begin again from the offsets.
    Reread,
    /// The store counts the offsets of another log: an operator must decide.
    OtherLog,
}

fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
}

/// Reads the log from where the store and the last commit left it, for as long as it is polled.
pub(super) async fn run(parts: BridgeParts) {
    let mut pauses = backoff().build();
    loop {
        match read(&parts).await {
            Ok(()) | Err(Stop::Reread) => {}
            Err(Stop::OtherLog) => {
                log::error!("the database belongs to another message log: the process ends");
                return give_up(ActorKind::KafkaBridge);
            }
        }
        tokio::time::sleep(pauses.next().unwrap_or_default()).await;
    }
}

async fn read(parts: &BridgeParts) -> Result<(), Stop> {
    let from = starts(parts).await;
    let mut events = parts.log.ingest(from);
    while let Some(event) = events.recv().await {
        match event {
            IngestEvent::Records { partition, records } => {
                ingest(parts, partition, records).await?;
            }
            IngestEvent::Failed(reason) => {
                log::error!(reason:%; "the message log cannot be read");
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Returns where to begin: what is stored but not known to be published is read again.
async fn starts(parts: &BridgeParts) -> Vec<(u32, u64)> {
    let attempt = || async {
        let ingested = parts.store.ingest_offsets().await?;
        let mut from = Vec::new();
        for partition in 0..parts.log.partitions() {
            let committed = parts.log.committed(partition).await;
            let committed = committed.map_err(|e| StoreError::Unavailable(e.to_string()))?;
            let next = ingested
                .iter()
                .find(|(known, _)| *known == partition)
                .map_or(0, |(_, next)| *next);
            from.push((partition, next.min(committed)));
        }
        Ok::<_, StoreError>(from)
    };
    attempt
        .retry(backoff())
        .notify(|error, _| log::warn!(error:%; "waiting for the ingest offsets"))
        .await
        .unwrap_or_default()
}

async fn ingest(parts: &BridgeParts, partition: u32, records: Vec<Record>) -> Result<(), Stop> {
    let next = records.last().map_or(0, |record| record.offset + 1);
    let outcomes = persist(parts, partition, &records).await?;
    fail_point!("kafka-bridge-publish");
    publish_all(parts, partition, &records, outcomes).await;
    if let Err(error) = parts.log.commit(partition, next).await {
        log::warn!(error:%; "a commit was not noted: its records will be read again");
    }
    Ok(())
}

/// Asks the partition's persistor until it has an answer; never skips a record.
async fn persist(
    parts: &BridgeParts,
    partition: u32,
    records: &[Record],
) -> Result<Vec<RecordOutcome>, Stop> {
    let persistor = &parts.persistors[partition as usize % parts.persistors.len()];
    let attempt = || async {
        metrics::get().actor(ActorKind::Persistor).sent();
        let answer = persistor.get().send(PersistBatch {
            log_id: parts.log.id(),
            partition,
            records: records.to_vec(),
        });
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(IngestError::Store(StoreError::Unavailable(
                "the persistor died".into(),
            ))),
        }
    };
    let ingested = attempt
        .retry(backoff())
        .when(|error| matches!(error, IngestError::Store(_)))
        .notify(|error, _| {
            metrics::get().persist_retries.increment(1);
            log::warn!(error:%; "a batch is not stored yet");
        })
        .await;
    match ingested {
        Ok(Ingested::Done(outcomes)) => Ok(outcomes),
        Ok(Ingested::Behind { .. }) => Err(Stop::Reread),
        Err(error) => {
            log::error!(error:%; "a batch cannot be stored");
            Err(match error {
                IngestError::OtherLog => Stop::OtherLog,
                _ => Stop::Reread,
            })
        }
    }
}

async fn publish_all(
    parts: &BridgeParts,
    partition: u32,
    records: &[Record],
    outcomes: Vec<RecordOutcome>,
) {
    let publishing = records.iter().zip(outcomes).map(|(record, outcome)| {
        // Appended here and now, so that the records of a room stay in order.
        let published = match &outcome {
            RecordOutcome::New(msg)
            | RecordOutcome::Duplicate(msg)
            | RecordOutcome::Replayed(msg) => append(parts, persisted_record(msg)),
            RecordOutcome::Dead { reason, .. } => {
                append(parts, dead_letter(partition, record, reason))
            }
        };
        if let RecordOutcome::Dead { reason, .. } = &outcome {
            tell_sender(parts, record, reason);
        }
        published
    });
    join_all(publishing.collect::<Vec<_>>()).await;
}

/// Appends a record, again and again until the log has it.
fn append(parts: &BridgeParts, record: NewRecord) -> impl Future<Output = ()> + use<> {
    let log = parts.log.clone();
    let first = log.append(record.clone());
    async move {
        let Err(error) = first.await else { return };
        log::warn!(error:%; "a record is not published yet");
        let again = || log.append(record.clone());
        let _: Result<(), AppendError> = again.retry(backoff()).await;
    }
}

fn persisted_record(msg: &PersistedMessage) -> NewRecord {
    NewRecord {
        topic: Topic::Persisted,
        key: msg.room_id.to_string(),
        value: encode(msg),
        headers: Vec::new(),
    }
}

fn dead_letter(partition: u32, record: &Record, reason: &str) -> NewRecord {
    let value = record
        .value
        .slice(..record.value.len().min(DEAD_LETTER_BYTES));
    NewRecord {
        topic: Topic::DeadLetters,
        key: String::new(),
        value,
        headers: vec![
            ("roomcast-reason", reason.to_owned()),
            ("roomcast-topic", Topic::Messages.name().to_owned()),
            ("roomcast-partition", partition.to_string()),
            ("roomcast-offset", record.offset.to_string()),
        ],
    }
}

fn tell_sender(parts: &BridgeParts, record: &Record, reason: &str) {
    log::error!(offset = record.offset, reason:%; "a record can never be stored");
    if let Some(origin) = decode_origin(&record.value) {
        let event = Event::MessageRejected {
            room_id: origin.room_id,
            sender_id: origin.sender_id,
            client_msg_id: origin.client_msg_id,
            reason: reason.to_owned(),
        };
        drop(publish(parts, event));
    }
}
