//! The specifications, and a page to read them.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::ContentType,
    web::{ServiceConfig, resource},
};
use bytes::Bytes;
use serde_json::Value;
use utoipa::OpenApi;

use super::{only, page, read};
use crate::{
    error::ApiError,
    specifications::{self, refusals},
};

pub(super) fn configure(config: &mut ServiceConfig) {
    let get = || only("GET, HEAD");
    config
        .service(
            resource("/openapi.json")
                .route(read(openapi))
                .default_service(get()),
        )
        .service(
            resource("/asyncapi.json")
                .route(read(asyncapi))
                .default_service(get()),
        )
        .service(resource("/docs").route(read(docs)).default_service(get()));
}

#[derive(OpenApi)]
#[openapi(paths(openapi, asyncapi, docs))]
pub(super) struct Described;

refusals::refusals! {
    Refusals: ;
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "showOpenapi",
    tag = "Specifications",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object), Refusals),
)]
async fn openapi() -> HttpResponse {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| text(&specifications::openapi()));
    document(&TEXT)
}

/// The protocol of `/ws`
#[utoipa::path(
    get,
    path = "/asyncapi.json",
    operation_id = "showAsyncapi",
    tag = "Specifications",
    responses((status = 200, description = "AsyncAPI 3.0.", body = Object), Refusals),
)]
async fn asyncapi() -> HttpResponse {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| text(&specifications::asyncapi()));
    document(&TEXT)
}

fn text(document: &Value) -> Bytes {
    document.to_string().into()
}

/// Both are made once: they never change.
fn document(text: &Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(text.clone())
}

/// A page to read both
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "showDocs",
    tag = "Specifications",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "The page that the browser has is the newest."),
        Refusals,
    ),
)]
async fn docs(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    page::file("docs.html", &request)
}
