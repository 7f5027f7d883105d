//! What operators look at beside the metrics: the actors, on HTTP and on a terminal.

use serde_json::{Value, json};

use crate::harness::{Cli, Ground, Part, ServerOptions, Services, TestServer, await_until};

fn debug_url(server: &TestServer) -> String {
    server.metrics_url().replace("/metrics", "/debug/actors")
}

async fn snapshot(server: &TestServer) -> Value {
    let answer = reqwest::get(debug_url(server)).await.expect("it answers");
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("JSON")
}

/// Adds up a number in the states of a list; `None` where one did not answer in time.
fn total(snapshot: &Value, list: &str, number: &str) -> Option<u64> {
    let list = snapshot[list].as_array().expect("a list").iter();
    list.map(|it| it["state"][number].as_u64()).sum()
}

/// The address that `top` is told.
fn metrics_addr(server: &TestServer) -> String {
    let url = server.metrics_url().trim_start_matches("http://");
    url.trim_end_matches("/metrics").to_owned()
}

#[tokio::test]
async fn a_snapshot_has_every_actor_and_the_rooms_that_live() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let (mut a, _b) = (ada.connect_to(&room).await, bob.connect_to(&room).await);
    a.say(&room, "content that is nobody's business").await;
    a.messages(1).await;

    let is_settled = |snapshot: &Value| {
        let rooms = snapshot["rooms"].as_array().expect("a list");
        let have_it = rooms.iter().all(|it| it["state"]["last"] == 1);
        let are_in = total(snapshot, "rooms", "attached") == Some(2);
        let is_whole = total(snapshot, "slices", "authenticated").is_some();
        have_it && are_in && is_whole && snapshot["presence"]["usersHere"] == 2
    };
    let snapshot = await_until("both are known, and all rooms have the message", || async {
        let snapshot = snapshot(&server).await;
        is_settled(&snapshot).then_some(snapshot)
    })
    .await;
    let live = |actor: &str| {
        let actors = snapshot["actors"].as_array().expect("a list");
        let found = actors.iter().find(|it| it["actor"] == actor);
        found.expect(actor)["count"].as_u64().expect("a number")
    };
    assert_eq!(live("SessionActor"), 2);
    assert!((1..=2).contains(&live("RoomActor")), "one for each slice");
    for actor in [
        "RoomRegistry",
        "PresenceActor",
        "KafkaBridge",
        "PersistorActor",
    ] {
        assert!(live(actor) >= 1, "{actor}");
    }
    let sockets = total(&snapshot, "slices", "authenticated");
    assert_eq!(sockets, Some(2), "{snapshot}");
    let rooms = snapshot["rooms"].as_array().expect("a list");
    assert!(rooms.iter().all(|it| it["id"] == room), "{snapshot}");
    for private in [&ada.email, &ada.token, "nobody's business"] {
        assert!(!snapshot.to_string().contains(private), "{private}");
    }
}

#[tokio::test]
async fn what_operators_read_is_not_on_the_public_port() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    ada.get("/debug/actors").await.refused(404, "NOT_FOUND");
    let elsewhere = reqwest::get(debug_url(&server).replace("actors", "elsewhere"));
    assert_eq!(elsewhere.await.expect("it answers").status(), 404);
}

#[tokio::test]
async fn a_workers_snapshot_has_no_sockets() {
    let Some(services) = Services::of_run() else {
        return;
    };
    let ground = std::sync::Arc::new(Ground::on(services).await);
    let worker = ServerOptions::new().part(Part::Worker).start_on(ground);
    let snapshot = snapshot(&worker.await).await;
    assert_eq!(snapshot["slices"], json!([]));
    assert_eq!(snapshot["presence"], Value::Null);
}

#[tokio::test]
async fn top_prints_one_table_where_it_is_no_terminal() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let room = ada.room("lively").await;
    let _socket = ada.connect_to(&room).await;
    let addr = metrics_addr(&server);
    for args in [
        vec!["top", "--metrics-addr", &addr],
        vec!["top", "--once", "--metrics-addr", &addr],
        vec!["top", "--url", &format!("http://{addr}")],
    ] {
        // Who does not answer in time is not in the table for once.
        let text = await_until("a table with the socket and its room", || async {
            let output = Cli::new().run(&args);
            let text = String::from_utf8(output.stdout).expect("text");
            assert!(output.status.success(), "{args:?}: {text}");
            let has_both = text.contains("1 sockets  1 rooms") && text.contains(&room);
            has_both.then_some(text)
        })
        .await;
        assert!(!text.contains('\u{1b}'), "no colours and no cursor: {text}");
        let session = text.lines().find(|line| line.starts_with("SessionActor"));
        let live = session.and_then(|line| line.split_whitespace().nth(1));
        assert_eq!(live, Some("1"), "{text}");
    }
}

#[tokio::test]
async fn top_says_what_is_wrong_with_an_address() {
    let server = TestServer::start().await;
    let refused = |args: &[&str], words: &str| {
        let output = Cli::new().run(args);
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(words), "{text}");
    };
    refused(&["top", "--url", &server.url("")], "--metrics-addr");
    refused(&["top", "--metrics-addr", "127.0.0.1:1"], "does not answer");
}
