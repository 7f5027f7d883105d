//! All processes restart one after the other, under load: an update.

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::system::{GATEWAYS, System, WORKERS};
use crate::harness::TestServer;

/// "Service restart", as IANA registers it.
const RESTART: u16 = 1012;

/// Clients of a gateway who are listened to when it goes.
const GUESTS: usize = 5;

/// Each process restarts in turn, so many times.
pub async fn restarts(system: &mut System, fault: &str, times: usize) {
    let load = system.load().await;
    for _ in 0..times {
        for gateway in GATEWAYS {
            let guests = guests(system, system.server(gateway)).await;
            system.terminate(gateway).await;
            for code in join_all(guests).await {
                assert_eq!(code.expect("it was told to come back"), RESTART);
            }
            system.revive(gateway).await;
            system.delivers().await;
        }
        for worker in WORKERS {
            system.terminate(worker).await;
            system.revive(worker).await;
            system.delivers().await;
        }
    }
    let resumed = system.delivers().await;
    system.judge(fault, load, resumed).await;
}

/// Connects to a gateway; each returns how it is sent away, after it was told when to come back.
async fn guests(system: &System, gateway: &TestServer) -> Vec<JoinHandle<u16>> {
    let probe = system.probe();
    let user = probe.user.at(gateway);
    let mut guests = Vec::new();
    for room in &probe.rooms[..GUESTS] {
        let mut socket = user.connect_to(room).await;
        guests.push(tokio::spawn(async move {
            socket.expect("reconnect").await;
            socket.expect_close().await
        }));
    }
    guests
}
