//! The worker's half of the bridge: log → persistor → publish → commit.
//!
//! - [`partition`] is the work on one partition, in order; all of them run side by side.
//! - [`start`] says where a partition begins, or that an operator must decide.
//! - [`growth`] holds partitions that were added later back until the older ones are stored.
//! - [`publish`] is what becomes of a batch once it is stored.

mod growth;
mod partition;
mod publish;
mod start;

use std::{collections::HashMap, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use tokio::{sync::oneshot, time::timeout};

use self::{growth::Growth, start::Stop};
use super::{IngestHealth, WorkerParts};
use crate::{
    actors::{Reference, persistor::PersistorActor, supervision::give_up},
    ids::ServerId,
    message_log::{Assignment, IngestEvent, MessageLog},
    metrics::ActorKind,
    store::Store,
};

/// How long work under way on a partition that is taken away may still take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
}

/// What the loop works with.
#[derive(Clone)]
pub(super) struct Ingest {
    log: MessageLog,
    store: Store,
    persistors: Vec<Reference<PersistorActor>>,
    health: IngestHealth,
    server_id: ServerId,
}

impl Ingest {
    pub(super) fn new(log: MessageLog, server_id: ServerId, parts: WorkerParts) -> Self {
        Self {
            log,
            store: parts.store,
            persistors: parts.persistors,
            health: parts.health,
            server_id,
        }
    }

    /// Reads the log from where the store and the last commit left it, for as long as it is polled.
    pub(super) async fn run(self) {
        let mut pauses = backoff().build();
        loop {
            if let Err(stop) = self.read().await {
                log::error!(reason:% = stop; "messages cannot be stored: the process ends");
                return give_up(ActorKind::KafkaBridge);
            }
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        }
    }

    /// Reads until the reader fails or the log closes.
    async fn read(&self) -> Result<(), Stop> {
        let growth = Growth::load(&self.store, &self.log).await?;
        let mut events = self.log.ingest();
        let mut work = Work::default();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(IngestEvent::Assigned(assignments)) => {
                        for assignment in assignments {
                            work.begin(self, &growth, assignment);
                        }
                    }
                    Some(IngestEvent::Revoked { partitions, drained }) => {
                        work.drain(&partitions).await?;
                        // The log may have stopped waiting.
                        let _ = drained.send(());
                    }
                    Some(IngestEvent::Failed(reason)) => {
                        log::error!(reason:%; "the message log cannot be read");
                        return Ok(());
                    }
                    None => return Ok(()),
                },
                Some((partition, ended)) = work.running.next() => {
                    ended?;
                    if work.stops.remove(&partition).is_some() {
                        // Nothing is wrong with a log that closes: it ends its partitions with it.
                        if !events.is_closed() {
                            log::warn!(partition; "a partition ended by itself: the log is read anew");
                        }
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// The partitions under way.
#[derive(Default)]
struct Work {
    running: FuturesUnordered<LocalBoxFuture<'static, (u32, Result<(), Stop>)>>,
    /// Tells the work on a partition to take no more.
    stops: HashMap<u32, oneshot::Sender<()>>,
}

impl Work {
    fn begin(&mut self, ingest: &Ingest, growth: &Growth, assignment: Assignment) {
        let partition = assignment.partition;
        let (stop, stopped) = oneshot::channel();
        self.stops.insert(partition, stop);
        let working = partition::work(ingest.clone(), growth.clone(), assignment, stopped);
        let working = working.map(move |ended| (partition, ended));
        self.running.push(working.boxed_local());
    }

    /// Lets the partitions finish what is under way, and the others work on meanwhile.
    async fn drain(&mut self, partitions: &[u32]) -> Result<(), Stop> {
        let mut waiting: Vec<u32> = partitions.to_vec();
        // Dropped: that is the order to stop.
        waiting.retain(|partition| self.stops.remove(partition).is_some());
        let draining = async {
            while !waiting.is_empty() {
                let Some((partition, ended)) = self.running.next().await else {
                    break;
                };
                ended?;
                waiting.retain(|it| *it != partition);
            }
            Ok(())
        };
        timeout(DRAIN_TIMEOUT, draining).await.unwrap_or_else(|_| {
            log::warn!("a partition was given away before all of it that was read is published");
            Ok(())
        })
    }
}
