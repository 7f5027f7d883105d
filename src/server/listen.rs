//! The listeners: clients', operators', and a worker's.

use std::{io, net::SocketAddr, time::Duration};

use actix::Actor;
use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    middleware::{Compress, from_fn},
    web::Data,
};
use anyhow::Context as _;

use crate::{
    actors::{Slices, room::RoomParts, room_registry::RoomRegistry},
    gateway::Gateway,
    http::{self, health::WorkerHealth},
};

/// HTTP headers must be here within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long requests under way have to end; the server looks once a second.
const REQUEST_LINGER_S: u64 = 5;

/// Serves clients; each worker thread has its own registry of rooms.
pub(super) fn gateway(
    gateway: &Data<Gateway>,
    slices: &Slices,
    parts: RoomParts,
) -> anyhow::Result<(ServerHandle, SocketAddr)> {
    let bind_addr = gateway.config.http.bind_addr;
    let (gateway, slices) = (gateway.clone(), slices.clone());
    let server = HttpServer::new(move || {
        let registry = RoomRegistry::new(parts.clone()).start();
        slices.add(registry.clone());
        App::new()
            .app_data(gateway.clone())
            .app_data(Data::new(registry))
            .configure(http::configure)
            .wrap(Compress::default())
            .wrap(from_fn(http::bound))
            .wrap(http::cors(&gateway.config.http))
            .wrap(from_fn(http::finish))
    })
    .on_connect(http::accepted)
    .client_request_timeout(HEADER_TIMEOUT)
    .tcp_nodelay(true)
    .disable_signals()
    .shutdown_timeout(REQUEST_LINGER_S)
    .bind(bind_addr)
    .map_err(|error| bind_error(&error, bind_addr, "BIND_ADDR", "PORT"))?;
    let addr = *server.addrs().first().context("no address was bound")?;
    let server = server.run();
    let handle = server.handle();
    actix::spawn(server);
    Ok((handle, addr))
}

/// Serves the metrics of a gateway.
pub(super) fn metrics(
    bind_addr: SocketAddr,
    render: impl Fn() -> String + Clone + Send + 'static,
) -> anyhow::Result<(ServerHandle, SocketAddr)> {
    let server = HttpServer::new(move || App::new().service(http::metrics(render.clone())))
        .workers(1)
        .disable_signals()
        .bind(bind_addr)
        .map_err(|error| bind_error(&error, bind_addr, "METRICS_ADDR", "METRICS_ADDR"))?;
    let addr = *server.addrs().first().context("no address was bound")?;
    let server = server.run();
    let handle = server.handle();
    actix::spawn(server);
    Ok((handle, addr))
}

/// Serves the health and the metrics of a worker.
pub(super) fn worker(
    bind_addr: SocketAddr,
    health: WorkerHealth,
    render: impl Fn() -> String + Clone + Send + 'static,
) -> anyhow::Result<(ServerHandle, SocketAddr)> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(health.clone()))
            .configure(http::health::configure_worker)
            .service(http::metrics(render.clone()))
            .default_service(actix_web::web::to(http::not_found))
    })
    .workers(1)
    .disable_signals()
    .bind(bind_addr)
    .map_err(|error| bind_error(&error, bind_addr, "BIND_ADDR", "WORKER_PORT"))?;
    let addr = *server.addrs().first().context("no address was bound")?;
    let server = server.run();
    let handle = server.handle();
    actix::spawn(server);
    Ok((handle, addr))
}

/// Says what is wrong with an address, and which setting its host or its port comes from.
fn bind_error(error: &io::Error, addr: SocketAddr, host: &str, port: &str) -> anyhow::Error {
    let (why, setting) = match error.kind() {
        io::ErrorKind::AddrInUse => ("something else listens there".to_owned(), port),
        io::ErrorKind::AddrNotAvailable => ("this machine has no such address".to_owned(), host),
        _ => (error.to_string(), port),
    };
    anyhow::anyhow!("cannot listen on {addr}: {why}; choose another with {setting}")
}
