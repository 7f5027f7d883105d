//! The `MessageLog` port: four topics of ordered, durable or fleeting records.
//!
//! # Contract, for every adapter
//! - [`MessageLog::append`] takes its place in the log when it is *called*, so that two calls by
//!   one caller stay in order, and is durable when its future resolves to `Ok`.
//! - `chat.messages.v1` and the dead letters survive `kill -9` and a power cut. The other two
//!   topics carry hints about what the store knows: the embedded log keeps them in memory.
//! - [`MessageLog::ingest`] hands out partitions, each with a reader of its own: its records come in
//!   order of offset, without a hole, from where the reader was told to begin. What was not
//!   committed is read again after a restart, or by the process that gets the partition next.
//! - A partition is one reader's at a time, as far as the log knows: a process that was away for too
//!   long may still work on one that was given to another. The store tells them apart by offset.
//! - [`MessageLog::commit`] says that everything before an offset is stored *and* published; the
//!   log may then forget it.

pub mod dead_letter;
pub mod kafka;
pub mod local;
#[cfg(test)]
pub(crate) mod suite;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::{ids::LogId, metrics::Lag};

/// A topic. The names are other services' too and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// What clients sent and is not stored yet.
    Messages,
    /// What is stored, with its seq, for every gateway.
    Persisted,
    /// Membership, read cursors, revocations, rejections, for every gateway.
    Events,
    /// What can never be stored.
    DeadLetters,
}

impl Topic {
    /// Returns the topic's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "chat.messages.v1",
            Self::Persisted => "chat.messages.persisted.v1",
            Self::Events => "chat.events.v1",
            Self::DeadLetters => "chat.messages.dlq.v1",
        }
    }
}

/// A record to be appended. Records of one key stay in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    pub topic: Topic,
    pub key: String,
    pub value: Bytes,
    pub headers: Vec<(&'static str, String)>,
}

/// Why an append did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// It is not in the log and will not be.
    #[error("the log refused the record: {0}")]
    Refused(String),
    /// It may or may not be in the log.
    #[error("the log did not say whether it has the record: {0}")]
    Unknown(String),
}

/// The answer to an append, still under way.
#[derive(Debug)]
pub enum Appending {
    Pending(oneshot::Receiver<Result<(), AppendError>>),
    Done(Option<Result<(), AppendError>>),
}

impl Future for Appending {
    type Output = Result<(), AppendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Pending(answer) => Pin::new(answer).poll(cx).map(|received| {
                received.unwrap_or_else(|_| Err(AppendError::Unknown("the log closed".into())))
            }),
            Self::Done(answer) => Poll::Ready(
                answer
                    .take()
                    .expect("a future is not polled after it is ready"),
            ),
        }
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub offset: u64,
    pub value: Bytes,
    /// Nothing is at this offset, and never will be: Kafka gives offsets to markers of its own.
    pub is_hole: bool,
}

impl Record {
    /// Makes what stands for an offset that holds nothing.
    #[must_use]
    pub fn hole(offset: u64) -> Self {
        Self {
            offset,
            value: Bytes::new(),
            is_hole: true,
        }
    }
}

/// What the reader of `chat.messages.v1` sees.
#[derive(Debug)]
pub enum IngestEvent {
    /// These partitions are this reader's from now on; those it had before stay so.
    Assigned(Vec<Assignment>),
    /// These are not any longer. The log waits for the answer, for a time: what is committed
    /// before it is not read again by whoever gets them.
    Revoked {
        partitions: Vec<u32>,
        drained: oneshot::Sender<()>,
    },
    /// The reader has failed and will not yield more: open another.
    Failed(String),
}

/// A partition that was handed to a reader.
#[derive(Debug)]
pub struct Assignment {
    pub partition: u32,
    /// Up to where it was committed; `None` if it never was, or so long ago that it is forgotten.
    pub committed: Option<u64>,
    /// Offset of the oldest record that is kept.
    pub first: u64,
    /// Offset after the newest record, when it was handed out.
    pub end: u64,
    pub reader: PartitionReader,
}

/// Reads one partition.
#[derive(Debug)]
pub enum PartitionReader {
    Local(local::LocalReader),
    Kafka(kafka::KafkaReader),
}

impl PartitionReader {
    /// Reads from an offset on, whatever was read before.
    ///
    /// # Errors
    /// When the partition is not this reader's any longer, or cannot be read from there.
    pub async fn seek(&mut self, next: u64) -> Result<(), LogError> {
        match self {
            Self::Local(reader) => reader.seek(next).await,
            Self::Kafka(reader) => reader.seek(next).await,
        }
    }

    /// Returns the next records, consecutive and never none; `None` when there will be no more.
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Vec<Record>> {
        match self {
            Self::Local(reader) => reader.recv().await,
            Self::Kafka(reader) => reader.recv().await,
        }
    }
}

/// What the reader of the two broadcast topics sees.
#[derive(Debug)]
pub enum BroadcastEvent {
    /// Values of `Persisted`, in order of each key.
    Persisted(Vec<Bytes>),
    /// Values of `Events`, in order of each key.
    Events(Vec<Bytes>),
    /// The reader has failed and will not yield more: open another.
    Failed(String),
}

/// A bounded stream of ingest events; the log waits while it is full.
pub type IngestStream = mpsc::Receiver<IngestEvent>;

/// A bounded stream of broadcast events; appenders wait while it is full.
#[derive(Debug)]
pub enum BroadcastStream {
    Local(local::Subscriber),
    Kafka(kafka::Subscriber),
}

impl BroadcastStream {
    /// Returns the next event, and takes the one before as dealt with.
    ///
    /// `None` when another reader has begun, or the log has closed. Dropping the future loses
    /// nothing.
    pub async fn recv(&mut self) -> Option<BroadcastEvent> {
        match self {
            Self::Local(subscriber) => subscriber.recv().await,
            Self::Kafka(subscriber) => subscriber.recv().await,
        }
    }
}

/// Why a log cannot be opened or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Its files are damaged, incomplete, or not the store's: an operator must decide.
    #[error("{0}")]
    Refused(String),
    /// It is away; the same call may succeed later.
    #[error("message log unavailable: {0}")]
    Unavailable(String),
}

/// The log: a closed set of adapters.
#[derive(Debug, Clone)]
pub enum MessageLog {
    Local(local::LocalLog),
    Kafka(kafka::KafkaLog),
}

impl MessageLog {
    /// Returns which log this is; the store counts offsets of this one alone.
    #[must_use]
    pub fn id(&self) -> LogId {
        match self {
            Self::Local(log) => log.id(),
            Self::Kafka(log) => log.id(),
        }
    }

    /// Appends a record; it is durable when the future resolves to `Ok`.
    pub fn append(&self, record: NewRecord) -> Appending {
        match self {
            Self::Local(log) => log.append(record),
            Self::Kafka(log) => log.append(record),
        }
    }

    /// Returns the number of partitions of `chat.messages.v1`.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        match self {
            Self::Local(_) => local::PARTITIONS,
            Self::Kafka(log) => log.partitions(),
        }
    }

    /// Returns the offset up to which a partition was committed.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the log cannot be asked, [`LogError::Refused`] when it has
    /// no such partition.
    pub async fn committed(&self, partition: u32) -> Result<u64, LogError> {
        match self {
            Self::Local(log) => log.committed(partition).await,
            Self::Kafka(log) => log.committed(partition).await,
        }
    }

    /// Returns for each partition the offset after its newest record.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the log cannot be asked.
    pub async fn ends(&self) -> Result<Vec<(u32, u64)>, LogError> {
        match self {
            Self::Local(log) => Ok(vec![(0, log.figures().end)]),
            Self::Kafka(log) => log.ends().await,
        }
    }

    /// Reads `chat.messages.v1`; one reader at a time in a process, the last one wins.
    pub fn ingest(&self) -> IngestStream {
        match self {
            Self::Local(log) => log.ingest(),
            Self::Kafka(log) => log.ingest(),
        }
    }

    /// Reads the two broadcast topics from now on; one reader at a time, the last one wins.
    ///
    /// It begins with what an earlier reader of this process was handed last.
    pub fn broadcast(&self) -> BroadcastStream {
        match self {
            Self::Local(log) => BroadcastStream::Local(log.broadcast()),
            Self::Kafka(log) => BroadcastStream::Kafka(log.broadcast()),
        }
    }

    /// Says that everything before `next` of a partition is stored and published.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when it could not be noted; nothing is lost by that.
    /// [`LogError::Refused`] for a partition or an offset that the log does not have.
    pub async fn commit(&self, partition: u32, next: u64) -> Result<(), LogError> {
        match self {
            Self::Local(log) => log.commit(partition, next).await,
            Self::Kafka(log) => log.commit(partition, next),
        }
    }

    /// Returns how far this process's readers are behind, for each partition that they read: of
    /// `Messages` the records that are not committed, of `Persisted` those not dealt with.
    #[must_use]
    pub fn lag(&self) -> Vec<Lag> {
        match self {
            Self::Local(log) => {
                let figures = log.figures();
                vec![Lag {
                    topic: Topic::Messages,
                    partition: 0,
                    records: figures.end.saturating_sub(figures.committed),
                }]
            }
            Self::Kafka(log) => log.lag(),
        }
    }

    /// Returns whether an append could succeed now.
    pub async fn is_healthy(&self) -> bool {
        match self {
            Self::Local(log) => log.is_healthy(),
            Self::Kafka(log) => log.is_healthy(),
        }
    }

    /// Writes what is queued, then closes; later appends are refused.
    pub async fn close(&self) {
        match self {
            Self::Local(log) => log.close().await,
            Self::Kafka(log) => log.close().await,
        }
    }
}
