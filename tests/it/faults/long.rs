//! Faults that last: only in the long set. Where one sleeps, the time is the fault.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{
    outages::{kafka_is_away, postgres_is_away, valkey_is_away},
    system::{System, WORKERS},
};
use crate::harness::Service;

/// Twice as long as a worker may be silent before its partitions are another's.
const TWICE_THE_SESSION_TIMEOUT: Duration = Duration::from_secs(20);

const LONG: Duration = Duration::from_secs(20);
const VERY_LONG: Duration = Duration::from_secs(60);

/// It wakes up in a group that has given its partitions to the other.
pub async fn worker_hangs(system: &System) {
    let load = system.load().await;
    let worker = system.server(WORKERS[0]);
    worker.signal(Signal::SIGSTOP);
    sleep(TWICE_THE_SESSION_TIMEOUT).await;
    system.delivers_after_session_timeout().await;
    worker.signal(Signal::SIGCONT);
    let resumed = system.delivers_after_session_timeout().await;
    // Whatever it had in its hands when it stopped, it has done something with it by now.
    system.count_on("delivered", 4_000.0).await;
    let fault = "a worker stopped for 20 s";
    system.judge(fault, load, resumed).await;
}

pub async fn kafka_is_away_for_long(system: &System) {
    let load = system.load().await;
    system.services.kill(Service::Kafka);
    kafka_is_away(system).await;
    sleep(LONG).await;
    system.services.start(Service::Kafka);
    let resumed = system.delivers_after_session_timeout().await;
    system.judge("Kafka killed for 20 s", load, resumed).await;
}

pub async fn postgresql_is_away_for_long(system: &System) {
    let load = system.load().await;
    system.services.kill(Service::Postgres);
    postgres_is_away(system).await;
    sleep(LONG).await;
    system.services.start(Service::Postgres);
    let resumed = system.delivers().await;
    let fault = "PostgreSQL killed for 20 s";
    system.judge(fault, load, resumed).await;

    let load = system.load().await;
    system.services.stop(Service::Postgres);
    postgres_is_away(system).await;
    sleep(LONG).await;
    system.services.cont(Service::Postgres);
    let resumed = system.delivers().await;
    let fault = "PostgreSQL stopped for 20 s";
    system.judge(fault, load, resumed).await;
}

pub async fn valkey_is_away_for_long(system: &System) {
    let load = system.load().await;
    system.services.stop(Service::Valkey);
    valkey_is_away(system).await;
    sleep(VERY_LONG).await;
    valkey_is_away(system).await;
    system.services.cont(Service::Valkey);
    system.answer("/health", 200).await;
    let resumed = system.delivers().await;
    system.judge("Valkey stopped for 60 s", load, resumed).await;
}
