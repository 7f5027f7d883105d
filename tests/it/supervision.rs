//! A panic in each kind of actor: others go on, what was accepted is kept, the room delivers again.
//!
//! Needs fail points in the server: `cargo test --features failpoints`.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{
    Bystanders, PATIENCE, ServerOptions, TestClient, TestServer, TestUser, Witness, assert_whole,
    await_until, in_time, uuid, with_failpoints,
};

/// An actor may die three times within so much time.
const BUDGET_WINDOW: Duration = Duration::from_secs(30);

const RESTARTS: &str = "roomcast_actor_restarts_total";

/// The connection ended without a close frame.
const RESET: u16 = 1006;

const SERVER_ERROR: u16 = 1011;

/// Starts a server in which something fails: that may be logged.
async fn failing(action: &str) -> TestServer {
    let options = ServerOptions::new().unlimited().failpoint(action);
    // The panics are wanted. Their backtraces cost a debug build seconds, while everybody waits.
    let options = options.env("RUST_BACKTRACE", 0);
    options.expect_errors().expect_imbalance().start().await
}

fn message(room: &str, id: &str) -> Value {
    json!({ "roomId": room, "clientMsgId": id, "content": format!("content of {id}") })
}

/// Says something until it is accepted, as a client does; returns its id.
async fn insist(socket: &mut TestClient, room: &str) -> String {
    let id = uuid();
    loop {
        let answer = socket
            .request_frame("sendMessage", message(room, &id))
            .await;
        if answer["event"] == "messageAccepted" {
            return id;
        }
        assert_eq!(answer["data"]["retryable"], true, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_panic_in_a_session_closes_its_socket_alone() {
    if !with_failpoints() {
        return;
    }
    // Two joins of the bystanders, one of the victim, then the victim's message.
    let server = failing("session-actor=3*off->1*panic").await;
    let mut others = Bystanders::meet(&server).await;
    let victim = server.user("victim").await;
    victim.join(&others.room).await;
    let mut socket = victim.connect_to(&others.room).await;
    let id = uuid();
    socket.send("sendMessage", message(&others.room, &id)).await;
    assert_eq!(socket.expect_close().await, RESET);
    server.await_metric("roomcast_sockets", "", 2.0).await;

    others.chat().await;
    let mut back = victim.connect().await;
    let join = json!({ "roomId": others.room, "after": 0 });
    let joined = back.ask("joinRoom", join, "roomJoined").await;
    assert_eq!(joined["replayed"], 1);
    back.ask("sendMessage", message(&others.room, &id), "messageAccepted")
        .await;
    let heard = back.messages(2).await;
    assert_eq!(
        (&heard[1]["clientMsgId"], &heard[1]["seq"]),
        (&json!(id), &json!(2))
    );
}

/// Its client believes that it is in the room, of which nothing would come any more.
#[tokio::test]
async fn who_loses_a_place_to_a_join_that_fails_has_to_come_back() {
    if !with_failpoints() {
        return;
    }
    let server = failing("replay=return").await;
    let ada = server.user("ada").await;
    let room = ada.room("room").await;
    let again = json!({ "roomId": room, "after": 0 });
    let mut socket = ada.connect_to(&room).await;
    let refused = socket.ask("joinRoom", again.clone(), "error").await;
    assert_eq!(refused["code"], "UNAVAILABLE");
    assert_eq!(socket.expect_close().await, SERVER_ERROR);

    let mut other = ada.connect().await;
    other.ask("joinRoom", again, "error").await;
    other.ask("heartbeat", json!({}), "heartbeatAck").await;
}

#[tokio::test]
async fn a_socket_that_panicked_no_longer_counts() {
    if !with_failpoints() {
        return;
    }
    let options = ServerOptions::new().env("LIMIT_SOCKETS_PER_USER", 1);
    let options = options.failpoint("session-actor=1*panic").expect_errors();
    let server = options.start().await;
    let ada = server.user("ada").await;
    let mut socket = ada.connect().await;
    socket.send("heartbeat", json!({})).await;
    assert_eq!(socket.expect_close().await, RESET);
    await_until("room for another socket", || async {
        let request = TestClient::request(&server.ws_url(), Some(&ada.token));
        let mut socket = TestClient::open(request).await.ok()?;
        socket.hear().await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_room_that_panics_delivers_again() {
    if !with_failpoints() {
        return;
    }
    let server = failing("room-actor=3*panic").await;
    let mut others = Bystanders::meet(&server).await;
    for _ in 0..5 {
        others.chat().await;
    }
    server.await_metric(RESTARTS, "RoomActor", 3.0).await;
    assert_eq!(server.metric(RESTARTS, "RoomActor").await, 3.0);
}

#[tokio::test]
async fn a_room_that_panics_too_often_sends_its_sockets_away_and_the_process_stays() {
    if !with_failpoints() {
        return;
    }
    in_time(a_room_panics_too_often).await;
}

/// `None` when its deaths were too far apart for that.
async fn a_room_panics_too_often() -> Option<()> {
    // On the slice of each of the two sockets, or both on one.
    let server = failing("room-actor=8*panic").await;
    let ada = server.user("ada").await;
    let room = ada.room("cursed").await;
    let other = ada.room("another").await;
    let mut socket = ada.connect_to(&room).await;
    let (began, mut said) = (Instant::now(), 0);
    let code = loop {
        said += 1;
        socket.send("sendMessage", message(&room, &uuid())).await;
        let ended = async {
            loop {
                match socket.hear().await {
                    Ok(frame) if frame["event"] == "newMessage" => break None,
                    Ok(_) => {}
                    Err(code) => break Some(code),
                }
            }
        };
        if let Some(code) = ended.await {
            break code;
        }
        if said == 8 {
            let took = began.elapsed();
            assert!(took >= BUDGET_WINDOW, "eight deaths are over any budget");
            return None;
        }
    };
    assert_eq!(code, SERVER_ERROR);
    let mut back = ada.connect_to(&other).await;
    back.say(&other, "still here").await;
    back.expect("newMessage").await;
    await_until("all that was accepted", || async {
        (ada.history(&room).await.len() == said).then_some(())
    })
    .await;
    Some(())
}

#[tokio::test]
async fn rooms_that_die_under_joins_leave_nobody_behind() {
    if !with_failpoints() {
        return;
    }
    let server = failing("room-actor=1*panic->5%panic").await;
    let owner = server.user("owner").await;
    let rooms = [owner.room("one").await, owner.room("two").await];
    let mut talking = Vec::new();
    for name in 0..6 {
        let user = server.user(&format!("witness{name}")).await;
        for room in &rooms {
            user.join(room).await;
        }
        let mut witness = Witness::new(user, &rooms);
        talking.push(tokio::spawn(async move {
            // Rooms die, and over their budget sockets are sent away: then it comes back.
            let talk = async { while witness.talk().await.code == SERVER_ERROR {} };
            let _ = timeout(Duration::from_secs(5), talk).await;
            witness
        }));
    }
    let mut witnesses = Vec::new();
    for witness in talking {
        witnesses.push(witness.await.expect("a witness saw no wrong"));
    }
    for witness in &mut witnesses {
        settle_among_deaths(witness).await;
    }
    for room in &rooms {
        let history = owner.whole_history(room).await;
        assert_whole(&history);
        for witness in &mut witnesses {
            while witness.try_hear(room, history.len()).await.is_err() {
                settle_among_deaths(witness).await;
            }
            witness.assert_saw(room, &history);
        }
    }
    assert!(
        server.metric(RESTARTS, "RoomActor").await > 0.0,
        "no room died"
    );
}

async fn settle_among_deaths(witness: &mut Witness) {
    while witness.try_settle().await.is_err() {}
}

#[tokio::test]
async fn a_persistor_that_panics_loses_and_doubles_nothing() {
    if !with_failpoints() {
        return;
    }
    for point in ["persistor", "persistor-after-commit"] {
        let server = failing(&format!("{point}=3*off->2*panic")).await;
        let mut others = Bystanders::meet(&server).await;
        for _ in 0..10 {
            others.chat().await;
        }
        assert_eq!(
            server.metric(RESTARTS, "PersistorActor").await,
            2.0,
            "{point}"
        );
        assert_eq!(
            server.metric("roomcast_messages_persisted_total", "").await,
            10.0,
            "{point}"
        );
    }
}

#[tokio::test]
async fn a_bridge_that_panics_between_storing_and_publishing_publishes_later() {
    if !with_failpoints() {
        return;
    }
    let server = failing("kafka-bridge-publish=3*off->2*panic").await;
    let mut others = Bystanders::meet(&server).await;
    for _ in 0..10 {
        others.chat().await;
    }
    assert_eq!(server.metric(RESTARTS, "KafkaBridge").await, 2.0);
    assert_eq!(
        server.metric("roomcast_messages_persisted_total", "").await,
        10.0
    );
    assert!(server.metric("roomcast_messages_replayed_total", "").await >= 2.0);
}

#[tokio::test]
async fn a_bridge_that_panics_says_unknown_and_takes_the_repeat() {
    if !with_failpoints() {
        return;
    }
    let server = failing("kafka-bridge=2*panic").await;
    let ada = server.user("ada").await;
    let room = ada.room("room").await;
    let mut socket = ada.connect_to(&room).await;
    let id = uuid();
    let failed = socket
        .request_frame("sendMessage", message(&room, &id))
        .await;
    assert_eq!(failed["event"], "messageFailed", "{failed}");
    assert_eq!(failed["data"]["code"], "UNAVAILABLE", "{failed}");
    assert_eq!(failed["data"]["retryable"], true, "{failed}");
    for seq in 1..=3 {
        let id = insist(&mut socket, &room).await;
        let heard = socket.expect("newMessage").await;
        assert_eq!(
            (&heard["clientMsgId"], &heard["seq"]),
            (&json!(id), &json!(seq))
        );
    }
    assert_eq!(server.metric(RESTARTS, "KafkaBridge").await, 2.0);
}

#[tokio::test]
async fn presence_that_panics_costs_nobody_a_message() {
    if !with_failpoints() {
        return;
    }
    let server = failing("presence-actor=2*panic").await;
    let mut others = Bystanders::meet(&server).await;
    let mut socket = others.bob.connect_to(&others.room).await;
    for _ in 0..2 {
        let before = server.metric(RESTARTS, "PresenceActor").await;
        socket
            .send("typing", json!({ "roomId": others.room, "isTyping": true }))
            .await;
        server
            .await_metric(RESTARTS, "PresenceActor", before + 1.0)
            .await;
        others.chat().await;
    }
    let path = format!("/rooms/{}/members", others.room);
    await_until("presence to be known again", || async {
        let members = others.alice.get(&path).await.ok(200);
        members[0]["online"].is_boolean().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_actor_that_everything_depends_on_ends_the_process_when_it_keeps_dying() {
    if !with_failpoints() {
        return;
    }
    for point in [
        "persistor",
        "persistor-after-commit",
        "kafka-bridge-publish",
    ] {
        let mut server = failing(&format!("{point}=panic")).await;
        let ada = server.user("ada").await;
        let room = ada.room("room").await;
        let id = ada.say(&room, "accepted").await;
        let status = server.ended(PATIENCE).await;
        assert_eq!(status.code(), Some(1), "{point}");
        let why = server.log();
        assert!(
            why.iter().any(|line| line.contains("died too often")),
            "{point}: {why:#?}"
        );
        is_kept(server, &ada, &room, &id).await;
    }
}

#[tokio::test]
async fn a_crash_between_commit_and_publish_loses_nothing() {
    if !with_failpoints() {
        return;
    }
    for point in ["persistor-after-commit", "kafka-bridge-publish"] {
        let mut server = failing(&format!("{point}=pause")).await;
        let ada = server.user("ada").await;
        let room = ada.room("room").await;
        let mut socket = ada.connect_to(&room).await;
        let id = socket.say(&room, "accepted").await;
        await_until("the commit", || async {
            let history = ada.history(&room).await;
            (history.last()?["clientMsgId"] == id).then_some(())
        })
        .await;
        assert!(
            socket.unread().all(|frame| frame["event"] != "newMessage"),
            "not published yet"
        );
        server.kill();
        is_kept(server, &ada, &room, &id).await;
    }
}

/// Asserts that a message is there once after a restart, and answers its repeat.
async fn is_kept(server: TestServer, user: &TestUser, room: &str, id: &str) {
    let server = server
        .restart_with(ServerOptions::new().expect_imbalance())
        .await;
    let user = user.at(&server);
    let mut socket = user.connect().await;
    let join = json!({ "roomId": room, "after": 0 });
    socket.ask("joinRoom", join, "roomJoined").await;
    let heard = socket.expect("newMessage").await;
    assert_eq!(
        (&heard["clientMsgId"], &heard["seq"]),
        (&json!(id), &json!(1))
    );
    socket
        .ask("sendMessage", message(room, id), "messageAccepted")
        .await;
    let again = socket.expect_where("the answer to the repeat", |frame| {
        frame["event"] == "newMessage" && frame["data"]["clientMsgId"] == id
    });
    assert_eq!(again.await["data"]["id"], heard["id"]);
    assert_eq!(user.whole_history(room).await.len(), 1);
}

#[tokio::test]
async fn a_signal_ends_a_server_whose_actors_die() {
    if !with_failpoints() {
        return;
    }
    let mut server = failing("room-actor=panic").await;
    let ada = server.user("ada").await;
    let room = ada.room("room").await;
    let _socket = ada.connect_to(&room).await;
    ada.say(&room, "accepted").await;
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ended(Duration::from_secs(25)).await.code(), Some(0));
}
