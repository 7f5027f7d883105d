//! The statements on `log.sqlite3`, and the checksums that each row carries.

use bytes::Bytes;
use diesel::{
    connection::DefaultLoadingMode,
    dsl::{max, sql},
    prelude::*,
    result::Error,
    sql_types::{BigInt, Text},
};

use super::{
    mark::Ends,
    schema::{dead_letters, messages, meta},
};
use crate::{ids::LogId, message_log::Record};

/// What the log says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub log_id: LogId,
    /// Offset of the first kept message: everything before it was committed and is gone.
    pub first: u64,
    /// Changes so that a recovery has something to write.
    pub fence: u64,
}

/// Why a row cannot be believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("record {offset} of {table} has a wrong checksum")]
    Damaged { table: &'static str, offset: u64 },
    #[error("record {offset} of {table} is missing")]
    Missing { table: &'static str, offset: u64 },
    #[error(transparent)]
    Query(#[from] Error),
}

fn checksum(parts: &[&[u8]]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    i64::from(hasher.finalize())
}

fn message_checksum(offset: u64, value: &[u8]) -> i64 {
    checksum(&[&offset.to_le_bytes(), value])
}

fn dead_letter_checksum(offset: u64, value: &[u8], headers: &str) -> i64 {
    let value_len = value.len() as u64;
    checksum(&[
        &offset.to_le_bytes(),
        &value_len.to_le_bytes(),
        value,
        headers.as_bytes(),
    ])
}

impl Meta {
    fn checksum(&self) -> i64 {
        checksum(&[
            self.log_id.0.as_bytes(),
            &self.first.to_le_bytes(),
            &self.fence.to_le_bytes(),
        ])
    }
}

/// Reads a number that a pragma answers.
pub(super) fn pragma_number(db: &mut SqliteConnection, name: &str) -> QueryResult<i64> {
    sql::<BigInt>(&format!("PRAGMA {name}")).get_result(db)
}

/// Reads a text that a pragma answers.
pub(super) fn pragma_text(db: &mut SqliteConnection, name: &str) -> QueryResult<String> {
    sql::<Text>(&format!("PRAGMA {name}")).get_result(db)
}

/// Reads the row about the log; `None` when there is not exactly one good one.
pub(super) fn load_meta(db: &mut SqliteConnection) -> QueryResult<Option<Meta>> {
    let rows = meta::table.load::<(i64, String, i64, i64, i64)>(db)?;
    let [(_, log_id, first, fence, crc)] = &rows[..] else {
        return Ok(None);
    };
    let meta = log_id.parse().ok().map(|log_id| Meta {
        log_id,
        first: first.cast_unsigned(),
        fence: fence.cast_unsigned(),
    });
    Ok(meta.filter(|meta| meta.checksum() == *crc))
}

/// Writes the row about the log.
pub(super) fn save_meta(db: &mut SqliteConnection, row: &Meta) -> QueryResult<usize> {
    let columns = (
        meta::only.eq(1),
        meta::log_id.eq(row.log_id.to_string()),
        meta::first.eq(row.first.cast_signed()),
        meta::fence.eq(row.fence.cast_signed()),
        meta::crc.eq(row.checksum()),
    );
    diesel::replace_into(meta::table)
        .values(columns)
        .execute(db)
}

pub(super) fn insert_message(
    db: &mut SqliteConnection,
    offset: u64,
    value: &[u8],
) -> QueryResult<usize> {
    let columns = (
        messages::offset.eq(offset.cast_signed()),
        messages::value.eq(value),
        messages::crc.eq(message_checksum(offset, value)),
    );
    diesel::insert_into(messages::table)
        .values(columns)
        .execute(db)
}

pub(super) fn insert_dead_letter(
    db: &mut SqliteConnection,
    offset: u64,
    value: &[u8],
    headers: &str,
) -> QueryResult<usize> {
    let columns = (
        dead_letters::offset.eq(offset.cast_signed()),
        dead_letters::value.eq(value),
        dead_letters::headers.eq(headers),
        dead_letters::crc.eq(dead_letter_checksum(offset, value, headers)),
    );
    diesel::insert_into(dead_letters::table)
        .values(columns)
        .execute(db)
}

/// Removes the messages before an offset.
pub(super) fn remove_messages(db: &mut SqliteConnection, before: u64) -> QueryResult<usize> {
    diesel::delete(messages::table.filter(messages::offset.lt(before.cast_signed()))).execute(db)
}

/// Returns where the topics end, given the first kept message.
pub(super) fn ends(db: &mut SqliteConnection, first: u64) -> QueryResult<Ends> {
    let last_message: Option<i64> = messages::table.select(max(messages::offset)).first(db)?;
    let last_dead: Option<i64> = dead_letters::table
        .select(max(dead_letters::offset))
        .first(db)?;
    Ok(Ends {
        messages: last_message.map_or(first, |last| last.cast_unsigned() + 1),
        dead_letters: last_dead.map_or(0, |last| last.cast_unsigned() + 1),
    })
}

/// Reads at most `limit` consecutive messages from an offset on; stops at what it cannot believe.
///
/// # Errors
/// When a record is damaged or missing, also when none is there at all.
pub(super) fn read_messages(
    db: &mut SqliteConnection,
    from: u64,
    limit: usize,
) -> Result<Vec<Record>, RowError> {
    let query = messages::table
        .filter(messages::offset.ge(from.cast_signed()))
        .order(messages::offset.asc())
        .limit(limit as i64);
    let mut records = Vec::new();
    for row in query.load_iter::<(i64, Vec<u8>, i64), DefaultLoadingMode>(db)? {
        records.push(check_message(row?, from + records.len() as u64)?);
    }
    if records.is_empty() {
        return Err(missing_message(from));
    }
    Ok(records)
}

/// Reads every message, to see that each is there and whole; returns the offset after the last.
pub(super) fn check_messages(db: &mut SqliteConnection, first: u64) -> Result<u64, RowError> {
    let mut next = first;
    let query = messages::table.order(messages::offset.asc());
    for row in query.load_iter::<(i64, Vec<u8>, i64), DefaultLoadingMode>(db)? {
        check_message(row?, next)?;
        next += 1;
    }
    Ok(next)
}

fn check_message(row: (i64, Vec<u8>, i64), expected: u64) -> Result<Record, RowError> {
    let (offset, value, crc) = row;
    if offset.cast_unsigned() != expected {
        return Err(missing_message(expected));
    }
    if crc != message_checksum(expected, &value) {
        return Err(RowError::Damaged {
            table: "messages",
            offset: expected,
        });
    }
    Ok(Record {
        offset: expected,
        value: Bytes::from(value),
        is_hole: false,
    })
}

fn missing_message(offset: u64) -> RowError {
    RowError::Missing {
        table: "messages",
        offset,
    }
}

/// A row of `dead_letters`: value and headers as they are stored.
pub(super) type DeadLetterRow = (Vec<u8>, String);

/// Reads at most `limit` consecutive dead letters from an offset on.
///
/// # Errors
/// When one is damaged or missing.
pub(super) fn read_dead_letters(
    db: &mut SqliteConnection,
    from: u64,
    limit: usize,
) -> Result<Vec<DeadLetterRow>, RowError> {
    let query = dead_letters::table
        .filter(dead_letters::offset.ge(from.cast_signed()))
        .order(dead_letters::offset.asc())
        .limit(limit as i64);
    let mut rows = Vec::new();
    for row in query.load_iter::<(i64, Vec<u8>, String, i64), DefaultLoadingMode>(db)? {
        rows.push(check_dead_letter(row?, from + rows.len() as u64)?);
    }
    Ok(rows)
}

/// Reads every dead letter, to see that each is there and whole; returns the offset after the last.
pub(super) fn check_dead_letters(db: &mut SqliteConnection) -> Result<u64, RowError> {
    let mut next = 0;
    let query = dead_letters::table.order(dead_letters::offset.asc());
    for row in query.load_iter::<(i64, Vec<u8>, String, i64), DefaultLoadingMode>(db)? {
        check_dead_letter(row?, next)?;
        next += 1;
    }
    Ok(next)
}

fn check_dead_letter(
    row: (i64, Vec<u8>, String, i64),
    expected: u64,
) -> Result<DeadLetterRow, RowError> {
    let (offset, value, headers, crc) = row;
    let table = "dead_letters";
    if offset.cast_unsigned() != expected {
        return Err(RowError::Missing {
            table,
            offset: expected,
        });
    }
    if crc != dead_letter_checksum(expected, &value, &headers) {
        return Err(RowError::Damaged {
            table,
            offset: expected,
        });
    }
    Ok((value, headers))
}
