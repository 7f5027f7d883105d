//! What operators read, on an address of its own: `/metrics` and `/debug/actors`.

use actix_web::{
    HttpResponse,
    web::{Data, ServiceConfig, resource},
};

use super::{only, read};
use crate::actors::snapshot::Inspector;

/// Writes `/metrics`.
pub type Render = std::sync::Arc<dyn Fn() -> String + Send + Sync>;

/// Registers both; they need a [`Render`] and an [`Inspector`].
pub fn configure(config: &mut ServiceConfig) {
    let get = || only("GET, HEAD");
    config
        .service(
            resource("/metrics")
                .route(read(metrics))
                .default_service(get()),
        )
        .service(
            resource("/debug/actors")
                .route(read(actors))
                .default_service(get()),
        );
}

async fn metrics(render: Data<Render>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(render())
}

async fn actors(inspector: Data<Inspector>) -> HttpResponse {
    HttpResponse::Ok().json(inspector.snapshot().await)
}
