//! The log's files: made, checked, opened. Nothing of a log that is refused is changed.

use std::{
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use diesel::{
    Connection, SqliteConnection,
    connection::SimpleConnection,
    result::{Error, QueryResult},
};
use rustix::fs::{Mode, OFlags};

use super::{
    Expected,
    mark::{Ends, Mark, Slot, put_in_place},
    refusal::{Fault, OpenError, Refusal},
    rows::{self, Meta, RowError},
    schema,
};
use crate::ids::LogId;

/// Bytes that the `-wal` file keeps once its content is in the main file.
const WAL_KEPT_BYTES: u64 = 8 << 20;

/// Bytes that no SQLite database is shorter than, unless it is cut. SQLite itself takes what has
/// none (or one) for a new database, and throws its `-wal` file away.
const SMALLEST_PAGE: u64 = 512;

/// SQLite's words for another process's lock; Diesel does not pass its error codes on.
const IN_USE: &str = "database is locked";

/// Where a log's files lie.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub database: PathBuf,
    pub mark: PathBuf,
}

impl Files {
    pub(super) fn of(dir: &Path) -> Result<Self, OpenError> {
        let dir = fs::canonicalize(dir).map_err(|e| OpenError::file(dir, "read", e))?;
        Ok(Self {
            database: dir.join("log.sqlite3"),
            mark: dir.join("log.mark"),
        })
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.database.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// Returns which log this is and what it holds, or makes a new one.
    ///
    /// # Errors
    /// [`Refusal`] when the files are damaged, incomplete, or not the store's.
    pub(super) fn check_or_create(&self, expected: &Expected) -> Result<(Slot, Ends), OpenError> {
        let marked = Mark::read(&self.mark)?;
        match (exists(&self.database)?, marked) {
            (true, Some(slot)) => Ok((slot, self.check(slot, expected)?)),
            (true, None) => Err(Refusal::new(&self.mark, Fault::Missing).into()),
            // The first start was cut off before anything could be accepted.
            (false, Some(slot)) if slot.ends == Ends::default() => {
                check_id(&self.mark, slot.log_id, expected)?;
                self.create_database(slot.log_id, expected)?;
                Ok((slot, slot.ends))
            }
            (false, None) if expected.log_id.is_none() => {
                let slot = Mark::create(&self.mark, LogId::random())?;
                self.create_database(slot.log_id, expected)?;
                Ok((slot, slot.ends))
            }
            (false, _) => Err(Refusal::new(&self.database, Fault::Missing).into()),
        }
    }

    /// Makes an empty log, whole or not at all.
    fn create_database(&self, log_id: LogId, expected: &Expected) -> Result<(), OpenError> {
        if expected.ingested > 0 || exists(&self.beside("-wal"))? {
            return Err(Refusal::new(&self.database, Fault::Missing).into());
        }
        let unfinished = self.beside(".new");
        for leftover in [
            &unfinished,
            &self.beside(".new-journal"),
            &self.beside(".new-wal"),
        ] {
            remove_if_there(leftover).map_err(|e| OpenError::file(leftover, "removed", e))?;
        }
        let meta = Meta {
            log_id,
            first: 0,
            fence: 0,
        };
        let create = |db: &mut SqliteConnection| {
            // Before all else: it cannot be changed once a page is written.
            db.batch_execute("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
            db.batch_execute(&format!(
                "BEGIN; {} PRAGMA application_id = {}; PRAGMA user_version = {};",
                schema::CREATE,
                schema::APPLICATION_ID,
                schema::FORMAT
            ))?;
            rows::save_meta(db, &meta)?;
            db.batch_execute("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);")
        };
        let mut db = connect(&unfinished, "rwc")?;
        create(&mut db).map_err(|e| OpenError::database(&self.database, "made", e))?;
        drop(db);
        File::open(&unfinished)
            .and_then(|file| file.sync_all())
            .and_then(|()| put_in_place(&unfinished, &self.database))
            .map_err(|e| OpenError::file(&self.database, "made", e))
    }

    /// Reads everything through a connection that cannot write.
    fn check(&self, slot: Slot, expected: &Expected) -> Result<Ends, OpenError> {
        let file = fs::metadata(&self.database);
        let file = file.map_err(|e| OpenError::file(&self.database, "read", e))?;
        if file.len() < SMALLEST_PAGE {
            return Err(self.refusal(Fault::Cut));
        }
        let mut db = connect(&self.database, "ro")?;
        let ends = self.check_content(&mut db, slot, expected);
        drop(db);
        // SQLite rebuilds it; the connection that writes has no need of it.
        let _ = remove_if_there(&self.beside("-shm"));
        ends
    }

    fn check_content(
        &self,
        db: &mut SqliteConnection,
        slot: Slot,
        expected: &Expected,
    ) -> Result<Ends, OpenError> {
        let unreadable = |e: Error| self.unreadable(&e);
        let application = rows::pragma_number(db, "application_id").map_err(unreadable)?;
        if application != schema::APPLICATION_ID {
            return Err(self.refusal(Fault::NotALog));
        }
        let found = rows::pragma_number(db, "user_version").map_err(unreadable)?;
        if found > schema::FORMAT {
            return Err(self.refusal(Fault::NewerFormat { found }));
        }
        let verdict = rows::pragma_text(db, "integrity_check(1)").map_err(unreadable)?;
        if verdict != "ok" {
            return Err(self.refusal(Fault::Unreadable(verdict)));
        }
        let meta = rows::load_meta(db).map_err(unreadable)?;
        let meta = meta.ok_or_else(|| self.refusal(Fault::MetaDamaged))?;
        if meta.log_id != slot.log_id {
            return Err(self.refusal(Fault::OtherLog {
                found: meta.log_id,
                expected: slot.log_id,
            }));
        }
        check_id(&self.database, meta.log_id, expected)?;
        let ends = Ends {
            messages: rows::check_messages(db, meta.first).map_err(|e| self.distrust(e))?,
            dead_letters: rows::check_dead_letters(db).map_err(|e| self.distrust(e))?,
        };
        self.check_extent(meta.first, ends, slot.ends, expected)?;
        Ok(ends)
    }

    /// Compares what is there with what was accepted and with what the store has taken.
    fn check_extent(
        &self,
        first: u64,
        ends: Ends,
        accepted: Ends,
        expected: &Expected,
    ) -> Result<(), OpenError> {
        let topics = [
            ("messages", ends.messages, accepted.messages),
            ("dead_letters", ends.dead_letters, accepted.dead_letters),
        ];
        for (table, end, accepted) in topics {
            if end < accepted {
                let lost = Fault::EndLost {
                    table,
                    end,
                    accepted,
                };
                return Err(self.refusal(lost));
            }
        }
        let ingested = expected.ingested;
        let end = ends.messages;
        if expected.log_id.is_none() && ends != Ends::default() {
            return Err(self.refusal(Fault::StoreIsNew));
        }
        if end < ingested {
            return Err(self.refusal(Fault::BehindStore { end, ingested }));
        }
        if first > ingested {
            return Err(self.refusal(Fault::AheadOfStore { first, ingested }));
        }
        Ok(())
    }

    fn distrust(&self, error: RowError) -> OpenError {
        self.refusal(match error {
            RowError::Damaged { table, offset } => Fault::RecordDamaged { table, offset },
            RowError::Missing { table, offset } => Fault::Hole { table, offset },
            RowError::Query(e) => return self.unreadable(&e),
        })
    }

    fn unreadable(&self, error: &Error) -> OpenError {
        let reason = error.to_string();
        if reason == IN_USE {
            return OpenError::database(&self.database, "opened", reason);
        }
        self.refusal(Fault::Unreadable(reason))
    }

    fn refusal(&self, fault: Fault) -> OpenError {
        Refusal::new(&self.database, fault).into()
    }

    /// Opens the checked database for writing, for this connection alone.
    pub(super) fn open_database(&self) -> Result<SqliteConnection, OpenError> {
        let mut db = connect(&self.database, "rw")?;
        let mut set_up = || -> QueryResult<String> {
            // An exclusive lock before the first access to the WAL: no `-shm` file is needed.
            db.batch_execute(
                "PRAGMA busy_timeout = 2000; PRAGMA locking_mode = EXCLUSIVE;
                 PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
            )?;
            let mode = rows::pragma_text(&mut db, "journal_mode = WAL")?;
            db.batch_execute(&format!(
                "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
                 PRAGMA journal_size_limit = {WAL_KEPT_BYTES};"
            ))?;
            Ok(mode)
        };
        match set_up() {
            Ok(mode) if mode == "wal" => Ok(db),
            Ok(mode) => Err(OpenError::database(
                &self.database,
                "written",
                format!("its journal mode stays `{mode}`"),
            )),
            Err(e) => Err(OpenError::database(&self.database, "written", e)),
        }
    }
}

/// Sees whether the open files are still in a folder: a removed one takes writes as before, and
/// keeps nothing.
pub(super) struct Witness([OwnedFd; 2]);

impl Witness {
    pub(super) fn of(files: &Files) -> Result<Self, OpenError> {
        // Closing a descriptor of another kind would take SQLite's locks away.
        let look = |path: &Path| {
            rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| OpenError::file(path, "read", e.into()))
        };
        Ok(Self([look(&files.database)?, look(&files.mark)?]))
    }

    pub(super) fn sees_removal(&self) -> bool {
        let is_removed =
            |file: &OwnedFd| rustix::fs::fstat(file).is_ok_and(|file| file.st_nlink == 0);
        self.0.iter().any(is_removed)
    }
}

fn check_id(file: &Path, found: LogId, expected: &Expected) -> Result<(), OpenError> {
    match expected.log_id {
        Some(expected) if expected != found => {
            Err(Refusal::new(file, Fault::OtherLog { found, expected }).into())
        }
        _ => Ok(()),
    }
}

pub(super) fn connect(path: &Path, mode: &str) -> Result<SqliteConnection, OpenError> {
    SqliteConnection::establish(&format!("file:{}?mode={mode}", percent_encode(path)))
        .map_err(|e| OpenError::database(path, "opened", e))
}

/// Writes a path as SQLite's URIs want it, whatever bytes it has.
fn percent_encode(path: &Path) -> String {
    let mut encoded = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                encoded.push(char::from(*byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let error = io::ErrorKind::IsADirectory.into();
            Err(OpenError::file(path, "read", error))
        }
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(OpenError::file(path, "read", e)),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
