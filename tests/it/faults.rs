//! The recovery suite: processes and services are killed, hang and restart under load. What was
//! accepted is there once, in order, for everybody, and delivery goes on by itself.
//!
//! `roomcast bench` is the load and the judge. Each fault writes a line, `FAULT …`, of the table of
//! faults. They come one after the other: they judge how long something takes, so that they must
//! not disturb each other, and services of their own take seconds to start.

mod health;
mod long;
mod outages;
mod probe;
mod rolling;
mod system;
mod verdict;

use crate::harness::{Service, runs_long};
use outages::{kafka_is_away, postgres_is_away, valkey_is_away};
use system::{GATEWAYS, System, WORKERS};

#[tokio::test]
async fn whatever_dies_or_hangs_costs_no_accepted_message() {
    let Some(mut system) = System::start().await else {
        return;
    };
    gateway_is_killed(&mut system).await;
    worker_is_killed(&mut system).await;
    both_workers_are_killed(&mut system).await;
    kafka_dies_and_restarts(&system).await;
    postgresql_dies_hangs_and_restarts(&system).await;
    valkey_dies_hangs_and_forgets(&system).await;
    rolling::restarts(&mut system, "one rolling restart", 1).await;
}

#[tokio::test]
async fn what_lasts_for_long_costs_no_accepted_message_either() {
    if !runs_long() {
        return;
    }
    let Some(mut system) = System::start().await else {
        return;
    };
    long::worker_hangs(&system).await;
    long::kafka_is_away_for_long(&system).await;
    long::postgresql_is_away_for_long(&system).await;
    long::valkey_is_away_for_long(&system).await;
    rolling::restarts(&mut system, "ten rolling restarts", 10).await;
}

// Who asks throughout does so while a service is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_away_is_told_and_the_rest_answers_throughout() {
    let Some(system) = System::start().await else {
        return;
    };
    health::is_told(&system).await;
}

async fn gateway_is_killed(system: &mut System) {
    let load = system.load().await;
    system.kill(GATEWAYS[1]);
    system.revive(GATEWAYS[1]).await;
    let resumed = system.delivers().await;
    system.judge("a gateway killed", load, resumed).await;
}

async fn worker_is_killed(system: &mut System) {
    let load = system.load().await;
    system.kill(WORKERS[0]);
    // The other one takes over: nobody has to come back.
    let resumed = system.delivers_after_session_timeout().await;
    system.judge("a worker killed", load, resumed).await;
    system.revive(WORKERS[0]).await;
}

async fn both_workers_are_killed(system: &mut System) {
    let load = system.load().await;
    for worker in WORKERS {
        system.kill(worker);
    }
    system.count_on("accepted", 200.0).await;
    for worker in WORKERS {
        system.revive(worker).await;
    }
    let resumed = system.delivers_after_session_timeout().await;
    system.judge("both workers killed", load, resumed).await;
}

async fn kafka_dies_and_restarts(system: &System) {
    let load = system.load().await;
    system.services.kill(Service::Kafka);
    kafka_is_away(system).await;
    system.services.start(Service::Kafka);
    let resumed = system.delivers_after_session_timeout().await;
    system.judge("Kafka killed", load, resumed).await;

    let load = system.load().await;
    system.services.restart(Service::Kafka);
    let resumed = system.delivers_after_session_timeout().await;
    system.judge("Kafka restarted", load, resumed).await;
}

async fn postgresql_dies_hangs_and_restarts(system: &System) {
    let load = system.load().await;
    system.services.kill(Service::Postgres);
    postgres_is_away(system).await;
    system.services.start(Service::Postgres);
    let resumed = system.delivers().await;
    system.judge("PostgreSQL killed", load, resumed).await;

    let load = system.load().await;
    system.services.stop(Service::Postgres);
    postgres_is_away(system).await;
    system.services.cont(Service::Postgres);
    let resumed = system.delivers().await;
    system.judge("PostgreSQL stopped", load, resumed).await;

    let load = system.load().await;
    system.services.restart(Service::Postgres);
    let resumed = system.delivers().await;
    system.judge("PostgreSQL restarted", load, resumed).await;
}

async fn valkey_dies_hangs_and_forgets(system: &System) {
    let load = system.load().await;
    system.services.kill(Service::Valkey);
    valkey_is_away(system).await;
    system.services.start(Service::Valkey);
    system.answer("/health", 200).await;
    let resumed = system.delivers().await;
    system.judge("Valkey killed", load, resumed).await;

    let load = system.load().await;
    system.services.stop(Service::Valkey);
    valkey_is_away(system).await;
    system.services.cont(Service::Valkey);
    system.answer("/health", 200).await;
    let resumed = system.delivers().await;
    system.judge("Valkey stopped", load, resumed).await;

    let load = system.load().await;
    outages::flush_valkey(system).await;
    system.count_on("delivered", 800.0).await;
    let resumed = system.delivers().await;
    system.judge("Valkey flushed", load, resumed).await;
}
