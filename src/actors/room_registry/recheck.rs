//! What an event may have failed to tell: memberships, logouts and password changes of the
//! slice's own sockets, read again from the store.
//!
//! Each socket has its turn once a round, spread over the round's sweeps; one reading is under
//! way at a time, and what is due meanwhile goes with the next.

use std::{mem, sync::Arc, time::Duration};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use fail::fail_point;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{ApplyEvent, RoomRegistry, SessionEntry, sweep};
use crate::{
    actors::room::RoomParts,
    auth::Identity,
    event::{Event, MembershipChange},
    ids::{RoomId, SessionId, UserId},
    protocol::close::CloseCode,
    store::{Role, Store, StoreError},
};

/// Sweeps of a round (25 s): with the reading, what was lost holds within 30 s.
const SWEEPS_PER_ROUND: u64 = 100;

/// Sweeps between two looks for sockets of revoked logins (1 s).
const SWEEPS_PER_REVOKED: u64 = 4;

/// Sockets that are due, and whether a reading is under way.
#[derive(Debug, Default)]
pub(super) struct Recheck {
    due: FxHashSet<SessionId>,
    is_reading: bool,
}

/// What is asked about sockets.
#[derive(Debug, Default)]
struct Question {
    identities: Vec<Arc<Identity>>,
    memberships: FxHashSet<(RoomId, UserId)>,
}

/// What no longer holds.
#[derive(Debug)]
struct Answer {
    /// Of tokens that a change of the password has ended.
    outdated: Vec<Arc<Identity>>,
    ended: Vec<EndedMembership>,
}

#[derive(Debug)]
struct EndedMembership {
    room_id: RoomId,
    user_id: UserId,
    /// Whatever is of it or older has ended.
    generation: u64,
}

fn sweeps_per_round() -> u64 {
    fail_point!("recheck-at-each-sweep", |_| 1);
    SWEEPS_PER_ROUND
}

impl RoomRegistry {
    /// Does the part of a round that falls to this sweep.
    pub(super) fn recheck(&mut self, ctx: &mut Context<Self>) {
        let round = sweeps_per_round();
        let turn = self.sweeps % round;
        let due = self.sessions.keys().copied();
        let due = due.filter(|session_id| sweep::spread(*session_id, round) == turn);
        self.recheck.due.extend(due);
        if self.sweeps.is_multiple_of(SWEEPS_PER_REVOKED) {
            self.close_revoked();
        }
        if !self.recheck.is_reading && !self.recheck.due.is_empty() {
            self.read_again(sweep::INTERVAL * round as u32, ctx);
        }
    }

    fn close_revoked(&self) {
        let auth = &self.parts.auth;
        if !auth.has_revoked() {
            return;
        }
        let is_revoked = |who: &Arc<Identity>| auth.is_revoked(who.login_id);
        for entry in self.sessions.values() {
            if entry.identity.as_ref().is_some_and(is_revoked) {
                entry.outbox.close(CloseCode::Unauthenticated);
            }
        }
    }

    fn read_again(&mut self, round: Duration, ctx: &mut Context<Self>) {
        let due = mem::take(&mut self.recheck.due);
        let due = due.iter().filter_map(|id| self.sessions.get(id));
        let question = Question::about(due);
        self.recheck.is_reading = true;
        let reading = read(self.parts.clone(), question, round);
        ctx.spawn(reading.into_actor(self).map(|answer, this, _| {
            this.recheck.is_reading = false;
            match answer {
                Ok(answer) => this.apply_answer(answer),
                Err(error) => log::debug!(error:%; "memberships are read again later"),
            }
        }));
    }

    fn apply_answer(&self, answer: Answer) {
        for who in answer.outdated {
            // One that has shown a new token meanwhile has another identity.
            self.close_sessions(who.user_id, |identity| std::ptr::eq(identity, &*who));
        }
        for ended in answer.ended {
            let Some(change) = self.change(&ended) else {
                continue;
            };
            log::info!(room:% = ended.room_id, user:% = ended.user_id;
                "a membership has ended without a word");
            let RoomParts {
                memberships,
                presence,
                ..
            } = &self.parts;
            memberships.forget(ended.room_id, ended.user_id);
            presence.forget_member(ended.room_id, ended.user_id);
            self.tell_slices(Event::MemberLeft(change));
        }
    }

    /// Has all slices apply an event, this one included: its users may have sockets anywhere, and
    /// everybody in the room is to know. A full slice finds its own sockets in its next round.
    fn tell_slices(&self, event: Event) {
        let event = Arc::new(event);
        for registry in self.parts.slices.all() {
            // Its next round heals what a full one misses.
            let _ = registry.try_send(ApplyEvent(Arc::clone(&event)));
        }
    }

    /// Returns the event that was lost, as far as it can be told: the role has gone with the row.
    fn change(&self, ended: &EndedMembership) -> Option<MembershipChange> {
        let mut sessions = self.sessions_of(ended.user_id);
        let identity = sessions.find_map(|entry| entry.identity.as_ref())?;
        Some(MembershipChange {
            room_id: ended.room_id,
            user_id: ended.user_id,
            display_name: identity.display_name.clone(),
            role: Role::Member,
            generation: ended.generation,
        })
    }
}

impl Question {
    fn about<'a>(sessions: impl Iterator<Item = &'a SessionEntry>) -> Self {
        let mut question = Self::default();
        for entry in sessions {
            let Some(identity) = &entry.identity else {
                continue;
            };
            let rooms = entry.outbox.rooms().into_iter();
            let pairs = rooms.map(|room_id| (room_id, identity.user_id));
            question.memberships.extend(pairs);
            question.identities.push(Arc::clone(identity));
        }
        question
    }
}

async fn read(parts: RoomParts, question: Question, round: Duration) -> Result<Answer, StoreError> {
    // Less than a round: who has read does so again in its next round.
    parts.auth.reload(round * 4 / 5).await?;
    let outdated = parts.auth.outdated(question.identities).await?;
    let ended = ended(&parts.store, question.memberships).await?;
    Ok(Answer { outdated, ended })
}

/// Returns which memberships are no more.
async fn ended(
    store: &Store,
    asked: FxHashSet<(RoomId, UserId)>,
) -> Result<Vec<EndedMembership>, StoreError> {
    let absent = absent(store, asked).await?;
    if absent.is_empty() {
        return Ok(Vec::new());
    }
    // Read before the second look: who joins again meanwhile is of a younger generation.
    let rooms: FxHashSet<_> = absent.iter().map(|(room_id, _)| *room_id).collect();
    let generations = store.generations(rooms.into_iter().collect()).await?;
    let generations: FxHashMap<_, _> = generations.into_iter().collect();
    let ended = |(room_id, user_id)| {
        let generation = *generations.get(&room_id)?;
        Some(EndedMembership {
            room_id,
            user_id,
            generation,
        })
    };
    let absent = self::absent(store, absent).await?;
    Ok(absent.into_iter().filter_map(ended).collect())
}

async fn absent(
    store: &Store,
    mut asked: FxHashSet<(RoomId, UserId)>,
) -> Result<FxHashSet<(RoomId, UserId)>, StoreError> {
    let found = store.memberships(asked.iter().copied().collect()).await?;
    for (room_id, user_id, _) in found {
        asked.remove(&(room_id, user_id));
    }
    Ok(asked)
}
