//! The work on one partition: its batches are stored one after the other, published while the next
//! is stored, and committed in their order once everything before is published.

use std::{sync::Arc, time::Instant};

use backon::Retryable;
use fail::fail_point;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::sync::oneshot;

use super::{
    Ingest, backoff,
    growth::Growth,
    start::{self, Stop},
};
use crate::{
    actors::persistor::PersistBatch,
    message_log::{Assignment, PartitionReader, Record},
    metrics,
    store::{IngestError, Ingested, RecordOutcome, StoreError},
};

/// Batches that may be stored and not published yet.
const PUBLISHING: usize = 4;

/// Works on a partition until it is stopped or there is no more.
pub(super) async fn work(
    ingest: Ingest,
    growth: Growth,
    assignment: Assignment,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), Stop> {
    let begin = async {
        let partition = assignment.partition;
        growth.admit(&ingest.store, &ingest.log, partition).await;
        start::offset(&ingest, &assignment).await
    };
    let next = tokio::select! {
        biased;
        _ = &mut stop => return Ok(()),
        next = begin => next?,
    };
    let mut partition = Partition {
        number: assignment.partition,
        first: assignment.first,
        reader: assignment.reader,
        publishing: FuturesOrdered::new(),
        ingest,
    };
    if partition.seek(next).await {
        partition.run(stop).await?;
    }
    Ok(())
}

/// A partition under way.
struct Partition {
    ingest: Ingest,
    number: u32,
    first: u64,
    reader: PartitionReader,
    /// Of batches that are stored, in order; each yields the offset after it.
    publishing: FuturesOrdered<BoxFuture<'static, u64>>,
}

impl Partition {
    async fn run(&mut self, mut stop: oneshot::Receiver<()>) -> Result<(), Stop> {
        loop {
            tokio::select! {
                biased;
                _ = &mut stop => break,
                Some(next) = self.publishing.next() => self.commit(next).await,
                records = self.reader.recv(), if self.publishing.len() < PUBLISHING => match records {
                    Some(records) => {
                        if !self.store(records.into()).await? {
                            break;
                        }
                    }
                    None => break,
                },
            }
        }
        while let Some(next) = self.publishing.next().await {
            self.commit(next).await;
        }
        Ok(())
    }

    /// Returns whether the partition can be read from there.
    async fn seek(&mut self, next: u64) -> bool {
        let sought = self.reader.seek(next).await;
        if let Err(error) = &sought {
            log::warn!(partition = self.number, error:%; "a partition is not read");
        }
        sought.is_ok()
    }

    /// Stores a batch and begins to publish it; returns whether there is more to do.
    async fn store(&mut self, records: Arc<[Record]>) -> Result<bool, Stop> {
        let next = records.last().map_or(0, |record| record.offset + 1);
        match self.persist(&records).await? {
            Ingested::Done(outcomes) => {
                fail_point!("kafka-bridge-publish");
                let began = Instant::now();
                let published = self.publish_all(&records, outcomes).map(move |()| {
                    metrics::get().publish.record(began.elapsed());
                    next
                });
                self.publishing.push_back(published.boxed());
                Ok(true)
            }
            Ingested::Behind { next } if next < self.first => Err(Stop::Removed {
                partition: self.number,
                first: self.first,
                next,
            }),
            Ingested::Behind { next } => {
                log::warn!(partition = self.number, next; "the database is behind the reader: it reads again");
                Ok(self.seek(next).await)
            }
        }
    }

    /// Asks the partition's persistor until it has an answer; never skips a record.
    async fn persist(&self, records: &Arc<[Record]>) -> Result<Ingested, Stop> {
        let persistors = &self.ingest.persistors;
        let persistor = &persistors[self.number as usize % persistors.len()];
        let attempt = || async {
            let answer = persistor.get().send(PersistBatch {
                log_id: self.ingest.log.id(),
                partition: self.number,
                records: Arc::clone(records),
            });
            match answer.await {
                Ok(answer) => answer,
                Err(_) => Err(IngestError::Store(StoreError::Unavailable(
                    "the persistor died".into(),
                ))),
            }
        };
        let mut waiting = None;
        let ingested = attempt
            .retry(backoff())
            .when(|error| matches!(error, IngestError::Store(_)))
            .notify(|error, _| {
                waiting.get_or_insert_with(|| self.ingest.health.waiting());
                metrics::get().persist_retries.increment(1);
                log::warn!(error:%; "a batch is not stored yet");
            })
            .await;
        // Every other error was repeated.
        ingested.map_err(|_| Stop::OtherLog)
    }

    fn publish_all(
        &self,
        records: &[Record],
        outcomes: Vec<RecordOutcome>,
    ) -> impl Future<Output = ()> + Send + use<> {
        super::publish::all(&self.ingest, self.number, records, outcomes)
    }

    async fn commit(&self, next: u64) {
        if let Err(error) = self.ingest.log.commit(self.number, next).await {
            log::warn!(error:%; "a commit was not noted: its records will be read again");
        }
    }
}
