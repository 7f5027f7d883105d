//! Health: does the process run, may it receive traffic, which parts are up.

use std::collections::BTreeMap;

use actix_web::{
    HttpResponse,
    web::{Data, ServiceConfig, resource},
};
use futures_util::future::join3;
use serde::Serialize;

use super::{only, problem, read};
use crate::{error::ApiError, gateway::Gateway};

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

/// The three parts by the names that probes know; embedded ones answer to them too.
struct Parts {
    database: bool,
    redis: bool,
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
            database,
            redis,
            kafka,
        }
    }

    fn report(&self) -> Report {
        let parts = [
            ("database", self.database),
            ("redis", self.redis),
            ("kafka", self.kafka),
        ];
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
    let report = Parts::check(&gateway).await.report();
    match report.error.is_empty() {
        true => HttpResponse::Ok().json(report),
        false => HttpResponse::ServiceUnavailable().json(report),
    }
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Part { status: "ok" })
}

/// Ready means: sends can be accepted. Presence is a hint and does not count.
async fn ready(gateway: Data<Gateway>) -> HttpResponse {
    if gateway.drain.is_draining() {
        return problem::answer(&ApiError::unavailable("the server restarts"));
    }
    let parts = Parts::check(&gateway).await;
    match parts.database && parts.kafka {
        true => HttpResponse::Ok().json(Part { status: "ok" }),
        false => problem::answer(&ApiError::unavailable("a dependency is down")),
    }
}
