//! The records of all topics, and what the embedded log keeps beside them.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::said;
use crate::{
    event::Announcement,
    fanout::Delivery,
    ids::{MessageId, Seq},
    message::{PersistedMessage, SubmittedMessage, decode_origin, decode_submitted},
    message_log::{
        Topic,
        dead_letter::{self, DeadLetter, Source},
        local,
    },
    protocol::dialect::Dialect,
};

/// A record is read, or is a dead letter that can be read; what was read can be passed on.
///
/// # Panics
/// Where that does not hold.
pub fn log_records(input: &[u8]) {
    let value = Bytes::copy_from_slice(input);
    match decode_submitted(&value) {
        Ok(msg) => store_and_publish(&msg),
        Err(error) => bury(&value, &error.to_string()),
    }
    if let Some(msg) = again::<PersistedMessage>(&value) {
        deliver(msg);
    }
    if let Some(Announcement { event, .. }) = again(&value) {
        assert!(!event.key().is_empty());
        assert!(
            event
                .room()
                .is_none_or(|room| event.key() == room.to_string())
        );
    }
    headers(&value);
    mark(&value);
}

fn store_and_publish(msg: &SubmittedMessage) {
    let written = serde_json::to_vec(msg).expect("JSON");
    assert_eq!(decode_submitted(&written).as_ref(), Ok(msg));
    let origin = decode_origin(&written).expect("it has one");
    assert_eq!(origin.room_id, Some(msg.room_id));
    let id = MessageId(ulid::Ulid::from(1));
    let stored = msg.persisted(id, Seq(1), msg.produced_at);
    let published = serde_json::to_vec(&stored).expect("JSON");
    assert_eq!(again(&published), Some(stored.clone()));
    deliver(stored);
}

fn bury(value: &Bytes, reason: &str) {
    let source = Source {
        topic: Topic::Messages.name().to_owned(),
        partition: 3,
        offset: u64::MAX,
    };
    let record = dead_letter::record(value, reason, &source);
    let headers: Vec<(String, String)> = record
        .headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let letter = DeadLetter::read(0, 0, &headers, record.value);
    assert_eq!(
        (letter.source.as_ref(), &*letter.reason),
        (Some(&source), reason)
    );
    match letter.again() {
        Some(again) => assert_eq!(&again.value, value),
        None => assert!(letter.is_cut),
    }
}

fn deliver(msg: PersistedMessage) {
    let delivery = Delivery::new(msg);
    for dialect in [Dialect::Json, Dialect::SocketIo] {
        said(Some(delivery.frame(dialect)));
    }
}

/// Reads a value; writes what was read, which has to be read as the same.
fn again<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(value: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(value).ok()?;
    let written = serde_json::to_vec(&read).expect("JSON");
    let second: T = serde_json::from_slice(&written).expect("what was written");
    assert_eq!(read, second);
    Some(read)
}

/// The embedded log has the headers of a dead letter as JSON.
fn headers(value: &Bytes) {
    let stored = String::from_utf8_lossy(value).into_owned();
    let letter = local::DeadLetter::new(7, (value.to_vec(), stored));
    let _ = DeadLetter::read(0, letter.offset, &letter.headers, letter.value);
}

/// A slot of the mark is read as it was written, or not at all.
fn mark(value: &[u8]) {
    let Some(body) = value.first_chunk::<48>() else {
        return;
    };
    let mut slot = [0; 52];
    slot[..48].copy_from_slice(body);
    // No fuzzer finds a checksum.
    slot[48..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    if let Some(rewritten) = local::rewritten_mark(&slot) {
        assert_eq!(rewritten, slot);
    }
    slot[51] ^= 1;
    assert_eq!(local::rewritten_mark(&slot), None);
}
