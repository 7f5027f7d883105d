//! Tests of the Kafka adapter: the port's suite, and what only this adapter promises.
//!
//! They need `KAFKA_BROKERS`; each has topics and a group of its own there, and removes them.

mod faults;
mod groups;
mod readers;
mod topics;

use std::{thread, time::Duration};

use rdkafka::admin::{AdminClient, AdminOptions};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::{client::Timeouts, *};
use crate::{
    config::KafkaSecurity,
    message_log::{
        MessageLog,
        suite::{self, Fixture},
    },
    real_service,
};

const TOPICS: [Topic; 4] = [
    Topic::Messages,
    Topic::Persisted,
    Topic::Events,
    Topic::DeadLetters,
];

/// Tests that use the brokers at a time: many new topics at once are slow on a small machine.
static TURNS: Semaphore = Semaphore::const_new(4);

/// How long what is done with the brokers may take in tests that are not about that: they share a
/// machine, which may be small.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENT: Timeouts = Timeouts {
    query: PATIENCE,
    delivery: PATIENCE,
    drain: PATIENCE,
    leave: PATIENCE,
    flush: PATIENCE,
};

/// Topics of its own on the brokers that the environment names.
struct KafkaFixture {
    _turn: SemaphorePermit<'static>,
    config: KafkaConfig,
    prefix: String,
}

impl Fixture for KafkaFixture {
    fn is_available() -> bool {
        has_kafka()
    }

    async fn new() -> Self {
        Self {
            _turn: TURNS.acquire().await.expect("it is never closed"),
            config: config(),
            prefix: format!("test-{}-", Uuid::new_v4().simple()),
        }
    }

    async fn open(&self) -> MessageLog {
        MessageLog::Kafka(self.open_log().await)
    }
}

impl KafkaFixture {
    fn settings(&self) -> Settings {
        let mut settings = Settings::new(&self.config);
        settings.prefix.clone_from(&self.prefix);
        settings.timeouts = PATIENT;
        settings
    }

    async fn try_open(&self) -> Result<KafkaLog, LogError> {
        KafkaLog::open_with(&self.config, self.settings()).await
    }

    async fn open_log(&self) -> KafkaLog {
        self.try_open().await.expect("brokers and good topics")
    }

    fn admin(&self) -> AdminClient<client::Context> {
        let settings = self.settings();
        let admin = settings.base().create_with_context(settings.context());
        admin.expect("a client")
    }
}

impl Drop for KafkaFixture {
    fn drop(&mut self) {
        let admin = self.admin();
        let names = TOPICS.map(|topic| self.settings().topic(topic));
        let group = self.settings().group();
        let removing = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let removed = async {
                let options = AdminOptions::new();
                // What is left over does not harm another test.
                let _ = admin.delete_topics(&names, &options).await;
                let _ = admin.delete_groups(&[&group], &options).await;
            };
            runtime.expect("a runtime").block_on(removed);
        };
        let _ = thread::spawn(removing).join();
    }
}

suite::message_log_suite!(KafkaFixture);

fn config() -> KafkaConfig {
    let brokers = std::env::var("KAFKA_BROKERS").unwrap_or_default();
    KafkaConfig {
        brokers: brokers.split(',').map(str::to_owned).collect(),
        security: KafkaSecurity::default(),
        partitions: 3,
        replication: None,
        min_replication: 1,
        min_isr: 1,
        topic_prefix: String::new(),
    }
}

/// Returns whether there are brokers to test with; says so, or fails, if not.
fn has_kafka() -> bool {
    let test = thread::current();
    let test = test.name().unwrap_or("a test");
    real_service::setting("KAFKA_BROKERS", test).is_some()
}
