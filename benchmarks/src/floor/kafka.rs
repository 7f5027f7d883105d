//! What the floors on Kafka share: clients with roomcast's settings, topics, records of its size.

use std::{sync::mpsc, time::Duration};

use anyhow::anyhow;
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::DeliveryResult,
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
};

use crate::frame::CONTENT;

/// Partitions of a topic, as roomcast makes them.
pub(crate) const PARTITIONS: i32 = 6;

const TIMEOUT: Duration = Duration::from_secs(10);

fn base(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("socket.nagle.disable", "true");
    config
}

/// Tells of each acknowledgement; what is told is what was sent along.
struct Acknowledgements(mpsc::Sender<anyhow::Result<u64>>);

impl ClientContext for Acknowledgements {}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        let told = match result {
            Ok(_) => Ok(*number),
            Err((error, _)) => Err(anyhow!("a record was lost: {error}")),
        };
        // Nobody listens any more when a run has failed.
        let _ = self.0.send(told);
    }
}

/// A bare idempotent producer.
pub(crate) struct Producer(ThreadedProducer<Acknowledgements>);

/// The numbers of the records that were acknowledged.
pub(crate) struct Acknowledged(mpsc::Receiver<anyhow::Result<u64>>);

impl Producer {
    pub(crate) fn new(brokers: &str) -> anyhow::Result<(Self, Acknowledged)> {
        let (told, acknowledged) = mpsc::channel();
        let client = base(brokers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .create_with_context(Acknowledgements(told))?;
        Ok((Self(client), Acknowledged(acknowledged)))
    }

    pub(crate) fn send(
        &self,
        topic: &str,
        key: &str,
        value: &[u8],
        number: u64,
    ) -> anyhow::Result<()> {
        let record = BaseRecord::with_opaque_to(topic, Box::new(number));
        let sent = self.0.send(record.key(key).payload(value));
        sent.map_err(|(error, _)| error.into())
    }
}

impl Acknowledged {
    pub(crate) fn next(&self) -> anyhow::Result<u64> {
        self.0.recv_timeout(TIMEOUT)?
    }
}

/// Makes a topic and waits until it is there.
pub(crate) async fn make_topic(brokers: &str, name: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = base(brokers).create()?;
    let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
    let made = admin.create_topics([&topic], &AdminOptions::new()).await?;
    for topic in made {
        topic.map_err(|(name, error)| anyhow!("{name}: {error}"))?;
    }
    Ok(())
}

/// Reads all partitions of a topic from the beginning, outside any group.
pub(crate) fn consumer(brokers: &str, topic: &str) -> anyhow::Result<BaseConsumer> {
    let consumer = asker(brokers)?;
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    Ok(consumer)
}

/// Asks brokers and reads nothing: a fetch that waits for records, up to half a second, holds up the
/// questions on its connection for as long.
pub(crate) fn asker(brokers: &str) -> anyhow::Result<BaseConsumer> {
    let consumer = base(brokers)
        .set("group.id", "floor")
        .set("enable.auto.commit", "false")
        .create()?;
    Ok(consumer)
}

/// Returns how many records a topic has.
pub(crate) fn records(asker: &BaseConsumer, topic: &str) -> anyhow::Result<u64> {
    let mut records = 0;
    for partition in 0..PARTITIONS {
        let (low, high) = asker.fetch_watermarks(topic, partition, TIMEOUT)?;
        records += high - low;
    }
    Ok(records.try_into()?)
}

/// Returns a record as roomcast writes it.
pub(crate) fn created(room: &str, sender: &str) -> String {
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let (event, name) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    format!(
        r#"{{"eventId":"{event}","roomId":"{room}","senderId":"{sender}","clientMsgId":"{name}","messageType":"TEXT","content":"{CONTENT}","producedAt":"{now}","version":1}}"#
    )
}
