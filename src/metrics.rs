//! Every metric that roomcast exports: one table, pre-registered at zero.
//!
//! No label carries a user, a room or a socket. Durations are in seconds.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use ::metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{
    error::Code,
    protocol::{close::CloseCode, server::Kind},
};

/// The actor types, by the name in the `actor` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    Session,
    Room,
    RoomRegistry,
    Presence,
    KafkaBridge,
    Persistor,
}

impl ActorKind {
    const ALL: [Self; 6] = [
        Self::Session,
        Self::Room,
        Self::RoomRegistry,
        Self::Presence,
        Self::KafkaBridge,
        Self::Persistor,
    ];

    /// Returns the type's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "SessionActor",
            Self::Room => "RoomActor",
            Self::RoomRegistry => "RoomRegistry",
            Self::Presence => "PresenceActor",
            Self::KafkaBridge => "KafkaBridge",
            Self::Persistor => "PersistorActor",
        }
    }
}

/// What is counted of one actor type.
pub struct ActorMetrics {
    /// `roomcast_actor_count`: live actors.
    pub count: Gauge,
    /// `roomcast_actor_mailbox_depth`: messages sent and not handled yet.
    pub mailbox_depth: Gauge,
    /// `roomcast_actor_handled_total`: messages handled.
    pub handled: Counter,
    /// `roomcast_actor_handling_seconds`: time in a handler, without what it awaits.
    pub handling: Histogram,
    /// `roomcast_actor_restarts_total`: actors built anew after a panic.
    pub restarts: Counter,
}

impl ActorMetrics {
    /// Notes that a message was sent to an actor of this type.
    pub fn sent(&self) {
        self.mailbox_depth.increment(1.0);
    }

    /// Notes that a handler begins; what it returns notes the end when it is dropped.
    pub fn handle(&self) -> Handling<'_> {
        self.mailbox_depth.decrement(1.0);
        self.begin()
    }

    /// As [`Self::handle`], for work that came by no mailbox.
    pub fn begin(&self) -> Handling<'_> {
        Handling {
            actor: self,
            began: Instant::now(),
        }
    }
}

/// A handler under way.
pub struct Handling<'a> {
    actor: &'a ActorMetrics,
    began: Instant,
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        self.actor.handled.increment(1);
        self.actor.handling.record(self.began.elapsed());
    }
}

macro_rules! counters {
    ($($(#[doc = $help:literal])* $field:ident = $name:literal;)+) => {
        /// Handles of every metric; hot paths pay no look-up.
        pub struct Metrics {
            $($(#[doc = $help])* pub $field: Counter,)+
            /// `roomcast_sockets`: open WebSockets.
            pub sockets: Gauge,
            /// `roomcast_accept_seconds`: from the bridge's mailbox to the log's acknowledgement.
            pub accept: Histogram,
            /// `roomcast_persist_seconds`: one batch's transaction.
            pub persist: Histogram,
            /// `roomcast_fanout_seconds`: one batch of stored records, to all slices.
            pub fanout: Histogram,
            /// `roomcast_deliver_seconds`: from a message's sending to its fan-out here.
            pub deliver: Histogram,
            /// `roomcast_frames_in_total{event}`, by [`FRAMES_IN`].
            pub frames_in: Vec<Counter>,
            /// `roomcast_frames_out_total{event}`, by [`Kind`].
            pub frames_out: Vec<Counter>,
            /// `roomcast_messages_failed_total{code}`, by [`Code::ALL`].
            failed: Vec<Counter>,
            /// `roomcast_sockets_closed_total{code}`, by the close code's number.
            closed: Vec<(CloseCode, Counter)>,
            actors: Vec<ActorMetrics>,
        }

        impl Metrics {
            fn register() -> Self {
                $(::metrics::describe_counter!($name, concat!($($help),*));)+
                Self {
                    $($field: ::metrics::counter!($name),)+
                    sockets: ::metrics::gauge!("roomcast_sockets"),
                    accept: ::metrics::histogram!("roomcast_accept_seconds"),
                    persist: ::metrics::histogram!("roomcast_persist_seconds"),
                    fanout: ::metrics::histogram!("roomcast_fanout_seconds"),
                    deliver: ::metrics::histogram!("roomcast_deliver_seconds"),
                    frames_in: FRAMES_IN.iter()
                        .map(|event| ::metrics::counter!("roomcast_frames_in_total", "event" => *event)).collect(),
                    frames_out: Kind::ALL.iter()
                        .map(|kind| ::metrics::counter!("roomcast_frames_out_total", "event" => kind.name())).collect(),
                    failed: Code::ALL.iter()
                        .map(|code| ::metrics::counter!("roomcast_messages_failed_total", "code" => code.as_str())).collect(),
                    closed: CLOSE_CODES.iter()
                        .map(|code| (*code, ::metrics::counter!("roomcast_sockets_closed_total", "code" => code.number().to_string()))).collect(),
                    actors: ActorKind::ALL.iter().map(|kind| register_actor(*kind)).collect(),
                }
            }
        }
    };
}

counters! {
    /// Messages that the log made durable for a client.
    accepted = "roomcast_messages_accepted_total";
    /// Appends whose fate the log did not tell.
    unknown = "roomcast_messages_unknown_total";
    /// Records stored as new messages.
    persisted = "roomcast_messages_persisted_total";
    /// Records whose message was stored before.
    duplicate = "roomcast_messages_duplicate_total";
    /// Records that can never be stored.
    dead_lettered = "roomcast_messages_dead_lettered_total";
    /// Records read again after a restart.
    replayed = "roomcast_messages_replayed_total";
    /// `newMessage` frames written to sockets.
    delivered = "roomcast_messages_delivered_total";
    /// Joins that replayed or were told to page.
    resumes = "roomcast_resumes_total";
    /// Messages replayed by joins.
    resume_messages = "roomcast_resume_messages_total";
    /// Holes that a room read from the store.
    gap_fills = "roomcast_gap_fills_total";
    /// Sockets closed because they did not take what waited.
    slow_sockets = "roomcast_slow_sockets_total";
    /// Logins that succeeded.
    logins = "roomcast_logins_total";
    /// Logins refused for a wrong address or password.
    login_failures = "roomcast_login_failures_total";
    /// Retries of a batch because the store was away.
    persist_retries = "roomcast_persist_retries_total";
    /// Typing and presence signals that were not sent: too many, or Valkey is away.
    signals_dropped = "roomcast_signals_dropped_total";
}

/// Events that clients send, in the order of [`Metrics::frames_in`].
pub const FRAMES_IN: [&str; 10] = [
    "authenticate",
    "joinRoom",
    "leaveRoom",
    "sendMessage",
    "heartbeat",
    "typing",
    "markRead",
    "ping",
    "pong",
    "bad",
];

const CLOSE_CODES: [CloseCode; 12] = [
    CloseCode::Normal,
    CloseCode::ProtocolError,
    CloseCode::Unsupported,
    CloseCode::InvalidText,
    CloseCode::TooBig,
    CloseCode::ServerError,
    CloseCode::Restart,
    CloseCode::BadFrames,
    CloseCode::Unauthenticated,
    CloseCode::HeartbeatTimeout,
    CloseCode::TooMany,
    CloseCode::TooSlow,
];

fn register_actor(kind: ActorKind) -> ActorMetrics {
    let actor = kind.name();
    ActorMetrics {
        count: ::metrics::gauge!("roomcast_actor_count", "actor" => actor),
        mailbox_depth: ::metrics::gauge!("roomcast_actor_mailbox_depth", "actor" => actor),
        handled: ::metrics::counter!("roomcast_actor_handled_total", "actor" => actor),
        handling: ::metrics::histogram!("roomcast_actor_handling_seconds", "actor" => actor),
        restarts: ::metrics::counter!("roomcast_actor_restarts_total", "actor" => actor),
    }
}

impl Metrics {
    /// Counts a `messageFailed`.
    pub fn failed(&self, code: Code) {
        let at = Code::ALL.iter().position(|known| *known == code);
        self.failed[at.expect("ALL holds every code")].increment(1);
    }

    /// Counts a socket that the server closes.
    pub fn closed(&self, code: CloseCode) {
        if let Some((_, counter)) = self.closed.iter().find(|(known, _)| *known == code) {
            counter.increment(1);
        }
    }

    /// Returns what is counted of an actor type.
    #[must_use]
    pub fn actor(&self, kind: ActorKind) -> &ActorMetrics {
        &self.actors[kind as usize]
    }

    /// Counts a frame that came in.
    pub fn frame_in(&self, event: &str) {
        if let Some(at) = FRAMES_IN.iter().position(|known| *known == event) {
            self.frames_in[at].increment(1);
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
    get();
    metrics_process::Collector::default().describe();
    Ok(handle)
}

/// Sets `roomcast_consumer_lag{topic,partition}`: records that are not stored and published yet.
pub fn set_consumer_lag(topic: &'static str, partition: u32, records: u64) {
    let labels = [
        ("topic", topic.to_owned()),
        ("partition", partition.to_string()),
    ];
    ::metrics::gauge!("roomcast_consumer_lag", &labels).set(records as f64);
}

/// Renders every metric in Prometheus' text format.
#[must_use]
pub fn render(handle: &PrometheusHandle) -> String {
    metrics_process::Collector::default().collect();
    handle.render()
}
