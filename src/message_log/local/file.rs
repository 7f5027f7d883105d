//! The open log: one transaction a group of records, and a definite answer wherever there is one.

use std::{io, path::Path};

use bytes::Bytes;
use diesel::{SqliteConnection, connection::SimpleConnection, result::Error};

use super::{
    Expected,
    files::{Files, Witness},
    mark::{Ends, Mark},
    refusal::OpenError,
    rows::{self, DeadLetterRow, Meta, RowError},
};
use crate::{ids::LogId, message_log::Record};

/// Most messages that one transaction removes.
const MAX_REMOVED: u64 = 10_000;

/// Transactions after which the `-wal` file's content is put into the main file.
const CHECKPOINT_COMMITS: u32 = 256;

/// Bytes of values after which the same is done.
const CHECKPOINT_BYTES: usize = 4 << 20;

/// Unused pages (4 KiB) that the main file keeps for the next burst.
const FREE_PAGES_KEPT: i64 = 1_024;

/// Most pages given back to the disk in one go.
const PAGES_RETURNED: i64 = 1_024;

/// A record of one of the durable topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Message(Bytes),
    /// With its headers as a JSON array of pairs.
    DeadLetter(Bytes, String),
}

impl Entry {
    pub(super) fn message(&self) -> Option<&Bytes> {
        match self {
            Self::Message(value) => Some(value),
            Self::DeadLetter(..) => None,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Message(value) | Self::DeadLetter(value, _) => value.len(),
        }
    }
}

/// What became of a group of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    /// They are in the log, durably.
    Kept,
    /// They are not in the log and will not be.
    Refused(String),
    /// A crash now would leave either; [`LogFile::settle`] decides later.
    Unknown(String),
}

/// How far a transaction came before it failed.
#[derive(Debug)]
enum Failure {
    BeforeCommit(Error),
    AtCommit(Error),
    AtMark(io::Error),
}

/// An open log file and its mark.
pub(super) struct LogFile {
    db: SqliteConnection,
    mark: Mark,
    witness: Witness,
    meta: Meta,
    ends: Ends,
    /// Whether what is on the disk is what we think; if not, nothing is written but the recovery.
    is_settled: bool,
    commits_since_checkpoint: u32,
    bytes_since_checkpoint: usize,
}

impl LogFile {
    /// Opens the log in a folder, after checking all of it.
    ///
    /// # Errors
    /// When it is refused, or cannot be read or written.
    pub(super) fn open(dir: &Path, expected: &Expected) -> Result<Self, OpenError> {
        let files = Files::of(dir)?;
        let (slot, ends) = files.check_or_create(expected)?;
        let mut db = files.open_database()?;
        // Writes, so that a disk that takes nothing shows now.
        let meta =
            fence(&mut db).map_err(|e| OpenError::database(&files.database, "written", e))?;
        Ok(Self {
            db,
            mark: Mark::open(&files.mark, slot, ends)?,
            witness: Witness::of(&files)?,
            meta,
            ends,
            is_settled: true,
            commits_since_checkpoint: 0,
            bytes_since_checkpoint: 0,
        })
    }

    pub(super) fn id(&self) -> LogId {
        self.meta.log_id
    }

    /// Offset of the first message that is kept.
    pub(super) fn first(&self) -> u64 {
        self.meta.first
    }

    pub(super) fn ends(&self) -> Ends {
        self.ends
    }

    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Returns whether somebody has removed the files: what is written from then on is lost.
    pub(super) fn is_removed(&self) -> bool {
        self.witness.sees_removal()
    }

    /// Appends a group of records, and removes messages before `committed`: all or nothing.
    pub(super) fn write<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Entry>,
        committed: u64,
    ) -> Written {
        if !self.is_settled {
            return Written::Refused("the log waits for its disk".into());
        }
        let before = self.ends;
        let Err(failure) = self.transact(entries, committed) else {
            return Written::Kept;
        };
        self.is_settled = false;
        if self.settle() {
            return match failure {
                _ if self.ends != before => Written::Kept,
                failure => Written::Refused(failure.reason()),
            };
        }
        match failure {
            Failure::BeforeCommit(_) => Written::Refused(failure.reason()),
            Failure::AtCommit(_) | Failure::AtMark(_) => Written::Unknown(failure.reason()),
        }
    }

    fn transact<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Entry>,
        committed: u64,
    ) -> Result<(), Failure> {
        let mut bytes = 0;
        let entries = entries.inspect(|entry| bytes += entry.len());
        let (ends, meta) = self
            .prepare(entries, committed)
            .map_err(Failure::BeforeCommit)?;
        self.db.batch_execute("COMMIT").map_err(Failure::AtCommit)?;
        self.commits_since_checkpoint += 1;
        self.bytes_since_checkpoint += bytes;
        self.meta = meta;
        if ends != self.ends {
            self.mark.write(ends).map_err(Failure::AtMark)?;
        }
        self.ends = ends;
        Ok(())
    }

    /// Begins a transaction and puts everything into it.
    fn prepare<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Entry>,
        committed: u64,
    ) -> Result<(Ends, Meta), Error> {
        let (mut ends, mut meta) = (self.ends, self.meta);
        self.db.batch_execute("BEGIN IMMEDIATE")?;
        for entry in entries {
            match entry {
                Entry::Message(value) => {
                    rows::insert_message(&mut self.db, ends.messages, value)?;
                    ends.messages += 1;
                }
                Entry::DeadLetter(value, headers) => {
                    rows::insert_dead_letter(&mut self.db, ends.dead_letters, value, headers)?;
                    ends.dead_letters += 1;
                }
            }
        }
        if committed > meta.first {
            meta.first = committed.min(meta.first + MAX_REMOVED);
            rows::remove_messages(&mut self.db, meta.first)?;
            rows::save_meta(&mut self.db, &meta)?;
        }
        Ok((ends, meta))
    }

    /// Brings the disk and what we think of it together again after a failed write.
    ///
    /// A transaction whose COMMIT failed may lie complete in the `-wal` file, and would come to
    /// life in a crash; the fence takes its place there, so that reading back is then final.
    pub(super) fn settle(&mut self) -> bool {
        // Fails when SQLite has rolled back by itself.
        let _ = self.db.batch_execute("ROLLBACK");
        let settled = fence(&mut self.db).and_then(|meta| {
            let ends = rows::ends(&mut self.db, meta.first)?;
            Ok((meta, ends))
        });
        let Ok((meta, ends)) = settled else {
            return false;
        };
        self.meta = meta;
        if self.mark.write(ends).is_err() {
            return false;
        }
        self.ends = ends;
        self.is_settled = true;
        true
    }

    /// Reads consecutive messages from an offset on, never none.
    ///
    /// # Errors
    /// When there are none, or one is damaged.
    pub(super) fn read(&mut self, from: u64, limit: usize) -> Result<Vec<Record>, RowError> {
        rows::read_messages(&mut self.db, from, limit)
    }

    /// Reads consecutive dead letters from an offset on.
    ///
    /// # Errors
    /// When one is damaged or missing.
    pub(super) fn read_dead_letters(
        &mut self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetterRow>, RowError> {
        rows::read_dead_letters(&mut self.db, from, limit)
    }

    /// Puts the content of the `-wal` file into the main file once there is enough of it.
    pub(super) fn checkpoint_if_due(&mut self) {
        if self.commits_since_checkpoint >= CHECKPOINT_COMMITS
            || self.bytes_since_checkpoint >= CHECKPOINT_BYTES
        {
            self.checkpoint("PASSIVE");
        }
    }

    /// Gives unused pages back to the disk; returns whether there are more.
    pub(super) fn shrink(&mut self) -> bool {
        let free = rows::pragma_number(&mut self.db, "freelist_count").unwrap_or(0);
        let surplus = free - FREE_PAGES_KEPT;
        if surplus <= 0 {
            return false;
        }
        let pages = surplus.min(PAGES_RETURNED);
        let vacuum = format!("PRAGMA incremental_vacuum({pages})");
        let returned = self.db.batch_execute(&vacuum);
        self.checkpoint("PASSIVE");
        returned.is_ok() && surplus > PAGES_RETURNED
    }

    fn checkpoint(&mut self, mode: &str) {
        let checkpoint = format!("PRAGMA wal_checkpoint({mode})");
        if let Err(error) = self.db.batch_execute(&checkpoint) {
            log::warn!(error:%; "the message log was not checkpointed");
        }
        self.commits_since_checkpoint = 0;
        self.bytes_since_checkpoint = 0;
    }

    /// Puts everything into the main file and closes.
    pub(super) fn close(mut self) {
        self.checkpoint("TRUNCATE");
    }

    #[cfg(test)]
    pub(super) fn parts_for_test(&mut self) -> (&mut SqliteConnection, &mut Mark) {
        (&mut self.db, &mut self.mark)
    }
}

impl Failure {
    fn reason(&self) -> String {
        match self {
            Self::BeforeCommit(error) | Self::AtCommit(error) => error.to_string(),
            Self::AtMark(error) => error.to_string(),
        }
    }
}

/// Writes a transaction that changes nothing but a counter; returns what the log says of itself.
fn fence(db: &mut SqliteConnection) -> Result<Meta, Error> {
    let mut meta = rows::load_meta(db)?.ok_or(Error::NotFound)?;
    meta.fence += 1;
    // Alone, it is a transaction of its own.
    rows::save_meta(db, &meta)?;
    Ok(meta)
}
