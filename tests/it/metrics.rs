//! What operators count: names, balance, and no id in any label.

use std::{collections::BTreeSet, fs, path::Path};

use roomcast::metrics::{MetricKind, TABLE};
use serde_json::json;

use crate::harness::{
    Ground, Part, ServerOptions, Services, TestServer, await_until, draft, uuid, with_failpoints,
};

/// Counters that exist at zero from the start.
const COUNTERS: [&str; 14] = [
    "roomcast_messages_accepted_total",
    "roomcast_messages_failed_total",
    "roomcast_messages_persisted_total",
    "roomcast_messages_duplicate_total",
    "roomcast_messages_dead_lettered_total",
    "roomcast_messages_delivered_total",
    "roomcast_messages_unknown_total",
    "roomcast_messages_replayed_total",
    "roomcast_frames_in_total",
    "roomcast_frames_out_total",
    "roomcast_actor_restarts_total",
    "roomcast_slow_sockets_total",
    "roomcast_resumes_total",
    "roomcast_login_failures_total",
];

const HISTOGRAMS: [&str; 5] = [
    "roomcast_accept_seconds",
    "roomcast_persist_seconds",
    "roomcast_fanout_seconds",
    "roomcast_deliver_seconds",
    "roomcast_actor_handling_seconds",
];

const GAUGES: [&str; 4] = [
    "roomcast_sockets",
    "roomcast_actor_count",
    "roomcast_actor_mailbox_depth",
    "roomcast_consumer_lag",
];

const ACTORS: [&str; 6] = [
    "SessionActor",
    "RoomActor",
    "RoomRegistry",
    "PresenceActor",
    "KafkaBridge",
    "PersistorActor",
];

async fn scrape(server: &TestServer) -> String {
    let answer = reqwest::get(server.metrics_url())
        .await
        .expect("metrics answer");
    assert_eq!(answer.status(), 200);
    answer.text().await.expect("metrics are text")
}

/// Whether a sample or a histogram of this name exists.
fn has(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    })
}

#[tokio::test]
async fn every_name_exists_at_zero_from_the_start() {
    let server = TestServer::start().await;
    // A worker learns what it reads when the group lets it in.
    let text = await_until("the lag is known", || async {
        let text = scrape(&server).await;
        has(&text, "roomcast_consumer_lag").then_some(text)
    })
    .await;
    for name in COUNTERS {
        assert!(has(&text, name), "{name} in\n{text}");
        assert_eq!(server.metric(name, "").await, 0.0, "{name}");
    }
    for name in HISTOGRAMS {
        assert!(has(&text, &format!("{name}_bucket")), "{name} in\n{text}");
    }
    for name in GAUGES {
        assert!(has(&text, name), "{name} in\n{text}");
    }
    for actor in ACTORS {
        let label = format!("actor=\"{actor}\"");
        for name in ["count", "mailbox_depth", "handled_total", "restarts_total"] {
            let name = format!("roomcast_actor_{name}");
            let line = text
                .lines()
                .find(|line| line.starts_with(&name) && line.contains(&label));
            assert!(line.is_some(), "{name}{{{label}}} in\n{text}");
        }
    }
    for topic in ["joinRoom", "sendMessage", "heartbeat"] {
        let line = format!("roomcast_frames_in_total{{event=\"{topic}\"}} 0");
        assert!(text.lines().any(|known| known == line), "{line}");
    }
}

/// What a metric of the table is called in Prometheus' text.
fn sample(name: &str, kind: MetricKind) -> String {
    match kind {
        MetricKind::Histogram => format!("{name}_bucket"),
        MetricKind::Counter | MetricKind::Gauge => name.to_owned(),
    }
}

/// Waits until every metric of the table is there, and says which is not.
async fn await_the_whole_table(server: &TestServer, part: &str) {
    let missing = |text: &str| {
        let rows = TABLE
            .iter()
            .filter(|row| !has(text, &sample(row.name, row.kind)));
        rows.map(|row| row.name).collect::<Vec<_>>()
    };
    let what = format!("every metric on the {part}");
    await_until(&what, || async {
        missing(&scrape(server).await).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_metric_of_the_table_is_exported() {
    let server = TestServer::start().await;
    await_the_whole_table(&server, "server").await;
    let text = scrape(&server).await;
    for row in TABLE {
        let line = format!("# TYPE {} {}", row.name, row.kind.name());
        assert!(text.lines().any(|known| known == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn a_gateway_and_a_worker_export_every_metric_too() {
    let Some(services) = Services::of_run() else {
        return;
    };
    let ground = std::sync::Arc::new(Ground::on(services).await);
    for (part, name) in [(Part::Worker, "worker"), (Part::Gateway, "gateway")] {
        let options = ServerOptions::new().part(part);
        let server = options.start_on(std::sync::Arc::clone(&ground)).await;
        await_the_whole_table(&server, name).await;
    }
}

/// The names of metrics in a text: words that begin with `roomcast_` or `process_`.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_');
    let metrics = words.filter(|word| {
        ["roomcast_", "process_"]
            .iter()
            .any(|it| word.starts_with(it))
    });
    metrics.map(str::to_owned).collect()
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
    let server = TestServer::start().await;
    await_the_whole_table(&server, "server").await;
    let text = scrape(&server).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/observability");
    let mut asked = BTreeSet::new();
    for file in ["alerts.yml", "grafana/dashboards/roomcast.json"] {
        let source = fs::read_to_string(folder.join(file)).expect(file);
        let names = named(&source);
        assert!(names.len() > 10, "{file}: {names:?}");
        for name in &names {
            assert!(
                has(&text, name),
                "{file} asks for {name}, which is not in\n{text}"
            );
        }
        asked.extend(names);
    }
    // And nothing is counted that nobody looks at.
    for row in TABLE {
        let name = sample(row.name, row.kind);
        assert!(
            asked.contains(&name),
            "{name} is on no panel and in no alert"
        );
    }
}

/// What was accepted, what became of it, and what nobody knows.
async fn balance(server: &TestServer) -> (f64, f64, f64) {
    let text = scrape(server).await;
    let counter = |name: &str| {
        let name = format!("roomcast_messages_{name}_total ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.expect("it is exported")
            .parse::<f64>()
            .expect("a number")
    };
    let stored = ["persisted", "duplicate", "dead_lettered"].map(counter);
    (counter("accepted"), stored.iter().sum(), counter("unknown"))
}

#[tokio::test]
async fn what_was_accepted_is_stored_a_duplicate_or_dead() {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let (mut a, mut b) = (ada.connect_to(&room).await, bob.connect_to(&room).await);
    for n in 0..20 {
        let data = draft(&room, &format!("message {n}"));
        for socket in [&mut a, &mut b] {
            for _ in 0..=n % 2 {
                let accepted = socket.ask("sendMessage", data.clone(), "messageAccepted");
                accepted.await;
            }
        }
    }
    // A repeat may be answered by its original, before its own record is counted.
    await_until("all is accepted and stored", || async {
        (balance(&server).await == (60.0, 60.0, 0.0)).then_some(())
    })
    .await;
    assert_eq!(
        server.metric("roomcast_messages_persisted_total", "").await,
        40.0
    );
}

#[tokio::test]
async fn what_nobody_knows_the_fate_of_is_the_difference() {
    if !with_failpoints() {
        return;
    }
    let options = ServerOptions::new().unlimited();
    let options = options.failpoint("kafka-bridge=2*panic").expect_errors();
    let server = options.expect_imbalance().start().await;
    let ada = server.user("ada").await;
    let room = ada.room("unsure").await;
    let mut socket = ada.connect_to(&room).await;
    // Registering announces by the bridge too: it may be what dies.
    let mut accepted = 0;
    for n in 0..6 {
        let data = draft(&room, &format!("message {n}"));
        let answer = socket.request_frame("sendMessage", data).await;
        accepted += u32::from(answer["event"] == "messageAccepted");
    }
    let (accepted, stored, unknown) = await_until("all is stored", || async {
        let balance = balance(&server).await;
        (balance.0 >= f64::from(accepted) && balance.1 >= balance.0).then_some(balance)
    })
    .await;
    assert!(unknown > 0.0, "nothing was unknown");
    assert!(accepted <= stored && stored <= accepted + unknown);
}

#[tokio::test]
async fn a_mailbox_is_empty_when_all_is_handled() {
    let server = ServerOptions::new().unlimited().start().await;
    let ada = server.user("ada").await;
    let room = ada.room("busy").await;
    let mut socket = ada.connect_to(&room).await;
    for n in 0..10 {
        socket.say(&room, &format!("message {n}")).await;
    }
    socket.messages(10).await;
    await_until("empty mailboxes", || async {
        let depth = server.metric("roomcast_actor_mailbox_depth", "").await;
        (depth == 0.0).then_some(())
    })
    .await;
    for actor in ACTORS {
        let handled = server.metric("roomcast_actor_handled_total", actor).await;
        assert!(handled > 0.0, "{actor} has handled nothing");
        let live = server.metric("roomcast_actor_count", actor).await;
        assert!(live > 0.0, "no {actor} lives");
    }
    assert_eq!(server.metric("roomcast_sockets", "websocket").await, 1.0);
}

#[tokio::test]
async fn logins_are_counted_by_what_became_of_them() {
    let server = ServerOptions::new()
        .env("LIMIT_LOGIN_FAILURES", 1)
        .start()
        .await;
    let ada = server.user("ada").await;
    let wrong = json!({ "email": ada.email, "password": "wrong password" });
    for status in [401, 429] {
        let answer = ada.anonymous(reqwest::Method::POST, "/auth/login", Some(wrong.clone()));
        assert_eq!(answer.await.status, status);
    }
    for (outcome, expected) in [("succeeded", 1.0), ("refused", 1.0), ("limited", 1.0)] {
        let counted = server.metric("roomcast_logins_total", outcome).await;
        assert_eq!(counted, expected, "{outcome}");
    }
}

#[tokio::test]
async fn metrics_are_not_on_the_public_port() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    ada.get("/metrics").await.refused(404, "NOT_FOUND");
    ada.anonymous(reqwest::Method::GET, "/metrics", None)
        .await
        .refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn what_happens_is_counted_and_nobody_is_named() {
    let server = ServerOptions::new().unlimited().start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let (mut a, mut b) = (ada.connect_to(&room).await, bob.connect_to(&room).await);
    let data = draft(&room, "content that is nobody's business");
    for _ in 0..3 {
        a.ask("sendMessage", data.clone(), "messageAccepted").await;
    }
    a.say(&room, "another").await;
    ada.say(&room, "by REST").await;
    a.ask("sendMessage", draft(&room, ""), "messageFailed")
        .await;
    a.ask("sendMessage", draft(&uuid(), "x"), "messageFailed")
        .await;
    a.ask("fly", json!({}), "error").await;
    a.ask("joinRoom", json!({ "roomId": "nowhere" }), "error")
        .await;
    a.messages(5).await;
    b.messages(3).await;
    let wrong = json!({ "email": ada.email, "password": "wrong password" });
    ada.anonymous(reqwest::Method::POST, "/auth/login", Some(wrong))
        .await
        .refused(401, "INVALID_CREDENTIALS");
    bob.connect().await.resume(&room, 0).await;

    let counted = [
        ("messages_accepted_total", "", 5.0),
        ("messages_persisted_total", "", 3.0),
        ("messages_duplicate_total", "", 2.0),
        ("messages_failed_total", "VALIDATION_FAILED", 1.0),
        ("messages_failed_total", "ROOM_NOT_FOUND", 1.0),
        ("messages_failed_total", "", 2.0),
        ("messages_delivered_total", "", 11.0),
        ("frames_in_total", "sendMessage", 6.0),
        ("frames_in_total", "bad", 2.0),
        ("frames_out_total", "messageAccepted", 4.0),
        ("frames_out_total", "newMessage", 11.0),
        ("login_failures_total", "", 1.0),
        ("resumes_total", "", 1.0),
        ("resume_messages_total", "", 3.0),
        ("accept_seconds_count", "", 5.0),
        ("actor_count", "RoomActor", 1.0),
    ];
    for (name, label, expected) in counted {
        let name = format!("roomcast_{name}");
        server.await_metric(&name, label, expected).await;
        let value = server.metric(&name, label).await;
        assert!(value >= expected, "{name}{{{label}}} is {value}");
        if name != "roomcast_actor_count" {
            assert_eq!(value, expected, "{name}{{{label}}}");
        }
    }
    let text = scrape(&server).await;
    let session = a.ready["sessionId"].as_str().expect("an id");
    for private in [
        &room,
        &ada.id,
        &bob.id,
        &ada.email,
        session,
        "nobody's business",
    ] {
        assert!(!text.contains(private), "{private} in\n{text}");
    }
}
