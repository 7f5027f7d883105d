//! What operators count: names, balance, and no id in any label.

use serde_json::json;

use crate::harness::{ServerOptions, TestServer, await_until, draft, uuid};

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
