//! The kill loop: whatever the moment, what was accepted is there once, in order, for everybody.

use std::{ops::Range, time::Duration};

use futures_util::future::join_all;

use crate::harness::{ServerOptions, TestServer, TestUser, Witness, assert_whole, is_on_services};

const ROOMS: usize = 3;
const WITNESSES: usize = 4;

/// The moments of a round at which it may be killed, in milliseconds after the start of the load.
const KILL_AFTER_MS: Range<u64> = 0..1_200;

fn rounds() -> usize {
    match std::env::var("ROOMCAST_TEST_LONG").as_deref() {
        Ok("1") => 200,
        // Whoever takes a partition from a dead worker waits until Kafka gives that one up.
        _ if is_on_services() => 5,
        _ => 20,
    }
}

fn a_moment() -> Duration {
    let dice = (uuid::Uuid::new_v4().as_u128() >> 64) as u64;
    let span = KILL_AFTER_MS.end - KILL_AFTER_MS.start;
    Duration::from_millis(KILL_AFTER_MS.start + dice % span)
}

async fn people(server: &TestServer) -> (TestUser, Vec<String>, Vec<Witness>) {
    let owner = server.user("owner").await;
    let mut rooms = Vec::new();
    for name in 0..ROOMS {
        rooms.push(owner.room(&format!("room {name}")).await);
    }
    let mut witnesses = Vec::new();
    for name in 0..WITNESSES {
        let user = server.user(&format!("witness{name}")).await;
        for room in &rooms {
            user.join(room).await;
        }
        witnesses.push(Witness::new(user, &rooms));
    }
    (owner, rooms, witnesses)
}

#[tokio::test]
async fn what_was_accepted_survives_any_number_of_kills() {
    // A message may be accepted by one process and stored by the next.
    let options = ServerOptions::new().unlimited().expect_imbalance();
    let mut server = options.start().await;
    let (mut owner, rooms, mut witnesses) = people(&server).await;

    for round in 1..=rounds() {
        let talking = witnesses.into_iter().map(|witness| {
            let mut witness = witness.at(&server);
            tokio::spawn(async move {
                witness.talk().await;
                witness
            })
        });
        let talking: Vec<_> = talking.collect();
        // A power cut picks its moment.
        tokio::time::sleep(a_moment()).await;
        server.kill();
        let talked = join_all(talking).await.into_iter();
        witnesses = talked
            .map(|witness| witness.expect("a witness saw no wrong"))
            .collect();
        server = server.restart().await;
        owner = owner.at(&server);
        if round % 5 == 0 {
            for room in &rooms {
                assert_whole(&owner.whole_history(room).await);
            }
        }
    }

    witnesses = witnesses
        .into_iter()
        .map(|witness| witness.at(&server))
        .collect();
    for witness in &mut witnesses {
        witness.settle().await;
        assert!(
            witness.accepted > 0,
            "it was accepted nothing in all rounds"
        );
    }
    for room in &rooms {
        let history = owner.whole_history(room).await;
        assert_whole(&history);
        for witness in &mut witnesses {
            witness.hear(room, history.len()).await;
            witness.assert_saw(room, &history);
        }
    }
}
