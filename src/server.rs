//! The composition root: opens the adapters, starts the actors from the largest rank down, binds,
//! and stops all of it in reverse.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, System};
use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    middleware::{Compress, from_fn},
    web::Data,
};
use anyhow::Context as _;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use crate::{
    actors::{
        Reference, Slices,
        kafka_bridge::{BridgeHandle, BridgeParts, KafkaBridge},
        persistor::PersistorActor,
        presence::{PresenceActor, PresenceHandle},
        room::RoomParts,
        room_registry::{AwaitEmpty, DrainSockets, RoomRegistry},
        supervision::Supervisor,
    },
    auth::{Authenticator, LoginFailures, Passwords, Tokens},
    backends::Backends,
    clock::Timestamp,
    config::{
        GatewayConfig,
        keys::{self, Key},
    },
    drain::Drain,
    gateway::Gateway,
    http::{self, demo::Demo},
    ids::{ServerId, SessionId, UserId},
    limits::Limits,
    memberships::Memberships,
    message_log::{MessageLog, Topic},
    metrics::{self, ActorKind},
};

/// Persistors; a partition always goes to the same one.
const PERSISTORS: usize = 2;

/// How often buckets of idle users, expired invites and revocations are forgotten.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

/// How long a slice has to take the order to send its sockets away.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Over how long sockets are sent away.
const DRAIN_SPREAD: Duration = Duration::from_secs(3);

/// How long sockets have after that, to hear the end of their sends and read their close frame.
const DRAIN_LINGER: Duration = Duration::from_secs(5);

/// How long presence has to forget the sockets.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the log has to write what is queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the store has to end what runs. With all before it: 22 s of the 25 that a drain has.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What was opened, for the banner.
#[derive(Debug, Clone)]
pub struct Opened {
    pub addr: SocketAddr,
    pub metrics_addr: Option<SocketAddr>,
}

/// Runs a server until it is told to stop; `on_ready` hears where it listens.
///
/// # Errors
/// When an address cannot be bound or a dependency fails at start.
pub async fn run(
    backends: Backends,
    config: GatewayConfig,
    on_ready: impl FnOnce(&Opened),
) -> anyhow::Result<()> {
    let recorder = metrics::install()?;
    let running = Running::start(backends, config, recorder).await?;
    // Who has read that it is ready may tell it to stop.
    let stop = Stop::listen()?;
    on_ready(&running.opened);
    stop.told().await;
    running.drain().await;
    Ok(())
}

/// A server that serves.
struct Running {
    gateway: Data<Gateway>,
    slices: Slices,
    backends: Backends,
    http: ServerHandle,
    metrics: Option<ServerHandle>,
    opened: Opened,
}

impl Running {
    async fn start(
        backends: Backends,
        config: GatewayConfig,
        recorder: PrometheusHandle,
    ) -> anyhow::Result<Self> {
        let slices = Slices::default();
        let gateway = Data::new(start_actors(&backends, config, &slices).await?);
        let parts = RoomParts {
            store: backends.store.clone(),
            presence: gateway.presence.clone(),
            epoch: gateway.epoch,
        };
        let (http, addr) = serve_http(&gateway, &slices, parts)?;
        let metrics = serve_metrics(&gateway.config, recorder, backends.log.clone())?;
        let opened = Opened {
            addr,
            metrics_addr: metrics.as_ref().map(|(_, addr)| *addr),
        };
        actix::spawn(keep_house(gateway.clone()));
        Ok(Self {
            gateway,
            slices,
            backends,
            http,
            metrics: metrics.map(|(handle, _)| handle),
            opened,
        })
    }

    /// Sends clients away, lets requests end, writes what is queued; each step has its deadline.
    async fn drain(self) {
        let began = Instant::now();
        log::info!("draining: clients are sent away");
        self.gateway.drain.begin();
        let sockets = send_sockets_away(&self.slices.all()).await;
        let leaving = self.gateway.presence.leave_all(sockets);
        // Presence is a hint: its deadlines heal what is missed here.
        let _ = timeout(LEAVE_TIMEOUT, leaving).await;
        self.http.stop(true).await;
        if timeout(FLUSH_TIMEOUT, self.backends.log.close())
            .await
            .is_err()
        {
            log::error!("the log did not write everything in time: it will at the next start");
        }
        if timeout(CLOSE_TIMEOUT, self.backends.store.close())
            .await
            .is_err()
        {
            log::warn!("the store did not close in time");
        }
        if let Some(metrics) = self.metrics {
            metrics.stop(false).await;
        }
        log::info!(ms = began.elapsed().as_millis() as u64; "drained");
    }
}

/// Sends every socket away and waits until they have closed, or the time for it has run out;
/// returns those that were authenticated.
async fn send_sockets_away(registries: &[Addr<RoomRegistry>]) -> Vec<(UserId, SessionId)> {
    let told = join_all(registries.iter().map(|registry| {
        metrics::get().actor(ActorKind::RoomRegistry).sent();
        let spread = DRAIN_SPREAD;
        timeout(TELL_TIMEOUT, registry.send(DrainSockets { spread }))
    }));
    let sockets = told.await.into_iter().flatten().flatten().flatten();
    let sockets = sockets.collect();
    let all_gone = join_all(registries.iter().map(|registry| {
        metrics::get().actor(ActorKind::RoomRegistry).sent();
        registry.send(AwaitEmpty)
    }));
    if timeout(DRAIN_SPREAD + DRAIN_LINGER, all_gone)
        .await
        .is_err()
    {
        log::warn!("some sockets did not close in time");
    }
    sockets
}

/// Starts the actors from the largest rank down; each gets the addresses it asks.
async fn start_actors(
    backends: &Backends,
    config: GatewayConfig,
    slices: &Slices,
) -> anyhow::Result<Gateway> {
    let store = backends.store.clone();
    let installation = store.installation().await?;
    let tokens = Tokens::new(&backends.secret, &config.tokens);
    let passwords = Passwords::new(config.tokens.bcrypt_cost);
    let auth = Authenticator::new(tokens.clone(), store.clone());
    auth.load(Timestamp::now())
        .await
        .context("revoked tokens cannot be read")?;
    let memberships = Memberships::new(store.clone());
    let server_id = ServerId::random();
    let demo = backends.is_demo.then(Demo::default);
    let persistors = (0..PERSISTORS)
        .map(|_| supervise_persistor(backends))
        .collect();
    let presence = supervise_presence(backends, slices);
    let bridge = supervise_bridge(BridgeParts {
        log: backends.log.clone(),
        store: store.clone(),
        persistors,
        slices: slices.clone(),
        memberships: memberships.clone(),
        auth: auth.clone(),
        presence: presence.clone(),
        server_id,
    });
    Ok(Gateway {
        limits: Limits::new(config.limits),
        failures: LoginFailures::new(config.limits.login_failures),
        bridge: BridgeHandle::new(bridge, backends.log.clone()),
        drain: Drain::default(),
        epoch: installation.epoch,
        store,
        tokens,
        passwords,
        auth,
        memberships,
        presence,
        config,
        server_id,
        demo,
    })
}

fn supervise_persistor(backends: &Backends) -> Reference<PersistorActor> {
    let store = backends.store.clone();
    Supervisor::start_child(ActorKind::Persistor, move |guardian| {
        PersistorActor::new(store.clone(), guardian).start()
    })
}

fn supervise_presence(backends: &Backends, slices: &Slices) -> PresenceHandle {
    let (presence, slices) = (backends.presence.clone(), slices.clone());
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

fn serve_http(
    gateway: &Data<Gateway>,
    slices: &Slices,
    parts: RoomParts,
) -> anyhow::Result<(ServerHandle, SocketAddr)> {
    let bind_addr = gateway.config.http.bind_addr;
    let (gateway, slices) = (gateway.clone(), slices.clone());
    let app = move || {
        let registry = RoomRegistry::new(parts.clone()).start();
        slices.add(registry.clone());
        App::new()
            .app_data(gateway.clone())
            .app_data(Data::new(registry))
            .configure(http::configure)
            .wrap(Compress::default())
            .wrap(http::cors(&gateway.config.http))
            .wrap(from_fn(http::guard))
    };
    let (server, addr) = http::serve(bind_addr, app)
        .map_err(|error| bind_error(&error, bind_addr, &keys::BIND_ADDR, &keys::PORT))?;
    let handle = server.handle();
    actix::spawn(server);
    Ok((handle, addr))
}

fn serve_metrics(
    config: &GatewayConfig,
    recorder: PrometheusHandle,
    log: MessageLog,
) -> anyhow::Result<Option<(ServerHandle, SocketAddr)>> {
    let Some(bind_addr) = config.http.metrics_addr else {
        return Ok(None);
    };
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
    let render = move || {
        for (partition, lag) in log.lag() {
            metrics::set_consumer_lag(Topic::Messages.name(), partition, lag);
        }
        metrics::render(&recorder)
    };
    let server = HttpServer::new(move || http::metrics_app(render.clone()))
        .workers(1)
        .disable_signals();
    let listener = bind_metrics(bind_addr, config.http.metrics_may_move)?;
    let server = server.listen(listener)?;
    let addr = *server.addrs().first().context("no address was bound")?;
    let server = server.run();
    let handle = server.handle();
    actix::spawn(server);
    Ok(Some((handle, addr)))
}

/// Takes another port where that is nobody's wish, and another server has the usual one.
fn bind_metrics(addr: SocketAddr, may_move: bool) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind(addr) {
        Err(error) if may_move && error.kind() == io::ErrorKind::AddrInUse => {
            log::warn!(addr:% = addr; "something else listens where metrics usually are: they get a free port");
            TcpListener::bind((addr.ip(), 0))
        }
        bound => bound,
    };
    bound.map_err(|error| bind_error(&error, addr, &keys::METRICS_ADDR, &keys::METRICS_ADDR))
}

/// Says what is wrong with an address, and which setting its host or its port comes from.
fn bind_error(error: &io::Error, addr: SocketAddr, host: &Key, port: &Key) -> anyhow::Error {
    let (why, key) = match error.kind() {
        io::ErrorKind::AddrInUse => ("something else listens there".to_owned(), port),
        io::ErrorKind::AddrNotAvailable => ("this machine has no such address".to_owned(), host),
        _ => (error.to_string(), port),
    };
    anyhow::anyhow!(
        "cannot listen on {addr}: {why}; choose another with {} (--{})",
        key.name,
        key.flag.unwrap_or_default()
    )
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

/// The signals that end a server.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// From now on these signals no longer end the process by themselves.
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn told(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs `serve` on an actor system; a code other than 0 comes from an actor that gave up.
///
/// # Errors
/// What `serve` failed with, or that an actor gave up.
pub fn block_on(serve: impl Future<Output = anyhow::Result<()>> + 'static) -> anyhow::Result<()> {
    let system = System::new();
    let outcome = Arc::new(std::sync::Mutex::new(None));
    let ended = Arc::clone(&outcome);
    system.runtime().spawn(async move {
        let result = serve.await;
        let code = i32::from(result.is_err());
        *ended
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result);
        System::current().stop_with_code(code);
    });
    let code = system.run_with_code()?;
    let result = outcome
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    match result {
        Some(result) => result,
        None => anyhow::bail!("an actor died too often (status {code}); the log says which"),
    }
}
