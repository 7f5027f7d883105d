//! `PersistorActor`: stores batches of accepted records, one transaction each. Rank 5.
//!
//! | message | from | kind | reply | when refused |
//! |---|---|---|---|---|
//! | [`PersistBatch`] | KafkaBridge | ask | outcomes, one a record | mailbox full: the bridge waits |
//!
//! Invariants: one batch at a time; a batch is of one partition, and a partition always goes to
//! the same persistor. A restart loses nothing: the bridge asks again, and the store recognises
//! offsets that it has ingested.

use std::{sync::Arc, time::Instant};

use actix::{Actor, AtomicResponse, Context, Handler, Message, WrapFuture};
use fail::fail_point;

use super::supervision::Guardian;
use crate::{
    ids::LogId,
    message::{RecordError, decode_submitted},
    message_log::Record,
    metrics::{self, ActorKind},
    store::{IngestBatch, IngestError, Ingested, RecordOutcome, Store},
};

/// Batches that wait: one is stored while the next is read.
const MAILBOX: usize = 4;

/// Stores batches of records.
pub struct PersistorActor {
    store: Store,
    guardian: Guardian,
}

impl PersistorActor {
    /// Makes a persistor over the store.
    #[must_use]
    pub fn new(store: Store, guardian: Guardian) -> Self {
        Self { store, guardian }
    }
}

/// Consecutive records of one partition. Sent by the bridge when it has read them.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Ingested, IngestError>")]
pub struct PersistBatch {
    pub log_id: LogId,
    pub partition: u32,
    /// Never empty; the bridge publishes what becomes of them.
    pub records: Arc<[Record]>,
}

impl Actor for PersistorActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        metrics::get().actor(ActorKind::Persistor).started();
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        metrics::get().actor(ActorKind::Persistor).stopped();
        self.guardian.child_down();
    }
}

impl Handler<PersistBatch> for PersistorActor {
    type Result = AtomicResponse<Self, Result<Ingested, IngestError>>;

    fn handle(&mut self, batch: PersistBatch, _: &mut Context<Self>) -> Self::Result {
        fail_point!("persistor");
        let persisting = persist(self.store.clone(), batch);
        AtomicResponse::new(Box::pin(persisting.into_actor(self)))
    }
}

async fn persist(store: Store, batch: PersistBatch) -> Result<Ingested, IngestError> {
    let began = Instant::now();
    let are_holes: Vec<bool> = batch.records.iter().map(|it| it.is_hole).collect();
    let ingested = store.ingest(decode(&batch)).await?;
    metrics::get().persist.record(began.elapsed());
    if let Ingested::Done(outcomes) = &ingested {
        // Nobody sent what is not there.
        let sent = outcomes.iter().zip(are_holes);
        sent.filter(|(_, is_hole)| !is_hole)
            .for_each(|(outcome, _)| count(outcome));
    }
    fail_point!("persistor-after-commit");
    Ok(ingested)
}

fn decode(batch: &PersistBatch) -> IngestBatch {
    IngestBatch {
        log_id: batch.log_id,
        partition: batch.partition,
        from: batch.records.first().map_or(0, |record| record.offset),
        records: batch
            .records
            .iter()
            .map(|record| match record.is_hole {
                true => Err(RecordError::Hole),
                false => decode_submitted(&record.value),
            })
            .collect(),
    }
}

fn count(outcome: &RecordOutcome) {
    let metrics = metrics::get();
    match outcome {
        RecordOutcome::New(_) => metrics.persisted.increment(1),
        RecordOutcome::Duplicate(_) => metrics.duplicate.increment(1),
        RecordOutcome::Dead {
            replayed: false, ..
        } => metrics.dead_lettered.increment(1),
        RecordOutcome::Replayed(_) | RecordOutcome::Dead { replayed: true, .. } => {
            metrics.replayed.increment(1);
        }
    }
}
