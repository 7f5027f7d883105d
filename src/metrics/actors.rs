//! What is counted of each actor type. The figures lie in atomics, for `/debug/actors` reads them
//! too; `/metrics` takes them over when it is rendered.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    thread,
    time::Instant,
};

use serde::Serialize;

use super::Metrics;

/// The actor types, by the name in the `actor` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    Session,
    Room,
    RoomRegistry,
    Presence,
    KafkaBridge,
    Persistor,
}

impl ActorKind {
    /// Every type, by rank.
    pub const ALL: [Self; 6] = [
        Self::Session,
        Self::Room,
        Self::RoomRegistry,
        Self::Presence,
        Self::KafkaBridge,
        Self::Persistor,
    ];

    /// Returns the type's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "SessionActor",
            Self::Room => "RoomActor",
            Self::RoomRegistry => "RoomRegistry",
            Self::Presence => "PresenceActor",
            Self::KafkaBridge => "KafkaBridge",
            Self::Persistor => "PersistorActor",
        }
    }
}

/// What became of a message to an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its handler returned.
    Ok,
    /// Its handler panicked.
    Panicked,
    /// Nobody handled it: the mailbox was full, or the actor has ended.
    Dropped,
}

impl Outcome {
    pub(super) const ALL: [Self; 3] = [Self::Ok, Self::Panicked, Self::Dropped];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Panicked => "panicked",
            Self::Dropped => "dropped",
        }
    }
}

/// What is counted of one actor type.
#[derive(Debug)]
pub struct ActorFigures {
    kind: ActorKind,
    live: AtomicI64,
    depth: AtomicI64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    restarts: AtomicU64,
}

/// The figures of an actor type at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActorTotals {
    pub actor: &'static str,
    pub count: i64,
    pub mailbox_depth: i64,
    pub handled: u64,
    pub panicked: u64,
    pub dropped: u64,
    pub restarts: u64,
}

impl ActorFigures {
    pub(super) fn new(kind: ActorKind) -> Self {
        Self {
            kind,
            live: AtomicI64::new(0),
            depth: AtomicI64::new(0),
            outcomes: [const { AtomicU64::new(0) }; Outcome::ALL.len()],
            restarts: AtomicU64::new(0),
        }
    }

    /// Notes that an actor of this type has started.
    pub fn started(&self) {
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that an actor of this type has stopped.
    pub fn stopped(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that an actor was built anew after a panic.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a message was sent to an actor of this type.
    pub(crate) fn queued(&self) {
        self.depth.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a message left the mailbox: it is being handled now, or never will be.
    pub(crate) fn left(&self, is_handled: bool) {
        self.depth.fetch_sub(1, Ordering::Relaxed);
        if !is_handled {
            self.count(Outcome::Dropped);
        }
    }

    /// Notes that a handler begins; what it returns notes the end when it is dropped.
    pub fn begin(&'static self) -> Handling {
        Handling {
            actor: self,
            began: Instant::now(),
        }
    }

    fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the figures as they are now.
    #[must_use]
    pub fn totals(&self) -> ActorTotals {
        let outcome = |outcome: Outcome| self.outcomes[outcome as usize].load(Ordering::Relaxed);
        ActorTotals {
            actor: self.kind.name(),
            count: self.live.load(Ordering::Relaxed),
            mailbox_depth: self.depth.load(Ordering::Relaxed).max(0),
            handled: outcome(Outcome::Ok),
            panicked: outcome(Outcome::Panicked),
            dropped: outcome(Outcome::Dropped),
            restarts: self.restarts.load(Ordering::Relaxed),
        }
    }

    /// Takes the figures over into the metrics.
    pub(super) fn export(&self, metrics: &Metrics) {
        let (totals, at) = (self.totals(), self.kind as usize);
        metrics.actor_count.at(at).set(totals.count as f64);
        let depth = metrics.actor_mailbox_depth.at(at);
        depth.set(totals.mailbox_depth as f64);
        metrics.actor_restarts.at(at).absolute(totals.restarts);
        let by_outcome = [totals.handled, totals.panicked, totals.dropped];
        for (outcome, total) in Outcome::ALL.into_iter().zip(by_outcome) {
            let at = at * Outcome::ALL.len() + outcome as usize;
            metrics.actor_handled.at(at).absolute(total);
        }
    }
}

/// A handler under way.
pub struct Handling {
    actor: &'static ActorFigures,
    began: Instant,
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.actor.count(match thread::panicking() {
            true => Outcome::Panicked,
            false => Outcome::Ok,
        });
        let seconds = super::get().actor_handling.at(self.actor.kind as usize);
        seconds.record(self.began.elapsed());
    }
}
