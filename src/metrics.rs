//! Every metric that roomcast exports: one table, pre-registered at zero.
//!
//! No label carries a user, a room or a socket. Durations are in seconds.

mod actors;
mod labels;
mod table;

use std::{sync::OnceLock, time::Duration};

use ::metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use actors::{ActorFigures, ActorKind, ActorTotals, Handling};
pub use labels::{FRAMES_IN, HandshakeOutcome, LoginOutcome, Transport};
pub use table::{Dynamic, Family, Kind as MetricKind, Row};

use self::{
    labels::{
        STATUS_CLASSES, actors, actors_by_outcome, close_codes, codes, frames_in, frames_out,
        status_classes, transports,
    },
    table::{Metric, Series},
};
use crate::{
    error::Code,
    message_log::Topic,
    protocol::{close::CloseCode, server::Kind},
};

macro_rules! table {
    ($(
        $(#[doc = $help:literal])+
        $field:ident: $type:ty = $name:literal $(by [$($label:literal),+] $(of $series:expr)?)?;
    )+) => {
        /// Handles of every metric; hot paths pay no look-up.
        pub struct Metrics {
            $($(#[doc = $help])+ pub $field: $type,)+
            actors: [ActorFigures; ActorKind::ALL.len()],
        }

        /// Every metric, in the order of the operators' page.
        pub static TABLE: &[Row] = &[$(Row {
            name: $name,
            kind: <$type as Metric>::KIND,
            labels: &[$($($label),+)?],
            help: concat!($($help),+),
        }),+];

        impl Metrics {
            fn register() -> Self {
                let mut rows = TABLE.iter();
                let mut row = || rows.next().expect("the table has a row for each field");
                Self {
                    $($field: <$type as Metric>::of(row(), table!(@series $($($series)?)?)),)+
                    actors: ActorKind::ALL.map(ActorFigures::new),
                }
            }
        }
    };
    (@series) => { Series::new() };
    (@series $series:expr) => { $series };
}

table! {
    /// Messages that the log made durable for a client.
    accepted: Counter = "roomcast_messages_accepted_total";
    /// Appends whose fate the log did not tell; the client was told to repeat.
    unknown: Counter = "roomcast_messages_unknown_total";
    /// `messageFailed` frames, by error code.
    failed: Family<Counter> = "roomcast_messages_failed_total" by ["code"] of codes();
    /// Records stored as new messages.
    persisted: Counter = "roomcast_messages_persisted_total";
    /// Records whose message was stored before.
    duplicate: Counter = "roomcast_messages_duplicate_total";
    /// Records that can never be stored.
    dead_lettered: Counter = "roomcast_messages_dead_lettered_total";
    /// Records read again after a restart.
    replayed: Counter = "roomcast_messages_replayed_total";
    /// `newMessage` frames written to sockets.
    delivered: Counter = "roomcast_messages_delivered_total";
    /// From the bridge's mailbox to the log's acknowledgement.
    accept: Histogram = "roomcast_accept_seconds";
    /// One batch's transaction.
    persist: Histogram = "roomcast_persist_seconds";
    /// From a batch's transaction until the log has published all of it.
    publish: Histogram = "roomcast_publish_seconds";
    /// One batch of stored records, to all slices.
    fanout: Histogram = "roomcast_fanout_seconds";
    /// From a message's sending to its fan-out here.
    deliver: Histogram = "roomcast_deliver_seconds";
    /// Records of a topic that this process has yet to deal with.
    consumer_lag: Dynamic = "roomcast_consumer_lag" by ["topic", "partition"];
    /// Batches tried again because the store was away.
    persist_retries: Counter = "roomcast_persist_retries_total";
    /// Sockets that are open.
    sockets: Family<Gauge> = "roomcast_sockets" by ["transport"] of transports();
    /// Sockets that were opened.
    sockets_opened: Family<Counter> = "roomcast_sockets_opened_total" by ["transport"] of transports();
    /// Sockets that the server closed, by close code.
    closed: Family<Counter> = "roomcast_sockets_closed_total" by ["code"] of close_codes();
    /// Sockets closed because they did not take what waited.
    slow_sockets: Counter = "roomcast_slow_sockets_total";
    /// Frames that came in; `ping`, `pong`, and `bad` for what is no event.
    frames_in: Family<Counter> = "roomcast_frames_in_total" by ["event"] of frames_in();
    /// Frames that were written; `control` for pings, pongs and closes.
    frames_out: Family<Counter> = "roomcast_frames_out_total" by ["event"] of frames_out();
    /// Joins that replayed or were told to page.
    resumes: Counter = "roomcast_resumes_total";
    /// Messages replayed by joins.
    resume_messages: Counter = "roomcast_resume_messages_total";
    /// Holes that a room read from the store.
    gap_fills: Counter = "roomcast_gap_fills_total";
    /// Typing and presence signals that were not sent: too many, or Valkey is away.
    signals_dropped: Counter = "roomcast_signals_dropped_total";
    /// Logins, by what became of them.
    logins: Family<Counter> = "roomcast_logins_total" by ["outcome"] of LoginOutcome::series();
    /// Wrong passwords, of logins and of password changes.
    login_failures: Counter = "roomcast_login_failures_total";
    /// TLS handshakes of clients, by what became of them.
    tls_handshakes: Family<Counter> = "roomcast_tls_handshakes_total" by ["outcome"] of HandshakeOutcome::series();
    /// Answers to HTTP requests, by class of status.
    http_answers: Family<Counter> = "roomcast_http_answers_total" by ["status"] of status_classes();
    /// From an HTTP request's head to its answer's.
    http_seconds: Histogram = "roomcast_http_answer_seconds";
    /// Connections that a pool holds.
    pool_size: Dynamic = "roomcast_pool_size" by ["pool"];
    /// Connections of a pool that are in use.
    pool_in_use: Dynamic = "roomcast_pool_in_use" by ["pool"];
    /// Calls that wait for a connection of a pool.
    pool_waiting: Dynamic = "roomcast_pool_waiting" by ["pool"];
    /// Actors that live.
    actor_count: Family<Gauge> = "roomcast_actor_count" by ["actor"] of actors();
    /// Messages sent to actors and not handled yet.
    actor_mailbox_depth: Family<Gauge> = "roomcast_actor_mailbox_depth" by ["actor"] of actors();
    /// Messages to actors, by what became of them.
    actor_handled: Family<Counter> =
        "roomcast_actor_handled_total" by ["actor", "outcome"] of actors_by_outcome();
    /// Time in a handler, without what it awaits.
    actor_handling: Family<Histogram> = "roomcast_actor_handling_seconds" by ["actor"] of actors();
    /// Actors built anew after a panic.
    actor_restarts: Family<Counter> = "roomcast_actor_restarts_total" by ["actor"] of actors();
    /// 1, with the version that runs.
    build_info: Dynamic = "roomcast_build_info" by ["version"];
}

// -------------------------------------------------------------------- counting

impl Metrics {
    /// Counts a `messageFailed`.
    pub fn failed(&self, code: Code) {
        if let Some(counter) = self.failed.of(code.as_str()) {
            counter.increment(1);
        }
    }

    /// Counts a socket that the server closes.
    pub fn closed(&self, code: CloseCode) {
        if let Some(counter) = self.closed.of(&code.number().to_string()) {
            counter.increment(1);
        }
    }

    /// Counts a frame that came in.
    pub fn frame_in(&self, event: &str) {
        if let Some(counter) = self.frames_in.of(event) {
            counter.increment(1);
        }
    }

    /// Counts a frame that was written.
    pub fn frame_out(&self, kind: Kind) {
        self.frames_out.at(kind as usize).increment(1);
    }

    /// Notes that a socket has opened.
    pub fn socket_opened(&self, transport: Transport) {
        self.sockets.at(transport as usize).increment(1.0);
        self.sockets_opened.at(transport as usize).increment(1);
    }

    /// Notes that a socket has closed.
    pub fn socket_closed(&self, transport: Transport) {
        self.sockets.at(transport as usize).decrement(1.0);
    }

    /// Counts a login.
    pub fn login(&self, outcome: LoginOutcome) {
        self.logins.at(outcome as usize).increment(1);
    }

    /// Counts a TLS handshake.
    pub fn tls_handshake(&self, outcome: HandshakeOutcome) {
        self.tls_handshakes.at(outcome as usize).increment(1);
    }

    /// Counts an answer to an HTTP request.
    pub fn http_answer(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, STATUS_CLASSES.len()) - 1;
        self.http_answers.at(class).increment(1);
        self.http_seconds.record(took);
    }

    /// Returns what is counted of an actor type.
    #[must_use]
    pub fn actor(&self, kind: ActorKind) -> &ActorFigures {
        &self.actors[kind as usize]
    }

    /// Returns what was counted of each actor type.
    #[must_use]
    pub fn actors(&self) -> Vec<ActorTotals> {
        self.actors.iter().map(ActorFigures::totals).collect()
    }

    /// Sets how far a reader is behind.
    pub fn set_lag(&self, lag: Lag) {
        let partition = lag.partition.to_string();
        let labels = [lag.topic.name(), &partition];
        self.consumer_lag.set(&labels, lag.records as f64);
    }

    /// Sets how a pool of connections is used.
    pub fn set_pool(&self, pool: PoolUse) {
        self.pool_size.set(&[pool.name], pool.size as f64);
        self.pool_in_use.set(&[pool.name], pool.in_use as f64);
        self.pool_waiting.set(&[pool.name], pool.waiting as f64);
    }
}

/// How far a reader of a topic is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    pub topic: Topic,
    pub partition: u32,
    /// Of `Messages`: not stored and published yet. Of `Persisted`: not handed to the slices yet.
    pub records: u64,
}

/// How a pool of connections is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    pub name: &'static str,
    /// Connections that are open.
    pub size: usize,
    pub in_use: usize,
    /// Calls that wait for one.
    pub waiting: usize,
}

impl PoolUse {
    /// Reads what a pool says of itself.
    #[must_use]
    pub fn of(name: &'static str, status: deadpool::Status) -> Self {
        Self {
            name,
            size: status.size,
            in_use: status.size.saturating_sub(status.available),
            waiting: status.waiting,
        }
    }
}

static METRICS: OnceLock<Metrics> = OnceLock::new();

/// Returns the handles; they count nothing unless [`install`] was called before the first use.
pub fn get() -> &'static Metrics {
    METRICS.get_or_init(Metrics::register)
}

/// Bounds of the latency histograms, in seconds.
const BUCKETS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// How often histograms are condensed.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Installs the process's Prometheus recorder; its handle renders `/metrics`.
///
/// # Errors
/// When the process has a recorder already.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)?
        .install_recorder()?;
    get().build_info.set(&[env!("CARGO_PKG_VERSION")], 1.0);
    metrics_process::Collector::default().describe();
    Ok(handle)
}

/// Renders every metric in Prometheus' text format.
#[must_use]
pub fn render(handle: &PrometheusHandle) -> String {
    let metrics = get();
    metrics.actors.iter().for_each(|it| it.export(metrics));
    metrics_process::Collector::default().collect();
    handle.render()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{actors::Outcome, *};

    #[test]
    fn a_name_is_in_the_table_once_and_says_its_unit() {
        let mut names = HashSet::new();
        for row in TABLE {
            assert!(names.insert(row.name), "{} twice", row.name);
            let suffix = match row.kind {
                MetricKind::Counter => "_total",
                MetricKind::Histogram => "_seconds",
                MetricKind::Gauge => "",
            };
            assert!(row.name.starts_with("roomcast_"), "{}", row.name);
            assert!(row.name.ends_with(suffix), "{}", row.name);
        }
    }

    #[test]
    fn no_label_names_a_person_a_room_or_a_socket() {
        let known = [
            "actor",
            "code",
            "event",
            "outcome",
            "partition",
            "pool",
            "status",
            "topic",
            "transport",
            "version",
        ];
        for label in TABLE.iter().flat_map(|row| row.labels) {
            assert!(known.contains(label), "{label}");
        }
    }

    #[test]
    fn every_event_code_and_actor_has_a_series() {
        let metrics = Metrics::register();
        for event in FRAMES_IN {
            assert!(metrics.frames_in.of(event).is_some(), "{event}");
        }
        for code in Code::ALL {
            assert!(metrics.failed.of(code.as_str()).is_some(), "{code:?}");
        }
        let last = ActorKind::Persistor as usize * Outcome::ALL.len() + Outcome::Dropped as usize;
        assert_eq!(actors_by_outcome()[last], ["PersistorActor", "dropped"]);
        assert_eq!(actors_by_outcome().len(), last + 1);
    }
}
