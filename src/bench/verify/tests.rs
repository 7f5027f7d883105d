//! Histories that are known to be bad, and what is found in each.

use super::{super::marks::Mark, *};
use crate::ids::{ClientMsgId, MessageId, RoomId};
use ulid::Ulid;

/// One room with two clients, where all goes well unless a test sees to it.
struct Run {
    ledger: Ledger,
    history: Vec<Row>,
}

impl Run {
    /// Sends and accepts messages; history has them, and nobody has seen them.
    fn stored(messages: u64) -> Self {
        let ledger = Ledger::new(
            Mark::random(),
            vec![RoomId::random()],
            vec![vec![0], vec![0]],
        );
        let mut run = Self {
            ledger,
            history: Vec::new(),
        };
        for seq in 1..=messages {
            let no = run.sent();
            run.ledger.accepted(no);
            let row = run.row(no, seq);
            run.history.push(row);
        }
        run
    }

    /// As [`Self::stored`], and both clients have seen all of it.
    fn whole(messages: u64) -> Self {
        let mut run = Self::stored(messages);
        let seqs: Vec<u64> = (1..=messages).collect();
        run.see(0, &seqs);
        run.see(1, &seqs);
        run
    }

    fn sent(&mut self) -> SendNo {
        let no = self.ledger.plan(0, 0);
        self.ledger.sent(no);
        no
    }

    fn row(&self, no: SendNo, seq: u64) -> Row {
        let (_, client_msg_id) = self.ledger.address(no);
        Row {
            seq: Seq(seq),
            id: MessageId(Ulid(u128::from(seq) * 10)),
            client_msg_id,
        }
    }

    /// Lets a client get rows of history in this order.
    fn see(&mut self, client: usize, seqs: &[u64]) {
        for seq in seqs {
            let row = self.history[*seq as usize - 1];
            self.ledger.received(client, 0, row);
        }
    }

    #[track_caller]
    fn check(&self, expected: Verdict) {
        let found = verify(&self.ledger, std::slice::from_ref(&self.history));
        assert_eq!(found, expected);
    }
}

const CLEAN: Verdict = Verdict {
    lost: 0,
    duplicated: 0,
    reordered: 0,
    gaps: 0,
    contradicted: 0,
    unknown: 0,
    appeared: 0,
    rejected: 0,
    unsent: 0,
    repeats: 0,
};

#[test]
fn a_run_without_fault_is_clean() {
    Run::whole(0).check(CLEAN);
    Run::whole(5).check(CLEAN);
    assert!(CLEAN.is_clean());
}

#[test]
fn an_accepted_message_that_history_lacks_is_lost() {
    let mut run = Run::whole(3);
    let no = run.sent();
    run.ledger.accepted(no);
    run.check(Verdict { lost: 1, ..CLEAN });
}

#[test]
fn a_message_that_was_seen_and_vanished_is_lost() {
    let mut run = Run::whole(3);
    run.history.pop();
    run.check(Verdict { lost: 1, ..CLEAN });
    // Seen before its acknowledgement could come.
    let mut run = Run::whole(0);
    let no = run.sent();
    let row = run.row(no, 1);
    run.ledger.received(0, 0, row);
    run.check(Verdict { lost: 1, ..CLEAN });
}

#[test]
fn what_a_client_did_not_get_at_the_end_is_lost() {
    let mut run = Run::stored(3);
    run.see(0, &[1, 2, 3]);
    run.see(1, &[1]);
    run.check(Verdict { lost: 2, ..CLEAN });
}

#[test]
fn what_a_client_did_not_get_in_between_is_lost_and_a_gap() {
    let mut run = Run::stored(4);
    run.see(0, &[1, 2, 3, 4]);
    run.see(1, &[1, 4]);
    let expected = Verdict {
        lost: 2,
        gaps: 2,
        ..CLEAN
    };
    run.check(expected);
    assert!(!expected.is_clean());
}

#[test]
fn a_seq_that_nobody_has_is_a_gap_for_all() {
    let mut run = Run::stored(3);
    for row in &mut run.history[1..] {
        row.seq.0 += 1;
    }
    for client in [0, 1] {
        run.see(client, &[1, 2, 3]);
    }
    // Both clients, and history itself.
    run.check(Verdict { gaps: 3, ..CLEAN });
}

#[test]
fn a_message_that_comes_late_is_out_of_order() {
    let mut run = Run::stored(3);
    run.see(0, &[1, 3, 2]);
    run.see(1, &[1, 2, 3]);
    run.check(Verdict {
        reordered: 1,
        ..CLEAN
    });
}

#[test]
fn clients_that_saw_different_messages_at_a_place_saw_another_order() {
    let mut run = Run::stored(2);
    run.see(0, &[1, 2]);
    let [first, second] = [run.history[0], run.history[1]];
    let swap = |place: Row, row: Row| Row {
        client_msg_id: row.client_msg_id,
        ..place
    };
    run.ledger.received(1, 0, swap(first, second));
    run.ledger.received(1, 0, swap(second, first));
    run.check(Verdict {
        reordered: 2,
        ..CLEAN
    });
}

#[test]
fn history_out_of_order_is_found() {
    let mut run = Run::whole(3);
    let (second, third) = (run.history[1].id, run.history[2].id);
    (run.history[1].id, run.history[2].id) = (third, second);
    let found = verify(&run.ledger, std::slice::from_ref(&run.history));
    assert!(found.reordered > 0, "{found:?}");
    assert_eq!((found.lost, found.duplicated, found.gaps), (0, 0, 0));
}

#[test]
fn a_message_that_is_stored_twice_is_doubled() {
    let mut run = Run::stored(2);
    let doubled = run.row(SendNo(0), 3);
    run.history.push(doubled);
    run.see(0, &[1, 2, 3]);
    run.see(1, &[1, 2, 3]);
    run.check(Verdict {
        duplicated: 1,
        ..CLEAN
    });
}

#[test]
fn a_message_that_was_shown_at_two_places_is_doubled() {
    let mut run = Run::whole(2);
    let ghost = run.row(SendNo(0), 3);
    run.ledger.received(0, 0, ghost);
    run.check(Verdict {
        duplicated: 1,
        ..CLEAN
    });
}

#[test]
fn what_a_client_gets_again_is_dropped_and_counted() {
    let mut run = Run::whole(3);
    run.see(0, &[2, 3]);
    let expected = Verdict {
        repeats: 2,
        ..CLEAN
    };
    run.check(expected);
    assert!(expected.is_clean());
}

#[test]
fn what_was_never_answered_stays_unknown_or_appears() {
    let mut run = Run::whole(1);
    run.sent();
    run.check(Verdict {
        unknown: 1,
        ..CLEAN
    });
    let row = run.row(SendNo(1), 2);
    run.history.push(row);
    run.see(0, &[2]);
    run.see(1, &[2]);
    let expected = Verdict {
        appeared: 1,
        ..CLEAN
    };
    run.check(expected);
    assert!(expected.is_clean());
}

#[test]
fn a_refusal_for_ever_has_to_be_true() {
    let mut run = Run::whole(1);
    let refused = run.sent();
    run.ledger.rejected(refused);
    run.check(Verdict {
        rejected: 1,
        ..CLEAN
    });
    run.ledger.rejected(SendNo(0));
    let expected = Verdict {
        rejected: 2,
        contradicted: 1,
        ..CLEAN
    };
    run.check(expected);
    assert!(!expected.is_clean());
}

#[test]
fn what_was_due_and_not_sent_is_told() {
    let mut run = Run::whole(1);
    run.ledger.plan(0, 0);
    run.check(Verdict { unsent: 1, ..CLEAN });
}

#[test]
fn messages_of_others_take_their_place_in_the_order() {
    let mut run = Run::stored(2);
    run.history[0].client_msg_id = ClientMsgId::random();
    run.see(0, &[1, 2]);
    run.see(1, &[1, 2]);
    // The first message of ours lost its place to another.
    run.check(Verdict { lost: 1, ..CLEAN });
}

#[test]
fn the_ledger_knows_when_all_has_arrived() {
    let mut run = Run::stored(2);
    assert!(!run.ledger.is_delivered(), "nobody has seen anything");
    run.see(0, &[1, 2]);
    assert!(!run.ledger.is_delivered(), "the second client has not");
    run.see(1, &[1, 2]);
    assert!(run.ledger.is_delivered());
    assert_eq!(run.ledger.seats[0][0].view.last(), Seq(2));
}
