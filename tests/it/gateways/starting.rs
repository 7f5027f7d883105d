//! How processes start on the services, and how they refuse to.

use std::{process::Output, sync::Arc};

use serde_json::json;

use crate::harness::{Ground, Part, ServerOptions, Services};

/// Where nothing listens.
const NOWHERE: &str = "127.0.0.1:1";

/// For how long a service is waited for: enough for those that are there, on a busy machine.
const PATIENCE_S: &str = "10";

/// Runs `serve` to its end; asserts its status and that it says some words in one line.
async fn check(ground: &Ground, env: &[(&str, &str)], more: &[&str], status: i32, said: &[&str]) {
    let mut command = ground.call(&["serve", "--role", "all", "--bind-addr", "127.0.0.1"]);
    command.args(["--port", "0", "--start-timeout-s", PATIENCE_S]);
    command.args(["--metrics-addr", "off", "--worker-port", "0"]);
    command.args(more).envs(env.iter().copied());
    let calling = tokio::task::spawn_blocking(move || command.output());
    let output: Output = calling.await.expect("no panic").expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{env:?}: {stderr}");
    let is_said = |line: &str| said.iter().all(|word| line.contains(word));
    assert!(stderr.lines().any(is_said), "{said:?} in {stderr}");
    assert!(!stderr.contains("hush"), "{stderr}");
}

async fn ground() -> Option<Arc<Ground>> {
    Some(Arc::new(Ground::on(Services::of_run()?).await))
}

#[tokio::test]
async fn a_worker_shows_its_health_and_its_metrics() {
    let Some(ground) = ground().await else {
        return;
    };
    let worker = ServerOptions::new().part(Part::Worker);
    let worker = worker.start_on(ground).await;
    let report = worker.await_health(&[]).await;
    let up = json!({ "status": "up" });
    let parts = json!({ "database": up, "kafka": up });
    assert_eq!(
        report,
        json!({ "status": "ok", "info": parts, "error": {}, "details": parts })
    );
    for (path, status) in [
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/rooms", 404),
    ] {
        let answer = reqwest::get(worker.url(path)).await.expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
    }
    let actors = worker.metric("roomcast_actor_count", "PersistorActor");
    assert!(actors.await > 0.0);
    worker
        .await_metric("roomcast_consumer_lag", "chat.messages.v1", 0.0)
        .await;
}

#[tokio::test]
async fn a_schema_that_is_behind_is_refused() {
    let Some(ground) = ground().await else {
        return;
    };
    check(
        &ground,
        &[],
        &[],
        1,
        &["schema", "roomcast migrate", "--migrate"],
    )
    .await;
}

#[tokio::test]
async fn a_service_that_is_away_is_waited_for_and_named() {
    let Some(ground) = ground().await else {
        return;
    };
    let database = format!("postgres://chat:hush@{NOWHERE}/chat");
    let valkey = format!("redis://{NOWHERE}");
    let postgres = "PostgreSQL at 127.0.0.1:1 cannot be reached";
    // All three at once: each waits until its patience is over.
    tokio::join!(
        is_named(&ground, ("DATABASE_URL", &database), postgres),
        is_named(
            &ground,
            ("KAFKA_BROKERS", NOWHERE),
            "Kafka cannot be reached"
        ),
        is_named(&ground, ("REDIS_URL", &valkey), "Valkey cannot be reached"),
    );
}

async fn is_named(ground: &Ground, setting: (&str, &str), said: &str) {
    check(ground, &[setting], &["--migrate"], 69, &[said]).await;
}

#[tokio::test]
async fn a_wrong_password_is_a_wrong_setting() {
    let Some(ground) = ground().await else {
        return;
    };
    let mut url = ground.scratch().database();
    url.set_password(Some("hush")).expect("a URL with a host");
    let env = [("DATABASE_URL", url.as_str())];
    check(&ground, &env, &[], 2, &["refuses us", "DB_PASSWORD"]).await;
}

#[tokio::test]
async fn topics_that_promise_too_little_are_refused() {
    let Some(ground) = ground().await else {
        return;
    };
    let migrate = ["--migrate"];
    // One broker: whatever it makes has one copy.
    let copies = [("KAFKA_MIN_REPLICATION", "2")];
    let said = [
        "1 copies",
        "kafka-reassign-partitions.sh",
        "KAFKA_MIN_REPLICATION",
    ];
    check(&ground, &copies, &migrate, 1, &said).await;
    let in_sync = [("KAFKA_MIN_ISR", "2")];
    let said = ["min.insync.replicas=1", "kafka-configs.sh", "KAFKA_MIN_ISR"];
    check(&ground, &in_sync, &migrate, 1, &said).await;
}
