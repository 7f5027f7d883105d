//! The reader of the two broadcast topics: all partitions, outside any group, on a thread of its own.
//!
//! Where it is outlives the thread: a reader that takes another's place begins with what that one
//! was handed last.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    client::{Context, Names, Settings},
    lock,
};
use crate::message_log::{BroadcastEvent, Topic};

/// Most values of one event.
const BATCH: usize = 512;

/// Events that wait for the reader: one is worked on while the next is read.
const READ_AHEAD: usize = 2;

/// How long the thread waits for records before it looks around.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How often room for an event is looked for while the reader is busy.
const FULL_POLL: Duration = Duration::from_millis(1);

/// How often new partitions are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long that may hold up the reading.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

const TOPICS: [Topic; 2] = [Topic::Persisted, Topic::Events];

/// Offset of the next record, by topic and partition.
pub(super) type Positions = HashMap<(Topic, u32), u64>;

/// What readers leave to their successors.
pub(super) struct Gateway {
    settings: Settings,
    state: Mutex<State>,
}

struct State {
    /// Before them, everything was dealt with.
    positions: Positions,
    /// Ends the reader that counts.
    stop: Arc<AtomicBool>,
    /// Whether there has been a reader.
    is_read: bool,
    is_closed: bool,
}

impl Gateway {
    /// Makes what the first reader begins with.
    pub(super) fn new(settings: Settings, positions: Positions) -> Self {
        Self {
            settings,
            state: Mutex::new(State {
                positions,
                stop: Arc::default(),
                is_read: false,
                is_closed: false,
            }),
        }
    }

    /// Makes the reader that counts from now on; the earlier one's stream ends.
    pub(super) fn subscribe(self: &Arc<Self>) -> Subscriber {
        let (sender, batches) = mpsc::channel(READ_AHEAD);
        let mut state = lock(&self.state);
        state.is_read = true;
        state.stop.store(true, Ordering::Release);
        let stop = Arc::<AtomicBool>::default();
        state.stop = Arc::clone(&stop);
        if !state.is_closed {
            let reader = Reader {
                settings: self.settings.clone(),
                positions: state.positions.clone(),
                stop: Arc::clone(&stop),
                sender,
            };
            let started = thread::Builder::new()
                .name("kafka-gateway".into())
                .spawn(move || reader.run());
            if let Err(error) = started {
                // The stream ends at once; the reader tries again.
                log::error!(error:%; "the reader of the broadcast topics cannot be started");
            }
        }
        Subscriber {
            gateway: Arc::clone(self),
            batches,
            stop,
            handed: Positions::new(),
        }
    }

    /// Returns before which offsets everything was dealt with; `None` where nobody reads.
    pub(super) fn positions(&self) -> Option<Positions> {
        let state = lock(&self.state);
        state.is_read.then(|| state.positions.clone())
    }

    /// Ends the reader's stream after what lies in it.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.stop.store(true, Ordering::Release);
    }

    /// Notes that a reader has dealt with what it was handed.
    fn let_go(&self, stop: &Arc<AtomicBool>, handed: Positions) {
        let mut state = lock(&self.state);
        if Arc::ptr_eq(&state.stop, stop) {
            state.positions.extend(handed);
        }
    }

    fn is_current(&self, stop: &Arc<AtomicBool>) -> bool {
        Arc::ptr_eq(&lock(&self.state).stop, stop)
    }
}

/// The reader of the two broadcast topics.
pub struct Subscriber {
    gateway: Arc<Gateway>,
    batches: mpsc::Receiver<Batch>,
    stop: Arc<AtomicBool>,
    /// Where the records in the caller's hands end.
    handed: Positions,
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}

impl Subscriber {
    /// Returns the next records and lets go of those before; `None` when another reader has
    /// begun, or the log has closed.
    pub async fn recv(&mut self) -> Option<BroadcastEvent> {
        let handed = std::mem::take(&mut self.handed);
        self.gateway.let_go(&self.stop, handed);
        let batch = self.batches.recv().await?;
        if !self.gateway.is_current(&self.stop) {
            return None;
        }
        self.handed = batch.ends;
        Some(batch.event)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// An event and where its records end.
struct Batch {
    event: BroadcastEvent,
    ends: Positions,
}

/// The thread.
struct Reader {
    settings: Settings,
    /// Offset of the next record to be read.
    positions: Positions,
    stop: Arc<AtomicBool>,
    sender: mpsc::Sender<Batch>,
}

impl Reader {
    fn run(mut self) {
        if let Err(error) = self.read() {
            self.hand_on(Batch {
                event: BroadcastEvent::Failed(error.to_string()),
                ends: Positions::new(),
            });
        }
    }

    fn read(&mut self) -> Result<(), KafkaError> {
        let consumer = self.connect()?;
        let names = self.settings.names();
        consumer.assign(&self.list()?)?;
        let mut looked = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            let records = self.gather(&consumer, &names)?;
            for batch in batches(records) {
                self.hand_on(batch);
            }
            if looked.elapsed() >= LOOK_INTERVAL {
                if self.find_new_partitions(&consumer) {
                    consumer.assign(&self.list()?)?;
                }
                looked = Instant::now();
            }
        }
        Ok(())
    }

    fn connect(&self) -> Result<BaseConsumer<Context>, KafkaError> {
        let mut config = self.settings.consumer("roomcast-gateway");
        config
            // It is in no group that could miss it while the slices are busy.
            .set("max.poll.interval.ms", "86400000")
            // Records that were removed unread: rooms read them from the store.
            .set("auto.offset.reset", "earliest");
        config.create_with_context(self.settings.context())
    }

    fn list(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in &self.positions {
            let name = self.settings.topic(*topic);
            let offset = Offset::Offset(next.cast_signed());
            list.add_partition_offset(&name, partition.cast_signed(), offset)?;
        }
        Ok(list)
    }

    /// Waits for a record and takes what else is there.
    fn gather(
        &mut self,
        consumer: &BaseConsumer<Context>,
        names: &Names,
    ) -> Result<Vec<(Topic, u32, u64, Bytes)>, KafkaError> {
        let mut records = Vec::new();
        let mut patience = POLL_INTERVAL;
        while records.len() < BATCH {
            let message = match consumer.poll(patience) {
                Some(Ok(message)) => message,
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                // The client tries again by itself, and has told the log.
                Some(Err(_)) => continue,
                None => break,
            };
            patience = Duration::ZERO;
            let Some(topic) = names.topic_of(message.topic()) else {
                continue;
            };
            let partition = message.partition().cast_unsigned();
            let next = message.offset().cast_unsigned() + 1;
            self.positions.insert((topic, partition), next);
            let value = Bytes::copy_from_slice(message.payload().unwrap_or_default());
            records.push((topic, partition, next, value));
        }
        Ok(records)
    }

    /// Waits until the reader has room; a batch is never dropped while it is there.
    fn hand_on(&self, mut batch: Batch) {
        while let Err(TrySendError::Full(back)) = self.sender.try_send(batch) {
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            batch = back;
            thread::sleep(FULL_POLL);
        }
    }

    /// Adds partitions that were not there; they are read from their beginning.
    fn find_new_partitions(&mut self, consumer: &BaseConsumer<Context>) -> bool {
        let before = self.positions.len();
        for topic in TOPICS {
            let name = self.settings.topic(topic);
            let Ok(metadata) = consumer.fetch_metadata(Some(&name), LOOK_TIMEOUT) else {
                return false;
            };
            for found in metadata.topics().iter().filter(|it| it.name() == name) {
                for partition in found.partitions() {
                    let partition = partition.id().cast_unsigned();
                    self.positions.entry((topic, partition)).or_insert(0);
                }
            }
        }
        let added = self.positions.len() - before;
        if added > 0 {
            log::info!(added; "new partitions of the broadcast topics are read");
        }
        added > 0
    }
}

/// Makes events of records: each of one topic, in the order in which they were read.
fn batches(records: Vec<(Topic, u32, u64, Bytes)>) -> Vec<Batch> {
    let mut batches: Vec<(Topic, Vec<Bytes>, Positions)> = Vec::new();
    for (topic, partition, next, value) in records {
        let is_same = batches.last().is_some_and(|(last, _, _)| *last == topic);
        if !is_same {
            batches.push((topic, Vec::new(), Positions::new()));
        }
        if let Some((_, values, ends)) = batches.last_mut() {
            values.push(value);
            ends.insert((topic, partition), next);
        }
    }
    let batch = |(topic, values, ends)| Batch {
        event: match topic {
            Topic::Events => BroadcastEvent::Events(values),
            _ => BroadcastEvent::Persisted(values),
        },
        ends,
    };
    batches.into_iter().map(batch).collect()
}
