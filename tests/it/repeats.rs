//! The same `(roomId, senderId, clientMsgId)` is stored once, for ever, and a repeat is answered.

use serde_json::{Value, json};

use crate::harness::{
    ServerOptions, TestClient, TestServer, await_until, draft, seqs, uuid, with_failpoints,
};

async fn accept(socket: &mut TestClient, data: &Value) {
    socket
        .ask("sendMessage", data.clone(), "messageAccepted")
        .await;
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_same_message_to_its_sender_alone() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let (mut phone, mut laptop) = (ada.connect_to(&room).await, ada.connect_to(&room).await);
    let mut other = bob.connect_to(&room).await;
    let data = draft(&room, "once");
    accept(&mut phone, &data).await;
    let first = phone.expect("newMessage").await;
    assert_eq!(laptop.expect("newMessage").await, first);
    assert_eq!(other.expect("newMessage").await, first);

    // What was stored first counts, whatever a repeat says.
    let mut repeat = data.clone();
    repeat["content"] = json!("twice");
    accept(&mut phone, &repeat).await;
    assert_eq!(phone.expect("newMessage").await, first);
    assert_eq!(laptop.expect("newMessage").await, first);

    phone.say(&room, "next").await;
    assert_eq!(other.expect("newMessage").await["seq"], 2);
    assert_eq!(seqs(&ada.history(&room).await), [1, 2]);
}

#[tokio::test]
async fn repeats_in_flight_are_stored_once_and_all_accepted() {
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    let data = draft(&room, "once");
    for id in 0..20 {
        let frame = json!({ "event": "sendMessage", "data": data, "id": id });
        socket.send_text(frame.to_string()).await;
    }
    for id in 0..20 {
        let accepted = socket
            .expect_where("an acceptance", |frame| frame["id"] == id)
            .await;
        assert_eq!(accepted["event"], "messageAccepted");
    }
    let msgs = socket.messages(20).await;
    assert!(
        msgs.iter().all(|msg| *msg == msgs[0] && msg["seq"] == 1),
        "{msgs:?}"
    );
    socket.say(&room, "next").await;
    assert_eq!(socket.expect("newMessage").await["seq"], 2);
}

#[tokio::test]
async fn a_repeat_waits_for_the_answer_to_a_join_without_a_replay() {
    if !with_failpoints() {
        return;
    }
    // A room that wakes waits for its head, and so does who joins it.
    let options = ServerOptions::new().failpoint("heads=2*sleep(2000)->off");
    let server = options.start().await;
    let ada = server.user("ada").await;
    for place in [json!({}), json!({ "after": 999 })] {
        let room = ada.room("asleep").await;
        let mut socket = ada.connect().await;
        let data = draft(&room, "once");
        accept(&mut socket, &data).await;
        await_until("it to be stored", || async {
            (ada.history(&room).await.len() == 1).then_some(())
        })
        .await;
        let mut join = place.clone();
        join["roomId"] = json!(room);
        socket.send("joinRoom", join).await;
        accept(&mut socket, &data).await;
        let is_shown = |frame: &Value| frame["event"] == "newMessage";
        let frames = socket.until("the repeat", is_shown).await;
        let [joined, shown] = &frames[..] else {
            panic!("{frames:?}");
        };
        assert_eq!(joined["event"], "roomJoined");
        assert_eq!(joined["data"]["truncated"], place["after"].is_number());
        let last = (&joined["data"]["lastSeq"], &shown["data"]["seq"]);
        assert_eq!(last, (&json!(1), &json!(1)));
    }
}

#[tokio::test]
async fn a_repeat_is_recognised_after_a_crash() {
    let mut server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    let data = draft(&room, "once");
    accept(&mut socket, &data).await;
    let first = socket.expect("newMessage").await;
    server.kill();
    let server = server.restart().await;
    let ada = ada.at(&server);
    let mut socket = ada.connect_to(&room).await;
    accept(&mut socket, &data).await;
    assert_eq!(socket.expect("newMessage").await, first);
    assert_eq!(ada.history(&room).await, [first]);
}

/// What a client does that comes back: resume, and repeat what was not acknowledged.
#[tokio::test]
async fn a_repeat_right_behind_a_resume_is_answered() {
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut socket = ada.connect_to(&room).await;
    let data = draft(&room, "once");
    accept(&mut socket, &data).await;
    let first = socket.expect("newMessage").await;
    for after in [1, 0] {
        for _ in 0..20 {
            let mut socket = ada.connect().await;
            socket
                .send("joinRoom", json!({ "roomId": room, "after": after }))
                .await;
            socket.send("sendMessage", data.clone()).await;
            socket.expect("roomJoined").await;
            socket.expect("messageAccepted").await;
            assert_eq!(socket.expect("newMessage").await, first);
        }
    }
    assert_eq!(ada.history(&room).await, [first]);
}

#[tokio::test]
async fn a_repeat_of_who_has_not_joined_is_accepted() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("open").await;
    let mut apart = ada.connect().await;
    let mut joined = ada.connect_to(&room).await;
    let data = draft(&room, "once");
    accept(&mut apart, &data).await;
    let first = joined.expect("newMessage").await;
    accept(&mut apart, &data).await;
    assert_eq!(joined.expect("newMessage").await, first);
    apart.expect_none("newMessage").await;
}

#[tokio::test]
async fn another_sender_or_room_makes_it_another_message() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let (one, two) = (ada.room_with(&[&bob]).await, ada.room_with(&[&bob]).await);
    let id = uuid();
    let data = |room: &str| json!({ "roomId": room, "clientMsgId": id, "content": "x" });
    let mut a = ada.connect_to(&one).await;
    a.join(&two).await;
    let mut b = bob.connect().await;
    accept(&mut a, &data(&one)).await;
    accept(&mut a, &data(&two)).await;
    accept(&mut b, &data(&one)).await;
    let msgs = a.messages(3).await;
    let key = |msg: &Value| {
        (
            msg["roomId"].clone(),
            msg["senderId"].clone(),
            msg["seq"].clone(),
        )
    };
    let mut seen: Vec<_> = msgs
        .iter()
        .map(key)
        .map(|key| json!([key.0, key.1, key.2]))
        .collect();
    let mut expected = vec![
        json!([one, ada.id, 1]),
        json!([two, ada.id, 1]),
        json!([one, bob.id, 2]),
    ];
    seen.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(seen, expected);
    assert!(msgs.iter().all(|msg| msg["clientMsgId"] == id));
}
