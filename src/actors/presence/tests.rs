//! Gateways on one Valkey: one dies, another goes on; Valkey goes and comes back.

use std::time::Duration;

use actix::{Actor, System};
use tokio::{sync::mpsc::Receiver, time::timeout};

use super::{PresenceActor, PresenceHandle};
use crate::{
    actors::{Slices, supervision::Supervisor},
    ids::{RoomId, UserId},
    metrics::ActorKind,
    presence::{
        ALIVE, Heartbeat, Presence, Present, Signal,
        suite::{PATIENCE, expect_signal, socket, subscribe},
        valkey::PrivateValkey,
    },
};

/// Starts the actor of a gateway that nobody is connected to.
fn gateway(presence: Presence) -> PresenceHandle {
    PresenceHandle::new(Supervisor::start_child(
        ActorKind::Presence,
        move |guardian| PresenceActor::new(presence.clone(), Slices::default(), guardian).start(),
    ))
}

/// How long the second of two sockets lives: even a late sweep falls between the ends of both.
const LATER: Duration = Duration::from_secs(15);

/// Returns the next signal that says that a user, of these, is gone.
async fn next_gone(signals: &mut Receiver<Signal>, of: &[UserId]) -> (UserId, Vec<RoomId>) {
    let hearing = async {
        loop {
            match signals.recv().await.expect("the channel is heard") {
                Signal::Offline { user_id, rooms } if of.contains(&user_id) => {
                    return (user_id, rooms);
                }
                _ => {}
            }
        }
    };
    let patience = LATER + PATIENCE;
    timeout(patience, hearing).await.expect("told in time")
}

/// Waits until all of these were announced, together or apart.
async fn hear_online(signals: &mut Receiver<Signal>, mut expected: Vec<Present>) {
    let hearing = async {
        while !expected.is_empty() {
            if let Signal::Online { present } = signals.recv().await.expect("it is heard") {
                expected.retain(|one| !present.contains(one));
            }
        }
    };
    timeout(PATIENCE, hearing).await.expect("told in time");
}

fn present() -> Present {
    Present {
        room_id: RoomId::random(),
        user_id: UserId::random(),
    }
}

/// A socket with this much time left.
fn dying(user_id: UserId, left: Duration) -> Heartbeat {
    socket(user_id, ALIVE - left)
}

#[test]
fn of_the_gateways_that_are_left_one_tells_that_a_dead_ones_users_are_gone() {
    let test = "of_the_gateways_that_are_left_one_tells_that_a_dead_ones_users_are_gone";
    System::new().block_on(async move {
        let Some(server) = PrivateValkey::start(test, None).await else {
            return;
        };
        // Not a gateway: it only listens, and does what one did before it was killed.
        let port = Presence::Valkey(server.presence());
        let mut signals = subscribe(&port).await;
        let _left = [server.presence(), server.presence()]
            .map(Presence::Valkey)
            .map(gateway);
        for _ in 0..2 {
            expect_signal(&mut signals, &Signal::Hello).await;
        }
        let (first, second) = (present(), present());
        let sooner = Duration::from_millis(500);
        let sockets = [dying(first.user_id, sooner), dying(second.user_id, LATER)];
        port.touch(&sockets).await.expect("it is up");
        let both = vec![first, second];
        let said = Signal::Online { present: both };
        port.signal(&[said]).await.expect("it is up");
        let users = [first.user_id, second.user_id];
        // In this order, and each once.
        for one in [first, second] {
            let gone = next_gone(&mut signals, &users).await;
            assert_eq!(gone, (one.user_id, vec![one.room_id]));
        }
    });
}

#[test]
fn what_valkey_has_forgotten_is_said_again() {
    let test = "what_valkey_has_forgotten_is_said_again";
    System::new().block_on(async move {
        let Some(mut server) = PrivateValkey::start(test, None).await else {
            return;
        };
        let here = gateway(Presence::Valkey(server.presence()));
        let (early, late) = (present(), present());
        let sockets = [early, late].map(|one| socket(one.user_id, Duration::ZERO));
        here.touch(vec![sockets[0]]);
        here.announce(early.room_id, early.user_id);
        let users = vec![early.user_id, late.user_id];
        server.kill();
        assert_eq!(here.online(users.clone()).await, None);
        assert!(!here.is_healthy().await);
        // Nothing of this reaches Valkey.
        here.touch(vec![sockets[1]]);
        here.announce(late.room_id, late.user_id);

        server.restart().await;
        let other = Presence::Valkey(server.presence());
        let mut signals = subscribe(&other).await;
        hear_online(&mut signals, vec![early, late]).await;
        let both = async {
            while here.online(users.clone()).await != Some(vec![true, true]) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, both).await.expect("touched again");
        let leaving = sockets.map(|socket| (socket.user_id, socket.session_id));
        here.leave_all(leaving.to_vec()).await;
        // It ends with the answer: all are gone, and it is told. Valkey is asked itself, as a handle
        // waits for a moment only.
        assert_eq!(other.online(&users).await, Ok(vec![false, false]));
        let mut gone = [
            next_gone(&mut signals, &users).await,
            next_gone(&mut signals, &users).await,
        ];
        let mut expected = [early, late].map(|one| (one.user_id, vec![one.room_id]));
        gone.sort();
        expected.sort();
        assert_eq!(gone, expected);
    });
}
