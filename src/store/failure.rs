//! Why the store did not do something, and whether it may later.

use std::path::PathBuf;

use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::pooled_connection::deadpool::PoolError;

use crate::ids::LogId;

/// Why a unit of work did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database is away or too slow; the same call may succeed later.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// A fault in our statements or data; repeating does not help.
    #[error("database fault: {0}")]
    Fault(String),
}

impl StoreError {
    /// Returns whether repeating does not help.
    pub(super) fn is_fault(error: &Error) -> bool {
        matches!(
            error,
            Error::DatabaseError(
                DatabaseErrorKind::UniqueViolation
                    | DatabaseErrorKind::ForeignKeyViolation
                    | DatabaseErrorKind::NotNullViolation
                    | DatabaseErrorKind::CheckViolation,
                _,
            ) | Error::NotFound
                | Error::InvalidCString(_)
                | Error::QueryBuilderError(_)
                | Error::DeserializationError(_)
                | Error::SerializationError(_)
        )
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match Self::is_fault(&error) {
            true => Self::Fault(error.to_string()),
            // A full disk, a lost connection, a lock: what is wrong today may be right tomorrow.
            false => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Why a batch was not stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database counts the offsets of another log.
    #[error("the database belongs to another message log")]
    OtherLog,
}

/// Why a database was not opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    #[error("`{0}` does not exist: start the server on this folder once, or name another")]
    Missing(PathBuf),
    #[error("`{0}` is from a newer version of roomcast: use that version, or another data folder")]
    Newer(PathBuf),
    #[error("`{0}` is from an older version of roomcast: start the server on it once")]
    Older(PathBuf),
    #[error(
        "`{path}` cannot be opened: {reason}; restore it from a backup, or use another data folder"
    )]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "the database counts the offsets of log {bound}, but the log here is {log_id}: put back the files that belong together"
    )]
    OtherLog { bound: LogId, log_id: LogId },
    #[error("DATABASE_URL, or what DB_* make of it, cannot be used: {0}")]
    BadUrl(String),
    #[error(
        "PostgreSQL at {addr} cannot be reached: {reason}; check DB_HOST and DB_PORT (or DATABASE_URL), and that it runs"
    )]
    Unavailable { addr: String, reason: String },
    #[error(
        "PostgreSQL at {addr} refuses us: {reason}; check DB_USERNAME and DB_PASSWORD (or DATABASE_URL)"
    )]
    Refused { addr: String, reason: String },
    #[error(
        "PostgreSQL at {addr} does not prove who it is: {reason}; check DB_SSL_CA, and that the certificate is for that host"
    )]
    Untrusted { addr: String, reason: String },
    #[error(
        "PostgreSQL at {addr} has no database `{name}`: create it, or check DB_DATABASE (or DATABASE_URL)"
    )]
    NoDatabase { name: String, addr: String },
    #[error(
        "the schema of database `{database}` cannot be brought up to date: {reason}; check that DB_USERNAME may create tables in it"
    )]
    NotMigrated { database: String, reason: String },
    #[error(
        "the schema of database `{database}` is older than this version of roomcast: run `roomcast migrate`, or start with --migrate"
    )]
    Behind { database: String },
    #[error(
        "the schema of database `{database}` is from a newer version of roomcast: use that version, or another database (DB_DATABASE)"
    )]
    NewerSchema { database: String },
    #[error(
        "database `{database}` (DB_DATABASE) keeps text as {encoding}, which not every message fits in: create one with ENCODING 'UTF8'"
    )]
    Encoding { database: String, encoding: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    /// Returns whether the same call may succeed later, with nobody changing a setting.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Store(StoreError::Unavailable(_))
        )
    }

    /// Returns whether a setting is wrong: who may log in where.
    #[must_use]
    pub fn is_wrong_setting(&self) -> bool {
        matches!(
            self,
            Self::BadUrl(_)
                | Self::Refused { .. }
                | Self::Untrusted { .. }
                | Self::NoDatabase { .. }
        )
    }
}

impl From<PoolError> for OpenError {
    fn from(error: PoolError) -> Self {
        StoreError::from(error).into()
    }
}
