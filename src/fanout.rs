//! Which stored messages a room still has to deliver: arithmetic on seqs, nothing else.

use std::sync::Arc;

use crate::{
    ids::{ClientMsgId, RoomId, Seq, UserId},
    message::PersistedMessage,
    protocol::{
        dialect::{Dialect, Encodings},
        server::{Frame, NewMessage, ServerEvent},
    },
};

/// A stored message on its way to the sockets of this process, encoded at most once for each
/// dialect.
#[derive(Debug)]
pub struct Delivery {
    message: PersistedMessage,
    encodings: Encodings,
}

/// Shared by the rooms of all slices.
pub type SharedDelivery = Arc<Delivery>;

impl Delivery {
    /// Wraps a stored message.
    #[must_use]
    pub fn new(message: PersistedMessage) -> SharedDelivery {
        Arc::new(Self {
            message,
            encodings: Encodings::default(),
        })
    }

    #[must_use]
    pub fn room_id(&self) -> RoomId {
        self.message.room_id
    }

    #[must_use]
    pub fn seq(&self) -> Seq {
        self.message.seq
    }

    #[must_use]
    pub fn sender_id(&self) -> UserId {
        self.message.sender_id
    }

    #[must_use]
    pub fn client_msg_id(&self) -> ClientMsgId {
        self.message.client_msg_id
    }

    #[must_use]
    pub fn message(&self) -> &PersistedMessage {
        &self.message
    }

    /// Returns the `newMessage` frame, encoding it at the first call for a dialect.
    pub fn frame(&self, dialect: Dialect) -> &Frame {
        let event = || ServerEvent::NewMessage(NewMessage::from(&self.message));
        self.encodings.get_or_encode(dialect, event)
    }

    /// Returns the length of the longest frame that was encoded; 0 when nobody asked for one.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.encodings.longest()
    }
}

/// What a room does with a message that it hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It follows the last one: to everybody.
    Next,
    /// Others lie between: they are in the store and are read first.
    Hole,
    /// Everybody has it.
    Old,
}

/// Places a message against the last one that a room delivered.
#[must_use]
pub fn arrival(last: Seq, seq: Seq) -> Arrival {
    if seq == last.next() {
        Arrival::Next
    } else if seq > last {
        Arrival::Hole
    } else {
        Arrival::Old
    }
}

/// How a join begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The replay begins after this seq.
    pub position: Seq,
    /// Too much was missed, or it was missed in another life of the database.
    pub truncated: bool,
}

/// Judges a join, once: `after` is the last seq that the client has, `None` for no replay.
#[must_use]
pub fn resume(after: Option<Seq>, head: Seq, same_epoch: bool, max_replay: u64) -> Resume {
    match after {
        None => Resume {
            position: head,
            truncated: false,
        },
        Some(after) if same_epoch && after <= head && head.0 - after.0 <= max_replay => Resume {
            position: after,
            truncated: false,
        },
        Some(_) => Resume {
            position: head,
            truncated: true,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_placed_by_its_seq() {
        let check = |last, seq, expected| {
            assert_eq!(arrival(Seq(last), Seq(seq)), expected, "{last} {seq}");
        };
        check(0, 1, Arrival::Next);
        check(4, 5, Arrival::Next);
        check(4, 6, Arrival::Hole);
        check(4, 4, Arrival::Old);
        check(4, 1, Arrival::Old);
    }

    #[test]
    fn a_join_replays_what_was_missed_or_says_truncated() {
        let check = |after: Option<u64>, head, same_epoch, position, truncated| {
            let resume = resume(after.map(Seq), Seq(head), same_epoch, 500);
            assert_eq!((resume.position.0, resume.truncated), (position, truncated));
        };
        check(None, 7, true, 7, false);
        check(Some(7), 7, true, 7, false);
        check(Some(0), 500, true, 0, false);
        check(Some(0), 501, true, 501, true);
        check(Some(8), 7, true, 7, true);
        check(Some(5), 7, false, 7, true);
        check(Some(u64::MAX), 7, true, 7, true);
    }

    proptest! {
        /// However pushes are shuffled, doubled or lost, each seq is delivered once and in order
        /// when holes are read from the store.
        #[test]
        fn arithmetic_delivers_each_seq_once(pushes in prop::collection::vec(1_u64..40, 1..200)) {
            let mut last = Seq::ZERO;
            let mut delivered = Vec::new();
            for seq in pushes.into_iter().map(Seq) {
                match arrival(last, seq) {
                    Arrival::Next | Arrival::Hole => {
                        delivered.extend(last.0 + 1..=seq.0);
                        last = seq;
                    }
                    Arrival::Old => {}
                }
            }
            prop_assert_eq!(delivered, (1..=last.0).collect::<Vec<_>>());
        }
    }
}
