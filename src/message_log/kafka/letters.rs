//! Reads the dead letters back, for an operator.

use std::{collections::HashMap, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{BorrowedMessage, Headers},
};
use tokio::sync::mpsc;

use super::{
    client::{Context, Settings},
    queries::{Queries, unavailable},
};
use crate::message_log::{LogError, Topic, dead_letter::DeadLetter};

/// Letters that wait for the reader.
const READ_AHEAD: usize = 64;

/// How long the brokers may say nothing before the end is reached.
const PATIENCE: Duration = Duration::from_secs(10);

type Letters = mpsc::Sender<Result<DeadLetter, LogError>>;

/// Reads every dead letter that there is now, on a thread of its own.
pub(super) fn read(
    settings: Settings,
    queries: Arc<Queries>,
) -> mpsc::Receiver<Result<DeadLetter, LogError>> {
    let (sender, letters) = mpsc::channel(READ_AHEAD);
    let failed = sender.clone();
    let thread = thread::Builder::new()
        .name("kafka-letters".into())
        .spawn(move || {
            if let Err(error) = read_all(&settings, &queries, &sender) {
                let _ = sender.blocking_send(Err(error));
            }
        });
    if let Err(error) = thread {
        let _ = failed.try_send(Err(LogError::Unavailable(error.to_string())));
    }
    letters
}

fn read_all(settings: &Settings, queries: &Queries, letters: &Letters) -> Result<(), LogError> {
    let topic = Topic::DeadLetters;
    let (count, _) = queries.partitions(topic, settings.timeouts.query)?;
    let firsts = queries.offsets(topic, 0..count, Offset::Beginning)?;
    let ends = queries.offsets(topic, 0..count, Offset::End)?;
    // Up to here: what comes later is another run's.
    let mut open: HashMap<u32, u64> = ends
        .into_iter()
        .filter(|(partition, end)| firsts.get(partition).is_none_or(|first| first < end))
        .collect();
    let consumer = connect(settings, &firsts, &open)?;
    while !open.is_empty() {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => {
                let partition = message.partition().cast_unsigned();
                let offset = message.offset().cast_unsigned();
                let end = open.get(&partition).copied().unwrap_or(0);
                if offset + 1 >= end {
                    open.remove(&partition);
                }
                if offset < end && letters.blocking_send(Ok(letter(&message))).is_err() {
                    return Ok(());
                }
            }
            Some(Err(error)) => log::debug!(error:%; "the dead letters are not read yet"),
            None => return Err(LogError::Unavailable("kafka does not answer".into())),
        }
    }
    Ok(())
}

fn connect(
    settings: &Settings,
    firsts: &HashMap<u32, u64>,
    open: &HashMap<u32, u64>,
) -> Result<BaseConsumer<Context>, LogError> {
    let name = settings.topic(Topic::DeadLetters);
    let mut config = settings.consumer("roomcast-dlq");
    config.set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer<Context> = config
        .create_with_context(settings.context())
        .map_err(|error| unavailable(&error))?;
    let mut list = TopicPartitionList::new();
    for partition in open.keys() {
        let first = firsts.get(partition).copied().unwrap_or(0).cast_signed();
        list.add_partition_offset(&name, partition.cast_signed(), Offset::Offset(first))
            .map_err(|error| unavailable(&error))?;
    }
    consumer
        .assign(&list)
        .map_err(|error| unavailable(&error))?;
    Ok(consumer)
}

fn letter(message: &BorrowedMessage<'_>) -> DeadLetter {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        headers
            .iter()
            .map(|header| {
                (
                    header.key.to_owned(),
                    text(header.value.unwrap_or_default()),
                )
            })
            .collect()
    });
    let value = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    let partition = message.partition().cast_unsigned();
    DeadLetter::read(partition, message.offset().cast_unsigned(), &headers, value)
}
