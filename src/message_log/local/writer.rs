//! The log's own thread: the only one that touches the files.
//!
//! It takes all appends that wait, up to [`BATCH`], writes them in one transaction, and answers;
//! the next group gathers meanwhile. Nothing is held back for company: a single append is written
//! at once. A reader that has all that came before gets them from there, together with the next
//! group where others wait already; one that is behind is given what it lacks from the file,
//! between groups, as far as it takes them.

use std::{future::pending, mem, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    DeadLetter, PARTITION, Shared,
    file::{Entry, LogFile, Written},
    reader::{Feed, LocalReader, Reader},
};
use crate::message_log::{AppendError, Assignment, IngestEvent, LogError, PartitionReader, Record};

/// Most records of one transaction, and of one event to the reader.
const BATCH: usize = 500;

/// How often committed records are looked for that no append has taken along.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(200);

/// How often a disk that did not take a write is tried again.
const RECOVERY_INTERVAL: Duration = Duration::from_millis(250);

/// How often the files are looked for in their folder when nothing is written.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What is said of files that are not in their folder any more.
const REMOVED: &str = "the files of the message log were removed while the server runs";

/// A record that waits to be written.
pub(super) struct Append {
    pub entry: Entry,
    pub answer: oneshot::Sender<Result<(), AppendError>>,
}

/// Everything else that the thread is asked.
#[derive(Debug)]
pub(super) enum Control {
    /// Sent when the bridge begins to read; takes the place of an earlier reader.
    Ingest {
        events: mpsc::Sender<IngestEvent>,
        /// For the new reader to say where it begins.
        controls: mpsc::Sender<Control>,
    },
    /// A reader says where it begins.
    Seek {
        number: u64,
        feed: Feed,
    },
    DeadLetters {
        from: u64,
        limit: usize,
        answer: oneshot::Sender<Result<Vec<DeadLetter>, LogError>>,
    },
    Close,
}

/// What there is to do.
enum Work {
    Appends,
    Control(Control),
    /// The reader has room, or has gone.
    Reader,
    Due,
    LookDue,
    /// Nobody has a handle any more.
    Abandoned,
}

/// The thread's state.
pub(super) struct Writer {
    file: LogFile,
    shared: Arc<Shared>,
    appends: mpsc::Receiver<Append>,
    controls: mpsc::Receiver<Control>,
    /// Taken from the queue, not written yet; empty between two pieces of work.
    group: Vec<Append>,
    reader: Option<Reader>,
    /// Written, and what the reader gets next.
    fresh: Vec<Record>,
    /// Whether `fresh` waits for one more group.
    is_held: bool,
    /// Readers so far.
    readers: u64,
    /// When committed records are removed, or the disk is tried again.
    due: Option<Instant>,
    /// When somebody was last looked for who removes the files.
    next_look: Instant,
    /// The files were removed: nothing is accepted any more.
    is_removed: bool,
}

impl Writer {
    pub(super) fn new(
        file: LogFile,
        shared: Arc<Shared>,
        appends: mpsc::Receiver<Append>,
        controls: mpsc::Receiver<Control>,
    ) -> Self {
        let now = Instant::now();
        Self {
            file,
            shared,
            appends,
            controls,
            group: Vec::with_capacity(BATCH),
            reader: None,
            fresh: Vec::new(),
            is_held: false,
            readers: 0,
            due: Some(now + REMOVAL_INTERVAL),
            next_look: now + LOOK_INTERVAL,
            is_removed: false,
        }
    }

    /// Works until the log is closed.
    pub(super) async fn run(mut self) {
        loop {
            match self.next_work().await {
                Work::Appends => self.write_group(),
                Work::Control(Control::Ingest { events, controls }) => self.start(events, controls),
                Work::Control(Control::Seek { number, feed }) => self.seek(number, feed),
                Work::Control(Control::DeadLetters {
                    from,
                    limit,
                    answer,
                }) => {
                    // The asker may have gone.
                    let _ = answer.send(self.dead_letters(from, limit));
                }
                Work::Reader => self.feed(),
                Work::Due => self.on_due(),
                Work::LookDue => self.look(),
                Work::Control(Control::Close) | Work::Abandoned => break,
            }
        }
        self.finish().await;
    }

    async fn next_work(&mut self) -> Work {
        let end = self.file.ends().messages;
        let lacking = self.reader.as_ref().filter(|_| self.fresh.is_empty());
        tokio::select! {
            taken = self.appends.recv_many(&mut self.group, BATCH - self.fresh.len()) => match taken {
                0 => Work::Abandoned,
                _ => Work::Appends,
            },
            Some(control) = self.controls.recv() => Work::Control(control),
            () = room(lacking, end) => Work::Reader,
            () = reached(self.due) => Work::Due,
            () = sleep_until(self.next_look) => Work::LookDue,
        }
    }

    fn write_group(&mut self) {
        let from = self.file.ends().messages;
        let written = self.write();
        self.keep_for_reader(from);
        for append in self.group.drain(..) {
            // The appender may have gone; the record is written all the same.
            let _ = append.answer.send(match &written {
                Written::Kept => Ok(()),
                Written::Refused(reason) => Err(AppendError::Refused(reason.clone())),
                Written::Unknown(reason) => Err(AppendError::Unknown(reason.clone())),
            });
        }
        // Who waits already is written first, once: it all goes on together, and out in one write.
        let has_room = self.fresh.len() <= BATCH / 2;
        self.is_held = !self.is_held && has_room && !self.appends.is_empty();
        if !self.is_held && !self.fresh.is_empty() {
            let records = mem::take(&mut self.fresh);
            self.hand_on(records);
        }
        if self.has_records() {
            self.wake_within(REMOVAL_INTERVAL);
        }
        self.file.checkpoint_if_due();
    }

    /// Keeps what was written of the group, if the reader has all that came before, and has room.
    fn keep_for_reader(&mut self, from: u64) {
        let feed = self.reader.as_ref().and_then(|it| it.feed.as_ref());
        let kept_to = feed.map(|feed| feed.next + self.fresh.len() as u64);
        if kept_to != Some(from) || feed.is_none_or(|feed| feed.sender.capacity() == 0) {
            self.fresh.clear();
            return;
        }
        let values = self
            .group
            .iter()
            .filter_map(|append| append.entry.message());
        // Where nothing was written, the end has not moved.
        let written = (from..self.file.ends().messages).zip(values);
        self.fresh.extend(written.map(|(offset, value)| Record {
            offset,
            value: value.clone(),
            is_hole: false,
        }));
    }

    /// Writes the group and what was committed; notices when the disk takes no more, or again.
    fn write(&mut self) -> Written {
        if self.is_removed {
            return Written::Refused(REMOVED.into());
        }
        let entries = self.group.iter().map(|append| &append.entry);
        let written = self.file.write(entries, self.shared.committed());
        self.look();
        if self.is_removed {
            return Written::Unknown(REMOVED.into());
        }
        if let Written::Refused(reason) | Written::Unknown(reason) = &written
            && self.shared.is_writable()
        {
            log::error!(reason:%; "the message log cannot be written");
        }
        self.publish_state();
        written
    }

    /// Notices when the files are removed: writing to them goes on, and is worth nothing.
    fn look(&mut self) {
        self.next_look = Instant::now() + LOOK_INTERVAL;
        if !self.is_removed && self.file.is_removed() {
            self.is_removed = true;
            self.publish_state();
            log::error!(
                "{REMOVED}: nothing is accepted; stop it, put the data folder back, and start it again"
            );
        }
    }

    fn publish_state(&mut self) {
        self.shared.set_end(self.file.ends().messages);
        self.shared
            .set_writable(self.file.is_settled() && !self.is_removed);
        if !self.file.is_settled() {
            self.wake_within(RECOVERY_INTERVAL);
        }
    }

    fn wake_within(&mut self, delay: Duration) {
        let at = Instant::now() + delay;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Recovers from a failed write, or removes what was committed.
    fn on_due(&mut self) {
        self.due = None;
        if !self.file.is_settled() {
            if self.file.settle() {
                log::info!("the message log can be written again");
            }
            self.publish_state();
        } else if self.can_remove() {
            self.write();
            self.file.checkpoint_if_due();
        }
        if self.is_removed || !self.file.is_settled() {
            return;
        }
        if self.file.shrink() || self.has_records() {
            self.wake_within(REMOVAL_INTERVAL);
        }
    }

    /// Puts a reader in the place of an earlier one, whose stream ends.
    fn start(&mut self, events: mpsc::Sender<IngestEvent>, controls: mpsc::Sender<Control>) {
        self.readers += 1;
        let assigned = IngestEvent::Assigned(vec![Assignment {
            partition: PARTITION,
            committed: Some(self.shared.committed()),
            first: self.file.first(),
            end: self.file.ends().messages,
            reader: PartitionReader::Local(LocalReader::new(self.readers, controls)),
        }]);
        // It is the first event, so that there is room; or the stream was dropped already.
        let has_reader = events.try_send(assigned).is_ok();
        self.reader = has_reader.then_some(Reader {
            number: self.readers,
            events,
            feed: None,
        });
    }

    /// Begins where the reader says, unless another has begun meanwhile.
    fn seek(&mut self, number: u64, feed: Feed) {
        let Some(reader) = self.reader.as_mut().filter(|it| it.number == number) else {
            return;
        };
        let next = feed.next;
        reader.feed = Some(feed);
        self.fresh.clear();
        let (first, end) = (self.file.first(), self.file.ends().messages);
        if next < first || next > end {
            self.fail_reader(format!(
                "it cannot be read from record {next}: it keeps {first} to {end}"
            ));
        }
    }

    /// Hands the reader its next records; there is room for them.
    fn feed(&mut self) {
        let Some(feed) = self.reader.as_ref().and_then(|it| it.feed.as_ref()) else {
            return;
        };
        match self.file.read(feed.next, BATCH) {
            Ok(records) => self.hand_on(records),
            Err(error) => self.fail_reader(error.to_string()),
        }
    }

    /// Gives the reader its next records; there is room for them.
    fn hand_on(&mut self, records: Vec<Record>) {
        let Some(feed) = self.reader.as_mut().and_then(|it| it.feed.as_mut()) else {
            return;
        };
        feed.next += records.len() as u64;
        if feed.sender.try_send(records).is_err()
            && let Some(reader) = &mut self.reader
        {
            reader.feed = None;
        }
    }

    fn fail_reader(&mut self, reason: String) {
        if let Some(reader) = self.reader.take() {
            // Full: the stream ends after what lies in it, and its reader opens another.
            let _ = reader.events.try_send(IngestEvent::Failed(reason));
        }
    }

    fn dead_letters(&mut self, from: u64, limit: usize) -> Result<Vec<DeadLetter>, LogError> {
        let rows = self.file.read_dead_letters(from, limit);
        let rows = rows.map_err(|e| LogError::Refused(e.to_string()))?;
        let letters = (from..).zip(rows);
        Ok(letters
            .map(|(offset, row)| DeadLetter::new(offset, row))
            .collect())
    }

    /// Returns whether some are to be removed, now or later.
    fn has_records(&self) -> bool {
        self.file.first() < self.file.ends().messages
    }

    fn can_remove(&self) -> bool {
        let is_writable = self.file.is_settled() && !self.is_removed;
        is_writable && self.shared.committed() > self.file.first()
    }

    /// Writes what is queued, and closes.
    async fn finish(mut self) {
        // What is written from now on is there for the next start.
        self.reader = None;
        self.fresh.clear();
        self.appends.close();
        while self.appends.recv_many(&mut self.group, BATCH).await > 0 {
            self.write_group();
        }
        while self.can_remove() && self.write() == Written::Kept {}
        self.file.close();
        // Only now: its end is what tells everybody that the files are closed.
        drop(self.controls);
    }
}

/// Waits until the reader, if it is behind, has room for another batch or has gone.
async fn room(reader: Option<&Reader>, end: u64) {
    match reader.and_then(|it| it.feed.as_ref()) {
        // The permit goes back at once: nobody but this thread sends.
        Some(feed) if feed.next < end => drop(feed.sender.reserve().await),
        _ => pending().await,
    }
}

async fn reached(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
