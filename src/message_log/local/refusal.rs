//! Why a log is not opened, in one sentence: which file, what is wrong with it, what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::schema::FORMAT;
use crate::{data_dir::in_words, ids::LogId, message_log::LogError};

/// What is wrong with a log's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("is missing")]
    Missing,
    #[error("cannot be read ({0})")]
    Unreadable(String),
    #[error("is cut or damaged")]
    Cut,
    #[error("is not a message log")]
    NotALog,
    #[error("was written by a newer version of roomcast (format {found}, this one knows {FORMAT})")]
    NewerFormat { found: i64 },
    #[error("is damaged: what it says about itself has a wrong checksum")]
    MetaDamaged,
    #[error("is damaged: record {offset} of {table} has a wrong checksum")]
    RecordDamaged { table: &'static str, offset: u64 },
    #[error("has a hole: record {offset} of {table} is missing")]
    Hole { table: &'static str, offset: u64 },
    #[error("has lost its end: {accepted} records of {table} were accepted, it knows of {end}")]
    EndLost {
        table: &'static str,
        end: u64,
        accepted: u64,
    },
    #[error("is of log {found}, but the database beside it goes with log {expected}")]
    OtherLog { found: LogId, expected: LogId },
    #[error("holds records, but the database beside it has never gone with a log")]
    StoreIsNew,
    #[error("ends at record {end}, but the database beside it has stored {ingested}")]
    BehindStore { end: u64, ingested: u64 },
    #[error("begins at record {first}, but the database beside it has stored only {ingested}")]
    AheadOfStore { first: u64, ingested: u64 },
}

impl Fault {
    fn advice(&self) -> &'static str {
        match self {
            Self::NewerFormat { .. } => "start that version again, or use another data folder",
            Self::OtherLog { .. }
            | Self::StoreIsNew
            | Self::BehindStore { .. }
            | Self::AheadOfStore { .. } => {
                "put back files that belong together, all from one backup, or use another data folder"
            }
            Self::Unreadable(_) => {
                "if its disk is well and not full, restore the whole data folder from a backup, \
                 or use another data folder"
            }
            _ => "restore the whole data folder from a backup, or use another data folder",
        }
    }
}

/// A log that is not opened: only an operator can decide what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {fault}: {}", file.display(), fault.advice())]
pub(super) struct Refusal {
    pub file: PathBuf,
    pub fault: Fault,
}

impl Refusal {
    pub(super) fn new(file: &Path, fault: Fault) -> Self {
        Self {
            file: file.to_owned(),
            fault,
        }
    }
}

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("`{}` cannot be {action}: {}", file.display(), in_words(source))]
    File {
        file: PathBuf,
        /// What was tried: `read`, `written`, `made`.
        action: &'static str,
        source: io::Error,
    },
    #[error("`{}` cannot be {action}: {reason}", file.display())]
    Database {
        file: PathBuf,
        action: &'static str,
        reason: String,
    },
    #[error("the thread of the message log cannot be started: {0}")]
    Thread(#[source] io::Error),
}

impl OpenError {
    pub(super) fn file(file: &Path, action: &'static str, source: io::Error) -> Self {
        Self::File {
            file: file.to_owned(),
            action,
            source,
        }
    }

    pub(super) fn database(file: &Path, action: &'static str, reason: impl ToString) -> Self {
        Self::Database {
            file: file.to_owned(),
            action,
            reason: reason.to_string(),
        }
    }
}

impl From<OpenError> for LogError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused(refusal) => Self::Refused(refusal.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
