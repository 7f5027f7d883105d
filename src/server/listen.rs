//! The listeners: clients', operators', and a worker's.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use actix::Actor;
use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    middleware::from_fn,
    web::{self, Data, ServiceConfig},
};
use anyhow::Context as _;

use crate::{
    actors::{
        Slices, mailbox::Mailbox, room::RoomParts, room_registry::RoomRegistry, snapshot::Inspector,
    },
    config::keys::{self, Key},
    gateway::Gateway,
    http::{self, TlsGate, health::Health, operators::Render},
};

/// Serves clients; each worker thread has its own registry of rooms.
pub(super) fn gateway(
    gateway: &Data<Gateway>,
    slices: &Slices,
    parts: RoomParts,
) -> anyhow::Result<(ServerHandle, SocketAddr)> {
    let bind_addr = gateway.config.http.bind_addr;
    let gate = TlsGate::of(gateway);
    let (gateway, slices) = (gateway.clone(), slices.clone());
    let health = Data::new(Health {
        store: gateway.store.clone(),
        bridge: gateway.bridge.clone(),
        presence: Some(gateway.presence.clone()),
        drain: gateway.drain.clone(),
    });
    let worker = move || {
        let registry = Mailbox::new(RoomRegistry::new(parts.clone()).start());
        slices.add(registry.clone());
        let (gateway, health, registry) = (gateway.clone(), health.clone(), Data::new(registry));
        move || {
            App::new()
                .app_data(gateway.clone())
                .app_data(health.clone())
                .app_data(registry.clone())
                .configure(http::configure)
                .wrap(from_fn(http::bound))
                .wrap(http::cors(&gateway.config.http))
                .wrap(from_fn(http::finish))
        }
    };
    let (server, addr) = http::serve(bind_addr, gate, worker)
        .map_err(|error| bind_error(&error, bind_addr, &keys::BIND_ADDR, &keys::PORT))?;
    let handle = server.handle();
    actix::spawn(server);
    Ok((handle, addr))
}

/// Serves what operators read of a gateway, and its health for a probe that speaks no TLS.
pub(super) fn operators(
    addr: SocketAddr,
    may_move: bool,
    health: Health,
    operators: Operators,
) -> anyhow::Result<(ServerHandle, SocketAddr)> {
    let listener = bind_metrics(addr, may_move)?;
    let app = move || {
        App::new()
            .app_data(Data::new(health.clone()))
            .configure(http::health::configure)
            .configure(|config| operators.configure(config))
            .default_service(web::to(http::not_found))
    };
    let server = HttpServer::new(app).workers(1).disable_signals();
    let server = server.listen(listener)?;
    let addr = *server.addrs().first().context("no address was bound")?;
    let server = server.run();
    let handle = server.handle();
    actix::spawn(server);
    Ok((handle, addr))
}

/// Serves the health of a worker, and what operators read of it.
pub(super) fn worker(
    addr: SocketAddr,
    health: Health,
    operators: Operators,
) -> anyhow::Result<(ServerHandle, SocketAddr)> {
    let app = move || {
        App::new()
            .app_data(Data::new(health.clone()))
            .configure(http::health::configure)
            .configure(|config| operators.configure(config))
            .default_service(web::to(http::not_found))
    };
    let server = HttpServer::new(app).workers(1).disable_signals();
    let server = server
        .bind(addr)
        .map_err(|error| bind_error(&error, addr, &keys::BIND_ADDR, &keys::WORKER_PORT))?;
    let addr = *server.addrs().first().context("no address was bound")?;
    let server = server.run();
    let handle = server.handle();
    actix::spawn(server);
    Ok((handle, addr))
}

/// What operators read.
#[derive(Clone)]
pub(super) struct Operators {
    pub(super) render: Render,
    pub(super) inspector: Inspector,
}

impl Operators {
    fn configure(&self, config: &mut ServiceConfig) {
        config
            .app_data(Data::new(Render::clone(&self.render)))
            .app_data(Data::new(self.inspector.clone()))
            .configure(http::operators::configure);
    }
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
