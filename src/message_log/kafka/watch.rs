//! Looks every second whether the brokers answer, and counts how far behind the readers are.

use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rdkafka::Offset;

use super::{Inner, gateway::Positions, lock};
use crate::{
    message_log::{LogError, Topic},
    metrics::Lag,
};

/// How often the brokers are asked.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long they have to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(900);

/// Questions in a row without an answer after which they count as unreachable: under load, one may
/// be late.
const FAILURES: u32 = 2;

/// Questions in a row without an answer after which another client asks.
const FAILURES_OF_A_CLIENT: u32 = 5;

/// How often the lag is counted.
const LAG_INTERVAL: Duration = Duration::from_secs(5);

/// Starts the thread; it ends with the log.
pub(super) fn start(inner: &Arc<Inner>) -> Result<(), LogError> {
    let inner = Arc::downgrade(inner);
    let started = thread::Builder::new()
        .name("kafka-watch".into())
        .spawn(move || Watch::default().run(&inner));
    started
        .map(drop)
        .map_err(|error| LogError::Unavailable(error.to_string()))
}

#[derive(Default)]
struct Watch {
    failures: u32,
    lag_counted: Option<Instant>,
}

impl Watch {
    fn run(mut self, inner: &Weak<Inner>) {
        loop {
            thread::sleep(INTERVAL);
            let Some(inner) = inner.upgrade() else { return };
            if inner.is_closed.load(Ordering::Acquire) {
                return;
            }
            inner.queries.serve();
            self.look(&inner);
            self.count_lag(&inner);
        }
    }

    fn look(&mut self, inner: &Inner) {
        let answer = inner.queries.partitions(Topic::Messages, ANSWER_TIMEOUT);
        let was_reachable = inner.is_reachable.load(Ordering::Acquire);
        let is_reachable = match &answer {
            Ok((partitions, have_leaders)) => {
                self.failures = 0;
                inner.producer.is_up();
                inner.partitions.fetch_max(*partitions, Ordering::AcqRel);
                *have_leaders
            }
            Err(_) => {
                self.failures += 1;
                if self.failures.is_multiple_of(FAILURES_OF_A_CLIENT) {
                    inner.queries.renew();
                }
                was_reachable && self.failures < FAILURES
            }
        };
        inner.is_reachable.store(is_reachable, Ordering::Release);
        match (was_reachable, is_reachable, answer) {
            (true, false, Err(error)) => log::warn!(error:%; "kafka does not answer"),
            (true, false, Ok(_)) => log::warn!("a partition of the messages has no leader"),
            (false, true, _) => log::info!("kafka answers again"),
            _ => {}
        }
    }

    fn count_lag(&mut self, inner: &Inner) {
        let is_due = self
            .lag_counted
            .is_none_or(|counted| counted.elapsed() >= LAG_INTERVAL);
        let is_reachable = inner.is_reachable.load(Ordering::Acquire);
        if !is_due || !is_reachable {
            return;
        }
        self.lag_counted = Some(Instant::now());
        match lag(inner) {
            Ok(found) => *lock(&inner.lag) = found,
            Err(error) => log::debug!(error:%; "the lag was not counted"),
        }
    }
}

/// Of what this process reads: what the group has not committed, what the slices have not taken.
fn lag(inner: &Inner) -> Result<Vec<Lag>, LogError> {
    let mut found = Vec::new();
    if inner.lock_worker().is_some() {
        found.extend(worker_lag(inner)?);
    }
    if let Some(positions) = inner.gateway.positions() {
        found.extend(gateway_lag(inner, positions)?);
    }
    found.sort_unstable_by_key(|lag| (lag.topic.name(), lag.partition));
    Ok(found)
}

fn worker_lag(inner: &Inner) -> Result<Vec<Lag>, LogError> {
    let count = inner.partitions.load(Ordering::Acquire);
    let (queries, topic) = (&inner.queries, Topic::Messages);
    let ends = queries.offsets(topic, 0..count, Offset::End)?;
    let firsts = queries.offsets(topic, 0..count, Offset::Beginning)?;
    let committed = queries.committed(0..count)?;
    let lag = ends.into_iter().map(|(partition, end)| {
        let committed = committed.get(&partition).or(firsts.get(&partition));
        Lag {
            topic,
            partition,
            records: end.saturating_sub(committed.copied().unwrap_or(0)),
        }
    });
    Ok(lag.collect())
}

fn gateway_lag(inner: &Inner, positions: Positions) -> Result<Vec<Lag>, LogError> {
    let topic = Topic::Persisted;
    let read = positions.into_iter();
    let read =
        read.filter_map(|((of, partition), next)| (of == topic).then_some((partition, next)));
    let read: HashMap<u32, u64> = read.collect();
    let ends = inner
        .queries
        .offsets(topic, read.keys().copied(), Offset::End)?;
    let lag = read.into_iter().map(|(partition, next)| Lag {
        topic,
        partition,
        records: ends
            .get(&partition)
            .map_or(0, |end| end.saturating_sub(next)),
    });
    Ok(lag.collect())
}
