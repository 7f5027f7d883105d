//! The verdict: what was promised, what every client saw, and what history has, side by side. Pure.

use rustc_hash::FxHashSet;
use serde::Serialize;

use super::{
    ledger::{Fate, Ledger, Room, Row, Seat},
    marks::SendNo,
};
use crate::ids::Seq;

/// What is wrong, and what is worth knowing of the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// Accepted or seen and not in history, or in history and not seen by a client of the room.
    pub(crate) lost: u64,
    /// Messages that stand under more than one seq, for each seq too many.
    pub(crate) duplicated: u64,
    /// Seen or listed out of order, or at another place than others saw it at.
    pub(crate) reordered: u64,
    /// Seqs that were jumped over, by a client or by history.
    pub(crate) gaps: u64,
    /// Refused for ever though it is in history: only for messages that were sent once.
    pub(crate) contradicted: u64,
    /// Sent, never answered, and not in history.
    pub(crate) unknown: u64,
    /// Sent, never answered, and in history.
    pub(crate) appeared: u64,
    /// Refused for ever.
    pub(crate) rejected: u64,
    /// Due, and never sent.
    pub(crate) unsent: u64,
    /// Seen again by a client that had it, and dropped by it, as the protocol allows.
    pub(crate) repeats: u64,
}

impl Verdict {
    /// Returns whether every promise was kept.
    pub(crate) fn is_clean(&self) -> bool {
        let broken = [
            self.lost,
            self.duplicated,
            self.reordered,
            self.gaps,
            self.contradicted,
        ];
        broken.iter().sum::<u64>() == 0
    }
}

/// Compares a run with the history of its rooms, which is in the order of `ledger.rooms`.
pub(super) fn verify(ledger: &Ledger, histories: &[Vec<Row>]) -> Verdict {
    let mut verifier = Verifier {
        ledger,
        places: FxHashSet::default(),
        is_stored: vec![false; ledger.sends.len()],
        verdict: Verdict::default(),
    };
    for (room, history) in ledger.rooms.iter().zip(histories) {
        verifier.judge_history(history);
        verifier.judge_sightings(room, history);
    }
    for seat in ledger.seats.iter().flatten() {
        verifier.judge_seat(seat, &histories[seat.room as usize]);
    }
    verifier.judge_sends();
    verifier.verdict
}

struct Verifier<'a> {
    ledger: &'a Ledger,
    /// Messages that were met at a place.
    places: FxHashSet<SendNo>,
    is_stored: Vec<bool>,
    verdict: Verdict,
}

impl Verifier<'_> {
    /// History counts 1, 2, 3, …, ids grow with it, and nothing is in it twice.
    fn judge_history(&mut self, history: &[Row]) {
        let mut last: Option<&Row> = None;
        for row in history {
            let expected = last.map_or(1, |last| last.seq.0 + 1);
            self.verdict.gaps += row.seq.0.saturating_sub(expected);
            let is_behind = row.seq.0 < expected;
            let is_older = last.is_some_and(|last| row.id <= last.id);
            self.verdict.reordered += u64::from(is_behind || is_older);
            last = Some(row);
            self.place(row);
            if let Some(no) = self.ledger.find(row.client_msg_id) {
                self.is_stored[no.index()] = true;
            }
        }
    }

    /// What clients saw is what history has at that place.
    fn judge_sightings(&mut self, room: &Room, history: &[Row]) {
        self.verdict.reordered += room.conflicts;
        for seen in room.rows.iter().flatten() {
            match at(history, seen.seq) {
                Some(stored) if stored == seen => {}
                Some(stored) => {
                    self.verdict.reordered += 1;
                    if stored.client_msg_id != seen.client_msg_id {
                        self.place(seen);
                    }
                }
                None => self.place(seen),
            }
        }
    }

    fn place(&mut self, row: &Row) {
        let Some(no) = self.ledger.find(row.client_msg_id) else {
            return;
        };
        self.verdict.duplicated += u64::from(!self.places.insert(no));
    }

    /// A client of a room saw all of its history, one after the other.
    fn judge_seat(&mut self, seat: &Seat, history: &[Row]) {
        let view = &seat.view;
        self.verdict.reordered += view.late();
        self.verdict.repeats += view.known();
        for hole in view.holes() {
            self.verdict.gaps += hole.to - hole.from + 1;
            self.verdict.lost += between(history, hole.from, hole.to);
        }
        self.verdict.lost += between(history, view.last().0 + 1, u64::MAX);
    }

    /// Every message ended as it was promised.
    fn judge_sends(&mut self) {
        for (send, is_stored) in self.ledger.sends.iter().zip(&self.is_stored) {
            let verdict = &mut self.verdict;
            match (send.fate, is_stored) {
                (Fate::Accepted, false) => verdict.lost += 1,
                (Fate::Unknown, true) => verdict.appeared += 1,
                (Fate::Unknown, false) if send.was_seen => verdict.lost += 1,
                (Fate::Unknown, false) => verdict.unknown += 1,
                (Fate::Waiting, _) => verdict.unsent += 1,
                (Fate::Accepted, true) => {}
                (Fate::Rejected, is_stored) => {
                    verdict.rejected += 1;
                    verdict.contradicted += u64::from(*is_stored && send.copies == 1);
                }
            }
        }
    }
}

/// Returns the row of a seq; history is in the order of seq, or was counted as out of order.
fn at(history: &[Row], seq: Seq) -> Option<&Row> {
    let index = history.binary_search_by_key(&seq, |row| row.seq).ok()?;
    Some(&history[index])
}

/// Returns how many rows have a seq from one to another.
fn between(history: &[Row], from: u64, to: u64) -> u64 {
    let start = history.partition_point(|row| row.seq.0 < from);
    let end = history.partition_point(|row| row.seq.0 <= to);
    end.saturating_sub(start) as u64
}

#[cfg(test)]
mod tests;
