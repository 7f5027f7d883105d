//! What a dead letter looks like: the value, cut, and where it came from in text headers.

use bytes::Bytes;

use super::{NewRecord, Topic};
use crate::message::decode_origin;

/// Most of a record's value that its dead letter carries, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

const REASON: &str = "roomcast-reason";
const TOPIC: &str = "roomcast-topic";
const PARTITION: &str = "roomcast-partition";
const OFFSET: &str = "roomcast-offset";

/// How long the value was before it was cut, in bytes.
const LENGTH: &str = "roomcast-length";

/// Where a dead record was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
}

/// Makes the dead letter of a record.
#[must_use]
pub fn record(value: &Bytes, reason: &str, source: &Source) -> NewRecord {
    NewRecord {
        topic: Topic::DeadLetters,
        key: String::new(),
        value: value.slice(..value.len().min(MAX_VALUE_BYTES)),
        headers: vec![
            (REASON, reason.to_owned()),
            (TOPIC, source.topic.clone()),
            (PARTITION, source.partition.to_string()),
            (OFFSET, source.offset.to_string()),
            (LENGTH, value.len().to_string()),
        ],
    }
}

/// A record that can never be stored, as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub partition: u32,
    pub offset: u64,
    pub reason: String,
    /// `None` when its headers do not say: somebody else wrote it.
    pub source: Option<Source>,
    pub value: Bytes,
    /// Whether the value is only the beginning of what was sent.
    pub is_cut: bool,
}

impl DeadLetter {
    /// Reads a dead letter from its headers and value.
    #[must_use]
    pub fn read(partition: u32, offset: u64, headers: &[(String, String)], value: Bytes) -> Self {
        let header = |name: &str| {
            let found = headers.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        let number = |name: &str| header(name)?.parse::<u64>().ok();
        let source = || {
            Some(Source {
                topic: header(TOPIC)?.to_owned(),
                partition: header(PARTITION)?.parse().ok()?,
                offset: number(OFFSET)?,
            })
        };
        let is_cut = number(LENGTH).map_or(value.len() >= MAX_VALUE_BYTES, |length| {
            length > value.len() as u64
        });
        Self {
            partition,
            offset,
            reason: header(REASON).unwrap_or("unknown").to_owned(),
            source: source(),
            value,
            is_cut,
        }
    }

    /// Makes the record that tries again; `None` when only its beginning is left.
    #[must_use]
    pub fn again(&self) -> Option<NewRecord> {
        // Without a room in it, it is dead again, wherever it goes.
        let room = decode_origin(&self.value).and_then(|origin| origin.room_id);
        (!self.is_cut).then(|| NewRecord {
            topic: Topic::Messages,
            key: room.map(|room| room.to_string()).unwrap_or_default(),
            value: self.value.clone(),
            headers: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &[u8]) -> DeadLetter {
        let source = Source {
            topic: "chat.messages.v1".into(),
            partition: 2,
            offset: 40,
        };
        let record = record(&Bytes::copy_from_slice(value), "not JSON", &source);
        let headers: Vec<_> = record
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let letter = DeadLetter::read(0, 7, &headers, record.value);
        assert_eq!(letter.source, Some(source));
        assert_eq!((letter.offset, letter.reason.as_str()), (7, "not JSON"));
        letter
    }

    #[test]
    fn what_is_whole_is_sent_again_to_its_room() {
        let room = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let value = format!(r#"{{"roomId":"{room}","senderId":"{room}","clientMsgId":"{room}"}}"#);
        let again = written(value.as_bytes()).again().expect("it is whole");
        assert_eq!((again.topic, again.key.as_str()), (Topic::Messages, room));
        assert_eq!(again.value, value);
        let unreadable = written(b"no json").again().expect("it is whole");
        assert_eq!(unreadable.key, "");
    }

    #[test]
    fn what_was_cut_is_not_sent_again() {
        let whole = written(&[b'x'; MAX_VALUE_BYTES]);
        assert!(!whole.is_cut);
        let cut = written(&[b'x'; MAX_VALUE_BYTES + 1]);
        assert!(cut.is_cut && cut.again().is_none());
        let foreign = DeadLetter::read(0, 0, &[], vec![b'x'; MAX_VALUE_BYTES].into());
        assert!(foreign.is_cut && foreign.source.is_none());
    }
}
