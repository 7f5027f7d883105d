//! What is to be written to the port: one write at a time, and all that came meanwhile goes
//! together. So a slow port holds nobody up, and no socket is touched after it has left.

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::{
    ids::{SessionId, UserId},
    metrics,
    presence::{Heartbeat, Presence, Present, Signal},
};

/// Signals that wait; more are dropped. Touches and leaves are bounded by the sockets.
const MAX_SIGNALS: usize = 1_024;

/// Announcements of one signal.
const PRESENT_CHUNK: usize = 250;

/// What is to be written, in the order: touches, leaves, signals.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    touches: FxHashMap<SessionId, Heartbeat>,
    leaves: FxHashMap<SessionId, UserId>,
    signals: Vec<Signal>,
    /// Told when the leaves that were asked for are written, and the users' absence is to follow.
    leaving: Vec<oneshot::Sender<()>>,
    /// Told, by being dropped, when all of it is written.
    waiting: Vec<oneshot::Sender<()>>,
}

/// What came of a write.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The users whose last socket has left.
    pub(super) last: Vec<UserId>,
    pub(super) leaving: Vec<oneshot::Sender<()>>,
}

impl Outgoing {
    pub(super) fn touch(&mut self, socket: Heartbeat) {
        if !self.leaves.contains_key(&socket.session_id) {
            self.touches.insert(socket.session_id, socket);
        }
    }

    pub(super) fn leave(&mut self, user_id: UserId, session_id: SessionId) {
        self.touches.remove(&session_id);
        self.leaves.insert(session_id, user_id);
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        if self.signals.len() < MAX_SIGNALS {
            self.signals.push(signal);
        } else {
            metrics::get().signals_dropped.increment(1);
        }
    }

    /// Announces users to rooms.
    pub(super) fn announce(&mut self, present: &[Present]) {
        for chunk in present.chunks(PRESENT_CHUNK) {
            let present = chunk.to_vec();
            self.signal(Signal::Online { present });
        }
    }

    /// Has somebody told when the leaves are written.
    pub(super) fn tell_left(&mut self, waiter: oneshot::Sender<()>) {
        self.leaving.push(waiter);
    }

    /// Has somebody told when everything up to here is written.
    pub(super) fn tell_written(&mut self, waiters: Vec<oneshot::Sender<()>>) {
        self.waiting.extend(waiters);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.touches.is_empty()
            && self.leaves.is_empty()
            && self.signals.is_empty()
            && self.leaving.is_empty()
            && self.waiting.is_empty()
    }

    /// Writes it; what fails is lost: later touches and deadlines heal it.
    pub(super) async fn write(self, presence: Presence) -> Written {
        let mut written = Written {
            leaving: self.leaving,
            ..Written::default()
        };
        if !self.touches.is_empty() {
            let touches: Vec<_> = self.touches.into_values().collect();
            // Who came first needs no word of its own: the sweep repeats what was not heard.
            let _ = presence.touch(&touches).await;
        }
        if !self.leaves.is_empty() {
            let leaves = self.leaves.into_iter();
            let leaves: Vec<_> = leaves.map(|(session, user)| (user, session)).collect();
            written.last = presence.leave(&leaves).await.unwrap_or_default();
        }
        if !self.signals.is_empty() && presence.signal(&self.signals).await.is_err() {
            let lost = self.signals.len() as u64;
            metrics::get().signals_dropped.increment(lost);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ids::RoomId, presence::memory::MemoryPresence};

    #[tokio::test]
    async fn a_socket_is_not_touched_after_it_has_left() {
        let presence = Presence::Memory(MemoryPresence::default());
        let (user_id, session_id) = (UserId::random(), SessionId::random());
        let socket = Heartbeat {
            user_id,
            session_id,
            silent_for: Duration::ZERO,
        };
        presence.touch(&[socket]).await.expect("it is up");
        let mut outgoing = Outgoing::default();
        outgoing.touch(socket);
        outgoing.leave(user_id, session_id);
        outgoing.touch(socket);
        let written = outgoing.write(presence.clone()).await;
        assert_eq!(written.last, [user_id]);
        assert_eq!(presence.online(&[user_id]).await, Ok(vec![false]));
    }

    #[test]
    fn signals_are_bounded() {
        let mut outgoing = Outgoing::default();
        for _ in 0..=MAX_SIGNALS {
            outgoing.signal(Signal::Hello);
        }
        assert_eq!(outgoing.signals.len(), MAX_SIGNALS);
    }

    #[test]
    fn many_announcements_share_a_signal() {
        let present = Present {
            room_id: RoomId::random(),
            user_id: UserId::random(),
        };
        let mut outgoing = Outgoing::default();
        outgoing.announce(&[present; PRESENT_CHUNK + 1]);
        assert_eq!(outgoing.signals.len(), 2);
        assert!(!outgoing.is_empty());
    }
}
