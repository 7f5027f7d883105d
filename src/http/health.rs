//! Health: does the process run, may it receive traffic, which parts are up.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{
    HttpResponse,
    web::{Data, ServiceConfig, resource},
};
use futures_util::future::join3;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::{OpenApi, ToSchema};

use super::{
    only,
    problem::{self, Problem},
    read,
};
use crate::{
    actors::{kafka_bridge::BridgeHandle, presence::PresenceHandle},
    drain::Drain,
    error::ApiError,
    specifications::refusals,
    store::Store,
};

/// How long a part has to answer; each has shorter deadlines of its own.
const DEADLINE: Duration = Duration::from_secs(3);

/// Registers the health of a process, of which [`Health`] says what it is.
pub fn configure(config: &mut ServiceConfig) {
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

/// What the health of a gateway or a worker is read from.
#[derive(Clone)]
pub struct Health {
    pub store: Store,
    pub bridge: BridgeHandle,
    /// `None` on a worker, which has no presence.
    pub presence: Option<PresenceHandle>,
    pub drain: Drain,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = HealthStatus)]
struct Part {
    /// `up` or `down`; `ok` for the process as a whole.
    #[schema(pattern = "^(up|down|ok)$", examples("up"))]
    status: &'static str,
}

/// The shape that existing probes of the original read.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthReport, examples(json!({
    "status": "error",
    "info": { "database": { "status": "up" }, "kafka": { "status": "up" } },
    "error": { "redis": { "status": "down" } },
    "details": {
        "database": { "status": "up" },
        "redis": { "status": "down" },
        "kafka": { "status": "up" },
    },
})))]
struct Report {
    /// `ok` or `error`.
    #[schema(pattern = "^(ok|error)$", examples("ok"))]
    status: &'static str,
    /// The parts that are up: `database`, `redis`, `kafka`.
    info: BTreeMap<&'static str, Part>,
    /// The parts that are down.
    error: BTreeMap<&'static str, Part>,
    /// All of them.
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
    /// Asks all parts at once.
    async fn check(health: &Health) -> Self {
        let redis = async {
            match &health.presence {
                Some(presence) => Some(within(DEADLINE, presence.is_healthy()).await),
                None => None,
            }
        };
        let (database, redis, kafka) = join3(
            within(DEADLINE, health.store.is_healthy()),
            redis,
            within(DEADLINE, health.bridge.is_healthy()),
        )
        .await;
        Self {
            // A database that can be read and not written stores nothing.
            database: database && health.bridge.is_storing(),
            redis,
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

/// Who does not answer in time is down.
async fn within(deadline: Duration, asked: impl Future<Output = bool>) -> bool {
    timeout(deadline, asked).await.unwrap_or(false)
}

#[derive(OpenApi)]
#[openapi(paths(health, live, ready))]
pub(super) struct Described;

refusals::refusals! {
    Refusals: ;
}

/// Which parts are up?
#[utoipa::path(
    get,
    path = "/health",
    tag = "Health",
    responses(
        Refusals,
        (
            status = 200,
            description = "All of them.",
            body = Report,
            example = json!({
                "status": "ok",
                "info": { "database": { "status": "up" }, "redis": { "status": "up" }, "kafka": { "status": "up" } },
                "error": {},
                "details": { "database": { "status": "up" }, "redis": { "status": "up" }, "kafka": { "status": "up" } },
            }),
        ),
        (
            status = 503,
            description = "Not all of them, or no answer in time.",
            headers(("Retry-After" = u32, description = "Come back after so many seconds.")),
            content((Report = "application/json"), (Problem<'static> = "application/problem+json")),
        ),
    ),
)]
async fn health(health: Data<Health>) -> HttpResponse {
    Parts::check(&health).await.answer()
}

/// Does the process run?
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "Health",
    responses((status = 200, description = "It does.", body = Part), Refusals),
)]
async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Part { status: "ok" })
}

/// May it receive traffic?
///
/// Ready means: sends can be accepted; on a worker, what the log holds is stored. Presence is a
/// hint and does not count.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "Health",
    responses((status = 200, description = "It may.", body = Part), Refusals),
)]
async fn ready(health: Data<Health>) -> HttpResponse {
    if health.drain.is_draining() {
        return problem::answer(&ApiError::unavailable("the server restarts"));
    }
    Parts::check(&health).await.readiness()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_part_that_is_down_shows_and_presence_does_not_count() {
        let check = |[database, redis, kafka]: [bool; 3], health: u16, ready: u16| {
            let parts = Parts {
                database,
                redis: Some(redis),
                kafka,
            };
            assert_eq!(parts.answer().status(), health);
            assert_eq!(parts.readiness().status(), ready);
        };
        check([true, true, true], 200, 200);
        check([true, false, true], 503, 200);
        check([false, true, true], 503, 503);
        check([true, true, false], 503, 503);
        check([false, false, false], 503, 503);
    }

    #[test]
    fn a_report_is_of_the_shape_that_probes_know() {
        let report = |parts: &Parts| serde_json::to_value(parts.report()).expect("JSON");
        let (up, down) = (json!({ "status": "up" }), json!({ "status": "down" }));
        let gateway = Parts {
            database: true,
            redis: Some(false),
            kafka: true,
        };
        let expected: Value = json!({
            "status": "error",
            "info": { "database": up, "kafka": up },
            "error": { "redis": down },
            "details": { "database": up, "kafka": up, "redis": down },
        });
        assert_eq!(report(&gateway), expected);
        let worker = Parts {
            redis: None,
            ..gateway
        };
        let parts = json!({ "database": up, "kafka": up });
        let expected = json!({ "status": "ok", "info": parts, "error": {}, "details": parts });
        assert_eq!(report(&worker), expected);
    }

    #[tokio::test]
    async fn who_does_not_answer_in_time_is_down() {
        assert!(within(DEADLINE, async { true }).await);
        assert!(!within(DEADLINE, async { false }).await);
        assert!(!within(Duration::ZERO, std::future::pending()).await);
    }
}
