//! Presence of a single process, in its memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::mpsc;

use super::{ALIVE, SIGNAL_CAPACITY, Signal};
use crate::ids::{SessionId, UserId};

/// A handle to the process's presence.
#[derive(Debug, Clone, Default)]
pub struct MemoryPresence(Arc<Mutex<Sockets>>);

#[derive(Debug, Default)]
struct Sockets {
    /// Of the live sockets, by user.
    deadlines: HashMap<UserId, HashMap<SessionId, Instant>>,
    subscriber: Option<mpsc::Sender<Signal>>,
}

impl MemoryPresence {
    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self, sockets: &[(UserId, SessionId)]) {
        let deadline = Instant::now() + ALIVE;
        let mut state = self.lock();
        for (user_id, session_id) in sockets {
            state
                .deadlines
                .entry(*user_id)
                .or_default()
                .insert(*session_id, deadline);
        }
    }

    pub(super) fn leave(&self, user_id: UserId, session_id: SessionId) -> bool {
        let mut state = self.lock();
        let Some(sockets) = state.deadlines.get_mut(&user_id) else {
            return false;
        };
        let was_there = sockets.remove(&session_id).is_some();
        let none_left = sockets.is_empty();
        if none_left {
            state.deadlines.remove(&user_id);
        }
        was_there && none_left
    }

    pub(super) fn is_online(&self, user_id: UserId) -> bool {
        self.lock().deadlines.contains_key(&user_id)
    }

    pub(super) fn expire(&self) -> Vec<UserId> {
        self.expire_at(Instant::now())
    }

    fn expire_at(&self, now: Instant) -> Vec<UserId> {
        let mut gone = Vec::new();
        self.lock().deadlines.retain(|user_id, sockets| {
            sockets.retain(|_, deadline| *deadline > now);
            if sockets.is_empty() {
                gone.push(*user_id);
            }
            !sockets.is_empty()
        });
        gone
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(subscriber) = &self.lock().subscriber {
            // Full or gone: a signal may be lost.
            let _ = subscriber.try_send(signal);
        }
    }

    pub(super) fn signals(&self) -> mpsc::Receiver<Signal> {
        let (sender, receiver) = mpsc::channel(SIGNAL_CAPACITY);
        self.lock().subscriber = Some(sender);
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_online_while_any_socket_lives() {
        let presence = MemoryPresence::default();
        let user = UserId::random();
        let (phone, laptop) = (SessionId::random(), SessionId::random());
        presence.touch(&[(user, phone), (user, laptop)]);
        assert!(!presence.leave(user, phone));
        assert!(presence.is_online(user));
        assert!(presence.leave(user, laptop));
        assert!(!presence.is_online(user));
        assert!(!presence.leave(user, laptop), "gone already");
    }

    #[test]
    fn sockets_of_a_dead_gateway_run_out() {
        let presence = MemoryPresence::default();
        let user = UserId::random();
        presence.touch(&[(user, SessionId::random())]);
        assert!(presence.expire_at(Instant::now()).is_empty());
        assert_eq!(presence.expire_at(Instant::now() + ALIVE), [user]);
        assert!(!presence.is_online(user));
    }
}
