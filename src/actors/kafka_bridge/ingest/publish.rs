//! What becomes of a batch once it is stored: everybody is told, and the dead are buried.

use backon::BackoffBuilder;

use super::{Ingest, backoff};
use crate::{
    actors::kafka_bridge::{encode, publish},
    event::Event,
    message::{PersistedMessage, decode_origin},
    message_log::{Appending, MessageLog, NewRecord, Record, Topic, dead_letter},
    store::RecordOutcome,
};

/// What a record became.
enum Publication {
    Stored(PersistedMessage),
    Dead(NewRecord),
}

impl Publication {
    fn record(&self) -> NewRecord {
        match self {
            Self::Stored(msg) => persisted_record(msg),
            Self::Dead(letter) => letter.clone(),
        }
    }
}

/// Appends what each record became, here and now, so that the records of a room stay in order; the
/// future ends when the log has all of it.
pub(super) fn all(
    ingest: &Ingest,
    partition: u32,
    records: &[Record],
    outcomes: Vec<RecordOutcome>,
) -> impl Future<Output = ()> + Send + use<> {
    let sent = records.iter().zip(outcomes);
    let publications: Vec<_> = sent
        .filter(|(record, _)| !record.is_hole)
        .map(|(record, outcome)| match outcome {
            RecordOutcome::New(msg)
            | RecordOutcome::Duplicate(msg)
            | RecordOutcome::Replayed(msg) => Publication::Stored(msg),
            RecordOutcome::Dead { reason, .. } => {
                tell_sender(ingest, record, &reason);
                let source = dead_letter::Source {
                    topic: Topic::Messages.name().to_owned(),
                    partition,
                    offset: record.offset,
                };
                Publication::Dead(dead_letter::record(&record.value, &reason, &source))
            }
        })
        .collect();
    let log = ingest.log.clone();
    let appending = append(&log, &publications);
    async move {
        let mut left = failed(publications, appending).await;
        let mut pauses = backoff().build();
        while !left.is_empty() {
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
            let appending = append(&log, &left);
            left = failed(left, appending).await;
        }
    }
}

fn append(log: &MessageLog, publications: &[Publication]) -> Vec<Appending> {
    let records = publications.iter().map(Publication::record);
    records.map(|record| log.append(record)).collect()
}

/// Waits for the log's answers; returns what it did not take, in order.
async fn failed(publications: Vec<Publication>, appending: Vec<Appending>) -> Vec<Publication> {
    let mut left = Vec::new();
    let mut reason = None;
    for (publication, appending) in publications.into_iter().zip(appending) {
        if let Err(error) = appending.await {
            left.push(publication);
            reason.get_or_insert(error);
        }
    }
    if let Some(error) = reason {
        log::warn!(records = left.len(), error:%; "records are not published yet");
    }
    left
}

fn persisted_record(msg: &PersistedMessage) -> NewRecord {
    NewRecord {
        topic: Topic::Persisted,
        key: msg.room_id.to_string(),
        value: encode(msg),
        headers: Vec::new(),
    }
}

fn tell_sender(ingest: &Ingest, record: &Record, reason: &str) {
    log::error!(offset = record.offset, reason:%; "a record can never be stored");
    if let Some(origin) = decode_origin(&record.value) {
        let event = Event::MessageRejected {
            room_id: origin.room_id,
            sender_id: origin.sender_id,
            client_msg_id: origin.client_msg_id,
            reason: reason.to_owned(),
        };
        drop(publish(&ingest.log, ingest.server_id, event));
    }
}
