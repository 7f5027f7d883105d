//! The composition root: opens the adapters, starts the actors from the largest rank down, binds,
//! and stops all of it in reverse.

mod listen;
mod stop;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix::{Actor, System};
use actix_web::{dev::ServerHandle, web::Data};
use anyhow::Context as _;
use futures_util::future::{join, join_all};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{sleep, timeout};

pub use self::stop::Stop;

use crate::{
    actors::{
        Reference, Slices,
        kafka_bridge::{
            BridgeHandle, BridgeParts, GatewayParts, IngestHealth, KafkaBridge, WorkerParts,
        },
        mailbox::Mailbox,
        persistor::PersistorActor,
        presence::{PresenceActor, PresenceHandle},
        room::RoomParts,
        room_registry::{AwaitEmpty, DrainSockets, RoomRegistry},
        snapshot::Inspector,
        supervision::Supervisor,
    },
    auth::{Authenticator, LoginFailures, Passwords, Tokens},
    backends::{Backends, GatewayBackends},
    clock::Timestamp,
    config::GatewayConfig,
    drain::Drain,
    gateway::{Gateway, Turns},
    http::{demo::Demo, health::Health},
    ids::{ServerId, SessionId, UserId},
    limits::Limits,
    memberships::Memberships,
    message_log::MessageLog,
    metrics::{self, ActorKind},
    presence::Presence,
    store::Store,
};

/// Persistors; a partition always goes to the same one.
const PERSISTORS: usize = 4;

/// How often buckets of idle users, expired invites and revocations are forgotten.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

/// How long a slice has to take the order to send its sockets away.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Over how long sockets are sent away.
const DRAIN_SPREAD: Duration = Duration::from_secs(3);

/// How long sockets have after that, to hear the end of their sends and read their close frame.
const DRAIN_LINGER: Duration = Duration::from_secs(5);

/// How long the listener answers that the server goes, even when there is no socket to send away:
/// whoever sends clients here has to see it.
const LISTEN_AT_LEAST: Duration = Duration::from_secs(1);

/// How long presence has to forget the sockets.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the log has to finish what a worker has under way, and to write what is queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(8);

/// How long the store has to end what runs. With all before it, and the 5 s that requests have:
/// 23 s of the 25 that a drain has.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a process listens on, and as what.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `None` on a worker.
    pub gateway: Option<GatewayConfig>,
    /// Where a worker that is not a gateway has its health and metrics; `None` otherwise.
    pub worker_addr: Option<SocketAddr>,
}

/// What was opened, for the banner.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// Of a gateway.
    pub addr: Option<SocketAddr>,
    /// Whether a gateway's is `https`.
    pub has_tls: bool,
    pub metrics_addr: Option<SocketAddr>,
    /// Of a worker.
    pub worker_addr: Option<SocketAddr>,
}

/// Runs a server until it is told to stop; `on_ready` hears where it listens.
///
/// # Errors
/// When an address cannot be bound or a dependency fails at start.
pub async fn run(
    backends: Backends,
    config: ServerConfig,
    mut stop: Stop,
    on_ready: impl FnOnce(&Opened),
) -> anyhow::Result<()> {
    let recorder = metrics::install()?;
    let (store, log) = (backends.store.clone(), backends.log.clone());
    let running = tokio::select! {
        started = Running::start(backends, config, recorder) => started?,
        // No client has been let in yet.
        () = stop.told() => {
            close(&log, &store).await;
            return Ok(());
        }
    };
    on_ready(&running.opened);
    stop.told().await;
    running.drain().await;
    Ok(())
}

/// A server that serves.
struct Running {
    store: Store,
    log: MessageLog,
    drain: Drain,
    gateway: Option<Serving>,
    /// What operators read, stopped last.
    operators: Option<ServerHandle>,
    opened: Opened,
}

/// A gateway that serves.
struct Serving {
    gateway: Data<Gateway>,
    slices: Slices,
    http: ServerHandle,
}

impl Running {
    async fn start(
        backends: Backends,
        config: ServerConfig,
        recorder: PrometheusHandle,
    ) -> anyhow::Result<Self> {
        let Backends {
            store,
            log,
            is_worker,
            gateway,
        } = backends;
        let drain = Drain::default();
        let worker = is_worker.then(|| start_worker(&store));
        let persistors = worker.as_ref().map(|worker| worker.persistors.clone());
        let base = Base {
            store: store.clone(),
            log: log.clone(),
            worker,
            drain: drain.clone(),
        };
        let mut opened = Opened::default();
        let presence = gateway.as_ref().map(|it| it.presence.clone());
        let render = renderer(recorder, log.clone(), store.clone(), presence);
        let (gateway, bridge, metrics_addr) = match (gateway, config.gateway) {
            (Some(backends), Some(config)) => {
                let metrics_addr = config
                    .http
                    .metrics_addr
                    .map(|addr| (addr, config.http.metrics_may_move));
                opened.has_tls = config.http.tls.is_some();
                let (serving, addr) = Serving::start(base, backends, config).await?;
                opened.addr = Some(addr);
                let bridge = serving.gateway.bridge.clone();
                (Some(serving), bridge, metrics_addr)
            }
            _ => (None, start_bridge(base, ServerId::random(), None), None),
        };
        let serving = gateway.as_ref();
        let read = listen::Operators {
            render: Arc::new(render),
            inspector: Inspector {
                slices: serving.map(|it| it.slices.clone()).unwrap_or_default(),
                presence: serving.map(|it| it.gateway.presence.clone()),
                bridge: bridge.bridge().clone(),
                persistors: persistors.unwrap_or_default(),
            },
        };
        let health = Health {
            store: store.clone(),
            bridge,
            presence: serving.map(|it| it.gateway.presence.clone()),
            drain: drain.clone(),
        };
        let operators = if gateway.is_some() {
            let listening = metrics_addr
                .map(|(addr, may_move)| listen::operators(addr, may_move, health, read));
            listening.transpose()?.map(|(handle, addr)| {
                opened.metrics_addr = Some(addr);
                handle
            })
        } else if let Some(addr) = config.worker_addr {
            let (handle, addr) = listen::worker(addr, health, read)?;
            opened.worker_addr = Some(addr);
            Some(handle)
        } else {
            None
        };
        Ok(Self {
            store,
            log,
            drain,
            gateway,
            operators,
            opened,
        })
    }

    /// Sends clients away, lets requests end, writes what is queued; each step has its deadline.
    async fn drain(self) {
        let began = Instant::now();
        self.drain.begin();
        if let Some(serving) = self.gateway {
            log::info!("draining: clients are sent away");
            serving.drain().await;
        }
        close(&self.log, &self.store).await;
        if let Some(operators) = self.operators {
            operators.stop(false).await;
        }
        log::info!(ms = began.elapsed().as_millis() as u64; "drained");
    }
}

/// Lets the log and the store end what they have under way; each has its deadline.
async fn close(log: &MessageLog, store: &Store) {
    if timeout(FLUSH_TIMEOUT, log.close()).await.is_err() {
        log::error!("the log did not write everything in time: it will at the next start");
    }
    if timeout(CLOSE_TIMEOUT, store.close()).await.is_err() {
        log::warn!("the store did not close in time");
    }
}

impl Serving {
    async fn start(
        base: Base,
        backends: GatewayBackends,
        config: GatewayConfig,
    ) -> anyhow::Result<(Self, SocketAddr)> {
        let slices = Slices::default();
        let store = base.store.clone();
        let gateway = Data::new(start_gateway(base, backends, config, &slices).await?);
        let parts = RoomParts {
            store,
            presence: gateway.presence.clone(),
            auth: gateway.auth.clone(),
            memberships: gateway.memberships.clone(),
            slices: slices.clone(),
            epoch: gateway.epoch,
        };
        let (http, addr) = listen::gateway(&gateway, &slices, parts)?;
        actix::spawn(keep_house(gateway.clone()));
        let serving = Self {
            gateway,
            slices,
            http,
        };
        Ok((serving, addr))
    }

    async fn drain(self) {
        let slices = self.slices.all();
        let (sockets, ()) = join(send_sockets_away(&slices), sleep(LISTEN_AT_LEAST)).await;
        let leaving = self.gateway.presence.leave_all(sockets);
        // Presence is a hint: its deadlines heal what is missed here.
        let _ = timeout(LEAVE_TIMEOUT, leaving).await;
        self.http.stop(true).await;
    }
}

/// Sends every socket away and waits until they have closed, or the time for it has run out;
/// returns those that were authenticated.
async fn send_sockets_away(registries: &[Mailbox<RoomRegistry>]) -> Vec<(UserId, SessionId)> {
    let told = join_all(registries.iter().map(|registry| {
        let spread = DRAIN_SPREAD;
        timeout(TELL_TIMEOUT, registry.send(DrainSockets { spread }))
    }));
    let sockets = told.await.into_iter().flatten().flatten().flatten();
    let sockets = sockets.collect();
    let all_gone = join_all(registries.iter().map(|registry| registry.send(AwaitEmpty)));
    if timeout(DRAIN_SPREAD + DRAIN_LINGER, all_gone)
        .await
        .is_err()
    {
        log::warn!("some sockets did not close in time");
    }
    sockets
}

/// What every part of the system stands on.
struct Base {
    store: Store,
    log: MessageLog,
    worker: Option<WorkerParts>,
    drain: Drain,
}

/// Starts the actors that store what the log holds.
fn start_worker(store: &Store) -> WorkerParts {
    WorkerParts {
        store: store.clone(),
        persistors: (0..PERSISTORS)
            .map(|_| supervise_persistor(store))
            .collect(),
        health: IngestHealth::default(),
    }
}

/// Starts the bridge, which asks the persistors and tells the gateway's slices.
fn start_bridge(base: Base, server_id: ServerId, gateway: Option<GatewayParts>) -> BridgeHandle {
    let health = base.worker.as_ref().map(|worker| worker.health.clone());
    let log = base.log.clone();
    let bridge = supervise_bridge(BridgeParts {
        log: base.log,
        server_id,
        worker: base.worker,
        gateway,
    });
    BridgeHandle::new(bridge, log, health.unwrap_or_default())
}

/// Starts a gateway's actors from the largest rank down; each gets the addresses it asks.
async fn start_gateway(
    base: Base,
    backends: GatewayBackends,
    config: GatewayConfig,
    slices: &Slices,
) -> anyhow::Result<Gateway> {
    let (store, drain) = (base.store.clone(), base.drain.clone());
    let installation = store.installation().await?;
    let tokens = Tokens::new(&backends.secret, &config.tokens);
    let passwords =
        Passwords::new(config.tokens.bcrypt_cost).context("nowhere to hash passwords")?;
    let auth = Authenticator::new(tokens.clone(), store.clone());
    auth.load(Timestamp::now())
        .await
        .context("revoked tokens cannot be read")?;
    let memberships = Memberships::new(store.clone());
    let server_id = ServerId::random();
    let presence = supervise_presence(backends.presence, slices);
    let bridge = start_bridge(
        base,
        server_id,
        Some(GatewayParts {
            slices: slices.clone(),
            memberships: memberships.clone(),
            auth: auth.clone(),
            presence: presence.clone(),
        }),
    );
    Ok(Gateway {
        limits: Limits::new(config.limits),
        turns: Turns::default(),
        failures: LoginFailures::new(config.limits.login_failures),
        bridge,
        drain,
        epoch: installation.epoch,
        store,
        tokens,
        passwords,
        auth,
        memberships,
        presence,
        config,
        server_id,
        demo: backends.is_demo.then(Demo::default),
    })
}

fn supervise_persistor(store: &Store) -> Reference<PersistorActor> {
    let store = store.clone();
    Supervisor::start_child(ActorKind::Persistor, move |guardian| {
        PersistorActor::new(store.clone(), guardian).start()
    })
}

fn supervise_presence(presence: Presence, slices: &Slices) -> PresenceHandle {
    let slices = slices.clone();
    PresenceHandle::new(Supervisor::start_child(
        ActorKind::Presence,
        move |guardian| PresenceActor::new(presence.clone(), slices.clone(), guardian).start(),
    ))
}

fn supervise_bridge(parts: BridgeParts) -> Reference<KafkaBridge> {
    Supervisor::start_child(ActorKind::KafkaBridge, move |guardian| {
        KafkaBridge::new(parts.clone(), guardian).start()
    })
}

/// Returns what writes `/metrics`.
fn renderer(
    recorder: PrometheusHandle,
    log: MessageLog,
    store: Store,
    presence: Option<Presence>,
) -> impl Fn() -> String + Send + Sync {
    actix::spawn({
        let recorder = recorder.clone();
        async move {
            let mut ticks = tokio::time::interval(metrics::UPKEEP_INTERVAL);
            loop {
                ticks.tick().await;
                recorder.run_upkeep();
            }
        }
    });
    move || {
        let metrics = metrics::get();
        log.lag().into_iter().for_each(|lag| metrics.set_lag(lag));
        let pools = store
            .pools()
            .into_iter()
            .chain(presence.as_ref().and_then(Presence::pool));
        pools.for_each(|pool| metrics.set_pool(pool));
        metrics::render(&recorder)
    }
}

async fn keep_house(gateway: Data<Gateway>) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    loop {
        ticks.tick().await;
        gateway.limits.forget_idle();
        gateway.auth.forget_expired(Timestamp::now());
        if let Err(error) = gateway.store.forget_expired(Timestamp::now()).await {
            log::warn!(error:%; "expired invites and revocations are not forgotten yet");
        }
    }
}

/// Runs `serve` on an actor system; a code other than 0 comes from an actor that gave up.
///
/// # Errors
/// What `serve` failed with, or that an actor gave up.
pub fn block_on<E: From<anyhow::Error> + Send + 'static>(
    serve: impl Future<Output = Result<(), E>> + 'static,
) -> Result<(), E> {
    let system = System::new();
    let outcome = Arc::new(Mutex::new(None));
    let ended = Arc::clone(&outcome);
    system.runtime().spawn(async move {
        let result = serve.await;
        let code = i32::from(result.is_err());
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        System::current().stop_with_code(code);
    });
    let code = system.run_with_code().map_err(anyhow::Error::from)?;
    let result = outcome
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    result.unwrap_or_else(|| {
        let gave_up = anyhow::anyhow!("an actor gave up (status {code}); the log says which");
        Err(gave_up.into())
    })
}
