//! HTTP: the REST API, the upgrades to a WebSocket, health, the page. Handlers stay thin:
//! extract, ask the store or the bridge, answer.

mod accounts;
mod body;
mod caller;
mod carrier;
mod connection;
pub(crate) mod cursor;
pub mod demo;
#[cfg(feature = "echo")]
mod echo;
mod entrance;
mod gate;
mod handshake;
pub mod health;
mod invites;
mod listener;
mod members;
mod messages;
mod middleware;
pub mod operators;
mod origin;
mod paced;
mod page;
mod problem;
mod query;
mod rooms;
mod rules;
mod socket;
mod socket_io;
mod specifications;
mod upgrade;

use std::net::{IpAddr, Ipv4Addr};

use actix_cors::Cors;
use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Responder, Route, guard,
    http::{Method, header},
    middleware::Compress,
    web::{self, ServiceConfig},
};
use ipnet::IpNet;
use utoipa::{OpenApi as _, openapi::OpenApi};

pub use gate::TlsGate;
pub use listener::serve;
pub use middleware::{bound, finish};
pub(crate) use problem::{PROBLEM_JSON, Problem};

use crate::{
    config::HttpConfig,
    error::{ApiError, Code},
};

/// Largest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Headers of answers that scripts of other origins may read.
const EXPOSED_HEADERS: [&str; 4] = ["Link", "X-Has-More", "Retry-After", "X-Request-Id"];

/// How long a browser may remember what CORS allows, in seconds.
const CORS_MAX_AGE_S: usize = 600;

/// Registers every route.
pub fn configure(config: &mut ServiceConfig) {
    // Routes are tried one after another: handshakes come in storms. A socket's body lives as long
    // as it does, and would carry a compressor that it never uses.
    socket::configure(config);
    socket_io::configure(config);
    #[cfg(feature = "echo")]
    echo::configure(config);
    let compressed = web::scope("").wrap(Compress::default());
    config.service(compressed.configure(configure_answers));
}

/// Registers the routes that answer, and open no socket.
fn configure_answers(config: &mut ServiceConfig) {
    accounts::configure(config);
    rooms::configure(config);
    members::configure(config);
    invites::configure(config);
    messages::configure(config);
    health::configure(config);
    specifications::configure(config);
    demo::configure(config);
    page::configure(config);
}

/// Returns what every route is called, takes and answers.
pub(crate) fn describe() -> OpenApi {
    [
        accounts::Described::openapi(),
        rooms::Described::openapi(),
        members::Described::openapi(),
        invites::Described::openapi(),
        messages::Described::openapi(),
        socket::Described::openapi(),
        health::Described::openapi(),
        specifications::Described::openapi(),
        page::Described::openapi(),
        demo::Described::openapi(),
    ]
    .into_iter()
    .fold(OpenApi::default(), OpenApi::merge_from)
}

/// Allows the configured origins to read answers; none means the same origin only.
pub fn cors(config: &HttpConfig) -> Cors {
    let cors = Cors::default()
        .allowed_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PATCH,
            Method::DELETE,
        ])
        .allowed_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .allowed_header("X-Request-Id")
        .expose_headers(EXPOSED_HEADERS)
        .block_on_origin_mismatch(false)
        .max_age(CORS_MAX_AGE_S);
    let origins = config.cors_origins.iter();
    origins.fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// Answers what has no path, where the listener is not for clients.
pub async fn not_found() -> HttpResponse {
    problem::answer(&ApiError::new(Code::NotFound))
}

/// Returns the client's address: the peer's, or what trusted proxies say it is.
#[must_use]
pub fn client_addr(request: &HttpRequest, config: &HttpConfig) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    let forwarded = request.headers().get_all("X-Forwarded-For");
    let claimed: Vec<&str> = forwarded
        // What is no text stands for one part that cannot be read.
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .collect();
    trusted_client(peer.to_canonical(), &claimed, &config.trusted_proxies)
}

/// Walks from the peer towards the client for as long as who speaks is trusted and can be read:
/// what is to the left of that, anybody may have written.
fn trusted_client(peer: IpAddr, claimed: &[&str], trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |addr: IpAddr| trusted.iter().any(|network| network.contains(&addr));
    let mut client = peer;
    for part in claimed.iter().rev() {
        match part.trim().parse::<IpAddr>() {
            Ok(addr) if is_trusted(client) => client = addr.to_canonical(),
            _ => break,
        }
    }
    client
}

/// Answers `GET`, and `HEAD` with the same headers.
fn read<F, Args>(handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let is_read = guard::Any(guard::Get()).or(guard::Head());
    web::route().guard(is_read).to(handler)
}

/// Answers the methods that a path does not have.
fn only(methods: &'static str) -> Route {
    web::route().to(move || async move { not_allowed(methods) })
}

/// Says that a path does not have a method, and which it has.
fn not_allowed(methods: &'static str) -> HttpResponse {
    let mut answer = problem::answer(&ApiError::new(Code::MethodNotAllowed));
    let allow = header::HeaderValue::from_static(methods);
    answer.headers_mut().insert(header::ALLOW, allow);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_address_is_believed_from_trusted_proxies_alone() {
        let addr = |text: &str| text.parse::<IpAddr>().expect("an address");
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        let check = |peer: &str, claimed: &[&str], expected: &str| {
            let client = trusted_client(addr(peer), claimed, &trusted);
            assert_eq!(client, addr(expected), "{claimed:?}");
        };
        check("192.0.2.1", &["203.0.113.9"], "192.0.2.1");
        check("10.0.0.1", &["203.0.113.9"], "203.0.113.9");
        check("10.0.0.1", &["198.51.100.7", "203.0.113.9"], "203.0.113.9");
        check("10.0.0.1", &["203.0.113.9", "10.0.0.2"], "203.0.113.9");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["garbage", " 203.0.113.9"], "203.0.113.9");
        check("10.0.0.1", &["203.0.113.9", "garbage"], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.7", "", "10.0.0.2"], "10.0.0.2");
        check("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9");
    }
}
