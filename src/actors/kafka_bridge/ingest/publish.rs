//! What becomes of a batch once it is stored: everybody is told, and the dead are buried.

use backon::Retryable;
use futures_util::{FutureExt, future::join_all};

use super::{Ingest, backoff};
use crate::{
    actors::kafka_bridge::{encode, publish},
    event::Event,
    message::{PersistedMessage, decode_origin},
    message_log::{AppendError, MessageLog, NewRecord, Record, Topic, dead_letter},
    store::RecordOutcome,
};

/// Appends what each record became, here and now, so that the records of a room stay in order; the
/// future ends when the log has all of it.
pub(super) fn all(
    ingest: &Ingest,
    partition: u32,
    records: &[Record],
    outcomes: Vec<RecordOutcome>,
) -> impl Future<Output = ()> + Send + use<> {
    let sent = records.iter().zip(outcomes);
    let publishing: Vec<_> = sent
        .filter(|(record, _)| !record.is_hole)
        .map(|(record, outcome)| match outcome {
            RecordOutcome::New(msg)
            | RecordOutcome::Duplicate(msg)
            | RecordOutcome::Replayed(msg) => append(&ingest.log, persisted_record(&msg)),
            RecordOutcome::Dead { reason, .. } => {
                tell_sender(ingest, record, &reason);
                let source = dead_letter::Source {
                    topic: Topic::Messages.name().to_owned(),
                    partition,
                    offset: record.offset,
                };
                append(
                    &ingest.log,
                    dead_letter::record(&record.value, &reason, &source),
                )
            }
        })
        .collect();
    join_all(publishing).map(|_| ())
}

/// Appends a record, again and again until the log has it.
fn append(log: &MessageLog, record: NewRecord) -> impl Future<Output = ()> + Send + use<> {
    let log = log.clone();
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
