//! What becomes of each record of a batch, once everything about it was read: pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    clock::Timestamp,
    ids::{EventId, LogId, RoomId, UserId},
    message::{DedupKey, PersistedMessage, SubmittedMessage},
    store::{RecordOutcome, ingest::Head},
};

/// A record, or why it can never be stored.
pub(super) type Entry<'a> = Result<&'a SubmittedMessage, String>;

/// Messages found by their keys, marked as duplicates, and the records that stored them.
pub(super) type Stored = HashMap<DedupKey, (EventId, PersistedMessage)>;

/// What a transaction knows before it decides.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) next: u64,
    pub(super) log_id: Option<LogId>,
    /// Of the rooms that exist; locked.
    pub(super) heads: BTreeMap<RoomId, Head>,
    pub(super) stored: Stored,
    pub(super) senders: HashSet<UserId>,
}

/// A message to be stored, at its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) msg: &'a SubmittedMessage,
    pub(super) place: Head,
}

/// Returns what an earlier ingest made of a record.
pub(super) fn replay(entry: &Entry<'_>, stored: &Stored) -> RecordOutcome {
    let dead = |reason: &str| RecordOutcome::Dead {
        reason: reason.to_owned(),
        replayed: true,
    };
    let msg = match entry {
        Ok(msg) => msg,
        Err(reason) => return dead(reason),
    };
    match stored.get(&msg.dedup_key()) {
        Some((event_id, stored)) => RecordOutcome::Replayed(PersistedMessage {
            replayed: *event_id == msg.event_id,
            ..stored.clone()
        }),
        None => dead("it could not be stored when it was read first"),
    }
}

/// New records under way.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) now: Timestamp,
    /// Of the rooms that exist; locked.
    pub(super) heads: BTreeMap<RoomId, Head>,
    pub(super) senders: HashSet<UserId>,
    pub(super) stored: Stored,
    /// What became of the batch so far.
    pub(super) outcomes: Vec<RecordOutcome>,
    /// Where among them the messages are that it stores.
    placed: HashMap<DedupKey, usize>,
    /// To be inserted.
    pub(super) rows: Vec<Row<'a>>,
}

impl<'a> Plan<'a> {
    /// Begins with what is there, and with what became of the records before.
    pub(super) fn new(found: Found, outcomes: Vec<RecordOutcome>) -> Self {
        Self {
            now: Timestamp::now(),
            heads: found.heads,
            senders: found.senders,
            stored: found.stored,
            outcomes,
            placed: HashMap::new(),
            rows: Vec::new(),
        }
    }

    /// Gives a record its place, unless it is a repeat or can never be stored.
    pub(super) fn record(&mut self, entry: &Entry<'a>) {
        let outcome = self.judge(entry);
        self.outcomes.push(outcome);
    }

    fn judge(&mut self, entry: &Entry<'a>) -> RecordOutcome {
        let dead = |reason: &str| RecordOutcome::Dead {
            reason: reason.to_owned(),
            replayed: false,
        };
        let msg = match entry {
            Ok(msg) => *msg,
            Err(reason) => return dead(reason),
        };
        let Some(head) = self.heads.get(&msg.room_id).copied() else {
            return dead("no such room");
        };
        if !self.senders.contains(&msg.sender_id) {
            return dead("no such sender");
        }
        let key = msg.dedup_key();
        if let Some((event_id, stored)) = self.stored.get(&key) {
            return RecordOutcome::Duplicate(PersistedMessage {
                // The log is read again from its beginning.
                replayed: *event_id == msg.event_id,
                ..stored.clone()
            });
        }
        if let Some(stored) = self.placed(&key) {
            return RecordOutcome::Duplicate(PersistedMessage {
                produced_at: None,
                duplicate: true,
                ..stored.clone()
            });
        }
        let place = head.next(self.now);
        self.heads.insert(msg.room_id, place);
        self.rows.push(Row { msg, place });
        self.placed.insert(key, self.outcomes.len());
        RecordOutcome::New(msg.persisted(place.message_id, place.seq, self.now))
    }

    /// Returns the message with this key that an earlier record of the batch stores.
    fn placed(&self, key: &DedupKey) -> Option<&PersistedMessage> {
        match self.outcomes.get(*self.placed.get(key)?)? {
            RecordOutcome::New(msg) => Some(msg),
            _ => None,
        }
    }
}
