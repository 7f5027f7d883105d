//! Who is known to be online in which room: pure.
//!
//! What this gateway's own users have joined is kept apart from what was heard of everybody, so
//! that a signal that got lost is noticed and repeated.

use std::{
    mem,
    time::{Duration, Instant},
};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    ids::{RoomId, SessionId, UserId},
    presence::{ALIVE, Heartbeat, Life, Present},
    small_map::SmallMap,
};

/// How long nothing may be known of somebody who was online: longer than two touches of a
/// gateway are apart, in case the memory of who is online was lost.
const ABSENT_GRACE: Duration = Duration::from_secs(35);

/// How soon an absent user is asked for again.
const ABSENT_RETRY: Duration = Duration::from_secs(5);

/// Who is online, as far as this gateway knows.
#[derive(Debug, Default)]
pub(super) struct Roster(FxHashMap<UserId, Known>);

/// A user: somebody with a socket on this gateway, whom rooms were told of, or both.
#[derive(Debug, Default)]
struct Known {
    /// Whether the user has a socket on this gateway, or has just joined by one.
    is_here: bool,
    /// When each socket was last heard of.
    sockets: SmallMap<SessionId, Instant>,
    rooms: SmallMap<RoomId, Marks>,
    /// Set for users of any gateway whom rooms were told of.
    announced: Option<Announced>,
}

/// What is known of a user in a room.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    /// A socket on this gateway has joined it.
    joined: bool,
    /// It was told of the user.
    told: bool,
}

#[derive(Debug)]
struct Announced {
    /// When its sockets may have run out.
    ask_at: Instant,
    absent_since: Option<Instant>,
}

impl Known {
    fn leave(&mut self) {
        self.is_here = false;
        self.sockets = SmallMap::default();
        self.rooms.retain(|_, marks| {
            marks.joined = false;
            marks.told
        });
    }

    fn is_of_use(&self) -> bool {
        self.is_here || self.announced.is_some()
    }
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
        let here = self.0.values().filter(|user| user.is_here);
        let announced = self.0.values().filter(|user| user.announced.is_some());
        (here.count(), announced.count())
    }

    // ------------------------------------------------- this gateway's users

    fn here(&mut self, user_id: UserId) -> &mut Known {
        let user = self.0.entry(user_id).or_default();
        user.is_here = true;
        user
    }

    /// Notes that a socket lives.
    pub(super) fn heard(&mut self, socket: &Heartbeat, now: Instant) {
        let heard_at = now.checked_sub(socket.silent_for).unwrap_or(now);
        let here = self.here(socket.user_id);
        here.sockets.insert(socket.session_id, heard_at);
    }

    /// Notes that a socket has closed.
    pub(super) fn gone(&mut self, user_id: UserId, session_id: SessionId) {
        let Some(user) = self.0.get_mut(&user_id) else {
            return;
        };
        user.sockets.remove(session_id);
        if user.is_here && user.sockets.is_empty() {
            user.leave();
        }
        if !user.is_of_use() {
            self.0.remove(&user_id);
        }
    }

    /// Forgets sockets whose end was missed.
    pub(super) fn prune(&mut self, now: Instant) {
        self.0.retain(|_, user| {
            user.sockets
                .retain(|_, heard_at| now.duration_since(*heard_at) < ALIVE);
            if user.is_here && user.sockets.is_empty() {
                user.leave();
            }
            user.is_of_use()
        });
    }

    /// Notes that a socket of this gateway has joined a room; returns whether that is news.
    pub(super) fn joined(&mut self, present: Present) -> bool {
        let here = self.here(present.user_id);
        let marks = here.rooms.get_or_default(present.room_id);
        marks.joined = true;
        !marks.told
    }

    pub(super) fn is_here(&self, user_id: UserId) -> bool {
        self.0.get(&user_id).is_some_and(|user| user.is_here)
    }

    /// Returns where this gateway's users are, by what is known of them there.
    fn marks(&self) -> impl Iterator<Item = (Present, Marks)> {
        self.0.iter().flat_map(|(user_id, user)| {
            let joined = user.rooms.iter().filter(|(_, marks)| marks.joined);
            joined.map(|(room_id, marks)| {
                let user_id = *user_id;
                (Present { room_id, user_id }, *marks)
            })
        })
    }

    /// Returns all that this gateway says about its users, to be said again.
    pub(super) fn present(&self) -> impl Iterator<Item = Present> {
        self.marks().map(|(present, _)| present)
    }

    /// Returns what this gateway has said and not heard.
    pub(super) fn unheard(&self) -> Vec<Present> {
        let unheard = self.marks().filter(|(_, marks)| !marks.told);
        unheard.map(|(present, _)| present).collect()
    }

    /// Returns the sockets of this gateway, to be touched again.
    pub(super) fn heartbeats(&self, now: Instant) -> Vec<Heartbeat> {
        let sockets = self.0.iter().flat_map(|(user_id, user)| {
            let sockets = user.sockets.iter();
            sockets.map(|(session_id, heard_at)| (*user_id, session_id, *heard_at))
        });
        let heartbeat = |(user_id, session_id, heard_at)| Heartbeat {
            user_id,
            session_id,
            silent_for: now.duration_since(heard_at),
        };
        sockets.map(heartbeat).collect()
    }

    // --------------------------------------------------- everybody's users

    /// Notes that a room is told of a user; returns whether that is news.
    pub(super) fn online(&mut self, present: Present, now: Instant) -> bool {
        let user = self.0.entry(present.user_id).or_default();
        user.announced.get_or_insert(Announced {
            ask_at: now,
            absent_since: None,
        });
        let marks = user.rooms.get_or_default(present.room_id);
        !mem::replace(&mut marks.told, true)
    }

    /// Returns the rooms that were told of a user.
    pub(super) fn rooms_of(&self, user_id: UserId) -> Vec<RoomId> {
        let rooms = self
            .0
            .get(&user_id)
            .into_iter()
            .flat_map(|user| user.rooms.iter());
        let told = rooms.filter(|(_, marks)| marks.told);
        told.map(|(room_id, _)| room_id).collect()
    }

    /// Forgets a user who has gone; returns the rooms to tell, those that another gateway knows
    /// among them.
    pub(super) fn offline(&mut self, user_id: UserId, rooms: Vec<RoomId>) -> FxHashSet<RoomId> {
        let mut told = FxHashSet::from_iter(rooms);
        let Some(user) = self.0.get_mut(&user_id) else {
            return told;
        };
        user.announced = None;
        user.rooms.retain(|room_id, marks| {
            if mem::take(&mut marks.told) {
                told.insert(room_id);
            }
            marks.joined
        });
        if !user.is_of_use() {
            self.0.remove(&user_id);
        }
        told
    }

    /// Forgets that a room was told of a user, who has left it.
    pub(super) fn forget_member(&mut self, present: Present) {
        if let Some(user) = self.0.get_mut(&present.user_id) {
            user.rooms.remove(present.room_id);
        }
    }

    /// Returns the users of other gateways whose sockets may have run out.
    pub(super) fn due(&self, now: Instant) -> Vec<UserId> {
        let is_due = |user: &Known| {
            let announced = user.announced.as_ref();
            !user.is_here && announced.is_some_and(|user| user.ask_at <= now)
        };
        let due = self.0.iter().filter(|(_, user)| is_due(user));
        due.map(|(user_id, _)| *user_id).collect()
    }

    /// Judges a user by what a sweep has found.
    pub(super) fn judge(&mut self, user_id: UserId, life: Life, now: Instant) -> Judgement {
        let user = self.0.get_mut(&user_id);
        let Some(user) = user.and_then(|user| user.announced.as_mut()) else {
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
    fn what_rooms_were_told_and_what_is_joined_here_end_apart() {
        let (mut roster, now, one) = (Roster::default(), Instant::now(), present());
        let socket = heartbeat(one.user_id);
        roster.heard(&socket, now);
        roster.joined(one);
        roster.online(one, now);
        let told = roster.offline(one.user_id, Vec::new());
        assert_eq!(Vec::from_iter(told), [one.room_id]);
        assert_eq!(roster.unheard(), [one], "it is still here");
        roster.online(one, now);
        roster.gone(one.user_id, socket.session_id);
        assert_eq!(roster.present().count(), 0);
        assert_eq!(
            roster.rooms_of(one.user_id),
            [one.room_id],
            "as it was told"
        );
        roster.offline(one.user_id, Vec::new());
        assert_eq!(roster.counts(), (0, 0));
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
