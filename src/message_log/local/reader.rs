//! The reader of the only partition, as the thread sees it and as the bridge holds it.

use tokio::sync::mpsc;

use super::writer::Control;
use crate::message_log::{IngestEvent, LogError, Record};

/// Batches that wait for the reader: one is worked on while the next is read.
const READ_AHEAD: usize = 2;

/// Reads the only partition.
#[derive(Debug)]
pub struct LocalReader {
    number: u64,
    controls: mpsc::Sender<Control>,
    records: Option<mpsc::Receiver<Vec<Record>>>,
}

impl LocalReader {
    pub(super) fn new(number: u64, controls: mpsc::Sender<Control>) -> Self {
        Self {
            number,
            controls,
            records: None,
        }
    }

    /// Makes a reader of no log.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self::new(0, mpsc::channel(1).0)
    }

    /// Reads from an offset on.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the log is closed.
    pub async fn seek(&mut self, next: u64) -> Result<(), LogError> {
        let (sender, records) = mpsc::channel(READ_AHEAD);
        self.records = Some(records);
        let seek = Control::Seek {
            number: self.number,
            feed: Feed { sender, next },
        };
        let sent = self.controls.send(seek).await;
        sent.map_err(|_| LogError::Unavailable("the log is closed".into()))
    }

    /// Returns the next records; `None` when another reader has begun, or the log has closed.
    pub async fn recv(&mut self) -> Option<Vec<Record>> {
        self.records.as_mut()?.recv().await
    }
}

/// What the thread gives a reader that has said where it begins.
#[derive(Debug)]
pub(super) struct Feed {
    pub sender: mpsc::Sender<Vec<Record>>,
    /// Offset of the next record it gets.
    pub next: u64,
}

/// The reader that counts, as the thread knows it.
pub(super) struct Reader {
    /// Tells its orders from those of an earlier one.
    pub number: u64,
    pub events: mpsc::Sender<IngestEvent>,
    pub feed: Option<Feed>,
}
