//! The web client: files of `web/`, embedded in the binary.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, EntityTag, Header, IfNoneMatch},
    },
    web::{self, ServiceConfig, resource},
};
use rust_embed::{Embed, EmbeddedFile};
use utoipa::OpenApi;

use super::{not_allowed, only, read};
use crate::{
    error::{ApiError, Code},
    specifications::refusals,
};

#[derive(Embed)]
#[folder = "web/"]
struct Web;

/// What a file may be asked by.
const METHODS: &str = "GET, HEAD";

/// Pages that have routes of their own.
const PAGES: [&str; 3] = ["index.html", "demo.html", "docs.html"];

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(
            resource("/")
                .route(read(index))
                .default_service(only(METHODS)),
        )
        .default_service(web::to(other));
}

#[derive(OpenApi)]
#[openapi(paths(index))]
pub(super) struct Described;

refusals::refusals! {
    Refusals: ;
}

/// The web client
///
/// The files that it loads lie beside it; `/roomcast.js` is the client library.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "showClient",
    tag = "Pages",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "The page that the browser has is the newest."),
        Refusals,
    ),
)]
async fn index(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    file("index.html", &request)
}

/// Every path without a route of its own: a file of the client, or nothing.
async fn other(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = request.path().trim_start_matches('/');
    let is_there = !PAGES.contains(&name) && Web::get(name).is_some();
    match *request.method() {
        _ if !is_there => Err(ApiError::new(Code::NotFound)),
        Method::GET | Method::HEAD => file(name, &request),
        _ => Ok(not_allowed(METHODS)),
    }
}

/// Answers with a file of the client, or `304` when the browser has it.
pub(super) fn file(name: &str, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    let file = Web::get(name).ok_or_else(|| ApiError::new(Code::NotFound))?;
    let tag = tag(&file);
    let has_it = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut answer = match has_it {
        true => HttpResponse::NotModified(),
        false => HttpResponse::Ok(),
    };
    answer
        .insert_header(header::ETag(tag))
        // Asked for again each time: a page and its modules must be of one version.
        .insert_header((header::CACHE_CONTROL, "no-cache"));
    if has_it {
        return Ok(answer.finish());
    }
    let content_type = format!("{}; charset=utf-8", media_type(name, &file));
    Ok(answer.content_type(content_type).body(file.data))
}

/// What a file is, by its name's end.
fn media_type<'a>(name: &str, file: &'a EmbeddedFile) -> &'a str {
    match name.ends_with(".ts") {
        // The registered type of that ending is a video's.
        true => "application/typescript",
        false => file.metadata.mimetype(),
    }
}

/// Weak, because compression may change the bytes that are sent.
fn tag(file: &EmbeddedFile) -> EntityTag {
    let hash = file.metadata.sha256_hash();
    EntityTag::new_weak(
        hash[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}
