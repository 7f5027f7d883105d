//! Health: does the process run, may it receive traffic, which parts are up.

use std::collections::BTreeMap;

use actix_web::{
    HttpResponse,
    web::{Data, ServiceConfig, resource},
};
use futures_util::future::{join, join3};
use serde::Serialize;

use super::{only, problem, read};
use crate::{
    actors::kafka_bridge::BridgeHandle, drain::Drain, error::ApiError, gateway::Gateway,
    store::Store,
};

pub(super) fn configure(config: &mut ServiceConfig) {
    let get = || only("GET, HEAD");
    config
        .service(
            resource("/health")
                .route(read(health))
                .default_service(get()),
        )
        .service(
            resource("/health/live")
                .route(read(live))
                .default_service(get()),
        )
        .service(
            resource("/health/ready")
                .route(read(ready))
                .default_service(get()),
        );
}

/// What a worker's health is read from.
#[derive(Clone)]
pub struct WorkerHealth {
    pub store: Store,
    pub bridge: BridgeHandle,
    pub drain: Drain,
}

/// Registers the health of a process that is a worker alone.
pub fn configure_worker(config: &mut ServiceConfig) {
    let get = || only("GET, HEAD");
    config
        .service(
            resource("/health")
                .route(read(worker_health))
                .default_service(get()),
        )
        .service(
            resource("/health/live")
                .route(read(live))
                .default_service(get()),
        )
        .service(
            resource("/health/ready")
                .route(read(worker_ready))
                .default_service(get()),
        );
}

#[derive(Clone, Copy, Serialize)]
struct Part {
    status: &'static str,
}

/// The shape that existing probes of the original read.
#[derive(Serialize)]
struct Report {
    status: &'static str,
    info: BTreeMap<&'static str, Part>,
    error: BTreeMap<&'static str, Part>,
    details: BTreeMap<&'static str, Part>,
}

/// The parts by the names that probes know; embedded ones answer to them too.
struct Parts {
    database: bool,
    /// `None` on a worker, which has no presence.
    redis: Option<bool>,
    kafka: bool,
}

impl Parts {
    async fn check(gateway: &Gateway) -> Self {
        let (database, redis, kafka) = join3(
            gateway.store.is_healthy(),
            gateway.presence.is_healthy(),
            gateway.bridge.is_healthy(),
        )
        .await;
        Self {
            // A database that can be read and not written stores nothing.
            database: database && gateway.bridge.is_storing(),
            redis: Some(redis),
            kafka,
        }
    }

    async fn check_worker(worker: &WorkerHealth) -> Self {
        let (database, kafka) = join(worker.store.is_healthy(), worker.bridge.is_healthy()).await;
        Self {
            database: database && worker.bridge.is_storing(),
            redis: None,
            kafka,
        }
    }

    fn answer(&self) -> HttpResponse {
        let report = self.report();
        match report.error.is_empty() {
            true => HttpResponse::Ok().json(report),
            false => HttpResponse::ServiceUnavailable().json(report),
        }
    }

    /// Presence is a hint and does not count.
    fn readiness(&self) -> HttpResponse {
        match self.database && self.kafka {
            true => HttpResponse::Ok().json(Part { status: "ok" }),
            false => problem::answer(&ApiError::unavailable("a dependency is down")),
        }
    }

    fn report(&self) -> Report {
        let parts = [
            Some(("database", self.database)),
            self.redis.map(|is_up| ("redis", is_up)),
            Some(("kafka", self.kafka)),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let part = |is_up: bool| Part {
            status: if is_up { "up" } else { "down" },
        };
        let select = |wanted: bool| {
            let selected = parts.iter().filter(move |(_, is_up)| *is_up == wanted);
            selected
                .map(|(name, is_up)| (*name, part(*is_up)))
                .collect()
        };
        let is_ok = parts.iter().all(|(_, is_up)| *is_up);
        Report {
            status: if is_ok { "ok" } else { "error" },
            info: select(true),
            error: select(false),
            details: parts
                .iter()
                .map(|(name, is_up)| (*name, part(*is_up)))
                .collect(),
        }
    }
}

async fn health(gateway: Data<Gateway>) -> HttpResponse {
    Parts::check(&gateway).await.answer()
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Part { status: "ok" })
}

/// Ready means: sends can be accepted.
async fn ready(gateway: Data<Gateway>) -> HttpResponse {
    if gateway.drain.is_draining() {
        return restarting();
    }
    Parts::check(&gateway).await.readiness()
}

async fn worker_health(worker: Data<WorkerHealth>) -> HttpResponse {
    Parts::check_worker(&worker).await.answer()
}

/// Ready means: what the log holds is stored.
async fn worker_ready(worker: Data<WorkerHealth>) -> HttpResponse {
    if worker.drain.is_draining() {
        return restarting();
    }
    Parts::check_worker(&worker).await.readiness()
}

fn restarting() -> HttpResponse {
    problem::answer(&ApiError::unavailable("the server restarts"))
}
