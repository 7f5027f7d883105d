//! Load that is meant to hurt: whoever it is not aimed at goes on meanwhile.
//!
//! What goes on is counted, not timed: all of this runs on machines that do other work too.

use std::{cell::Cell, net::Ipv4Addr, time::Instant};

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Bystanders, RawSocket, ServerOptions, SocketIoClient, TestServer, TestUser, draft,
    raw::{RawAnswer, text, upgrade_request, upgrade_request_to},
};

const TOO_MANY: u16 = 4429;

/// The refusals after which a socket is closed.
const MAX_REFUSALS: usize = 100;

#[tokio::test]
async fn two_hundred_logins_at_once_leave_the_chat_alone() {
    const LOGINS: usize = 200;
    /// Threads that come and go for other reasons.
    const OTHER_THREADS: u64 = 32;
    let options = ServerOptions::new().unlimited().env("BCRYPT_COST", 10);
    let server = options.start().await;
    let mut others = Bystanders::meet(&server).await;
    let ada = server.user("ada").await;
    let threads = server.threads();

    let is_over = Cell::new(false);
    let logging_in = async {
        let logins = join_all((0..LOGINS).map(|_| log_in(&ada))).await;
        is_over.set(true);
        logins
    };
    let chatting = async {
        let (mut chats, mut most_threads) = (0, 0);
        while !is_over.get() {
            others.chat().await;
            chats += 1;
            most_threads = most_threads.max(server.threads());
        }
        (chats, most_threads)
    };
    let (logins, (chats, most_threads)) = join(logging_in, chatting).await;

    let (mut succeeded, mut judged) = (0, 0);
    for answer in logins {
        if answer.status == 200 {
            succeeded += 1;
            judged += 1;
            continue;
        }
        let refused = answer.refused(503, "UNAVAILABLE");
        assert_eq!(refused.header("retry-after"), Some("1"));
        // The deadline of every request, which a login meets on a slow machine alone.
        judged += usize::from(refused.body["detail"] != "the request took too long");
    }
    assert!(succeeded > 0, "nobody was let in");
    // A login that is not judged within five seconds is refused: then the flood is over, however
    // slow the machine is. One that held the chat up would leave time for hardly a message.
    assert!(chats >= 5, "{chats} messages while they logged in");
    assert!(
        most_threads <= threads + OTHER_THREADS,
        "{most_threads} threads, {threads} before"
    );
    let counted = async |outcome| server.metric("roomcast_logins_total", outcome).await;
    let all = counted("succeeded").await + counted("unavailable").await;
    // Three users have logged in before.
    assert_eq!(all, judged as f64 + 3.0);
}

async fn log_in(user: &TestUser) -> Answer {
    let body = json!({ "email": user.email, "password": user.password });
    user.anonymous(Method::POST, "/auth/login", Some(body))
        .await
}

#[tokio::test]
async fn sockets_that_send_a_thousand_messages_at_once_cost_nobody_else_one() {
    /// As many as a user may send at once.
    const CHATS: usize = 18;
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let room = ada.room_with(&[&eve]).await;
    let flooding = async {
        for _ in 0..3 {
            join(
                flood(&server, &ada, &room),
                flood_socket_io(&server, &eve, &room),
            )
            .await;
        }
    };
    let chatting = async {
        for _ in 0..CHATS {
            others.chat().await;
        }
    };
    join(flooding, chatting).await;
    others.chat().await;
}

async fn flood(server: &TestServer, user: &TestUser, room: &str) {
    let mut socket = RawSocket::open(server, &user.token).await;
    let send = || json!({ "event": "sendMessage", "data": draft(room, "flood") });
    let bytes: Vec<u8> = (0..1_000).flat_map(|_| text(&send().to_string())).collect();
    // The server may close before it has read all.
    let _ = socket.write(&bytes).await;
    let (said, code) = socket.said_until_close().await;
    assert_eq!(code, TOO_MANY);
    assert_eq!(refusals(&said), MAX_REFUSALS);
}

async fn flood_socket_io(server: &TestServer, user: &TestUser, room: &str) {
    let mut client = SocketIoClient::connect(server, &user.token).await;
    let send = || format!("42{}", json!(["sendMessage", draft(room, "flood")]));
    let bytes: Vec<u8> = (0..1_000).flat_map(|_| text(&send())).collect();
    client.write(&bytes).await;
    let (said, code) = client.said_until_close().await;
    assert_eq!(code, TOO_MANY);
    let events = said.iter().filter_map(|packet| packet.strip_prefix("42"));
    let events: Vec<Value> = events
        .map(|event| {
            let [_, data]: [Value; 2] = serde_json::from_str(event).expect("an event");
            json!({ "data": data })
        })
        .collect();
    assert_eq!(refusals(&events), MAX_REFUSALS);
}

fn refusals(said: &[Value]) -> usize {
    let limited = said
        .iter()
        .filter(|frame| frame["data"]["code"] == "RATE_LIMITED");
    limited.count()
}

#[tokio::test]
async fn ten_thousand_handshakes_of_one_address_leave_the_others_alone() {
    const HANDSHAKES: usize = 10_000;
    const AT_ONCE: usize = 20;
    /// Fewer than an address may open at once.
    const ELSEWHERE: usize = 100;
    const PER_S: f64 = 200.0;
    let options = ServerOptions::new().env("LIMIT_SOCKETS_PER_USER", 0);
    let server = options.start().await;
    let mut others = Bystanders::meet(&server).await;
    let bob = server.user("bob").await;
    let began = Instant::now();

    let is_over = Cell::new(false);
    let flooding = async {
        let floods = (0..AT_ONCE).map(|_| shake_hands(&server, HANDSHAKES / AT_ONCE));
        let refused: usize = join_all(floods).await.into_iter().sum();
        is_over.set(true);
        refused
    };
    let elsewhere = async {
        let mut meanwhile = 0;
        for n in 0..ELSEWHERE {
            let from = Ipv4Addr::new(127, 0, 0, 2);
            let mut socket = RawSocket::connect_from(from, &server).await;
            socket.upgrade(&bob.token, "").await;
            socket.expect("ready").await;
            if n % 10 == 0 {
                others.chat().await;
            }
            meanwhile += usize::from(!is_over.get());
        }
        meanwhile
    };
    let (refused, meanwhile) = join(flooding, elsewhere).await;
    assert!(meanwhile > 0, "nobody came while it was flooded");
    // Longer than the server saw: at most so many were let in.
    let most = PER_S + PER_S * began.elapsed().as_secs_f64() + 1.0;
    let accepted = HANDSHAKES - refused;
    // It follows that some were refused, but where each of them took so long that none had to be.
    assert!(accepted as f64 <= most, "{accepted} of {most}");
    others.chat().await;
}

/// Begins so many handshakes, one after the other, of both kinds; returns how many were refused.
async fn shake_hands(server: &TestServer, count: usize) -> usize {
    let requests = [
        upgrade_request(""),
        upgrade_request_to("/socket.io/?EIO=4&transport=websocket", ""),
    ];
    let mut refused = 0;
    for request in requests.iter().cycle().take(count) {
        let mut socket = RawSocket::connect(server).await;
        socket.write(request.as_bytes()).await.expect("it is open");
        if let Some(answer) = socket.refusal().await {
            assert_waits(&answer);
            refused += 1;
        }
        // Hung up at once: so many would use up the machine's ports.
        socket.reset();
    }
    refused
}

fn assert_waits(answer: &RawAnswer) {
    assert_eq!(answer.status, 429, "{answer:?}");
    let wait = answer.header("retry-after").expect("a time");
    assert_eq!(wait, "1", "{answer:?}");
}
