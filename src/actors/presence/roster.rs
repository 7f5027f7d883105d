//! Who is known to be online in which room: pure.
//!
//! What this gateway's own users have joined is kept apart from what was heard of everybody, so
//! that a signal that got lost is noticed and repeated.

use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    ids::{RoomId, SessionId, UserId},
    presence::{ALIVE, Heartbeat, Life, Present},
};

/// How long nothing may be known of somebody who was online: longer than two touches of a
/// gateway are apart, in case the memory of who is online was lost.
const ABSENT_GRACE: Duration = Duration::from_secs(35);

/// How soon an absent user is asked for again.
const ABSENT_RETRY: Duration = Duration::from_secs(5);

/// Who is online, as far as this gateway knows.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// Users of any gateway whom rooms were told of.
    announced: FxHashMap<UserId, Announced>,
    /// Users with a socket on this gateway.
    here: FxHashMap<UserId, Here>,
}

#[derive(Debug)]
struct Announced {
    rooms: FxHashSet<RoomId>,
    /// When its sockets may have run out.
    ask_at: Instant,
    absent_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Here {
    /// When each socket was last heard of.
    sockets: FxHashMap<SessionId, Instant>,
    /// The rooms that they have joined.
    rooms: FxHashSet<RoomId>,
}

/// What is to be done about a user whose sockets were asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Stays,
    /// This gateway is the one that tells all.
    TellAll,
    /// Whoever was to tell has not, or has not been heard.
    TellHere,
}

impl Roster {
    /// Returns how many users are here, and how many rooms were told of.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.here.len(), self.announced.len())
    }

    // ------------------------------------------------- this gateway's users

    /// Notes that a socket lives.
    pub(super) fn heard(&mut self, socket: &Heartbeat, now: Instant) {
        let heard_at = now.checked_sub(socket.silent_for).unwrap_or(now);
        let here = self.here.entry(socket.user_id).or_default();
        here.sockets.insert(socket.session_id, heard_at);
    }

    /// Notes that a socket has closed.
    pub(super) fn gone(&mut self, user_id: UserId, session_id: SessionId) {
        if let Some(here) = self.here.get_mut(&user_id) {
            here.sockets.remove(&session_id);
            if here.sockets.is_empty() {
                self.here.remove(&user_id);
            }
        }
    }

    /// Forgets sockets whose end was missed.
    pub(super) fn prune(&mut self, now: Instant) {
        self.here.retain(|_, here| {
            here.sockets
                .retain(|_, heard_at| now.duration_since(*heard_at) < ALIVE);
            !here.sockets.is_empty()
        });
    }

    /// Notes that a socket of this gateway has joined a room; returns whether that is news.
    pub(super) fn joined(&mut self, present: Present) -> bool {
        let here = self.here.entry(present.user_id).or_default();
        here.rooms.insert(present.room_id);
        !self.is_announced(present)
    }

    pub(super) fn is_here(&self, user_id: UserId) -> bool {
        self.here.contains_key(&user_id)
    }

    /// Returns all that this gateway says about its users, to be said again.
    pub(super) fn present(&self) -> impl Iterator<Item = Present> {
        self.here.iter().flat_map(|(user_id, here)| {
            here.rooms.iter().map(|room_id| Present {
                room_id: *room_id,
                user_id: *user_id,
            })
        })
    }

    /// Returns what this gateway has said and not heard.
    pub(super) fn unheard(&self) -> Vec<Present> {
        let present = self.present();
        present.filter(|one| !self.is_announced(*one)).collect()
    }

    /// Returns the sockets of this gateway, to be touched again.
    pub(super) fn heartbeats(&self, now: Instant) -> Vec<Heartbeat> {
        let sockets = self.here.iter().flat_map(|(user_id, here)| {
            here.sockets
                .iter()
                .map(|(session_id, heard_at)| (*user_id, *session_id, *heard_at))
        });
        let heartbeat = |(user_id, session_id, heard_at)| Heartbeat {
            user_id,
            session_id,
            silent_for: now.duration_since(heard_at),
        };
        sockets.map(heartbeat).collect()
    }

    // --------------------------------------------------- everybody's users

    fn is_announced(&self, present: Present) -> bool {
        let announced = self.announced.get(&present.user_id);
        announced.is_some_and(|user| user.rooms.contains(&present.room_id))
    }

    /// Notes that a room is told of a user; returns whether that is news.
    pub(super) fn online(&mut self, present: Present, now: Instant) -> bool {
        let user = self.announced.entry(present.user_id);
        let user = user.or_insert_with(|| Announced {
            rooms: FxHashSet::default(),
            ask_at: now,
            absent_since: None,
        });
        user.rooms.insert(present.room_id)
    }

    /// Returns the rooms that were told of a user.
    pub(super) fn rooms_of(&self, user_id: UserId) -> Vec<RoomId> {
        let announced = self.announced.get(&user_id).into_iter();
        announced.flat_map(|user| &user.rooms).copied().collect()
    }

    /// Forgets a user who has gone; returns the rooms to tell, those that another gateway knows
    /// among them.
    pub(super) fn offline(&mut self, user_id: UserId, rooms: Vec<RoomId>) -> FxHashSet<RoomId> {
        let announced = self.announced.remove(&user_id);
        let mut told = announced.map(|user| user.rooms).unwrap_or_default();
        told.extend(rooms);
        told
    }

    /// Forgets that a room was told of a user, who has left it.
    pub(super) fn forget_member(&mut self, present: Present) {
        if let Some(user) = self.announced.get_mut(&present.user_id) {
            user.rooms.remove(&present.room_id);
        }
        if let Some(here) = self.here.get_mut(&present.user_id) {
            here.rooms.remove(&present.room_id);
        }
    }

    /// Returns the users of other gateways whose sockets may have run out.
    pub(super) fn due(&self, now: Instant) -> Vec<UserId> {
        let due = self.announced.iter().filter(|(_, user)| user.ask_at <= now);
        let due = due.map(|(user_id, _)| *user_id);
        due.filter(|user_id| !self.is_here(*user_id)).collect()
    }

    /// Judges a user by what a sweep has found.
    pub(super) fn judge(&mut self, user_id: UserId, life: Life, now: Instant) -> Judgement {
        let Some(user) = self.announced.get_mut(&user_id) else {
            return Judgement::Stays;
        };
        match life {
            Life::Live { expires_in } => {
                user.ask_at = now + expires_in;
                user.absent_since = None;
                Judgement::Stays
            }
            Life::RanOut => Judgement::TellAll,
            Life::Absent => {
                user.ask_at = now + ABSENT_RETRY;
                let since = *user.absent_since.get_or_insert(now);
                match now.duration_since(since) >= ABSENT_GRACE {
                    true => Judgement::TellHere,
                    false => Judgement::Stays,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present() -> Present {
        Present {
            room_id: RoomId::random(),
            user_id: UserId::random(),
        }
    }

    fn heartbeat(user_id: UserId) -> Heartbeat {
        Heartbeat {
            user_id,
            session_id: SessionId::random(),
            silent_for: Duration::ZERO,
        }
    }

    #[test]
    fn what_was_said_and_not_heard_is_said_again() {
        let (mut roster, now, one) = (Roster::default(), Instant::now(), present());
        roster.heard(&heartbeat(one.user_id), now);
        assert!(roster.joined(one));
        assert_eq!(roster.unheard(), [one]);
        assert!(roster.online(one, now));
        assert_eq!(roster.unheard(), []);
        assert!(!roster.joined(one) && !roster.online(one, now), "no news");
        assert_eq!(roster.present().collect::<Vec<_>>(), [one]);
    }

    #[test]
    fn a_user_who_left_the_room_is_news_again() {
        let (mut roster, now, one) = (Roster::default(), Instant::now(), present());
        roster.joined(one);
        roster.online(one, now);
        roster.forget_member(one);
        assert_eq!(roster.unheard(), []);
        assert!(roster.joined(one));
    }

    #[test]
    fn a_user_is_here_while_a_socket_is_heard() {
        let (mut roster, now, user) = (Roster::default(), Instant::now(), UserId::random());
        let (phone, laptop) = (heartbeat(user), heartbeat(user));
        roster.heard(&phone, now);
        roster.heard(&laptop, now);
        roster.gone(user, phone.session_id);
        assert!(roster.is_here(user));
        assert_eq!(roster.heartbeats(now), [laptop]);
        roster.prune(now + ALIVE);
        assert!(!roster.is_here(user), "its end was missed");
    }

    #[test]
    fn others_rooms_are_told_too_when_a_user_goes() {
        let (mut roster, one, other) = (Roster::default(), present(), RoomId::random());
        roster.online(one, Instant::now());
        let told = roster.offline(one.user_id, vec![one.room_id, other]);
        assert_eq!(told, FxHashSet::from_iter([one.room_id, other]));
        assert!(roster.rooms_of(one.user_id).is_empty());
    }

    #[test]
    fn users_of_other_gateways_are_asked_for_when_they_may_have_run_out() {
        let (mut roster, now, one) = (Roster::default(), Instant::now(), present());
        let expires_in = Duration::from_secs(40);
        roster.online(one, now);
        assert_eq!(roster.due(now), [one.user_id]);
        let mut judge = |life, at| roster.judge(one.user_id, life, at);
        assert_eq!(judge(Life::Live { expires_in }, now), Judgement::Stays);
        assert_eq!(judge(Life::RanOut, now), Judgement::TellAll);
        assert_eq!(roster.due(now), []);
        assert_eq!(roster.due(now + expires_in), [one.user_id]);
        roster.heard(&heartbeat(one.user_id), now);
        assert_eq!(roster.due(now + expires_in), [], "it is here");
    }

    #[test]
    fn an_absent_user_has_time_to_be_touched_again() {
        let (mut roster, now, one) = (Roster::default(), Instant::now(), present());
        roster.online(one, now);
        let mut judge = |at| roster.judge(one.user_id, Life::Absent, at);
        assert_eq!(judge(now), Judgement::Stays);
        assert_eq!(judge(now + ABSENT_RETRY), Judgement::Stays);
        assert_eq!(judge(now + ABSENT_GRACE), Judgement::TellHere);
        assert_eq!(roster.due(now + ABSENT_GRACE), []);
    }
}
