//! Partitions that were added later.
//!
//! A new partition takes over some of the keys of the old ones. Were it read at once, a room's new
//! messages could be stored before its old ones; so it waits until all gateways have noticed the new
//! one, and the old ones are stored up to where they ended then.

use std::time::Duration;

use backon::Retryable;

use super::{backoff, start::Stop};
use crate::{
    message_log::{LogError, MessageLog},
    store::{Store, StoreError},
};

/// How long gateways may write to the old partitions alone, once a worker has noticed the new one:
/// they look for new ones every 10 s, and what they have sent may be on its way for another 4 s.
const NOTICED_BY_ALL: Duration = Duration::from_secs(20);

/// How often the store is asked how far the old partitions are.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How many partitions are known to be read by every worker.
#[derive(Debug, Clone)]
pub(super) struct Growth {
    recorded: u32,
}

impl Growth {
    /// Reads how many partitions the store has recorded.
    pub(super) async fn load(store: &Store, log: &MessageLog) -> Result<Self, Stop> {
        let found = log.partitions();
        let attempt = || recorded_partitions(store, found);
        let recorded = attempt
            .retry(backoff())
            .notify(|error, _| log::warn!(error:%; "waiting for the number of partitions"))
            .await
            .unwrap_or(found);
        if found < recorded {
            return Err(Stop::Fewer { found, recorded });
        }
        Ok(Self { recorded })
    }

    /// Waits until a partition may be read.
    pub(super) async fn admit(&self, store: &Store, log: &MessageLog, partition: u32) {
        if partition < self.recorded || is_recorded(store, partition).await {
            return;
        }
        log::warn!(partition, recorded = self.recorded; "a partition was added: it is read once the old ones are stored");
        tokio::time::sleep(NOTICED_BY_ALL).await;
        let attempt = || log.ends();
        let ends = attempt
            .retry(backoff())
            .notify(
                |error: &LogError, _| log::warn!(error:%; "waiting for the ends of the partitions"),
            )
            .await
            .unwrap_or_default();
        let is_old = |(old, _): &(u32, u64)| *old < self.recorded;
        let ends: Vec<_> = ends.into_iter().filter(is_old).collect();
        while !self.are_stored(store, &ends).await {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        log::info!(partition; "the old partitions are stored: the new one is read");
        let attempt = || store.record_partitions(partition + 1);
        let recorded = attempt
            .retry(backoff())
            .notify(|error, _| log::warn!(error:%; "waiting to note a partition"))
            .await;
        // Repeated until it has happened.
        drop(recorded);
    }

    async fn are_stored(&self, store: &Store, ends: &[(u32, u64)]) -> bool {
        match store.ingest_offsets().await {
            Ok(stored) => reach(&stored, ends),
            Err(error) => {
                log::warn!(error:%; "waiting for the ingest offsets");
                false
            }
        }
    }
}

/// Returns whether a partition was admitted meanwhile, here or by another worker.
async fn is_recorded(store: &Store, partition: u32) -> bool {
    let attempt = || store.ingest_offsets();
    let offsets = attempt
        .retry(backoff())
        .notify(|error, _| log::warn!(error:%; "waiting for the ingest offsets"))
        .await;
    // Repeated until there is an answer.
    let offsets = offsets.unwrap_or_default();
    offsets.iter().any(|(recorded, _)| *recorded == partition)
}

/// Returns whether every partition is stored up to its end.
fn reach(stored: &[(u32, u64)], ends: &[(u32, u64)]) -> bool {
    ends.iter().all(|(partition, end)| {
        let next = stored.iter().find(|(it, _)| it == partition);
        next.map_or(0, |(_, next)| *next) >= *end
    })
}

/// Returns how many partitions were read before; a store that has read none begins with these.
async fn recorded_partitions(store: &Store, found: u32) -> Result<u32, StoreError> {
    let offsets = store.ingest_offsets().await?;
    match offsets.iter().map(|(partition, _)| partition + 1).max() {
        Some(recorded) => Ok(recorded),
        None => store.record_partitions(found).await.map(|_| found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_partitions_are_stored_when_each_has_reached_its_end() {
        let ends = [(0, 5), (1, 0), (2, 7)];
        let check = |stored: &[(u32, u64)], expected| {
            assert_eq!(reach(stored, &ends), expected, "{stored:?}");
        };
        check(&[(0, 5), (2, 7)], true);
        check(&[(2, 8), (0, 9), (5, 1)], true);
        check(&[(0, 4), (2, 7)], false);
        check(&[(0, 5)], false);
        check(&[], false);
    }
}
