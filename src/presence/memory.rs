//! Presence of a single process, in its memory.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;

use super::{ALIVE, Heartbeat, Life, SIGNAL_CAPACITY, Signal};
use crate::{
    ids::{SessionId, UserId},
    small_map::SmallMap,
};

/// A handle to the process's presence.
#[derive(Debug, Clone, Default)]
pub struct MemoryPresence(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    users: FxHashMap<UserId, Sockets>,
    subscriber: Option<mpsc::Sender<Signal>>,
}

/// The deadlines of a user's sockets.
#[derive(Debug, Default)]
struct Sockets(SmallMap<SessionId, Instant>);

impl Sockets {
    /// Returns when the last live socket runs out.
    fn latest(&self, now: Instant) -> Option<Instant> {
        let deadlines = self.0.iter().map(|(_, at)| *at);
        deadlines.filter(|at| *at > now).max()
    }
}

impl MemoryPresence {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self, sockets: &[Heartbeat]) -> Vec<UserId> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut came = Vec::new();
        for socket in sockets {
            let left = ALIVE.saturating_sub(socket.silent_for);
            if left.is_zero() {
                continue;
            }
            let known = state.users.entry(socket.user_id).or_default();
            if known.latest(now).is_none() {
                came.push(socket.user_id);
            }
            known.0.insert(socket.session_id, now + left);
        }
        came
    }

    pub(super) fn leave(&self, sockets: &[(UserId, SessionId)]) -> Vec<UserId> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut last = Vec::new();
        for (user_id, session_id) in sockets {
            let Some(known) = state.users.get_mut(user_id) else {
                continue;
            };
            let was_there = known.0.remove(*session_id).is_some();
            if was_there && known.latest(now).is_none() {
                state.users.remove(user_id);
                last.push(*user_id);
            }
        }
        last
    }

    pub(super) fn online(&self, users: &[UserId]) -> Vec<bool> {
        let now = Instant::now();
        let state = self.lock();
        let is_online = |user| state.users.get(user).and_then(|known| known.latest(now));
        users.iter().map(|user| is_online(user).is_some()).collect()
    }

    pub(super) fn expire(&self, users: &[UserId]) -> Vec<Life> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut expire = |user_id| {
            let Some(known) = state.users.get(user_id) else {
                return Life::Absent;
            };
            if let Some(latest) = known.latest(now) {
                let expires_in = latest - now;
                return Life::Live { expires_in };
            }
            state.users.remove(user_id);
            Life::RanOut
        };
        users.iter().map(&mut expire).collect()
    }

    pub(super) fn signal(&self, signals: &[Signal]) {
        if let Some(subscriber) = &self.lock().subscriber {
            for signal in signals {
                // Full or gone: a signal may be lost.
                let _ = subscriber.try_send(signal.clone());
            }
        }
    }

    pub(super) fn signals(&self) -> mpsc::Receiver<Signal> {
        let (sender, receiver) = mpsc::channel(SIGNAL_CAPACITY);
        // It has room for this.
        let _ = sender.try_send(Signal::Hello);
        self.lock().subscriber = Some(sender);
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryPresence;
    use crate::presence::{
        Presence,
        suite::{Fixture, presence_suite},
    };

    struct Memory(Presence);

    impl Fixture for Memory {
        async fn open(_: &str) -> Option<Self> {
            Some(Self(Presence::Memory(MemoryPresence::default())))
        }

        fn gateway(&self) -> Presence {
            self.0.clone()
        }
    }

    presence_suite!(Memory);
}
