//! Questions to the brokers. Each blocks its thread for a bounded time.

use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};

use super::{
    Offsets,
    client::{Context, Settings},
};
use crate::message_log::{LogError, Topic};

/// Between two questions to brokers that are not ready.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// A client that only asks; it never joins the group whose offsets it reads.
pub(super) struct Queries {
    client: ArcSwap<Client>,
    settings: Settings,
}

type Client = BaseConsumer<Context>;

impl Queries {
    pub(super) fn new(settings: &Settings) -> Result<Self, LogError> {
        Ok(Self {
            client: ArcSwap::from_pointee(connect(settings)?),
            settings: settings.clone(),
        })
    }

    /// Asks by a new client from now on. One whose first connection hung has been seen to get no
    /// answer for a minute from brokers that answered everybody else.
    pub(super) fn renew(&self) {
        let new = match connect(&self.settings) {
            Ok(client) => Arc::new(client),
            Err(error) => return log::warn!(error:%; "no new client to ask kafka by"),
        };
        let old = self.client.swap(new);
        // Its end may block.
        let ending = thread::Builder::new().name("kafka-retire".into());
        if let Err(error) = ending.spawn(move || drop(old)) {
            log::warn!(error:%; "a client of kafka ended on the thread that asks");
        }
    }

    /// Serves the client's log lines and errors, which would pile up otherwise.
    pub(super) fn serve(&self) {
        let client = self.client.load_full();
        while client.poll(Duration::ZERO).is_some() {}
    }

    /// Returns how many partitions a topic has, and whether all have a leader.
    pub(super) fn partitions(
        &self,
        topic: Topic,
        within: Duration,
    ) -> Result<(u32, bool), LogError> {
        let name = self.settings.topic(topic);
        let metadata = self.client.load_full().fetch_metadata(Some(&name), within);
        let metadata = metadata.map_err(|error| unavailable(&error))?;
        let found = metadata.topics().iter().find(|it| it.name() == name);
        let partitions = found.map_or(&[][..], |it| it.partitions());
        if partitions.is_empty() {
            return Err(LogError::Unavailable(format!("topic {name} is not there")));
        }
        let have_leaders = partitions.iter().all(|it| it.leader() >= 0);
        Ok((
            u32::try_from(partitions.len()).unwrap_or(u32::MAX),
            have_leaders,
        ))
    }

    /// Returns the offset of each partition at its [`Offset::Beginning`] or [`Offset::End`].
    pub(super) fn offsets(
        &self,
        topic: Topic,
        partitions: impl IntoIterator<Item = u32>,
        at: Offset,
    ) -> Result<Offsets, LogError> {
        let list = self.list(topic, partitions, at)?;
        let (client, within) = (self.client.load_full(), self.within());
        patiently(within, || {
            // Kafka takes the two places for moments before and after all others.
            let found = client.offsets_for_times(list.clone(), within);
            read(&found?)
        })
    }

    /// Returns up to where the group has committed; nothing for a partition without a commit.
    pub(super) fn committed(
        &self,
        partitions: impl IntoIterator<Item = u32>,
    ) -> Result<Offsets, LogError> {
        let list = self.list(Topic::Messages, partitions, Offset::Invalid)?;
        let (client, within) = (self.client.load_full(), self.within());
        patiently(within, || {
            let found = client.committed_offsets(list.clone(), within);
            read(&found?)
        })
    }

    /// Returns where each partition of the two broadcast topics ends.
    pub(super) fn broadcast_ends(&self) -> Result<HashMap<(Topic, u32), u64>, LogError> {
        let mut ends = HashMap::new();
        for topic in [Topic::Persisted, Topic::Events] {
            let (count, _) = self.partitions(topic, self.within())?;
            let of_topic = self.offsets(topic, 0..count, Offset::End)?;
            ends.extend(of_topic.into_iter().map(|(p, end)| ((topic, p), end)));
        }
        Ok(ends)
    }

    /// Returns how long a question may take.
    fn within(&self) -> Duration {
        self.settings.timeouts.query
    }

    fn list(
        &self,
        topic: Topic,
        partitions: impl IntoIterator<Item = u32>,
        at: Offset,
    ) -> Result<TopicPartitionList, LogError> {
        let name = self.settings.topic(topic);
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition_offset(&name, partition.cast_signed(), at)
                .map_err(|error| unavailable(&error))?;
        }
        Ok(list)
    }
}

fn connect(settings: &Settings) -> Result<Client, LogError> {
    let config: ClientConfig = settings.consumer(&settings.group());
    config
        .create_with_context(settings.context())
        .map_err(|error| unavailable(&error))
}

fn read(list: &TopicPartitionList) -> KafkaResult<Offsets> {
    let mut offsets = Offsets::new();
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            let partition = element.partition().cast_unsigned();
            offsets.insert(partition, offset.cast_unsigned());
        }
    }
    Ok(offsets)
}

/// Asks again while the brokers are still agreeing on who answers: topics that were just made, a
/// leader that has just changed.
fn patiently<T>(within: Duration, ask: impl Fn() -> KafkaResult<T>) -> Result<T, LogError> {
    let until = Instant::now() + within;
    loop {
        match ask() {
            Err(error) if is_passing(&error) && Instant::now() < until => {
                thread::sleep(RETRY_DELAY);
            }
            answer => return answer.map_err(|error| unavailable(&error)),
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

pub(super) fn unavailable(error: &KafkaError) -> LogError {
    LogError::Unavailable(error.to_string())
}
