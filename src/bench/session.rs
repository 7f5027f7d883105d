//! One connection of a client: it joins, sends what is due, and takes what comes.

mod receiving;
mod sending;

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{
    client::Client,
    socket::{Broken, Socket},
    world::Phase,
};
use crate::cli::endpoint::Endpoint;

/// A server answers every send within 5 s; after this time the connection is as good as dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a server that sent us away may take to close the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest sleep when nothing is planned.
const IDLE: Duration = Duration::from_secs(60);

/// Why a connection ended.
pub(super) enum Ending {
    /// It was given up at random.
    Restless,
    /// The server drains.
    SentAway { back_at: Instant },
    Broken {
        why: String,
        after: Option<Duration>,
    },
}

/// See the module.
pub(super) struct Session<'a> {
    client: &'a mut Client,
    gateway: &'a Endpoint,
    /// Rooms that are not joined yet.
    to_join: usize,
    /// When the connection is given up at random.
    leaves_at: Option<Instant>,
    /// The server said when to come back, and closes the connection soon.
    back_at: Option<Instant>,
    /// When something has to happen whatever comes.
    gives_up_at: Option<Instant>,
}

impl<'a> Session<'a> {
    pub(super) fn new(client: &'a mut Client, gateway: &'a Endpoint) -> Self {
        Self {
            client,
            gateway,
            to_join: 0,
            leaves_at: None,
            back_at: None,
            gives_up_at: None,
        }
    }

    /// Runs until the connection ends.
    pub(super) async fn run(mut self, mut socket: Socket) -> Result<Ending, Broken> {
        let ended = self.live(&mut socket).await;
        // Half of those who leave at random hang up without a word.
        if matches!(ended, Ok(Ending::Restless)) && fastrand::bool() {
            socket.close().await;
        }
        match (ended, self.back_at) {
            (Err(_), Some(back_at)) => Ok(Ending::SentAway { back_at }),
            (ended, _) => ended,
        }
    }

    async fn live(&mut self, socket: &mut Socket) -> Result<Ending, Broken> {
        self.join_all(socket).await?;
        let mut phase = self.client.world.phase.clone();
        loop {
            let now = Instant::now();
            let load = *phase.borrow_and_update();
            if self.to_join == 0 && self.back_at.is_none() {
                self.make_due(load, now);
                self.send_ready(socket, load, now).await?;
            }
            self.tell_pulse(load, now);
            if let Some(ending) = self.ending(load, now) {
                return Ok(ending);
            }
            let wakes_at = self.wakes_at(load, now);
            tokio::select! {
                received = socket.next() => self.take(received?).await?,
                () = sleep_until(wakes_at) => {}
                // Its sender lives as long as the run.
                _ = phase.changed() => {}
            }
        }
    }

    /// Tells the run whether this client is done, as far as it knows.
    fn tell_pulse(&self, phase: Phase, now: Instant) {
        let Phase::Load { end, .. } = phase else {
            return;
        };
        let schedule = self.client.schedule.as_ref();
        let nothing_due = schedule.map_or(now >= end, |schedule| schedule.next() >= end);
        let is_idle = nothing_due && self.to_join == 0 && self.client.outbox.is_empty();
        self.client.world.pulses[self.client.number]
            .is_idle
            .set(is_idle);
    }

    /// Returns why it is time to go, if it is.
    fn ending(&self, phase: Phase, now: Instant) -> Option<Ending> {
        if let Some(back_at) = self.back_at {
            return (self.gives_up_at? <= now).then_some(Ending::SentAway { back_at });
        }
        let silent_since = self.client.outbox.unanswered_since();
        if silent_since.is_some_and(|since| since + ANSWER_TIMEOUT <= now) {
            return Some(Ending::Broken {
                why: "the server does not answer a send".to_owned(),
                after: None,
            });
        }
        let leaves = self.leaves_at.is_some_and(|leaves_at| leaves_at <= now);
        (leaves && is_loading(phase, now)).then_some(Ending::Restless)
    }

    fn wakes_at(&self, phase: Phase, now: Instant) -> Instant {
        let outbox = &self.client.outbox;
        let schedule = self
            .client
            .schedule
            .as_ref()
            .map(|schedule| schedule.next());
        let end = match phase {
            Phase::Load { end, .. } => Some(end),
            _ => None,
        };
        let plans = [
            schedule.filter(|due| end.is_some_and(|end| *due < end)),
            end.filter(|end| *end > now),
            outbox.wakes_at(),
            outbox
                .unanswered_since()
                .map(|since| since + ANSWER_TIMEOUT),
            self.leaves_at.filter(|_| is_loading(phase, now)),
            self.gives_up_at,
        ];
        let first = plans.into_iter().flatten().min();
        first.unwrap_or(now + IDLE).min(now + IDLE)
    }

    /// Chooses when this connection is given up; the times are spread as those of strangers.
    fn plan_to_leave(&mut self) {
        let mean = self.client.world.plan.reconnect_every;
        if !mean.is_zero() {
            let times_mean = -(1.0 - fastrand::f64()).ln();
            self.leaves_at = Some(Instant::now() + mean.mul_f64(times_mean));
        }
    }
}

fn is_loading(phase: Phase, now: Instant) -> bool {
    matches!(phase, Phase::Load { began, end } if (began..end).contains(&now))
}
