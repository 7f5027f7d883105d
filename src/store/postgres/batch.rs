//! A batch and what may happen to it: a record that the server refuses, a connection that breaks.

use std::{iter, ops::Range};

use diesel::result::{
    DatabaseErrorKind::{
        CheckViolation, ExclusionViolation, ForeignKeyViolation, NotNullViolation,
        RestrictViolation, UniqueViolation, Unknown,
    },
    Error::{self, DatabaseError},
};

use super::{
    Database,
    ingest::{self, Slice},
    plan::Entry,
};
use crate::store::{IngestBatch, IngestError, Ingested, RecordOutcome, StoreError};

/// Tries of one transaction before the caller is told, who tries on for ever.
const TRIES: u32 = 3;

/// What became of a part of a batch.
enum Part {
    Done(Vec<RecordOutcome>),
    Behind {
        next: u64,
    },
    /// The server takes the data of at least one record for wrong.
    Refused(String),
}

/// Stores a batch in one transaction; one with a record that is refused in halves, until that
/// record is alone.
pub(super) async fn ingest(
    database: &Database,
    batch: &IngestBatch,
) -> Result<Ingested, IngestError> {
    let readable = |record| Result::as_ref(record).map_err(ToString::to_string);
    let mut entries: Vec<Entry<'_>> = batch.records.iter().map(readable).collect();
    let mut outcomes = Vec::with_capacity(entries.len());
    let mut ahead: Vec<_> = iter::once(0..entries.len()).collect();
    while let Some(range) = ahead.pop() {
        match part(database, batch, &entries, range.clone()).await? {
            Part::Done(more) => outcomes.extend(more),
            Part::Behind { next } => return Ok(Ingested::Behind { next }),
            Part::Refused(reason) => split(range, reason, &mut entries, &mut ahead),
        }
    }
    Ok(Ingested::Done(outcomes))
}

/// The first half is done first, so that offsets stay consecutive; a record alone is dead.
fn split(
    range: Range<usize>,
    reason: String,
    entries: &mut [Entry<'_>],
    ahead: &mut Vec<Range<usize>>,
) {
    if range.len() == 1 {
        entries[range.start] = Err(reason);
        ahead.push(range);
    } else {
        let middle = range.start + range.len() / 2;
        ahead.extend([middle..range.end, range.start..middle]);
    }
}

async fn part(
    database: &Database,
    batch: &IngestBatch,
    entries: &[Entry<'_>],
    range: Range<usize>,
) -> Result<Part, IngestError> {
    let slice = Slice {
        log_id: batch.log_id,
        partition: batch.partition,
        from: batch.from + range.start as u64,
        entries: &entries[range],
    };
    // Of a transaction whose commit was not answered.
    let mut unsure = None;
    for tries_left in (0..TRIES).rev() {
        let conn = database.connection().await.map_err(StoreError::from)?;
        let mut decided = None;
        let error = match ingest::ingest(conn, slice, &mut decided).await {
            Ok(Ok(Ingested::Done(outcomes))) => return Ok(Part::Done(settle(unsure, outcomes))),
            Ok(Ok(Ingested::Behind { next })) => return Ok(Part::Behind { next }),
            Ok(Err(error)) => return Err(error),
            Err(error) => error,
        };
        match judge(database, &error, slice).await? {
            Verdict::Refused => return Ok(Part::Refused(error.to_string())),
            Verdict::Again if tries_left > 0 => unsure = decided.or(unsure),
            Verdict::Again | Verdict::Fault => return Err(StoreError::from(error).into()),
        }
    }
    unreachable!("the last try returns")
}

/// What an error says of its slice.
enum Verdict {
    /// It holds data that can never be stored.
    Refused,
    /// Nothing: a deadlock, a lost connection, a message that was stored meanwhile.
    Again,
    /// Our statements are wrong.
    Fault,
}

async fn judge(
    database: &Database,
    error: &Error,
    slice: Slice<'_>,
) -> Result<Verdict, StoreError> {
    Ok(match error {
        DatabaseError(
            ForeignKeyViolation | NotNullViolation | CheckViolation | RestrictViolation
            | ExclusionViolation,
            _,
        ) => Verdict::Refused,
        DatabaseError(UniqueViolation, _) => Verdict::Again,
        DatabaseError(Unknown, _) => {
            let contents = slice.entries.iter().flatten();
            let contents: Vec<_> = contents.map(|msg| msg.content.as_str()).collect();
            match database.server.takes(&contents).await? {
                true => Verdict::Again,
                false => Verdict::Refused,
            }
        }
        error => match StoreError::is_fault(error) {
            true => Verdict::Fault,
            false => Verdict::Again,
        },
    })
}

/// Returns what a transaction decided whose commit was not answered, if it was that one which
/// stored what is found now: then nothing was read again.
fn settle(unsure: Option<Vec<RecordOutcome>>, found: Vec<RecordOutcome>) -> Vec<RecordOutcome> {
    let is_same = |pair: (&RecordOutcome, &RecordOutcome)| match pair {
        (RecordOutcome::New(ours), RecordOutcome::Replayed(stored)) => {
            ours.message_id == stored.message_id
        }
        _ => false,
    };
    match unsure {
        Some(ours) if ours.iter().zip(&found).any(is_same) => ours,
        _ => found,
    }
}
