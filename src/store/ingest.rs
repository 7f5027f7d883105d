//! The arithmetic of the ingest: which records of a batch are new, and which seq and id a
//! message gets. The adapters do the reading and writing.

use std::ops::Range;

use ulid::Ulid;

use crate::{
    clock::Timestamp,
    ids::{MessageId, Seq},
};

/// Bytes of a content that lies beside its message; a longer one lies in `long_contents`.
pub(super) const INLINE_BYTES: usize = 2_000;

/// Returns what lies beside the message, and what lies in `long_contents`.
pub(super) fn places(content: &str) -> (&str, Option<&str>) {
    match content.len() > INLINE_BYTES {
        true => ("", Some(content)),
        false => (content, None),
    }
}

/// A batch, by what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    /// Ingested before: looked up, not stored again.
    pub(super) seen: Range<usize>,
    /// To be stored.
    pub(super) fresh: Range<usize>,
}

/// Splits a batch of `len` records from offset `from` at the store's `next`; the error is that
/// `next`, when records before the batch are missing.
pub(super) fn split(from: u64, len: usize, next: u64) -> Result<Split, u64> {
    let seen = next.checked_sub(from).ok_or(next)?;
    let seen = usize::try_from(seen).unwrap_or(usize::MAX).min(len);
    Ok(Split {
        seen: 0..seen,
        fresh: seen..len,
    })
}

/// The end of a room: its newest message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: Seq,
    pub(super) message_id: MessageId,
    is_new: bool,
}

impl Head {
    /// Makes the head of a room as it is stored.
    pub(super) fn of_room(seq: Seq, message_id: Option<MessageId>) -> Self {
        Self {
            seq,
            message_id: message_id.unwrap_or(MessageId(Ulid::nil())),
            is_new: false,
        }
    }

    /// Returns the place of the message that comes next: ids grow with seq, whatever the clock does.
    pub(super) fn next(self, now: Timestamp) -> Self {
        let of_now = Ulid::from_datetime(now.as_datetime().into());
        let after_last = Ulid(self.message_id.0.0.saturating_add(1));
        Self {
            seq: self.seq.next(),
            message_id: MessageId(of_now.max(after_last)),
            is_new: true,
        }
    }

    /// Returns whether the room has to be told.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_batch_is_split_at_the_next_offset() {
        let check = |from, len, next, expected: Result<(Range<usize>, Range<usize>), u64>| {
            let split = split(from, len, next).map(|split| (split.seen, split.fresh));
            assert_eq!(split, expected, "{from} {len} {next}");
        };
        check(5, 3, 5, Ok((0..0, 0..3)));
        check(5, 3, 6, Ok((0..1, 1..3)));
        check(5, 3, 8, Ok((0..3, 3..3)));
        check(5, 3, 100, Ok((0..3, 3..3)));
        check(5, 3, 4, Err(4));
        check(0, 1, 0, Ok((0..0, 0..1)));
    }

    #[test]
    fn ids_grow_with_seq_even_when_the_clock_goes_back() {
        let now = Timestamp::now();
        let past = Timestamp::from_unix_ms(now.unix_ms() - 60_000).expect("a time");
        let mut head = Head::of_room(Seq(7), None);
        for at in [now, now, past, now + Duration::from_secs(1), past] {
            let next = head.next(at);
            assert_eq!(next.seq, head.seq.next());
            assert!(next.message_id > head.message_id);
            head = next;
        }
    }
}
