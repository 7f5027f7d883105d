//! Messages between members on different gateways.

use futures_util::future::join_all;
use serde_json::Value;

use super::{Stack, total};
use crate::harness::{TestClient, await_until, seqs};

/// Messages that each of the speakers says in each room.
const SAID: usize = 15;

/// Says something in every room, over and over, and hears everything.
async fn talk(mut socket: TestClient, rooms: Vec<String>, speakers: usize) -> Vec<Value> {
    for turn in 0..SAID {
        for room in &rooms {
            socket.say(room, &format!("turn {turn}")).await;
        }
    }
    socket.messages(SAID * rooms.len() * speakers).await
}

#[tokio::test]
async fn members_on_both_gateways_see_every_message_once_and_in_order() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let names = ["ada", "bob", "carol", "dan"];
    let people = join_all(names.map(|name| stack.user(name))).await;
    let others: Vec<_> = people[1..].iter().collect();
    let rooms = vec![
        people[0].room_with(&others).await,
        people[0].room_with(&others).await,
        people[0].room_with(&others).await,
    ];
    let mut talking = Vec::new();
    for (turn, user) in people.iter().enumerate() {
        let mut socket = stack.socket(turn % 2, user, &rooms[0]).await;
        for room in &rooms[1..] {
            socket.join(room).await;
        }
        talking.push((socket, rooms.clone()));
    }
    let talking = talking
        .into_iter()
        .map(|(socket, rooms)| tokio::spawn(talk(socket, rooms, names.len())));
    let heard = join_all(talking).await;
    for room in &rooms {
        let history = people[0].whole_history(room).await;
        assert_eq!(history.len(), SAID * names.len());
        assert_eq!(
            seqs(&history),
            (1..=history.len() as u64).collect::<Vec<_>>()
        );
        for heard in &heard {
            let heard = heard.as_ref().expect("a speaker saw no wrong").iter();
            let of_room: Vec<_> = heard.filter(|msg| msg["roomId"] == **room).collect();
            assert_eq!(of_room, history.iter().collect::<Vec<_>>());
        }
    }
    // What the gateways accepted, the workers stored.
    let said = (SAID * rooms.len() * names.len()) as f64;
    let accepted = total(&stack.gateways, "roomcast_messages_accepted_total").await;
    assert_eq!(accepted, said);
    await_until("the workers have counted it", || async {
        let stored = total(&stack.workers, "roomcast_messages_persisted_total").await;
        (stored == said).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_repeat_at_another_gateway_is_the_same_message() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let ada = stack.user("ada").await;
    let room = ada.room("mine").await;
    let mut first = stack.socket(0, &ada, &room).await;
    let mut second = stack.socket(1, &ada, &room).await;
    let message = crate::harness::draft(&room, "once");
    for socket in [&mut first, &mut second] {
        let sent = message.clone();
        socket.ask("sendMessage", sent, "messageAccepted").await;
    }
    for socket in [&mut first, &mut second] {
        let heard = socket.messages(2).await;
        assert_eq!(heard[0], heard[1]);
        assert_eq!(heard[0]["seq"], 1);
    }
    assert_eq!(ada.history(&room).await.len(), 1);
}

#[tokio::test]
async fn who_comes_back_at_another_gateway_misses_nothing() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let (ada, bob) = (stack.user("ada").await, stack.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut socket = stack.socket(0, &bob, &room).await;
    let mut speaker = stack.socket(0, &ada, &room).await;
    speaker.say(&room, "heard").await;
    let last = socket.expect("newMessage").await;
    socket.close().await;
    for content in ["missed", "missed too"] {
        speaker.say(&room, content).await;
    }
    speaker.messages(3).await;
    let mut back = bob.at(&stack.gateways[1]).connect().await;
    let joined = back.resume(&room, last["seq"].clone()).await;
    assert_eq!(
        (&joined["replayed"], &joined["lastSeq"]),
        (&2.into(), &3.into())
    );
    speaker.say(&room, "live").await;
    assert_eq!(seqs(&back.messages(3).await), [2, 3, 4]);
}
