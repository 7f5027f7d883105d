//! The `MessageLog` port: four topics of ordered, durable or fleeting records.
//!
//! # Contract, for every adapter
//! - [`MessageLog::append`] takes its place in the log when it is *called*, so that two calls by
//!   one caller stay in order, and is durable when its future resolves to `Ok`.
//! - `chat.messages.v1` and the dead letters survive `kill -9` and a power cut. The other two
//!   topics carry hints about what the store knows: the embedded log keeps them in memory.
//! - [`MessageLog::ingest`] yields each partition's records in order of offset, without a hole,
//!   from the requested offset on, and may yield one again after a restart.
//! - [`MessageLog::commit`] says that everything before an offset is stored *and* published; the
//!   log may then forget it.

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

use crate::ids::LogId;

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
    Local(oneshot::Receiver<Result<(), AppendError>>),
    Done(Option<Result<(), AppendError>>),
}

impl Future for Appending {
    type Output = Result<(), AppendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Local(answer) => Pin::new(answer).poll(cx).map(|received| {
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
}

/// What the reader of `chat.messages.v1` sees.
#[derive(Debug)]
pub enum IngestEvent {
    /// Consecutive records of one partition, never empty.
    Records {
        partition: u32,
        records: Vec<Record>,
    },
    /// The reader has failed and will not yield more: open another.
    Failed(String),
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
}

impl BroadcastStream {
    /// Returns the next event, and takes the one before as dealt with.
    ///
    /// `None` when another reader has begun, or the log has closed. Dropping the future loses
    /// nothing.
    pub async fn recv(&mut self) -> Option<BroadcastEvent> {
        match self {
            Self::Local(subscriber) => subscriber.recv().await,
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
}

impl MessageLog {
    /// Returns which log this is; the store counts offsets of this one alone.
    #[must_use]
    pub fn id(&self) -> LogId {
        match self {
            Self::Local(log) => log.id(),
        }
    }

    /// Appends a record; it is durable when the future resolves to `Ok`.
    pub fn append(&self, record: NewRecord) -> Appending {
        match self {
            Self::Local(log) => log.append(record),
        }
    }

    /// Returns the number of partitions of `chat.messages.v1`.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        match self {
            Self::Local(_) => local::PARTITIONS,
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
        }
    }

    /// Reads `chat.messages.v1` from an offset for each partition.
    pub fn ingest(&self, from: Vec<(u32, u64)>) -> IngestStream {
        match self {
            Self::Local(log) => log.ingest(from),
        }
    }

    /// Reads the two broadcast topics from now on; one reader at a time, the last one wins.
    ///
    /// It begins with what an earlier reader of this process was handed last.
    pub fn broadcast(&self) -> BroadcastStream {
        match self {
            Self::Local(log) => BroadcastStream::Local(log.broadcast()),
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
        }
    }

    /// Returns for each partition how many records are not committed yet.
    #[must_use]
    pub fn lag(&self) -> Vec<(u32, u64)> {
        match self {
            Self::Local(log) => {
                let figures = log.figures();
                vec![(0, figures.end.saturating_sub(figures.committed))]
            }
        }
    }

    /// Returns whether an append could succeed now.
    pub async fn is_healthy(&self) -> bool {
        match self {
            Self::Local(log) => log.is_healthy(),
        }
    }

    /// Writes what is queued, then closes; later appends are refused.
    pub async fn close(&self) {
        match self {
            Self::Local(log) => log.close().await,
        }
    }
}
