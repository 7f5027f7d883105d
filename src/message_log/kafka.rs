//! The Kafka adapter.
//!
//! - [`producer`] appends; it is built anew after a fatal error.
//! - [`worker`] reads `chat.messages.v1` as a member of the consumer group; [`reader`] is one
//!   partition of it.
//! - [`gateway`] reads all of the two broadcast topics, outside any group.
//! - [`topics`] makes the topics and checks what they promise, before anything else is opened.
//! - [`watch`] looks every second whether the brokers answer, and counts the lag.
//! - [`queries`] are questions that block; [`client`] the settings that all clients share.
//! - [`letters`] reads the dead letters back.
//!
//! Every client of librdkafka lives on threads of its own: nothing here blocks its caller.

mod client;
mod gateway;
mod letters;
mod producer;
mod queries;
mod reader;
#[cfg(test)]
mod tests;
mod topics;
mod watch;
mod worker;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use rdkafka::Offset;
use tokio::{
    sync::{OnceCell, mpsc},
    task::spawn_blocking,
    time::timeout,
};

pub use gateway::Subscriber;
pub use reader::KafkaReader;

use self::{
    client::Settings,
    gateway::Gateway,
    producer::Producer,
    queries::Queries,
    worker::{Worker, WorkerThread},
};
use super::{Appending, IngestStream, LogError, NewRecord, Topic, dead_letter::DeadLetter};
use crate::{config::KafkaConfig, ids::LogId, metrics::Lag};

/// Events that wait for the reader of messages: assignments and the like.
const EVENTS: usize = 16;

/// A handle to Kafka.
#[derive(Clone)]
pub struct KafkaLog(Arc<Inner>);

struct Inner {
    id: LogId,
    settings: Settings,
    producer: Arc<Producer>,
    queries: Arc<Queries>,
    gateway: Arc<Gateway>,
    worker: Mutex<Option<Worker>>,
    partitions: AtomicU32,
    lag: Mutex<Vec<Lag>>,
    is_reachable: AtomicBool,
    is_closed: AtomicBool,
    closing: OnceCell<()>,
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { id, settings, .. } = &*self.0;
        f.debug_struct("KafkaLog")
            .field("id", id)
            .field("brokers", &settings.brokers)
            .finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Connects, makes the topics that are missing, and notes where the broadcast topics end: what
    /// is published from now on is seen by [`Self::broadcast`].
    ///
    /// # Errors
    /// [`LogError::Refused`] when a topic does not promise enough; [`LogError::Unavailable`] when
    /// no broker answers.
    pub async fn open(config: &KafkaConfig) -> Result<Self, LogError> {
        Self::open_with(config, Settings::new(config)).await
    }

    async fn open_with(config: &KafkaConfig, settings: Settings) -> Result<Self, LogError> {
        let config = config.clone();
        let runtime = tokio::runtime::Handle::current();
        let opening = spawn_blocking(move || {
            let found = topics::ensure(&config, &settings, &runtime)?;
            let queries = Queries::new(&settings)?;
            let gateway = Gateway::new(settings.clone(), queries.broadcast_ends()?);
            let producer = Producer::new(&settings)?;
            let inner = Arc::new(Inner {
                id: found.id,
                producer,
                queries: Arc::new(queries),
                gateway: Arc::new(gateway),
                worker: Mutex::default(),
                partitions: AtomicU32::new(found.partitions),
                lag: Mutex::default(),
                is_reachable: AtomicBool::new(true),
                is_closed: AtomicBool::new(false),
                closing: OnceCell::new(),
                settings,
            });
            watch::start(&inner)?;
            Ok(Self(inner))
        });
        opening.await.unwrap_or_else(|error| Err(gone(&error)))
    }

    /// Returns which cluster this is.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.0.id
    }

    /// Returns how many partitions `chat.messages.v1` has, as far as it was noticed.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.0.partitions.load(Ordering::Acquire)
    }

    /// Appends a record: its place is taken now, the future says what became of it.
    pub fn append(&self, record: NewRecord) -> Appending {
        self.0.producer.append(record)
    }

    /// Reads `chat.messages.v1` as a member of the group; an earlier reader of this process leaves.
    pub fn ingest(&self) -> IngestStream {
        let (events, stream) = mpsc::channel(EVENTS);
        let mut worker = self.0.lock_worker();
        if let Some(earlier) = worker.take() {
            earlier.stop();
        }
        if self.0.is_closed.load(Ordering::Acquire) {
            return stream;
        }
        match WorkerThread::start(self.0.settings.clone(), Arc::clone(&self.0.queries), events) {
            Ok(started) => {
                *worker = Some(started);
                self.0.begin_lag(Topic::Messages);
            }
            // The stream ends at once; the reader tries again.
            Err(error) => log::error!(error:%; "the reader of messages cannot be started"),
        }
        stream
    }

    /// Reads the two broadcast topics from where the last reader was; it ends.
    #[must_use]
    pub fn broadcast(&self) -> Subscriber {
        self.0.begin_lag(Topic::Persisted);
        self.0.gateway.subscribe()
    }

    /// Notes that everything before `next` is stored and published; Kafka is told soon.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the partition is not read by this process any more.
    pub fn commit(&self, partition: u32, next: u64) -> Result<(), LogError> {
        match &*self.0.lock_worker() {
            Some(worker) => worker.note(partition, next),
            None => Err(not_ours(partition)),
        }
    }

    /// Returns up to where a partition was committed.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when no broker answers.
    pub async fn committed(&self, partition: u32) -> Result<u64, LogError> {
        let count = self.partitions();
        let asked = self.ask(move |queries| queries.committed(0..count)).await?;
        let noted = self
            .0
            .lock_worker()
            .as_ref()
            .and_then(|w| w.noted(partition));
        let committed = asked.get(&partition).copied().unwrap_or(0);
        Ok(committed.max(noted.unwrap_or(0)))
    }

    /// Returns where each partition ends.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when no broker answers.
    pub async fn ends(&self) -> Result<Vec<(u32, u64)>, LogError> {
        let count = self.partitions();
        let ends = self.ask(move |queries| queries.offsets(Topic::Messages, 0..count, Offset::End));
        Ok(ends.await?.into_iter().collect())
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Queries) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let queries = Arc::clone(&self.0.queries);
        let answer = spawn_blocking(move || question(&queries)).await;
        answer.unwrap_or_else(|error| Err(gone(&error)))
    }

    /// Returns how far this process's readers are behind, as of the last few seconds.
    #[must_use]
    pub fn lag(&self) -> Vec<Lag> {
        lock(&self.0.lag).clone()
    }

    /// Returns whether an append could succeed now, as of the last second.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let Inner {
            is_closed,
            is_reachable,
            producer,
            ..
        } = &*self.0;
        !is_closed.load(Ordering::Acquire)
            && is_reachable.load(Ordering::Acquire)
            && !producer.is_down()
    }

    /// Reads every dead letter that there is now, one after the other.
    #[must_use]
    pub fn dead_letters(&self) -> mpsc::Receiver<Result<DeadLetter, LogError>> {
        letters::read(self.0.settings.clone(), Arc::clone(&self.0.queries))
    }

    /// Lets the worker finish and leave the group, then writes what is queued.
    pub async fn close(&self) {
        let closing = async {
            self.0.is_closed.store(true, Ordering::Release);
            // It stays in its place: what it finishes now is still committed through it.
            let worker = self.0.lock_worker().clone();
            if let Some(mut worker) = worker {
                worker.stop();
                let within = self.0.settings.timeouts.leave;
                if timeout(within, worker.ended()).await.is_err() {
                    log::warn!("the worker did not leave its group in time");
                }
            }
            self.0.gateway.close();
            let producer = Arc::clone(&self.0.producer);
            // Fails when the runtime ends; then nobody waits for the answers either.
            let _ = spawn_blocking(move || producer.close()).await;
        };
        self.0.closing.get_or_init(|| closing).await;
    }
}

impl Inner {
    /// Shows the partitions of a topic that is read from now on, until their lag is counted.
    fn begin_lag(&self, topic: Topic) {
        let mut lag = lock(&self.lag);
        if lag.iter().all(|known| known.topic != topic) {
            let partitions = 0..self.partitions.load(Ordering::Acquire);
            lag.extend(partitions.map(|partition| Lag {
                topic,
                partition,
                records: 0,
            }));
        }
    }

    fn lock_worker(&self) -> std::sync::MutexGuard<'_, Option<Worker>> {
        lock(&self.worker)
    }
}

/// Offsets by partition.
type Offsets = HashMap<u32, u64>;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone(error: &tokio::task::JoinError) -> LogError {
    LogError::Unavailable(error.to_string())
}

fn not_ours(partition: u32) -> LogError {
    LogError::Unavailable(format!("partition {partition} is read by another process"))
}
