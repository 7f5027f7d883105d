//! `KafkaBridge`: owns the message log; produces what clients send and consumes it again. Rank 4.
//!
//! | message | from | kind | reply | when refused |
//! |---|---|---|---|---|
//! | [`Append`] | sessions, REST | ask | the append under way | mailbox full: `UNAVAILABLE`, retryable |
//! | [`Announce`] | sessions, REST | ask | the append under way | mailbox full: the asker tries again |
//!
//! Beside its mailbox it runs two loops, as its process's role asks: [`ingest`] (log → persistors →
//! publish → commit) on a worker, [`broadcast`] (stored records and events → registries) on a
//! gateway. Invariants: a record is committed only
//! after all before it are stored and published; a batch is handed to every slice before the
//! next is read. A restart begins both loops anew: what was not committed is read again.

mod broadcast;
mod ingest;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture};
use backon::{ConstantBuilder, Retryable};
use bytes::Bytes;
use fail::fail_point;
use futures_util::future::join_all;
use tokio::{sync::oneshot, time::timeout};

use self::ingest::Ingest;
use super::{
    Reference, Slices, persistor::PersistorActor, presence::PresenceHandle,
    room_registry::ApplyEvent, supervision::Guardian,
};
use crate::{
    auth::Authenticator,
    error::ApiError,
    event::{Announcement, Event},
    ids::ServerId,
    memberships::Memberships,
    message::SubmittedMessage,
    message_log::{AppendError, Appending, MessageLog, NewRecord, Topic},
    metrics::{self, ActorKind},
    store::Store,
    together,
    trace::Trace,
};

/// Appends and announcements that wait; a session's next send is refused when it is full.
const MAILBOX: usize = 4_096;

/// How long a client waits for the log; after that the fate of its message is unknown.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an event's publication may hold up the answer to who caused it.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often an announcement tries again while the bridge is being rebuilt.
const ANNOUNCE_RETRY: Duration = Duration::from_millis(50);

/// Room for a record of usual size, so that it does not grow while it is written.
const RECORD_BYTES: usize = 768;

/// What the bridge works with; survives the bridge.
#[derive(Clone)]
pub struct BridgeParts {
    pub log: MessageLog,
    pub server_id: ServerId,
    /// `None` on a gateway: the log's messages are not read.
    pub worker: Option<WorkerParts>,
    /// `None` on a worker: there is nobody to be told.
    pub gateway: Option<GatewayParts>,
}

/// What the ingest loop works with.
#[derive(Clone)]
pub struct WorkerParts {
    pub store: Store,
    pub persistors: Vec<Reference<PersistorActor>>,
    pub health: IngestHealth,
}

/// Whether what the log holds is being stored: how many partitions wait for the store.
#[derive(Debug, Clone, Default)]
pub struct IngestHealth(Arc<AtomicUsize>);

/// A partition that waits for the store, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting(IngestHealth);

impl IngestHealth {
    /// Returns whether no partition waits for the store.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    pub(super) fn waiting(&self) -> Waiting {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(self.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the broadcast loop works with.
#[derive(Clone)]
pub struct GatewayParts {
    pub slices: Slices,
    pub memberships: Memberships,
    pub auth: Authenticator,
    pub presence: PresenceHandle,
}

impl GatewayParts {
    /// Applies an event to this process: first what is remembered, then the rooms and sessions.
    async fn apply(&self, event: Arc<Event>) {
        match &*event {
            Event::MemberJoined(change) => {
                self.memberships.forget(change.room_id, change.user_id);
            }
            Event::MemberLeft(change) => {
                self.memberships.forget(change.room_id, change.user_id);
                self.presence.forget_member(change.room_id, change.user_id);
            }
            Event::LoginRevoked {
                login_id,
                expires_at,
                ..
            } => self.auth.revoke_login(*login_id, *expires_at),
            Event::TokensRevoked {
                user_id,
                generation,
                kept_token,
            } => self.auth.revoke_tokens(*user_id, *generation, *kept_token),
            Event::ReadMoved { .. } | Event::MessageRejected { .. } => {}
        }
        let registries = self.slices.all();
        join_all(
            registries
                .iter()
                .map(|registry| registry.send(ApplyEvent(Arc::clone(&event)))),
        )
        .await;
    }
}

/// Owns the message log.
pub struct KafkaBridge {
    parts: BridgeParts,
    guardian: Guardian,
}

impl KafkaBridge {
    /// Makes a bridge; its loops begin when it starts.
    #[must_use]
    pub fn new(parts: BridgeParts, guardian: Guardian) -> Self {
        Self { parts, guardian }
    }
}

/// Appends a record. Sent by sessions and REST when a message was validated.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Append {
    pub record: NewRecord,
    pub reply: oneshot::Sender<Appending>,
}

/// Applies an event here, then publishes it. Sent when the change is committed in the store.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Announce {
    pub event: Arc<Event>,
    /// Answered when it was applied on this gateway.
    pub reply: oneshot::Sender<Appending>,
}

impl Actor for KafkaBridge {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        metrics::get().actor(ActorKind::KafkaBridge).started();
        let BridgeParts {
            log,
            server_id,
            worker,
            gateway,
        } = self.parts.clone();
        if let Some(worker) = worker {
            let ingest = Ingest::new(log.clone(), server_id, worker);
            ctx.spawn(ingest.run().into_actor(self));
        }
        if let Some(gateway) = gateway {
            ctx.spawn(broadcast::run(log, server_id, gateway).into_actor(self));
        }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        metrics::get().actor(ActorKind::KafkaBridge).stopped();
        self.guardian.child_down();
    }
}

impl Handler<Append> for KafkaBridge {
    type Result = ();

    fn handle(&mut self, append: Append, _: &mut Context<Self>) {
        fail_point!("kafka-bridge");
        // The asker may have gone; the record is appended all the same.
        let _ = append.reply.send(self.parts.log.append(append.record));
    }
}

impl Handler<Announce> for KafkaBridge {
    type Result = ();

    fn handle(&mut self, announce: Announce, ctx: &mut Context<Self>) {
        let parts = self.parts.clone();
        ctx.spawn(
            async move {
                if let Some(gateway) = &parts.gateway {
                    gateway.apply(Arc::clone(&announce.event)).await;
                }
                let event = Event::clone(&announce.event);
                let appending = publish(&parts.log, parts.server_id, event);
                let _ = announce.reply.send(appending);
            }
            .into_actor(self),
        );
    }
}

fn publish(log: &MessageLog, origin: ServerId, event: Event) -> Appending {
    let key = event.key();
    let announcement = Announcement { origin, event };
    log.append(NewRecord {
        topic: Topic::Events,
        key,
        value: encode(&announcement),
        headers: Vec::new(),
    })
}

fn encode(value: &impl serde::Serialize) -> Bytes {
    let mut json = Vec::with_capacity(RECORD_BYTES);
    serde_json::to_writer(&mut json, value).expect("records have string keys and no NaN");
    json.into()
}

/// How everything outside talks to the bridge.
#[derive(Clone)]
pub struct BridgeHandle {
    bridge: Reference<KafkaBridge>,
    log: MessageLog,
    ingest: IngestHealth,
}

impl BridgeHandle {
    /// Makes a handle of a supervised bridge and its log.
    #[must_use]
    pub fn new(bridge: Reference<KafkaBridge>, log: MessageLog, ingest: IngestHealth) -> Self {
        Self {
            bridge,
            log,
            ingest,
        }
    }

    /// Returns where the bridge is, for operators.
    #[must_use]
    pub fn bridge(&self) -> &Reference<KafkaBridge> {
        &self.bridge
    }

    /// Returns whether what the log holds is being stored, as far as this process does that.
    #[must_use]
    pub fn is_storing(&self) -> bool {
        self.ingest.is_well()
    }

    /// Appends a message; it takes its place in the log when this is called, and is counted even if
    /// nobody waits for the answer. Its record carries the trace of the caller.
    ///
    /// `then` hears, later on this thread, that it is stored, or `UNAVAILABLE` when it is not or
    /// when that is unknown: repeating is safe. It hears nothing when the server stops first, or when
    /// the waiting itself panics.
    pub fn append(
        &self,
        msg: &SubmittedMessage,
        then: impl FnOnce(Result<(), ApiError>) + 'static,
    ) {
        let began = Instant::now();
        let (reply, answer) = oneshot::channel();
        let record = NewRecord {
            topic: Topic::Messages,
            key: msg.room_id.to_string(),
            value: encode(msg),
            headers: Trace::current().map(Trace::headers).unwrap_or_default(),
        };
        let sent = self.bridge.get().try_send(Append { record, reply });
        together::spawn(async move {
            let appended = match sent {
                Ok(()) => timeout(ACCEPT_TIMEOUT, acknowledged(answer))
                    .await
                    .unwrap_or_else(|_| Err(AppendError::Unknown("it took too long".into()))),
                Err(_) => Err(AppendError::Refused("too many messages wait".into())),
            };
            then(count(appended, began));
        });
    }

    /// Applies an event on this gateway, then tells the others; waits at most two seconds.
    ///
    /// It cannot fail: what is committed holds, and a sweep tells gateways that missed it.
    pub async fn announce(&self, event: Event) {
        let event = Arc::new(event);
        let attempt = || async {
            let (reply, answer) = oneshot::channel();
            let event = Arc::clone(&event);
            let sent = self.bridge.get().try_send(Announce { event, reply });
            sent.map_err(|_| "the bridge is away")?;
            let appending = answer.await.map_err(|_| "the bridge died")?;
            appending.await.map_err(|_| "the log refused the event")
        };
        let retries = ConstantBuilder::default()
            .with_delay(ANNOUNCE_RETRY)
            .without_max_times();
        let announced = timeout(ANNOUNCE_TIMEOUT, attempt.retry(retries)).await;
        if announced.is_err() {
            log::warn!("an event was applied here but not published: a sweep will tell the others");
        }
    }

    /// Returns whether an append could succeed now.
    pub async fn is_healthy(&self) -> bool {
        self.bridge.get().connected() && self.log.is_healthy().await
    }
}

async fn acknowledged(answer: oneshot::Receiver<Appending>) -> Result<(), AppendError> {
    match answer.await {
        Ok(appending) => appending.await,
        Err(_) => Err(AppendError::Unknown("the bridge died".into())),
    }
}

fn count(appended: Result<(), AppendError>, began: Instant) -> Result<(), ApiError> {
    let metrics = metrics::get();
    match appended {
        Ok(()) => {
            metrics.accepted.increment(1);
            metrics.accept.record(began.elapsed());
            Ok(())
        }
        Err(error) => {
            if matches!(error, AppendError::Unknown(_)) {
                metrics.unknown.increment(1);
            }
            log::warn!(error:%; "a message was not accepted");
            Err(ApiError::unavailable(
                "the message may not be stored: repeat it with the same clientMsgId",
            ))
        }
    }
}
