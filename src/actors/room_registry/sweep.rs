//! The slice's one timer: what is due for any of its sockets and rooms.

use std::{
    mem,
    time::{Duration, Instant},
};

use actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use futures_util::FutureExt;
use tokio::{sync::oneshot, task::yield_now};

use super::{AwaitEmpty, CheckHead, DrainSockets, RoomRegistry, SessionEntry};
use crate::{
    actors::{room::DEPARTURE_TTL, session::RejoinRoom},
    clock::Timestamp,
    ids::{RoomId, Seq, SessionId, UserId},
    metrics,
    presence::Heartbeat,
    protocol::{
        HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT,
        close::CloseCode,
        server::{Reconnect, ServerEvent},
    },
    store::StoreError,
};

/// How often the sweep runs.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// Sockets that are looked at before others of the thread have a turn.
const TURN_SOCKETS: usize = 128;

/// How long frames may wait for a peer that reads nothing, before the close frame.
const STALL_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a peer may take to read a close frame and answer it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Sweeps between two looks at the rooms' heads (25 s).
const SWEEPS_PER_HEADS: u64 = 100;

/// Sweeps between two touches of presence (15 s).
const SWEEPS_PER_TOUCH: u64 = 60;

/// Sweeps between two looks at rooms that are behind (0.5 s).
const SWEEPS_PER_BEHIND: u64 = 2;

/// How long sockets stay when a drain begins: what they have sent reaches the log meanwhile.
const DRAIN_DELAY: Duration = Duration::from_millis(250);

/// How long a socket that is due to be sent away waits for the end of its sends.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Least time that a drained client stays away.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// What is added to it, different for each client, in milliseconds.
const RECONNECT_SPREAD_MS: u64 = 2_000;

/// A number that differs from socket to socket, to spread what is due at the same time.
pub(super) fn spread(session_id: SessionId, below: u64) -> u64 {
    session_id.0.as_u64_pair().0 % below
}

/// Spreads the pings of a slice over the interval.
pub(super) fn first_ping(session_id: SessionId) -> Duration {
    let half = HEARTBEAT_INTERVAL / 2;
    half + Duration::from_millis(spread(session_id, half.as_millis() as u64))
}

impl RoomRegistry {
    pub(super) fn sweep(&mut self, ctx: &mut Context<Self>) {
        self.sweeps += 1;
        self.sweep_sockets(ctx);
        self.recheck(ctx);
        let now = Instant::now();
        self.departures
            .retain(|departure| now.duration_since(departure.at) < DEPARTURE_TTL);
        if self.sweeps.is_multiple_of(SWEEPS_PER_TOUCH) {
            self.touch_presence();
        }
        if self.sweeps.is_multiple_of(SWEEPS_PER_HEADS) {
            let rooms = self.rooms.keys().copied().collect();
            self.check_heads(rooms, ctx);
        } else if self.sweeps.is_multiple_of(SWEEPS_PER_BEHIND) {
            let behind = self.rooms.iter().filter(|(_, room)| room.behind);
            let behind = behind.map(|(room_id, _)| *room_id).collect();
            self.check_heads(behind, ctx);
        }
    }

    /// Begins to look at all sockets; one that is not done with them goes on instead.
    fn sweep_sockets(&mut self, ctx: &mut Context<Self>) {
        if self.unswept.is_empty() {
            self.unswept.extend(self.sessions.keys());
            self.sweep_some(ctx);
        }
    }

    fn sweep_some(&mut self, ctx: &mut Context<Self>) {
        let (now, today) = (Instant::now(), Timestamp::now());
        let left = self.unswept.len().saturating_sub(TURN_SOCKETS);
        for session_id in self.unswept.split_off(left) {
            let Some(entry) = self.sessions.get_mut(&session_id) else {
                continue;
            };
            if entry.outbox.is_gone() {
                self.forget_session(session_id);
            } else {
                sweep_socket(entry, now, today);
            }
        }
        if !self.unswept.is_empty() {
            let others_had_theirs = yield_now().into_actor(self);
            ctx.spawn(others_had_theirs.map(|(), this, ctx| this.sweep_some(ctx)));
        }
    }

    fn touch_presence(&self) {
        let open = self
            .sessions
            .iter()
            .filter(|(_, entry)| entry.outbox.is_open());
        let heartbeat = |(session_id, entry): (&SessionId, &SessionEntry)| {
            Some(Heartbeat {
                user_id: entry.identity.as_ref()?.user_id,
                session_id: *session_id,
                silent_for: entry.outbox.silent_for(),
            })
        };
        let alive: Vec<_> = open.filter_map(heartbeat).collect();
        if !alive.is_empty() {
            self.parts.presence.touch(alive);
        }
    }

    fn check_heads(&mut self, rooms: Vec<RoomId>, ctx: &mut Context<Self>) {
        if rooms.is_empty() {
            return;
        }
        // What is left out from now on may not be in the answer.
        let is_behind = |room_id: &RoomId| {
            let room = self.rooms.get_mut(room_id);
            room.is_some_and(|room| mem::take(&mut room.behind))
        };
        let behind = rooms.iter().copied().filter(is_behind);
        let behind = Vec::from_iter(behind);
        let store = self.parts.store.clone();
        let asking = async move { store.heads(rooms).await };
        ctx.spawn(
            asking
                .into_actor(self)
                .map(move |heads, this, _| this.tell_heads(&behind, heads)),
        );
    }

    fn tell_heads(&mut self, behind: &[RoomId], heads: Result<Vec<(RoomId, Seq)>, StoreError>) {
        let Ok(heads) = heads else {
            for room_id in behind {
                if let Some(room) = self.rooms.get_mut(room_id) {
                    room.behind = true;
                }
            }
            return;
        };
        for (room_id, head) in heads {
            if let Some(room) = self.rooms.get_mut(&room_id) {
                room.behind |= room.addr.try_send(CheckHead(head)).is_err();
            }
        }
    }
}

/// Does what is due for one socket.
fn sweep_socket(entry: &mut SessionEntry, now: Instant, today: Timestamp) {
    let outbox = &entry.outbox;
    for room_id in outbox.take_behind() {
        if entry.addr.try_send(RejoinRoom(room_id)).is_err() {
            outbox.close(CloseCode::ServerError);
        }
    }
    if let Some(closing_for) = outbox.closing_for() {
        if closing_for >= CLOSE_TIMEOUT {
            outbox.cut();
        }
        return;
    }
    let expires_at = entry.identity.as_ref().map(|who| who.expires_at);
    if expires_at.is_some_and(|at| at <= today) {
        outbox.close(CloseCode::Unauthenticated);
    } else if outbox.waited_for() >= STALL_TIMEOUT {
        metrics::get().slow_sockets.increment(1);
        outbox.close(CloseCode::TooSlow);
    } else if outbox.silent_for() >= HEARTBEAT_TIMEOUT {
        outbox.close(CloseCode::HeartbeatTimeout);
    } else if is_leaving(entry, now) {
        send_away(entry);
    } else if entry.next_ping <= now {
        entry.next_ping = now + HEARTBEAT_INTERVAL;
        outbox.ping();
    }
}

/// A drained socket goes when its sends are answered, or have had their time.
fn is_leaving(entry: &SessionEntry, now: Instant) -> bool {
    let due_for = entry.leaves.and_then(|at| now.checked_duration_since(at));
    due_for.is_some_and(|due_for| entry.outbox.is_settled() || due_for >= SETTLE_TIMEOUT)
}

fn send_away(entry: &SessionEntry) {
    let jitter = Duration::from_millis(spread(entry.outbox.session_id, RECONNECT_SPREAD_MS));
    let after_ms = (RECONNECT_AFTER + jitter).as_millis() as u64;
    let reconnect = ServerEvent::Reconnect(Reconnect { after_ms });
    entry.outbox.push_event(&reconnect);
    entry.outbox.close(CloseCode::Restart);
}

impl Handler<DrainSockets> for RoomRegistry {
    type Result = Vec<(UserId, SessionId)>;

    fn handle(&mut self, drain: DrainSockets, _: &mut Context<Self>) -> Self::Result {
        let count = u32::try_from(self.sessions.len())
            .unwrap_or(u32::MAX)
            .max(1);
        let step = drain.spread / count;
        self.draining = true;
        let mut leaves = Instant::now() + DRAIN_DELAY;
        let mut sockets = Vec::new();
        for (session_id, entry) in &mut self.sessions {
            entry.leaves = Some(leaves);
            leaves += step;
            if let Some(who) = &entry.identity {
                sockets.push((who.user_id, *session_id));
            }
        }
        sockets
    }
}

impl Handler<AwaitEmpty> for RoomRegistry {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: AwaitEmpty, _: &mut Context<Self>) -> Self::Result {
        let (waiter, empty) = oneshot::channel();
        if !self.sessions.is_empty() {
            self.empty_waiters.push(waiter);
        }
        // Dropping the waiter is the signal.
        Box::pin(empty.map(drop))
    }
}
