//! The reader of `chat.messages.v1`: a member of the consumer group, on a thread of its own.
//!
//! The group uses the eager `range` protocol: every member gives all its partitions up, finished
//! and committed, before any is handed out again. The cooperative protocol would pause less, but
//! has lost assignments together with commits by hand more than once (librdkafka #4059, #5604).
//!
//! Partitions are handed out paused, each with a queue of its own that its reader empties at its
//! own pace. The thread polls on all the while, so that the group never takes it for dead.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Offsets,
    client::{Context, Settings},
    lock, not_ours,
    queries::{Queries, unavailable},
    reader::{KafkaReader, Slot},
};
use crate::message_log::{Assignment, IngestEvent, LogError, PartitionReader, Topic};

/// How often what was noted is committed, and orders are looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long the reader of messages has to finish what is under way on partitions that the group has
/// given to another already.
const LOST_TIMEOUT: Duration = Duration::from_millis(500);

/// How often an answer is looked for meanwhile.
const DRAIN_POLL: Duration = Duration::from_millis(2);

/// How long leaving the group may take before the consumer is dropped all the same.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(6);

/// A partition of this process.
struct Owned {
    slot: Arc<Slot>,
    /// Up to where it is stored and published.
    noted: u64,
    /// Up to where Kafka was told.
    committed: u64,
}

/// What the thread, its callbacks and the log share.
#[derive(Default)]
struct Shared {
    owned: Mutex<HashMap<u32, Owned>>,
    is_stopped: AtomicBool,
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }
}

/// The log's hold on the thread.
#[derive(Clone)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    /// Closes with the thread.
    ended: watch::Receiver<()>,
}

impl Worker {
    /// Has the thread give its partitions up and leave the group.
    pub(super) fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::Release);
    }

    /// Returns when the thread has ended.
    pub(super) async fn ended(&mut self) {
        while self.ended.changed().await.is_ok() {}
    }

    /// Notes a commit; it never moves back.
    pub(super) fn note(&self, partition: u32, next: u64) -> Result<(), LogError> {
        let mut owned = lock(&self.shared.owned);
        let owned = owned
            .get_mut(&partition)
            .ok_or_else(|| not_ours(partition))?;
        owned.noted = owned.noted.max(next);
        Ok(())
    }

    /// Returns up to where a partition of this process was committed.
    pub(super) fn noted(&self, partition: u32) -> Option<u64> {
        lock(&self.shared.owned).get(&partition).map(|it| it.noted)
    }
}

/// What the consumer calls back.
pub(super) struct WorkerContext {
    context: Context,
    topic: String,
    /// How long the reader of messages has to finish what is under way on partitions that go.
    drain: Duration,
    shared: Arc<Shared>,
    events: mpsc::Sender<IngestEvent>,
    /// Partitions that the group has given and that are not handed out yet.
    given: Mutex<Option<Vec<u32>>>,
}

impl ClientContext for WorkerContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ConsumerContext for WorkerContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let is_given = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if is_given && !self.shared.is_stopped() {
            let partitions = list.elements();
            let partitions = partitions.iter().map(|it| it.partition().cast_unsigned());
            // The thread looks up where they begin, and may take its time.
            *lock(&self.given) = Some(partitions.collect());
            return;
        }
        if !is_given {
            *lock(&self.given) = None;
            self.give_up(consumer);
        }
        // The group waits until it is told that none is held.
        if let Err(error) = consumer.unassign() {
            self.context.complain("unassign", &error.to_string());
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // What is not committed is read again, and recognised.
            self.context.complain("commit", &error.to_string());
        }
    }
}

impl WorkerContext {
    /// Has the reader finish what is under way, and commits that.
    fn give_up(&self, consumer: &BaseConsumer<Self>) {
        let partitions: Vec<u32> = lock(&self.shared.owned).keys().copied().collect();
        if partitions.is_empty() {
            return;
        }
        let is_lost = consumer.assignment_lost();
        log::info!(partitions:? = partitions, lost = is_lost; "partitions are given up");
        let (drained, mut answer) = oneshot::channel();
        let revoked = IngestEvent::Revoked {
            partitions,
            drained,
        };
        let within = if is_lost { LOST_TIMEOUT } else { self.drain };
        let until = Instant::now() + within;
        if self.events.blocking_send(revoked).is_ok() {
            while answer.try_recv() == Err(oneshot::error::TryRecvError::Empty)
                && Instant::now() < until
            {
                thread::sleep(DRAIN_POLL);
            }
        }
        if !is_lost {
            self.commit(consumer, CommitMode::Sync);
        }
        for (_, owned) in lock(&self.shared.owned).drain() {
            owned.slot.close();
        }
    }

    /// Tells Kafka what was noted since it was told last.
    fn commit(&self, consumer: &BaseConsumer<Self>, mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for (partition, owned) in lock(&self.shared.owned).iter_mut() {
            if owned.noted > owned.committed {
                let offset = Offset::Offset(owned.noted.cast_signed());
                let added = list.add_partition_offset(&self.topic, partition.cast_signed(), offset);
                added.expect("an offset is not negative");
                owned.committed = owned.noted;
            }
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, mode)
        {
            self.context.complain("commit", &error.to_string());
        }
    }
}

/// The thread.
pub(super) struct WorkerThread {
    consumer: Arc<BaseConsumer<WorkerContext>>,
    topic: String,
    shared: Arc<Shared>,
    queries: Arc<Queries>,
    events: mpsc::Sender<IngestEvent>,
    _alive: watch::Sender<()>,
}

impl WorkerThread {
    /// Starts a thread that joins the group.
    pub(super) fn start(
        settings: Settings,
        queries: Arc<Queries>,
        events: mpsc::Sender<IngestEvent>,
    ) -> Result<Worker, LogError> {
        let topic = settings.topic(Topic::Messages);
        let shared = Arc::<Shared>::default();
        let context = WorkerContext {
            context: settings.context(),
            topic: topic.clone(),
            drain: settings.timeouts.drain,
            shared: Arc::clone(&shared),
            events: events.clone(),
            given: Mutex::default(),
        };
        let consumer: BaseConsumer<_> = config(&settings)
            .create_with_context(context)
            .map_err(|error| unavailable(&error))?;
        let (alive, ended) = watch::channel(());
        let worker = Worker {
            shared: Arc::clone(&shared),
            ended,
        };
        let thread = Self {
            consumer: Arc::new(consumer),
            topic,
            shared,
            queries,
            events,
            _alive: alive,
        };
        thread::Builder::new()
            .name("kafka-worker".into())
            .spawn(move || thread.run())
            .map_err(|error| LogError::Unavailable(error.to_string()))?;
        Ok(worker)
    }

    fn run(self) {
        match self.consumer.subscribe(&[&self.topic]) {
            Ok(()) => self.work(),
            Err(error) => self.fail(&error),
        }
        self.leave();
    }

    fn work(&self) {
        while !self.shared.is_stopped() && !self.events.is_closed() {
            // Other errors are told by the client; a record that slipped into the common queue is
            // missed by its reader, which goes back to it.
            let polled = self.consumer.poll(POLL_INTERVAL);
            if let Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) = polled {
                return self.fail(&error);
            }
            let given = lock(&self.consumer.context().given).clone();
            if let Some(partitions) = given
                && let Err(error) = self.hand_out(&partitions)
            {
                let context = &self.consumer.context().context;
                context.complain("assignment", &error.to_string());
            }
            self.consumer
                .context()
                .commit(&self.consumer, CommitMode::Async);
        }
    }

    fn fail(&self, error: &KafkaError) {
        // It has gone: then nobody has to be told.
        let _ = self
            .events
            .blocking_send(IngestEvent::Failed(error.to_string()));
    }

    /// Hands the given partitions to the reader; an error leaves them for another try.
    fn hand_out(&self, partitions: &[u32]) -> Result<(), LogError> {
        let places = Places::look_up(&self.queries, partitions)?;
        let mut slots = Vec::new();
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let number = partition.cast_signed();
            // Before they are fetched: what is fetched earlier goes to the common queue.
            let queue = self.consumer.split_partition_queue(&self.topic, number);
            let queue = queue.ok_or_else(|| not_ours(*partition))?;
            slots.push(Slot::new(queue));
            let offset = Offset::Offset(places.start(*partition).cast_signed());
            list.add_partition_offset(&self.topic, number, offset)
                .map_err(|error| unavailable(&error))?;
        }
        *lock(&self.consumer.context().given) = None;
        self.consumer
            .assign(&list)
            .map_err(|error| unavailable(&error))?;
        self.consumer
            .pause(&list)
            .map_err(|error| unavailable(&error))?;
        log::info!(partitions:? = partitions; "partitions are taken over");
        let assignments = partitions.iter().zip(slots);
        let assignments = assignments.map(|(partition, slot)| self.own(*partition, slot, &places));
        // The reader has gone: the loop notices.
        let _ = self
            .events
            .blocking_send(IngestEvent::Assigned(assignments.collect()));
        Ok(())
    }

    fn own(&self, partition: u32, slot: Arc<Slot>, places: &Places) -> Assignment {
        let committed = places.committed.get(&partition).copied();
        let first = places.first.get(&partition).copied().unwrap_or(0);
        let owned = Owned {
            slot: Arc::clone(&slot),
            noted: committed.unwrap_or(0),
            committed: committed.unwrap_or(0),
        };
        lock(&self.shared.owned).insert(partition, owned);
        let reader = KafkaReader::new(
            self.topic.clone(),
            (partition, first),
            slot,
            &self.consumer,
            &self.events,
        );
        Assignment {
            partition,
            committed,
            first,
            end: places.end.get(&partition).copied().unwrap_or(first),
            reader: PartitionReader::Kafka(reader),
        }
    }

    /// Gives the partitions up and leaves the group, so that others take over at once.
    fn leave(self) {
        self.shared.is_stopped.store(true, Ordering::Release);
        let until = Instant::now() + LEAVE_TIMEOUT;
        if lock(&self.consumer.context().given).take().is_some() {
            // The group waits for an answer to what it gave.
            let _ = self.consumer.unassign();
        }
        self.consumer.unsubscribe();
        while !lock(&self.shared.owned).is_empty() && Instant::now() < until {
            let _ = self.consumer.poll(DRAIN_POLL);
        }
        for (_, owned) in lock(&self.shared.owned).drain() {
            owned.slot.close();
        }
        // Its end blocks: it is to be here, and not where a seek happens to let go of it.
        let mut consumer = self.consumer;
        loop {
            match Arc::try_unwrap(consumer) {
                Ok(last) => return drop(last),
                Err(shared) => consumer = shared,
            }
            thread::sleep(DRAIN_POLL);
        }
    }
}

fn config(settings: &Settings) -> ClientConfig {
    let mut config = settings.consumer(&settings.group());
    config
        // A dead worker's partitions are others' after this time.
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "2000")
        .set("partition.assignment.strategy", "range")
        // A group without commits begins with the earliest record, as every start is looked up;
        // an offset that is not there is an error, and never the reason to skip.
        .set("auto.offset.reset", "error");
    config
}

/// What the brokers know of partitions.
#[derive(Default)]
struct Places {
    committed: Offsets,
    first: Offsets,
    end: Offsets,
}

impl Places {
    fn look_up(queries: &Queries, partitions: &[u32]) -> Result<Self, LogError> {
        if partitions.is_empty() {
            // More workers than partitions. The client refuses a question about none, and the group
            // needs to be told that none was taken over.
            return Ok(Self::default());
        }
        let all = || partitions.iter().copied();
        Ok(Self {
            committed: queries.committed(all())?,
            first: queries.offsets(Topic::Messages, all(), Offset::Beginning)?,
            end: queries.offsets(Topic::Messages, all(), Offset::End)?,
        })
    }

    /// Where a partition is parked until its reader says where it begins.
    fn start(&self, partition: u32) -> u64 {
        let committed = self.committed.get(&partition).copied().unwrap_or(0);
        let first = self.first.get(&partition).copied().unwrap_or(0);
        committed.max(first)
    }
}
