//! What is to be done: how many of what, where, and when. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::cli::endpoint::Endpoint;

/// Sockets of one user; the shipped limit is 20, and a broken socket may be counted a while longer.
const SOCKETS_PER_USER: usize = 16;

/// How much of what a user may send in the long run is planned with, in a hundred.
const SEND_SHARE_PERCENT: usize = 80;

/// Most messages of a client that wait for their acknowledgement.
const WINDOW: usize = 16;

/// The load that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) gateways: Vec<Endpoint>,
    pub(crate) clients: usize,
    pub(crate) rooms: usize,
    /// Messages a second of all clients; 0 is as fast as they are acknowledged.
    pub(crate) rate: u32,
    pub(crate) duration: Duration,
    /// Mean time between two reconnects of a client; zero is never.
    pub(crate) reconnect_every: Duration,
    pub(crate) duplicate_percent: u32,
}

impl Plan {
    /// Returns how many users the clients share, so that no user is beyond the server's limits.
    ///
    /// `send_per_s` is what a user may send there; 0 is any number.
    pub(super) fn users(&self, send_per_s: u32) -> usize {
        let for_sockets = self.clients.div_ceil(SOCKETS_PER_USER);
        let for_sends = match send_per_s as usize * SEND_SHARE_PERCENT {
            0 => 1,
            share => (self.rate as usize * 100).div_ceil(share),
        };
        for_sockets.max(for_sends).min(self.clients)
    }

    /// Returns the rooms of a client: its number's, and every `clients`-th after it.
    pub(super) fn rooms_of(&self, client: usize) -> impl Iterator<Item = usize> + use<> {
        (client % self.rooms..self.rooms).step_by(self.clients)
    }

    /// Returns when the messages of a client are due; `None` without a rate.
    pub(super) fn schedule(&self, client: usize, began: Instant) -> Option<Schedule> {
        let rate = (self.rate > 0).then(|| f64::from(self.rate))?;
        Some(Schedule {
            began,
            first_s: client as f64 / rate,
            step_s: self.clients as f64 / rate,
            made: 0,
        })
    }

    pub(super) fn window(&self) -> usize {
        WINDOW
    }
}

/// The moments at which one client's messages are due, whatever the server does (an open loop).
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    began: Instant,
    first_s: f64,
    step_s: f64,
    made: u64,
}

impl Schedule {
    /// Returns when the next message is due.
    pub(super) fn next(&self) -> Instant {
        self.began + Duration::from_secs_f64(self.first_s + self.step_s * self.made as f64)
    }

    /// Moves on to the message after the next.
    pub(super) fn advance(&mut self) {
        self.made += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(clients: usize, rooms: usize, rate: u32) -> Plan {
        Plan {
            gateways: Vec::new(),
            clients,
            rooms,
            rate,
            duration: Duration::from_secs(1),
            reconnect_every: Duration::ZERO,
            duplicate_percent: 0,
        }
    }

    #[test]
    fn users_suffice_for_sockets_and_for_sends() {
        let check = |clients, rate, send_per_s, expected| {
            let plan = plan(clients, 1, rate);
            assert_eq!(
                plan.users(send_per_s),
                expected,
                "{clients} {rate} {send_per_s}"
            );
        };
        check(1, 0, 10, 1);
        check(1_000, 0, 10, 63);
        check(1_000, 100, 0, 63);
        check(1_000, 1_000, 10, 125);
        check(10, 1_000_000, 10, 10);
    }

    #[test]
    fn every_client_has_a_room_and_every_room_a_client() {
        let check = |clients, rooms| {
            let plan = plan(clients, rooms, 0);
            let mut members = vec![0; rooms];
            for client in 0..clients {
                let before = members.iter().sum::<usize>();
                plan.rooms_of(client).for_each(|room| members[room] += 1);
                assert!(members.iter().sum::<usize>() > before, "client {client}");
            }
            assert!(members.iter().all(|members| *members > 0), "{members:?}");
        };
        check(1, 1);
        check(10, 3);
        check(3, 10);
        check(7, 7);
    }

    #[test]
    fn clients_take_turns_at_the_rate() {
        let plan = plan(4, 1, 2);
        let began = Instant::now();
        let mut due: Vec<Duration> = Vec::new();
        for client in 0..4 {
            let mut schedule = plan.schedule(client, began).expect("there is a rate");
            due.push(schedule.next() - began);
            schedule.advance();
            due.push(schedule.next() - began);
        }
        due.sort();
        let expected = (0..8).map(|n| Duration::from_millis(n * 500));
        assert_eq!(due, expected.collect::<Vec<_>>());
    }
}
