//! The embedded message log: one process, one partition, one SQLite file beside the store's.
//!
//! | file | holds |
//! |---|---|
//! | `log.sqlite3` (and `-wal`) | `chat.messages.v1` from the last commit on, and the dead letters |
//! | `log.mark` | how far it was accepted: see [`mark`] |
//!
//! - [`writer`] is the thread that owns the files: group commit, reading, removal, recovery.
//! - [`mod@file`] is one transaction and what became of it; [`rows`] its statements and checksums.
//! - [`files`] makes a log, and checks all of it before it is opened.
//! - [`broadcast`] is the queue of the two topics that stay in memory.
//!
//! An append is accepted after SQLite's COMMIT with `synchronous=FULL` *and* the mark are on the
//! disk. A disk that takes no writes makes appends refused, and [`LocalLog::is_healthy`] false,
//! until it takes them again. Records are removed once committed, and their pages used again.

mod broadcast;
mod file;
mod files;
mod mark;
mod reader;
mod refusal;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use mark::rewritten as rewritten_mark;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use bytes::Bytes;
use tokio::{
    runtime,
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
};

pub use broadcast::Subscriber;
pub use reader::LocalReader;

use self::{
    broadcast::{Channel, Hub, refused},
    file::{Entry, LogFile},
    refusal::OpenError,
    rows::DeadLetterRow,
    writer::{Append, Control, Writer},
};
use super::{Appending, IngestStream, LogError, NewRecord, Topic};
use crate::ids::LogId;

/// Partitions of `chat.messages.v1`.
pub const PARTITIONS: u32 = 1;

/// The only one.
const PARTITION: u32 = 0;

/// Records that wait to be written; more are refused.
const QUEUE: usize = 4_096;

/// Readers and the like that wait for the thread to notice them.
const CONTROLS: usize = 16;

/// Events that wait for the reader: its partition, and its failure.
const EVENTS: usize = 2;

/// What the store knows of its log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// The log that it is bound to; `None` for a store that never was.
    pub log_id: Option<LogId>,
    /// The offset up to which it has taken the records.
    pub ingested: u64,
}

/// What can be counted without asking the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Records that wait to be written.
    pub queued: usize,
    /// Offset after the last message.
    pub end: u64,
    /// Offset up to which messages were committed: `end - committed` is the reader's lag.
    pub committed: u64,
    /// Records of the two broadcast topics that wait for their reader.
    pub broadcast_queued: usize,
}

/// A record that can never be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub offset: u64,
    pub value: Bytes,
    pub headers: Vec<(String, String)>,
}

impl DeadLetter {
    pub(crate) fn new(offset: u64, (value, headers): DeadLetterRow) -> Self {
        Self {
            offset,
            value: value.into(),
            // Its checksum was good, so it is what was written.
            headers: serde_json::from_str(&headers).unwrap_or_default(),
        }
    }
}

/// What the handles and the thread both see.
#[derive(Debug)]
struct Shared {
    committed: AtomicU64,
    end: AtomicU64,
    is_writable: AtomicBool,
}

impl Shared {
    fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    fn is_writable(&self) -> bool {
        self.is_writable.load(Ordering::Acquire)
    }

    fn set_writable(&self, is_writable: bool) {
        self.is_writable.store(is_writable, Ordering::Release);
    }
}

/// A handle to the embedded log; it closes when the last one goes.
#[derive(Debug, Clone)]
pub struct LocalLog(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    id: LogId,
    appends: mpsc::Sender<Append>,
    controls: mpsc::Sender<Control>,
    hub: Hub,
    shared: Arc<Shared>,
}

impl LocalLog {
    /// Opens the log in a data folder, or makes it; blocks until every record was checked.
    ///
    /// # Errors
    /// [`LogError::Refused`] when a file is damaged, incomplete, from a newer version, or not the
    /// store's: nothing was changed then. [`LogError::Unavailable`] when the disk says no.
    pub fn open(dir: &Path, expected: Expected) -> Result<Self, LogError> {
        let (log, writer) = Self::assemble(dir, expected)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(OpenError::Thread)?;
        thread::Builder::new()
            .name("message-log".into())
            .spawn(move || runtime.block_on(writer.run()))
            .map_err(OpenError::Thread)?;
        Ok(log)
    }

    /// Opens the log; nothing is written or read until the writer runs.
    fn assemble(dir: &Path, expected: Expected) -> Result<(Self, Writer), LogError> {
        let file = LogFile::open(dir, &expected)?;
        let (appends, appended) = mpsc::channel(QUEUE);
        let (controls, controlled) = mpsc::channel(CONTROLS);
        let shared = Arc::new(Shared {
            committed: AtomicU64::new(file.first()),
            end: AtomicU64::new(file.ends().messages),
            is_writable: AtomicBool::new(true),
        });
        let handle = Handle {
            id: file.id(),
            appends,
            controls,
            hub: Hub::default(),
            shared: Arc::clone(&shared),
        };
        let writer = Writer::new(file, shared, appended, controlled);
        Ok((Self(Arc::new(handle)), writer))
    }

    /// Returns which log this is.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.0.id
    }

    /// Appends a record: its place is taken now, the future says what became of it.
    pub fn append(&self, record: NewRecord) -> Appending {
        let entry = match record.topic {
            Topic::Persisted => return self.0.hub.append(Channel::Persisted, record.value),
            Topic::Events => return self.0.hub.append(Channel::Events, record.value),
            Topic::Messages => Entry::Message(record.value),
            Topic::DeadLetters => Entry::DeadLetter(record.value, encode(&record.headers)),
        };
        let (answer, appending) = oneshot::channel();
        match self.0.appends.try_send(Append { entry, answer }) {
            Ok(()) => Appending::Pending(appending),
            Err(TrySendError::Full(_)) => refused("too many records wait to be written"),
            Err(TrySendError::Closed(_)) => refused("the log is closed"),
        }
    }

    /// Returns the offset up to which messages were committed.
    ///
    /// # Errors
    /// [`LogError::Refused`] for a partition that there is not.
    pub async fn committed(&self, partition: u32) -> Result<u64, LogError> {
        check_partition(partition)?;
        Ok(self.0.shared.committed())
    }

    /// Reads `chat.messages.v1`; an earlier reader's stream ends.
    pub fn ingest(&self) -> IngestStream {
        let (events, stream) = mpsc::channel(EVENTS);
        let controls = self.0.controls.clone();
        // Closed, or too busy to notice so many readers: the stream ends, and may be opened again.
        let _ = self
            .0
            .controls
            .try_send(Control::Ingest { events, controls });
        stream
    }

    /// Reads the two broadcast topics, from what the last reader had in its hands on.
    #[must_use]
    pub fn broadcast(&self) -> Subscriber {
        self.0.hub.subscribe()
    }

    /// Says that everything before `next` is stored and published; it is removed soon.
    ///
    /// # Errors
    /// [`LogError::Refused`] for a partition or an offset that there is not.
    pub async fn commit(&self, partition: u32, next: u64) -> Result<(), LogError> {
        check_partition(partition)?;
        let shared = &self.0.shared;
        let end = shared.end();
        if next > end {
            return Err(LogError::Refused(format!(
                "record {next} cannot be committed: the log ends at {end}"
            )));
        }
        // The thread sees it with the next append, or soon: it is not woken for this.
        shared.committed.fetch_max(next, Ordering::AcqRel);
        Ok(())
    }

    /// Returns whether an append could succeed now.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.0.appends.is_closed() && self.0.shared.is_writable()
    }

    /// Returns what can be counted cheaply.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let Handle {
            appends,
            hub,
            shared,
            ..
        } = &*self.0;
        Figures {
            queued: appends.max_capacity() - appends.capacity(),
            end: shared.end(),
            committed: shared.committed(),
            broadcast_queued: hub.len(),
        }
    }

    /// Reads at most `limit` dead letters from an offset on.
    ///
    /// # Errors
    /// [`LogError::Refused`] when one is damaged, [`LogError::Unavailable`] after the close.
    pub async fn dead_letters(&self, from: u64, limit: usize) -> Result<Vec<DeadLetter>, LogError> {
        let (answer, letters) = oneshot::channel();
        let ask = Control::DeadLetters {
            from,
            limit,
            answer,
        };
        let closed = || LogError::Unavailable("the log is closed".into());
        self.0.controls.send(ask).await.map_err(|_| closed())?;
        letters.await.map_err(|_| closed())?
    }

    /// Writes what is queued and closes the files; returns when that is done.
    pub async fn close(&self) {
        self.0.hub.close();
        // Fails when it is closed already; then there is nothing to wait for below either.
        let _ = self.0.controls.send(Control::Close).await;
        self.0.controls.closed().await;
    }
}

fn check_partition(partition: u32) -> Result<(), LogError> {
    if partition == PARTITION {
        return Ok(());
    }
    Err(LogError::Refused(format!(
        "the embedded log has no partition {partition}"
    )))
}

fn encode(headers: &[(&'static str, String)]) -> String {
    serde_json::to_string(headers).expect("pairs of strings are JSON")
}
