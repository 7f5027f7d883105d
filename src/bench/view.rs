//! A room as one client saw it, by seq alone: a few bytes, however much was said. Pure.

use crate::ids::{Epoch, Seq};

/// What a message was to the client that got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The next one, or one beyond a hole.
    New,
    /// One that was jumped over before: it comes out of order.
    Late,
    /// One that the client has: it drops it, as every client may have to.
    Known,
}

/// Seqs that were jumped over: `from` to `to`, both of them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What one client has seen of one room.
#[derive(Debug, Default)]
pub(super) struct View {
    last: u64,
    holes: Vec<Hole>,
    late: u64,
    known: u64,
    epoch: Option<Epoch>,
}

impl View {
    /// Takes in a message.
    pub(super) fn take(&mut self, seq: Seq) -> Taken {
        let seq = seq.0;
        if seq > self.last {
            if seq > self.last + 1 {
                self.holes.push(Hole {
                    from: self.last + 1,
                    to: seq - 1,
                });
            }
            self.last = seq;
            return Taken::New;
        }
        match self.fill(seq) {
            true => {
                self.late += 1;
                Taken::Late
            }
            false => {
                self.known += 1;
                Taken::Known
            }
        }
    }

    fn fill(&mut self, seq: u64) -> bool {
        let hole = |hole: &Hole| (hole.from..=hole.to).contains(&seq);
        let Some(at) = self.holes.iter().position(hole) else {
            return false;
        };
        let Hole { from, to } = self.holes.remove(at);
        let parts = [Hole { from, to: seq - 1 }, Hole { from: seq + 1, to }];
        let parts = parts.into_iter().filter(|part| part.from <= part.to);
        self.holes.extend(parts);
        true
    }

    /// Returns the highest seq that was seen, to come back with.
    pub(super) fn last(&self) -> Seq {
        Seq(self.last)
    }

    /// Returns what was jumped over and never came.
    pub(super) fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// Returns how many messages came out of order.
    pub(super) fn late(&self) -> u64 {
        self.late
    }

    /// Returns how many messages were dropped because they were seen already.
    pub(super) fn known(&self) -> u64 {
        self.known
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    pub(super) fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_tells_holes_late_and_known_messages_apart() {
        let check = |seqs: &[u64], holes: &[(u64, u64)], late: u64, known: u64| {
            let mut view = View::default();
            for seq in seqs {
                view.take(Seq(*seq));
            }
            let mut found: Vec<_> = view
                .holes()
                .iter()
                .map(|hole| (hole.from, hole.to))
                .collect();
            found.sort_unstable();
            assert_eq!(
                (&*found, view.late(), view.known()),
                (holes, late, known),
                "{seqs:?}"
            );
        };
        check(&[1, 2, 3], &[], 0, 0);
        check(&[1, 2, 2, 1, 3], &[], 0, 2);
        check(&[2, 3], &[(1, 1)], 0, 0);
        check(&[1, 5, 3], &[(2, 2), (4, 4)], 1, 0);
        check(&[1, 3, 2, 2], &[], 1, 1);
        check(&[1, 6, 2, 5, 3, 4], &[], 4, 0);
    }
}
