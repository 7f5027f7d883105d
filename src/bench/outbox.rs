//! What a client has still to send, or to hear about. Pure.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::marks::SendNo;

/// Longest wait after refusals, unless the server says more.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A message that was sent on this connection, and has answers to come.
#[derive(Debug)]
struct Flight {
    no: SendNo,
    since: Instant,
    /// How many copies have no answer yet.
    copies: u8,
    is_accepted: bool,
}

/// See the module. Messages leave it once they are accepted or rejected.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<SendNo>,
    in_flight: VecDeque<Flight>,
    most_in_flight: usize,
    /// How many may be in flight now: less after a refusal, more with every answer.
    window: usize,
    paused_until: Option<Instant>,
    refusals: u32,
}

impl Outbox {
    pub(super) fn new(most_in_flight: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            most_in_flight,
            window: most_in_flight,
            paused_until: None,
            refusals: 0,
        }
    }

    /// Appends a message that is due.
    pub(super) fn push(&mut self, no: SendNo) {
        self.waiting.push_back(no);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Returns whether one more message could be sent at once.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.waiting.is_empty() && self.may_send(now)
    }

    fn may_send(&self, now: Instant) -> bool {
        let is_paused = self.paused_until.is_some_and(|until| now < until);
        !is_paused && self.in_flight.len() < self.window
    }

    /// Takes the next message to send, of which so many copies go out.
    pub(super) fn next(
        &mut self,
        now: Instant,
        copies: impl FnOnce() -> u8,
    ) -> Option<(SendNo, u8)> {
        if !self.may_send(now) {
            return None;
        }
        let no = self.waiting.pop_front()?;
        let copies = copies();
        self.in_flight.push_back(Flight {
            no,
            since: now,
            copies,
            is_accepted: false,
        });
        Some((no, copies))
    }

    /// Notes that a copy was accepted.
    pub(super) fn accepted(&mut self, no: SendNo) {
        self.window = (self.window + 1).min(self.most_in_flight);
        self.refusals = 0;
        self.answered(no, true);
    }

    /// Notes that a copy was refused for now: nothing is sent for a while, and then less at once.
    ///
    /// `spread` is from 0 to 1 and keeps clients from coming back all at once.
    pub(super) fn refused(
        &mut self,
        no: Option<SendNo>,
        after: Duration,
        now: Instant,
        spread: f64,
    ) {
        self.refusals = self.refusals.saturating_add(1);
        self.window = (self.window / 2).max(1);
        let grown = after.max(Duration::from_millis(20)) * self.refusals.min(16);
        let pause = grown.min(LONGEST_PAUSE.max(after)).mul_f64(1.0 + spread);
        self.paused_until = self.paused_until.max(Some(now + pause));
        if let Some(no) = no {
            self.answered(no, false);
        }
    }

    /// Forgets a message that will never be stored.
    pub(super) fn rejected(&mut self, no: SendNo) {
        self.in_flight.retain(|flight| flight.no != no);
        self.waiting.retain(|waiting| *waiting != no);
    }

    fn answered(&mut self, no: SendNo, is_accepted: bool) {
        let Some(at) = self.in_flight.iter().position(|flight| flight.no == no) else {
            return;
        };
        let flight = &mut self.in_flight[at];
        flight.is_accepted |= is_accepted;
        flight.copies = flight.copies.saturating_sub(1);
        if flight.copies > 0 {
            return;
        }
        let is_accepted = flight.is_accepted;
        self.in_flight.remove(at);
        if !is_accepted {
            self.wait_again(no);
        }
    }

    /// Puts what has no answer back, in order: the connection is gone.
    pub(super) fn disconnected(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        let open = in_flight.iter().filter(|flight| !flight.is_accepted);
        for flight in open {
            self.wait_again(flight.no);
        }
        self.paused_until = None;
        self.window = self.most_in_flight;
    }

    fn wait_again(&mut self, no: SendNo) {
        let at = self.waiting.partition_point(|waiting| *waiting < no);
        self.waiting.insert(at, no);
    }

    /// Returns since when the oldest message has had no answer.
    pub(super) fn unanswered_since(&self) -> Option<Instant> {
        self.in_flight.iter().map(|flight| flight.since).min()
    }

    /// Returns when a pause ends that keeps messages from being sent.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let waits = !self.waiting.is_empty() && self.in_flight.len() < self.window;
        self.paused_until.filter(|_| waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: usize = 4;

    fn outbox(messages: u64) -> Outbox {
        let mut outbox = Outbox::new(WINDOW);
        (0..messages).map(SendNo).for_each(|no| outbox.push(no));
        outbox
    }

    fn sent(outbox: &mut Outbox, now: Instant) -> Vec<u64> {
        let next = || outbox.next(now, || 1).map(|(no, _)| no.0);
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn no_more_than_the_window_is_in_flight() {
        let now = Instant::now();
        let mut outbox = outbox(6);
        assert_eq!(sent(&mut outbox, now), [0, 1, 2, 3]);
        outbox.accepted(SendNo(1));
        assert_eq!(sent(&mut outbox, now), [4]);
        assert!(!outbox.is_empty());
    }

    #[test]
    fn what_a_lost_connection_left_open_is_sent_again_in_order() {
        let now = Instant::now();
        let mut outbox = outbox(5);
        sent(&mut outbox, now);
        outbox.accepted(SendNo(1));
        outbox.disconnected();
        assert_eq!(sent(&mut outbox, now), [0, 2, 3, 4]);
    }

    #[test]
    fn a_refusal_waits_as_long_as_the_server_says() {
        let now = Instant::now();
        let after = Duration::from_millis(100);
        let mut outbox = outbox(2);
        sent(&mut outbox, now);
        outbox.refused(Some(SendNo(0)), after, now, 0.0);
        assert_eq!(sent(&mut outbox, now), [0_u64; 0]);
        assert_eq!(outbox.wakes_at(), Some(now + after));
        assert_eq!(sent(&mut outbox, now + after), [0]);
    }

    #[test]
    fn a_message_is_accepted_if_one_of_its_copies_is() {
        let now = Instant::now();
        let mut outbox = outbox(1);
        outbox.next(now, || 2);
        outbox.accepted(SendNo(0));
        assert!(!outbox.is_empty(), "a copy has no answer");
        outbox.refused(Some(SendNo(0)), Duration::ZERO, now, 0.0);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_rejected_message_is_forgotten() {
        let now = Instant::now();
        let mut outbox = outbox(1);
        sent(&mut outbox, now);
        outbox.rejected(SendNo(0));
        outbox.disconnected();
        assert!(outbox.is_empty());
    }
}
