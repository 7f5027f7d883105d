//! What all clients share; one thread runs them all, so that nothing of it is locked.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{latency::Latency, ledger::Ledger, plan::Plan, rest::Rest, user::User};
use crate::cli::endpoint::Endpoint;

/// What clients are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connect and join.
    Gather,
    /// Send what is due from `began` to `end`; come back when told, and at random before `end`.
    Load { began: Instant, end: Instant },
    /// Go.
    Done,
}

/// How one client does.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// It has joined all of its rooms.
    pub(super) is_joined: Cell<bool>,
    /// It has nothing to send, and waits for no answer.
    pub(super) is_idle: Cell<bool>,
}

/// See the module.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) rest: Rest,
    pub(super) users: Vec<User>,
    pub(super) ledger: RefCell<Ledger>,
    pub(super) latency: RefCell<Latency>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) pulses: Vec<Pulse>,
    pub(super) reconnects: Cell<u64>,
    /// Why the last connection could not be had, for people.
    pub(super) last_trouble: RefCell<Option<String>>,
    /// Times in the ledger count from here.
    pub(super) origin: Instant,
}

impl World {
    pub(super) fn user(&self, client: usize) -> &User {
        &self.users[client % self.users.len()]
    }

    /// Returns the gateway that a client goes to first.
    pub(super) fn home(&self, client: usize) -> &Endpoint {
        &self.plan.gateways[client % self.plan.gateways.len()]
    }

    /// Returns any gateway.
    pub(super) fn any_gateway(&self) -> &Endpoint {
        &self.plan.gateways[fastrand::usize(..self.plan.gateways.len())]
    }

    /// Returns microseconds since the origin.
    pub(super) fn us(&self, moment: Instant) -> u64 {
        micros(moment.saturating_duration_since(self.origin))
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
