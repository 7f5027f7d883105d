//! Where the reading of a partition begins, and when it must not.

use backon::Retryable;

use super::{Ingest, backoff};
use crate::message_log::Assignment;

/// Records that are published again when nobody knows up to where they were: Kafka forgets the
/// commits of a group that was away for a week. Rooms find what is older in the store.
const MOST_REPUBLISHED: u64 = 10_000;

/// Why messages are not stored any more: an operator must decide, and nothing is skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    #[error(
        "the database counts the offsets of another message log: connect the log that it goes with, \
         or, if that log is lost, run `roomcast migrate --reset-ingest`"
    )]
    OtherLog,
    #[error(
        "partition {partition} ends at offset {end}, but the database has stored up to {next}: \
         the log has lost its end; restore it, or accept the loss with `roomcast migrate --reset-ingest`"
    )]
    Beyond { partition: u32, end: u64, next: u64 },
    #[error(
        "partition {partition} begins at offset {first}, but the database has stored only up to {next}: \
         the log has removed messages that were accepted and never stored; restore it, or accept the \
         loss with `roomcast migrate --reset-ingest`"
    )]
    Removed {
        partition: u32,
        first: u64,
        next: u64,
    },
    #[error(
        "the log has {found} partitions, but {recorded} were read before: restore the topic, or accept \
         the loss with `roomcast migrate --reset-ingest`"
    )]
    Fewer { found: u32, recorded: u32 },
}

/// Returns where to begin: what is stored but not known to be published is read again.
pub(super) async fn offset(ingest: &Ingest, assignment: &Assignment) -> Result<u64, Stop> {
    let attempt = || ingest.store.ingest_offsets();
    let offsets = attempt
        .retry(backoff())
        .notify(|error, _| log::warn!(error:%; "waiting for the ingest offsets"))
        .await
        .unwrap_or_default();
    let stored = offsets
        .iter()
        .find(|(partition, _)| *partition == assignment.partition)
        .map(|(_, next)| *next);
    begin(assignment, stored)
}

fn begin(assignment: &Assignment, stored: Option<u64>) -> Result<u64, Stop> {
    let Assignment {
        partition,
        committed,
        first,
        end,
        ..
    } = *assignment;
    match stored {
        // It never read this partition: what was removed before is nothing to it.
        None | Some(0) => {
            if first > 0 {
                log::warn!(partition, first; "a partition is read for the first time, without its removed beginning");
            }
            Ok(0)
        }
        Some(next) if next > end => Err(Stop::Beyond {
            partition,
            end,
            next,
        }),
        Some(next) if next < first => Err(Stop::Removed {
            partition,
            first,
            next,
        }),
        Some(next) => {
            let published = committed.unwrap_or_else(|| next.saturating_sub(MOST_REPUBLISHED));
            Ok(next.min(published).max(first))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message_log::{PartitionReader, local::LocalReader};

    #[test]
    fn reading_begins_at_the_smaller_offset_and_never_skips() {
        let check = |committed, first, end, stored, expected: Result<u64, &str>| {
            let assignment = Assignment {
                partition: 3,
                committed,
                first,
                end,
                reader: PartitionReader::Local(LocalReader::detached()),
            };
            let found = begin(&assignment, stored);
            let case = format!("{committed:?} {first} {end} {stored:?}");
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{case}"),
                (Err(stop), Err(words)) => assert!(stop.to_string().contains(words), "{stop}"),
                other => panic!("{case}: {other:?}"),
            }
        };
        check(None, 0, 0, None, Ok(0));
        check(None, 0, 9, None, Ok(0));
        check(Some(7), 5, 9, None, Ok(0));
        check(Some(7), 5, 9, Some(0), Ok(0));
        check(Some(4), 0, 9, Some(6), Ok(4));
        check(Some(6), 0, 9, Some(4), Ok(4));
        check(Some(2), 5, 9, Some(5), Ok(5));
        check(Some(9), 0, 9, Some(9), Ok(9));
        check(None, 0, 9, Some(6), Ok(0));
        check(None, 0, 50_000, Some(40_000), Ok(30_000));
        check(Some(0), 0, 50_000, Some(40_000), Ok(0));
        check(None, 0, 9, Some(10), Err("lost its end"));
        check(Some(9), 5, 9, Some(4), Err("never stored"));
    }
}
