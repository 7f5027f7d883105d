//! What every adapter of the port must do: one suite, run by each adapter's own tests.
//!
//! An adapter implements [`Fixture`] and calls [`presence_suite!`](presence_suite) with it. Tests
//! share a service: each works with users of its own.

use std::time::{Duration, Instant};

use tokio::{
    sync::mpsc::Receiver,
    time::{sleep, timeout},
};

use super::{ALIVE, Heartbeat, Life, Presence, Present, Signal};
use crate::ids::{RoomId, SessionId, UserId};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A place where presence is kept, which a test has for itself as far as its users go.
pub(crate) trait Fixture: Sized {
    /// Opens it; `None` when this machine has none, which has been said.
    async fn open(test: &str) -> Option<Self>;

    /// Returns the port of a gateway: two of one fixture are two gateways, if the adapter can.
    fn gateway(&self) -> Presence;
}

/// Makes a test of each function of the suite.
macro_rules! presence_suite {
    ($fixture:ty) => {
        $crate::presence::suite::presence_suite! { @tests $fixture:
            a_user_is_online_while_any_socket_lives,
            a_touch_tells_whose_first_socket_came,
            a_leave_tells_whose_last_socket_went,
            a_socket_counts_from_its_last_heartbeat,
            that_a_user_ran_out_is_told_once,
            many_users_are_asked_for_at_once,
            nothing_is_asked_of_nobody,
            signals_arrive_in_order,
            the_last_subscriber_wins,
        }
    };
    (@tests $fixture:ty: $($name:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            let opened = <$fixture as $crate::presence::suite::Fixture>::open(stringify!($name));
            if let Some(place) = opened.await {
                $crate::presence::suite::$name(&place).await;
            }
        }
    )+};
}
pub(crate) use presence_suite;

/// Makes a socket that was heard of a while ago.
pub(crate) fn socket(user_id: UserId, silent_for: Duration) -> Heartbeat {
    Heartbeat {
        user_id,
        session_id: SessionId::random(),
        silent_for,
    }
}

fn fresh(user_id: UserId) -> Heartbeat {
    socket(user_id, Duration::ZERO)
}

/// A socket with little time left.
fn dying(user_id: UserId) -> Heartbeat {
    socket(user_id, ALIVE - Duration::from_millis(50))
}

/// Tells typing of a random user, by which it is known again.
pub(crate) fn typing() -> Signal {
    Signal::Typing {
        room_id: RoomId::random(),
        user_id: UserId::random(),
        is_typing: true,
    }
}

/// Waits until a signal comes; others, of other tests, are passed over.
pub(crate) async fn expect_signal(signals: &mut Receiver<Signal>, expected: &Signal) {
    let hearing = async {
        while let Some(signal) = signals.recv().await {
            if signal == *expected {
                return;
            }
        }
        panic!("the subscription has ended before {expected:?}");
    };
    let heard = timeout(PATIENCE, hearing).await;
    heard.unwrap_or_else(|_| panic!("{expected:?} was not heard"));
}

/// Waits until signals are heard.
pub(crate) async fn subscribe(presence: &Presence) -> Receiver<Signal> {
    let mut signals = presence.signals();
    expect_signal(&mut signals, &Signal::Hello).await;
    signals
}

/// How long what ran out is kept for a sweep at least.
const KEPT: Duration = Duration::from_secs(5);

/// Waits until a sweep finds something else than a live user.
async fn run_out(presence: &Presence, user: UserId) -> Life {
    let sweeping = async {
        loop {
            match presence.expire(&[user]).await.expect("it is up")[0] {
                Life::Live { expires_in } => sleep(expires_in).await,
                life => return life,
            }
        }
    };
    timeout(PATIENCE, sweeping).await.expect("it ran out")
}

/// Makes a user whose last socket has run out, which `told` was told.
///
/// A sweep that comes too late for one finds nothing of it: then it is another.
async fn ran_out(touched: &Presence, told: &Presence) -> UserId {
    for _ in 0..5 {
        let (user, began) = (UserId::random(), Instant::now());
        touched.touch(&[dying(user)]).await.expect("it is up");
        match run_out(told, user).await {
            Life::RanOut => return user,
            life => assert!(began.elapsed() >= KEPT, "{life:?}"),
        }
    }
    panic!("every sweep came too late");
}

async fn is_online(presence: &Presence, user: UserId) -> bool {
    presence.online(&[user]).await.expect("it is up")[0]
}

pub(crate) async fn a_user_is_online_while_any_socket_lives(place: &impl Fixture) {
    let (here, there) = (place.gateway(), place.gateway());
    let user = UserId::random();
    let (phone, laptop) = (fresh(user), fresh(user));
    assert!(!is_online(&here, user).await);
    here.touch(&[phone]).await.expect("it is up");
    there.touch(&[laptop]).await.expect("it is up");
    for (gateway, socket) in [(&here, phone), (&there, laptop)] {
        assert!(is_online(&here, user).await && is_online(&there, user).await);
        let gone = [(user, socket.session_id)];
        gateway.leave(&gone).await.expect("it is up");
    }
    assert!(!is_online(&here, user).await && !is_online(&there, user).await);
}

pub(crate) async fn a_touch_tells_whose_first_socket_came(place: &impl Fixture) {
    let (here, there) = (place.gateway(), place.gateway());
    let (ada, bob) = (UserId::random(), UserId::random());
    let phone = fresh(ada);
    assert_eq!(here.touch(&[phone, fresh(ada)]).await, Ok(vec![ada]));
    assert_eq!(here.touch(&[phone]).await, Ok(vec![]));
    assert_eq!(there.touch(&[fresh(ada), fresh(bob)]).await, Ok(vec![bob]));
}

pub(crate) async fn a_leave_tells_whose_last_socket_went(place: &impl Fixture) {
    let (here, there) = (place.gateway(), place.gateway());
    let (ada, bob) = (UserId::random(), UserId::random());
    let sockets = [fresh(ada), fresh(bob), fresh(bob)];
    here.touch(&sockets).await.expect("it is up");
    let [a, b1, b2] = sockets.map(|socket| (socket.user_id, socket.session_id));
    assert_eq!(here.leave(&[a, b1]).await, Ok(vec![ada]));
    assert_eq!(there.leave(&[b2]).await, Ok(vec![bob]));
    assert_eq!(here.leave(&[a, b1, b2]).await, Ok(vec![]), "gone already");
}

pub(crate) async fn a_socket_counts_from_its_last_heartbeat(place: &impl Fixture) {
    let presence = place.gateway();
    let user = UserId::random();
    let silent = socket(user, ALIVE);
    assert_eq!(
        presence.touch(&[silent]).await,
        Ok(vec![]),
        "it has run out"
    );
    assert!(!is_online(&presence, user).await);
    let half = ALIVE / 2;
    presence
        .touch(&[socket(user, half)])
        .await
        .expect("it is up");
    let life = presence.expire(&[user]).await.expect("it is up")[0];
    let Life::Live { expires_in } = life else {
        panic!("{life:?}");
    };
    assert!(
        expires_in <= half && !expires_in.is_zero(),
        "{expires_in:?}"
    );
    // A younger socket keeps the user for longer.
    presence.touch(&[fresh(user)]).await.expect("it is up");
    let life = presence.expire(&[user]).await.expect("it is up")[0];
    assert!(matches!(life, Life::Live { expires_in } if expires_in > half));
}

pub(crate) async fn that_a_user_ran_out_is_told_once(place: &impl Fixture) {
    let (here, there) = (place.gateway(), place.gateway());
    let user = ran_out(&here, &there).await;
    assert_eq!(here.expire(&[user]).await, Ok(vec![Life::Absent]));
    assert!(!is_online(&here, user).await);
    // The next socket is the first again.
    assert_eq!(here.touch(&[fresh(user)]).await, Ok(vec![user]));
}

pub(crate) async fn many_users_are_asked_for_at_once(place: &impl Fixture) {
    let presence = place.gateway();
    let users: Vec<_> = (0..1_201).map(|_| UserId::random()).collect();
    let here: Vec<_> = users.iter().step_by(2).map(|user| fresh(*user)).collect();
    let came = presence.touch(&here).await.expect("it is up");
    assert!(came.iter().eq(users.iter().step_by(2)));
    let online = presence.online(&users).await.expect("it is up");
    let expected = (0..users.len()).map(|at| at % 2 == 0);
    assert!(online.into_iter().eq(expected));
    let lives = presence.expire(&users).await.expect("it is up");
    let are_live = lives.iter().map(|life| matches!(life, Life::Live { .. }));
    assert!(are_live.eq((0..users.len()).map(|at| at % 2 == 0)));
    let sockets = here
        .iter()
        .map(|socket| (socket.user_id, socket.session_id));
    let sockets: Vec<_> = sockets.collect();
    let went = presence.leave(&sockets).await.expect("it is up");
    assert_eq!(went, came);
}

pub(crate) async fn nothing_is_asked_of_nobody(place: &impl Fixture) {
    let presence = place.gateway();
    assert_eq!(presence.touch(&[]).await, Ok(vec![]));
    assert_eq!(presence.leave(&[]).await, Ok(vec![]));
    assert_eq!(presence.online(&[]).await, Ok(vec![]));
    assert_eq!(presence.expire(&[]).await, Ok(vec![]));
    assert_eq!(presence.signal(&[]).await, Ok(()));
    assert!(presence.is_healthy().await);
}

pub(crate) async fn signals_arrive_in_order(place: &impl Fixture) {
    let presence = place.gateway();
    let mut signals = subscribe(&presence).await;
    let (room_id, user_id) = (RoomId::random(), UserId::random());
    let sent = [
        Signal::Online {
            present: vec![Present { room_id, user_id }],
        },
        typing(),
        typing(),
        Signal::Offline {
            user_id,
            rooms: vec![room_id],
        },
    ];
    presence.signal(&sent).await.expect("it is up");
    for signal in &sent {
        expect_signal(&mut signals, signal).await;
    }
}

pub(crate) async fn the_last_subscriber_wins(place: &impl Fixture) {
    let presence = place.gateway();
    let mut former = subscribe(&presence).await;
    let mut latter = subscribe(&presence).await;
    let sent = typing();
    presence
        .signal(std::slice::from_ref(&sent))
        .await
        .expect("it is up");
    expect_signal(&mut latter, &sent).await;
    let ending = async { while former.recv().await.is_some() {} };
    timeout(PATIENCE, ending).await.expect("the former ends");
}
