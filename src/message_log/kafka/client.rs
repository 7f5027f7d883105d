//! What all clients of the brokers share: names, settings, and how librdkafka's words are logged.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext,
    error::KafkaError,
};
use secrecy::ExposeSecret;

use super::{lock, topics::TOPICS};
use crate::{
    config::{KafkaConfig, KafkaSecurity},
    message_log::Topic,
    tls,
};

/// The consumer group of all workers.
const WORKER_GROUP: &str = "chat-persistor";

/// Of librdkafka's complaints of one kind, one in this time is a line in the log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(30);

/// How long the brokers, and who works with them, may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// For a question.
    pub query: Duration,
    /// For the acknowledgement of a record: a client hears within 5 s.
    pub delivery: Duration,
    /// For the reader of messages, to finish what is under way on partitions that go.
    pub drain: Duration,
    /// For the worker, to finish and commit what is under way when the log closes.
    pub leave: Duration,
    /// For the queue, to empty after that. The server gives the log as much as both have.
    pub flush: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            query: Duration::from_secs(5),
            delivery: Duration::from_secs(4),
            drain: Duration::from_secs(5),
            leave: Duration::from_secs(4),
            flush: Duration::from_secs(4),
        }
    }
}

/// Where the brokers are, and what things are called there.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub brokers: String,
    /// Before the topics' and the group's names: empty outside tests.
    pub prefix: String,
    /// The default ones outside tests.
    pub timeouts: Timeouts,
    security: KafkaSecurity,
    narrator: Arc<Narrator>,
}

impl Settings {
    pub(super) fn new(config: &KafkaConfig) -> Self {
        Self {
            brokers: config.brokers.join(","),
            prefix: config.topic_prefix.clone(),
            timeouts: Timeouts::default(),
            security: config.security.clone(),
            narrator: Arc::default(),
        }
    }

    pub(super) fn topic(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }

    /// Returns the names of all topics, for who needs one for each record.
    pub(super) fn names(&self) -> Names {
        Names {
            messages: self.topic(Topic::Messages),
            persisted: self.topic(Topic::Persisted),
            events: self.topic(Topic::Events),
            dead_letters: self.topic(Topic::DeadLetters),
        }
    }

    pub(super) fn group(&self) -> String {
        format!("{}{WORKER_GROUP}", self.prefix)
    }

    pub(super) fn context(&self) -> Context {
        Context(Arc::clone(&self.narrator))
    }

    /// Settings of every client.
    pub(super) fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "roomcast")
            // A topic is made on purpose or not at all.
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.ms", "100")
            // The default, 10 s, would outlast a broker's restart by as much.
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            // Brokers close idle connections; that is no news.
            .set("log.connection.close", "false")
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set_log_level(RDKafkaLogLevel::Warning);
        self.secure(&mut config);
        config
    }

    /// What is not said stays librdkafka's: it checks certificate and host.
    fn secure(&self, config: &mut ClientConfig) {
        let KafkaSecurity {
            protocol,
            sasl,
            authorities,
        } = &self.security;
        config.set("security.protocol", protocol.name());
        if let Some(authorities) = authorities {
            config.set("ssl.ca.pem", tls::pem(authorities));
        }
        if let Some(sasl) = sasl {
            config
                .set("sasl.mechanism", sasl.mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", sasl.password.expose_secret());
        }
    }

    /// Settings of every consumer.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.base();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("check.crcs", "true")
            // The default, 1 s, stalls a partition whose queue was full for as long.
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.wait.max.ms", "500")
            .set("queued.max.messages.kbytes", "16384");
        config
    }
}

/// What the topics are called at the brokers.
pub(super) struct Names {
    messages: String,
    persisted: String,
    events: String,
    dead_letters: String,
}

impl Names {
    pub(super) fn of_topic(&self, topic: Topic) -> &str {
        match topic {
            Topic::Messages => &self.messages,
            Topic::Persisted => &self.persisted,
            Topic::Events => &self.events,
            Topic::DeadLetters => &self.dead_letters,
        }
    }

    pub(super) fn topic_of(&self, name: &str) -> Option<Topic> {
        let mut all = TOPICS.into_iter();
        all.find(|topic| self.of_topic(*topic) == name)
    }
}

/// Passes on what a client says.
#[derive(Debug, Clone)]
pub(super) struct Context(Arc<Narrator>);

impl Context {
    /// Tells of a failure that repairs itself, if it is news.
    pub(super) fn complain(&self, kind: &str, message: &str) {
        self.0.complain(kind, message);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.pass_on(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let kind = code.map_or_else(|| "error".to_owned(), |code| format!("{code:?}"));
        self.0.complain(&kind, reason);
    }
}

impl ConsumerContext for Context {}

/// Turns librdkafka's stream of complaints into a few lines: a broker that is away is one fact,
/// however many clients and attempts notice it.
#[derive(Debug, Default)]
pub(super) struct Narrator(Mutex<HashMap<String, Instant>>);

impl Narrator {
    fn pass_on(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => self.complain(facility, message),
            _ => log::debug!(facility, message; "kafka client"),
        }
    }

    fn complain(&self, kind: &str, message: &str) {
        if self.is_news(kind, Instant::now()) {
            log::warn!(kind, message; "kafka client");
        } else {
            log::debug!(kind, message; "kafka client");
        }
    }

    fn is_news(&self, kind: &str, now: Instant) -> bool {
        let mut told = lock(&self.0);
        let is_news = told
            .get(kind)
            .is_none_or(|last| now.duration_since(*last) >= COMPLAINT_INTERVAL);
        if is_news {
            told.insert(kind.to_owned(), now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_of_a_kind_is_told_once_in_a_while() {
        let narrator = Narrator::default();
        let now = Instant::now();
        assert!(narrator.is_news("FAIL", now));
        assert!(!narrator.is_news("FAIL", now + Duration::from_secs(1)));
        assert!(narrator.is_news("MAXPOLL", now + Duration::from_secs(1)));
        assert!(narrator.is_news("FAIL", now + COMPLAINT_INTERVAL));
    }
}
