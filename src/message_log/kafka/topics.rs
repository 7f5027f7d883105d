//! The four topics: made when they are missing, and checked for what ACCEPTED depends on.

use std::time::Duration;

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
    },
    error::KafkaError,
    metadata::Metadata,
    types::RDKafkaErrorCode,
};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{
    client::{Context, Settings},
    queries::unavailable,
};
use crate::{
    config::KafkaConfig,
    ids::LogId,
    message_log::{LogError, Topic},
};

pub(super) const TOPICS: [Topic; 4] = [
    Topic::Messages,
    Topic::Persisted,
    Topic::Events,
    Topic::DeadLetters,
];

/// How often topics that were just made are looked for, and for how long.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const LOOKS: u32 = 100;

/// What was found.
pub(super) struct Found {
    pub id: LogId,
    /// Of `chat.messages.v1`.
    pub partitions: u32,
}

/// Makes the topics that are missing and checks all. Blocks.
///
/// # Errors
/// [`LogError::Refused`] when a topic promises less than it has to.
pub(super) fn ensure(
    config: &KafkaConfig,
    settings: &Settings,
    runtime: &Handle,
) -> Result<Found, LogError> {
    let admin: AdminClient<Context> = settings
        .base()
        .create_with_context(settings.context())
        .map_err(|error| LogError::Refused(format!("KAFKA_BROKERS: {error}")))?;
    let topics = Topics {
        admin: &admin,
        config,
        settings,
        runtime,
    };
    let metadata = topics.metadata()?;
    let missing = topics.missing(&metadata);
    if !missing.is_empty() {
        topics.create(&missing)?;
        topics.wait_for(&missing)?;
    }
    let metadata = topics.metadata()?;
    let mut fewest_copies = usize::MAX;
    for topic in TOPICS {
        fewest_copies = fewest_copies.min(topics.check_copies(topic, &metadata)?);
    }
    topics.check_configs()?;
    if fewest_copies == 1 {
        log::warn!(
            "topics have one copy: ACCEPTED means that one broker has the message, so that the loss of \
             its disk loses accepted messages (and a power cut those of the last moments, unless it \
             flushes each); set KAFKA_MIN_REPLICATION and KAFKA_MIN_ISR to 2 to insist on more"
        );
    }
    let id = admin.inner().fetch_cluster_id(settings.timeouts.query);
    let id = id.ok_or_else(|| LogError::Unavailable("the cluster does not say its id".into()))?;
    Ok(Found {
        id: log_id(&id, &settings.prefix),
        partitions: topics.count(Topic::Messages, &metadata)?,
    })
}

struct Topics<'a> {
    admin: &'a AdminClient<Context>,
    config: &'a KafkaConfig,
    settings: &'a Settings,
    runtime: &'a Handle,
}

impl Topics<'_> {
    fn metadata(&self) -> Result<Metadata, LogError> {
        let within = self.settings.timeouts.query;
        let metadata = self.admin.inner().fetch_metadata(None, within);
        metadata.map_err(|error| unavailable(&error))
    }

    fn missing(&self, metadata: &Metadata) -> Vec<Topic> {
        let is_missing = |topic: &Topic| self.count(*topic, metadata).is_err();
        TOPICS.into_iter().filter(is_missing).collect()
    }

    /// Returns how many partitions a topic has; an error when it is not there.
    fn count(&self, topic: Topic, metadata: &Metadata) -> Result<u32, LogError> {
        let name = self.settings.topic(topic);
        let found = metadata.topics().iter().find(|it| it.name() == name);
        let count = found.map_or(0, |it| it.partitions().len());
        match u32::try_from(count) {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(LogError::Unavailable(format!("topic {name} is not there"))),
        }
    }

    fn create(&self, missing: &[Topic]) -> Result<(), LogError> {
        let names: Vec<String> = missing.iter().map(|it| self.settings.topic(*it)).collect();
        let min_isr = self.config.min_isr.to_string();
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&names)
            .map(|(topic, name)| self.describe(*topic, name, &min_isr))
            .collect();
        let within = Some(self.settings.timeouts.query);
        let options = AdminOptions::new()
            .request_timeout(within)
            .operation_timeout(within);
        let created = self.admin.create_topics(&new, &options);
        let created = self.runtime.block_on(created);
        for result in created.map_err(|error| unavailable(&error))? {
            match result {
                Ok(name) => log::info!(topic:% = name; "topic created"),
                // Another process was faster.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(not_created(&name, code)),
            }
        }
        Ok(())
    }

    fn describe<'a>(&self, topic: Topic, name: &'a str, min_isr: &'a str) -> NewTopic<'a> {
        let partitions = match topic {
            // Few, and read by people.
            Topic::DeadLetters => 1,
            _ => self.config.partitions.cast_signed(),
        };
        let copies = self.config.replication.map_or(-1, u32::cast_signed);
        let mut new = NewTopic::new(name, partitions, TopicReplication::Fixed(copies))
            .set("cleanup.policy", "delete")
            .set("retention.ms", retention_ms(topic))
            .set("max.message.bytes", "1048588");
        if self.config.min_isr > 1 {
            new = new.set("min.insync.replicas", min_isr);
        }
        new
    }

    /// Waits until brokers know of the topics that were just made.
    fn wait_for(&self, topics: &[Topic]) -> Result<(), LogError> {
        for _ in 0..LOOKS {
            let metadata = self.metadata()?;
            let missing = self.missing(&metadata);
            if !topics.iter().any(|topic| missing.contains(topic)) {
                return Ok(());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Err(LogError::Unavailable(
            "topics that were made do not appear".into(),
        ))
    }

    /// Checks and returns how many copies a topic's partitions have at least.
    fn check_copies(&self, topic: Topic, metadata: &Metadata) -> Result<usize, LogError> {
        let name = self.settings.topic(topic);
        let found = metadata.topics().iter().find(|it| it.name() == name);
        let partitions = found.map_or(&[][..], |it| it.partitions());
        let copies = partitions.iter().map(|it| it.replicas().len()).min();
        let copies =
            copies.ok_or_else(|| LogError::Unavailable(format!("topic {name} is not there")))?;
        let wanted = self.config.min_replication as usize;
        if copies < wanted {
            return Err(LogError::Refused(format!(
                "topic {name} has {copies} copies of a partition, KAFKA_MIN_REPLICATION asks for {wanted}: \
                 add copies with kafka-reassign-partitions.sh, or lower KAFKA_MIN_REPLICATION"
            )));
        }
        Ok(copies)
    }

    fn check_configs(&self) -> Result<(), LogError> {
        let names: Vec<String> = TOPICS.iter().map(|it| self.settings.topic(*it)).collect();
        let resources: Vec<_> = names
            .iter()
            .map(|it| ResourceSpecifier::Topic(it))
            .collect();
        let within = Some(self.settings.timeouts.query);
        let options = AdminOptions::new().request_timeout(within);
        let asked = self.admin.describe_configs(&resources, &options);
        let answers = self.runtime.block_on(asked);
        for (answer, name) in answers
            .map_err(|error| unavailable(&error))?
            .iter()
            .zip(&names)
        {
            match answer {
                Ok(found) => self.check_config(name, found)?,
                Err(RDKafkaErrorCode::TopicAuthorizationFailed) if self.config.min_isr == 1 => {
                    log::warn!(topic:% = name; "the configuration of a topic may not be read, and is not checked");
                }
                Err(code) => {
                    let error = KafkaError::AdminOp(*code);
                    return Err(unavailable(&error));
                }
            }
        }
        Ok(())
    }

    fn check_config(&self, name: &str, found: &ConfigResource) -> Result<(), LogError> {
        let value = |key: &str| found.get(key).and_then(|entry| entry.value.as_deref());
        let min_isr = value("min.insync.replicas").and_then(|it| it.parse::<u32>().ok());
        let wanted = self.config.min_isr;
        if let Some(min_isr) = min_isr.filter(|it| *it < wanted) {
            return Err(LogError::Refused(format!(
                "topic {name} has min.insync.replicas={min_isr}, KAFKA_MIN_ISR asks for {wanted}: \
                 kafka-configs.sh --alter --entity-type topics --entity-name {name} \
                 --add-config min.insync.replicas={wanted}, or lower KAFKA_MIN_ISR"
            )));
        }
        if value("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
            return Err(LogError::Refused(format!(
                "topic {name} is compacted, which removes messages: \
                 kafka-configs.sh --alter --entity-type topics --entity-name {name} \
                 --add-config cleanup.policy=delete"
            )));
        }
        Ok(())
    }
}

/// How long a topic keeps its records.
fn retention_ms(topic: Topic) -> &'static str {
    match topic {
        // Whatever the time, a worker that is away for longer would lose accepted messages. Who
        // needs the disk sets what no outage of theirs will outlast; a start after a longer one is
        // refused, and nothing is skipped silently.
        Topic::Messages => "-1",
        // They are few, and the only trace of what somebody sent.
        Topic::DeadLetters => "-1",
        // Hints of what the store knows, for gateways that run: one day.
        Topic::Persisted | Topic::Events => "86400000",
    }
}

fn not_created(name: &str, code: RDKafkaErrorCode) -> LogError {
    match code {
        RDKafkaErrorCode::InvalidReplicationFactor => LogError::Refused(format!(
            "topic {name} cannot be created: there are fewer brokers than KAFKA_REPLICATION"
        )),
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed
        | RDKafkaErrorCode::PolicyViolation => LogError::Refused(format!(
            "topic {name} cannot be created ({code}): create it, or allow it to be created"
        )),
        code => LogError::Unavailable(format!("topic {name} cannot be created: {code}")),
    }
}

/// Makes the log's id of the cluster's, which is a UUID in base64 unless somebody made it up.
fn log_id(cluster_id: &str, prefix: &str) -> LogId {
    let uuid = uuid_of(cluster_id).filter(|_| prefix.is_empty());
    LogId(uuid.unwrap_or_else(|| {
        let digest = Sha256::digest(format!("{prefix}{cluster_id}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Uuid::from_bytes(bytes)
    }))
}

/// Reads the 22 characters in which Kafka writes a UUID.
fn uuid_of(text: &str) -> Option<Uuid> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const LENGTH: usize = 22;
    let digits = text.bytes().map(|letter| {
        let digit = LETTERS.iter().position(|it| *it == letter)?;
        u128::try_from(digit).ok()
    });
    let digits: Option<Vec<u128>> = digits.collect();
    let digits = digits.filter(|it| it.len() == LENGTH)?;
    // 22 letters are 132 bits; the last four are padding.
    let (last, all_but_last) = digits.split_last()?;
    let high = all_but_last
        .iter()
        .fold(0, |bits: u128, digit| (bits << 6) | digit);
    (last & 0b1111 == 0).then(|| Uuid::from_u128((high << 2) | (last >> 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_a_uuid_in_base64() {
        let check = |text: &str, expected: Option<&str>| {
            let found = uuid_of(text).map(|it| it.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check(
            "AAAAAAAAAAAAAAAAAAAAAA",
            Some("00000000-0000-0000-0000-000000000000"),
        );
        check(
            "_____________________w",
            Some("ffffffff-ffff-ffff-ffff-ffffffffffff"),
        );
        check(
            "Z-VQRBCxQm-SR7toDl_gyA",
            Some("67e55044-10b1-426f-9247-bb680e5fe0c8"),
        );
        check("Z-VQRBCxQm-SR7toDl_gyB", None);
        check("my-cluster", None);
        check("", None);
    }

    #[test]
    fn another_cluster_is_another_log() {
        let ids = ["AAAAAAAAAAAAAAAAAAAAAA", "my-cluster", "my-cluster2"];
        let ids = ids.map(|it| log_id(it, ""));
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
        assert_eq!(ids[1], log_id("my-cluster", ""));
    }
}
