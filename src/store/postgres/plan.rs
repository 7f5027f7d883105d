//! What becomes of each record of a batch, once everything about it was read: pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    clock::Timestamp,
    ids::{EventId, RoomId, UserId},
    message::{DedupKey, PersistedMessage, SubmittedMessage},
    store::{RecordOutcome, ingest::Head},
};

/// A record, or why it can never be stored.
pub(super) type Entry<'a> = Result<&'a SubmittedMessage, String>;

/// Messages found by their keys, marked as duplicates, and the records that stored them.
pub(super) type Stored = HashMap<DedupKey, (EventId, PersistedMessage)>;

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
    /// To be inserted.
    pub(super) rows: Vec<Row<'a>>,
}

impl<'a> Plan<'a> {
    /// Gives a record its place, unless it is a repeat or can never be stored.
    pub(super) fn record(&mut self, entry: &Entry<'a>) -> RecordOutcome {
        let dead = |reason: &str| RecordOutcome::Dead {
            reason: reason.to_owned(),
            replayed: false,
        };
        let msg = match entry {
            Ok(msg) => *msg,
            Err(reason) => return dead(reason),
        };
        let Some(head) = self.heads.get_mut(&msg.room_id) else {
            return dead("no such room");
        };
        if !self.senders.contains(&msg.sender_id) {
            return dead("no such sender");
        }
        if let Some((_, stored)) = self.stored.get(&msg.dedup_key()) {
            return RecordOutcome::Duplicate(stored.clone());
        }
        let place = head.next(self.now);
        *head = place;
        self.rows.push(Row { msg, place });
        let stored = msg.persisted(place.message_id, place.seq, self.now);
        let duplicate = PersistedMessage {
            produced_at: None,
            duplicate: true,
            ..stored.clone()
        };
        self.stored
            .insert(msg.dedup_key(), (msg.event_id, duplicate));
        RecordOutcome::New(stored)
    }
}
