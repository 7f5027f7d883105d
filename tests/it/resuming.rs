//! Joining with `after`: what is replayed, what is truncated, and where live messages begin.

use futures_util::future::join;
use serde_json::{Value, json};

use crate::harness::{
    ServerOptions, TestClient, TestServer, TestUser, contents, draft, seqs, uuid,
};

/// Before any message.
const FIRST_PLACE: &str = "00000000000000000000000000";

/// After any message.
const LAST_PLACE: &str = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";

/// A user in a room of `count` messages `1`, `2`, …
async fn filled(server: &TestServer, count: usize) -> (TestUser, String, Vec<Value>) {
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    for n in 1..=count {
        socket
            .send("sendMessage", draft(&room, &n.to_string()))
            .await;
    }
    let msgs = socket.messages(count).await;
    (ada, room, msgs)
}

async fn unlimited() -> TestServer {
    ServerOptions::new().unlimited().start().await
}

/// Joins and returns the messages that came before `roomJoined`, and its data.
async fn replay(socket: &mut TestClient, data: Value) -> (Vec<Value>, Value) {
    socket.send("joinRoom", data).await;
    let mut frames = socket
        .until("roomJoined", |frame| frame["event"] == "roomJoined")
        .await;
    let joined = frames.pop().expect("the last one fits")["data"].clone();
    let msgs = frames.iter().map(|frame| {
        assert_eq!(frame["event"], "newMessage", "{frame}");
        frame["data"].clone()
    });
    let msgs: Vec<_> = msgs.collect();
    assert_eq!(joined["replayed"], msgs.len(), "{joined}");
    (msgs, joined)
}

#[tokio::test]
async fn a_join_without_a_place_replays_nothing_and_is_live() {
    let server = TestServer::start().await;
    let (ada, room, _) = filled(&server, 3).await;
    let rooms = ada.get("/rooms").await.ok(200);
    let mut socket = ada.connect().await;
    let (msgs, joined) = replay(&mut socket, json!({ "roomId": room })).await;
    assert_eq!(msgs.len(), 0);
    let expected = json!({
        "roomId": room, "epoch": rooms[0]["epoch"], "lastSeq": 3, "replayed": 0, "truncated": false
    });
    assert_eq!(joined, expected);
    socket.say(&room, "live").await;
    assert_eq!(socket.expect("newMessage").await["seq"], 4);
}

#[tokio::test]
async fn a_join_replays_what_came_after_a_place() {
    let server = TestServer::start().await;
    let (ada, room, msgs) = filled(&server, 6).await;
    let id = |n: usize| msgs[n - 1]["id"].clone();
    // A place need not be a message's: here the one just behind the third message.
    let third = id(3)
        .as_str()
        .expect("an id")
        .parse::<ulid::Ulid>()
        .expect("a ULID");
    let behind_third = third.increment().expect("no overflow").to_string();
    let next = msgs
        .iter()
        .position(|msg| msg["id"].as_str() > Some(&behind_third));
    let places = [
        (json!(0), 0),
        (json!(4), 4),
        (json!(6), 6),
        (json!(FIRST_PLACE), 0),
        (id(1), 1),
        (id(6), 6),
        (json!(id(2).as_str().expect("an id").to_lowercase()), 2),
        (json!(behind_third), next.expect("a later message")),
        (Value::Null, 6),
    ];
    for (after, seen) in places {
        let mut socket = ada.connect().await;
        let data = json!({ "roomId": room, "after": after });
        let (replayed, joined) = replay(&mut socket, data).await;
        assert_eq!(replayed, msgs[seen..], "after {after}");
        let seen = (&joined["lastSeq"], &joined["truncated"]);
        assert_eq!(seen, (&json!(6), &json!(false)), "after {after}");
    }
}

#[tokio::test]
async fn five_hundred_missed_messages_are_replayed_and_one_more_is_truncated() {
    let server = unlimited().await;
    let (ada, room, msgs) = filled(&server, 501).await;
    let mut socket = ada.connect().await;
    let (replayed, joined) = replay(&mut socket, json!({ "roomId": room, "after": 1 })).await;
    assert_eq!(replayed, msgs[1..]);
    assert_eq!(
        (&joined["lastSeq"], &joined["truncated"]),
        (&json!(501), &json!(false))
    );

    for after in [json!(0), json!(FIRST_PLACE)] {
        let data = json!({ "roomId": room, "after": after });
        let (replayed, joined) = replay(&mut socket, data).await;
        assert_eq!(replayed.len(), 0);
        assert_eq!(
            (&joined["lastSeq"], &joined["truncated"]),
            (&json!(501), &json!(true))
        );
    }
    // The rest is paged with REST, and live messages join on.
    socket.say(&room, "502").await;
    assert_eq!(socket.expect("newMessage").await["seq"], 502);
    assert_eq!(ada.whole_history(&room).await.len(), 502);
}

#[tokio::test]
async fn another_epoch_or_a_place_beyond_the_head_is_truncated() {
    let server = TestServer::start().await;
    let (ada, room, msgs) = filled(&server, 3).await;
    let mut socket = ada.connect().await;
    let epoch = socket.join(&room).await["epoch"].clone();
    let places = [
        json!({ "after": 1, "epoch": uuid() }),
        json!({ "after": msgs[0]["id"], "epoch": uuid() }),
        json!({ "after": 3, "epoch": "of another kind" }),
        json!({ "after": 4 }),
        json!({ "after": 4, "epoch": epoch }),
        json!({ "after": u64::MAX }),
        json!({ "after": LAST_PLACE }),
    ];
    for mut data in places {
        data["roomId"] = json!(room);
        let (replayed, joined) = replay(&mut socket, data.clone()).await;
        assert_eq!(replayed.len(), 0, "{data}");
        assert_eq!(
            (&joined["truncated"], &joined["lastSeq"]),
            (&json!(true), &json!(3)),
            "{data}"
        );
        assert_eq!(joined["epoch"], epoch);
    }
    let data = json!({ "roomId": room, "after": 1, "epoch": epoch });
    let (replayed, joined) = replay(&mut socket, data).await;
    assert_eq!(
        (seqs(&replayed), &joined["truncated"]),
        (vec![2, 3], &json!(false))
    );
    // Without a place there is nothing to miss.
    let data = json!({ "roomId": room, "epoch": uuid() });
    assert_eq!(replay(&mut socket, data).await.1["truncated"], false);
}

#[tokio::test]
async fn an_empty_room_has_no_place_but_its_beginning() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect().await;
    for (after, truncated) in [(json!(0), false), (json!(1), true)] {
        let data = json!({ "roomId": room, "after": after });
        let (_, joined) = replay(&mut socket, data).await;
        assert_eq!(
            (&joined["truncated"], &joined["lastSeq"]),
            (&json!(truncated), &json!(0))
        );
    }
}

#[tokio::test]
async fn a_join_that_is_not_valid_or_not_allowed_is_refused() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let (public, private) = (ada.room("open").await, ada.private_room("secret").await);
    let mut socket = eve.connect().await;
    let refused = async |socket: &mut TestClient, data: Value, code: &str| {
        let error = socket.ask("joinRoom", data.clone(), "error").await;
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&json!(code), &json!(false)),
            "{data}"
        );
        error
    };
    for after in [
        json!(-1),
        json!(1.5),
        json!("nonsense"),
        json!(""),
        json!(true),
        json!({}),
    ] {
        let data = json!({ "roomId": public, "after": after });
        refused(&mut socket, data, "VALIDATION_FAILED").await;
    }
    for data in [
        json!({}),
        json!({ "roomId": "x" }),
        json!({ "roomId": public, "epoch": 1 }),
    ] {
        refused(&mut socket, data, "VALIDATION_FAILED").await;
    }
    refused(&mut socket, json!({ "roomId": public }), "NOT_MEMBER").await;
    let hidden = refused(&mut socket, json!({ "roomId": private }), "ROOM_NOT_FOUND").await;
    let absent = refused(&mut socket, json!({ "roomId": uuid() }), "ROOM_NOT_FOUND").await;
    assert_eq!(hidden, absent);
    ada.say(&public, "not for eve").await;
    let mut seen = ada.connect().await;
    seen.resume(&public, 0).await;
    seen.expect("newMessage").await;
    socket.expect_none("newMessage").await;
}

#[tokio::test]
async fn joining_twice_replays_again_and_delivers_once() {
    let server = TestServer::start().await;
    let (ada, room, msgs) = filled(&server, 3).await;
    let mut socket = ada.connect().await;
    for _ in 0..3 {
        let data = json!({ "roomId": room, "after": 0 });
        let (replayed, _) = replay(&mut socket, data).await;
        assert_eq!(replayed, msgs);
    }
    socket.say(&room, "4").await;
    assert_eq!(socket.expect("newMessage").await["seq"], 4);
    socket.expect_none("newMessage").await;
}

#[tokio::test]
async fn joins_and_leaves_of_a_room_are_answered_in_their_order() {
    let server = TestServer::start().await;
    let (ada, room, _) = filled(&server, 3).await;
    let mut socket = ada.connect().await;
    let requests = [
        ("joinRoom", 0),
        ("leaveRoom", 0),
        ("joinRoom", 1),
        ("joinRoom", 2),
    ];
    for (id, (event, after)) in requests.iter().enumerate() {
        let data = json!({ "roomId": room, "after": after });
        let frame = json!({ "event": event, "data": data, "id": id });
        socket.send_text(frame.to_string()).await;
    }
    let frames = socket
        .until("the last reply", |frame| frame["id"] == 3)
        .await;
    let told = |frame: &Value| match frame["event"].as_str() {
        Some("newMessage") => frame["data"]["seq"].clone(),
        _ => json!(format!(
            "{} {}",
            frame["event"].as_str().unwrap_or_default(),
            frame["id"]
        )),
    };
    let expected = json!([
        1,
        2,
        3,
        "roomJoined 0",
        "roomLeft 1",
        2,
        3,
        "roomJoined 2",
        3,
        "roomJoined 3"
    ]);
    assert_eq!(json!(frames.iter().map(told).collect::<Vec<_>>()), expected);
}

#[tokio::test]
async fn who_leaves_a_room_hears_no_more_of_it_and_stays_a_member() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut other = bob.connect_to(&room).await;
    let mut socket = ada.connect_to(&room).await;
    let left = socket
        .ask("leaveRoom", json!({ "roomId": room }), "roomLeft")
        .await;
    assert_eq!(left, json!({ "roomId": room }));
    socket.say(&room, "still a member").await;
    other.say(&room, "from bob").await;
    assert_eq!(
        contents(&other.messages(2).await),
        ["still a member", "from bob"]
    );
    socket.expect_none("newMessage").await;
    let joined = socket.resume(&room, 0).await;
    assert_eq!(
        (&joined["replayed"], socket.messages(2).await.len()),
        (&json!(2), 2)
    );
}

/// Reads messages of a room until `last`, and asserts that they go on from `after`.
async fn follow(socket: &mut TestClient, after: u64, last: u64) {
    let mut expected = after + 1;
    while expected <= last {
        let msg = socket.expect("newMessage").await;
        assert_eq!(msg["seq"], expected, "after {after}");
        expected += 1;
    }
}

#[tokio::test]
async fn whoever_joins_while_others_send_misses_nothing_and_sees_nothing_twice() {
    const COUNT: u64 = 400;
    let server = unlimited().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut sender = ada.connect_to(&room).await;
    let sending = async {
        for n in 1..=COUNT {
            sender
                .send("sendMessage", draft(&room, &n.to_string()))
                .await;
            // Half of them in step with the room, so that joins meet every stage.
            if n % 2 == 0 {
                sender.expect("newMessage").await;
            }
        }
    };
    let joining = async {
        let mut sockets = Vec::new();
        for n in 0_u64..40 {
            let mut socket = bob.connect().await;
            // A third of them from the beginning, a third from the last head, a third live.
            let head = sockets
                .last()
                .map_or(0, |(_, last, _): &(TestClient, u64, u64)| *last);
            let after = match n % 3 {
                0 => json!(0),
                1 => json!(head),
                _ => Value::Null,
            };
            let data = json!({ "roomId": room, "after": after });
            let (replayed, joined) = replay(&mut socket, data).await;
            let last = joined["lastSeq"].as_u64().expect("a seq");
            assert_eq!(joined["truncated"], false);
            let first = after.as_u64().unwrap_or(last);
            assert_eq!(
                seqs(&replayed),
                (first + 1..=last).collect::<Vec<_>>(),
                "after {after}"
            );
            sockets.push((socket, last, n));
        }
        sockets
    };
    let ((), sockets) = tokio::join!(sending, joining);
    for (mut socket, last, _) in sockets {
        follow(&mut socket, last, COUNT).await;
        socket.expect_none("newMessage").await;
    }
}

#[tokio::test]
async fn a_socket_that_joins_again_and_again_under_load_sees_each_message_in_order() {
    const COUNT: u64 = 300;
    let server = unlimited().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut sender = ada.connect_to(&room).await;
    let sending = async {
        for n in 1..=COUNT {
            sender
                .send("sendMessage", draft(&room, &n.to_string()))
                .await;
            sender.expect("newMessage").await;
        }
    };
    let rejoining = async {
        let mut socket = bob.connect().await;
        let mut seen = 0;
        while seen < COUNT {
            socket
                .send("joinRoom", json!({ "roomId": room, "after": seen }))
                .await;
            let frames = socket
                .until("roomJoined", |frame| frame["event"] == "roomJoined")
                .await;
            // Live messages of the join before may come first; what is new goes on from there.
            for frame in frames.iter().filter(|frame| frame["event"] == "newMessage") {
                let seq = frame["data"]["seq"].as_u64().expect("a seq");
                assert!(seq <= seen + 1, "{seq} after {seen}");
                seen = seen.max(seq);
            }
            assert!(frames.last().expect("roomJoined")["data"]["lastSeq"].as_u64() <= Some(seen));
        }
    };
    tokio::join!(sending, rejoining);
}

#[tokio::test]
async fn a_client_resumes_after_a_crash_of_the_server() {
    let mut server = unlimited().await;
    let (ada, room, msgs) = filled(&server, 20).await;
    let mut socket = ada.connect().await;
    let epoch = socket.join(&room).await["epoch"].clone();
    server.kill();
    assert_eq!(socket.expect_close().await, 1006);
    let server = server.restart().await;
    let ada = ada.at(&server);
    for after in [json!(15), msgs[14]["id"].clone()] {
        let mut socket = ada.connect().await;
        let data = json!({ "roomId": room, "after": after, "epoch": epoch });
        let (replayed, joined) = replay(&mut socket, data).await;
        assert_eq!(replayed, msgs[15..]);
        assert_eq!(
            (&joined["truncated"], &joined["epoch"]),
            (&json!(false), &epoch)
        );
    }
    let mut socket = ada.connect_to(&room).await;
    socket.say(&room, "goes on").await;
    assert_eq!(socket.expect("newMessage").await["seq"], 21);
}

#[tokio::test]
async fn a_client_that_is_gone_for_a_while_misses_nothing() {
    let server = unlimited().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut sender = ada.connect_to(&room).await;
    let mut seen = Vec::new();
    for round in 0..5 {
        let mut socket = bob.connect().await;
        let last = seqs(&seen).last().copied().unwrap_or(0);
        socket.resume(&room, last).await;
        for n in 0..10 {
            sender.say(&room, &format!("{round}.{n}")).await;
        }
        // It reads some of them and goes, politely or not.
        let missing = 3 * (round + 1) - seen.len();
        seen.extend(socket.messages(missing).await);
        if round % 2 == 0 {
            socket.close().await;
        }
    }
    let mut socket = bob.connect().await;
    socket
        .resume(&room, seqs(&seen).last().copied().unwrap_or(0))
        .await;
    seen.extend(socket.messages(50 - seen.len()).await);
    assert_eq!(seen, ada.whole_history(&room).await);
}

#[tokio::test]
async fn a_room_joined_again_without_a_place_is_heard_without_a_gap() {
    let server = unlimited().await;
    let (ada, room, _) = filled(&server, 1).await;
    let (mut speaker, mut listener) = (ada.connect().await, ada.connect_to(&room).await);
    let count = 400;
    let speaking = async {
        for n in 0..count {
            let data = draft(&room, &n.to_string());
            speaker.send("sendMessage", data).await;
        }
    };
    let listening = async {
        let mut heard = 0;
        while heard < count {
            listener.send("joinRoom", json!({ "roomId": room })).await;
            let frames = listener
                .until("roomJoined", |frame| frame["event"] == "roomJoined")
                .await;
            let joined = &frames.last().expect("the last one fits")["data"];
            assert_eq!(joined["replayed"], 0, "nothing was asked for");
            for frame in frames {
                if frame["event"] == "newMessage" {
                    heard += 1;
                    assert_eq!(frame["data"]["seq"], heard + 1, "a gap");
                }
            }
            assert_eq!(listener.unread().count(), 0);
        }
    };
    join(speaking, listening).await;
}
