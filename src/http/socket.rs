//! `GET /ws`: who may open a WebSocket, and the upgrade.

use std::{rc::Rc, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload, ServiceConfig, resource},
};
use utoipa::OpenApi;

use super::{client_addr, connection::Connection, handshake, only, origin};
use crate::{
    actors::{mailbox::Mailbox, room_registry::RoomRegistry, session::SessionActor},
    error::{ApiError, Code},
    gateway::Gateway,
    ids::SessionId,
    outbox::Outbox,
    protocol::dialect::Dialect,
    specifications::refusals::{self, TOKEN, VALUE},
    trace::Trace,
    transport::websocket,
};

/// Registers the route.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(resource("/ws").get(open).default_service(only("GET")));
}

#[derive(OpenApi)]
#[openapi(paths(open))]
pub(super) struct Described;

refusals::refusals! {
    Refusals: TOKEN, VALUE, &[Code::Forbidden, Code::RateLimited];
}

/// Open a WebSocket
///
/// A handshake of RFC 6455. The token comes in `Authorization`, in the subprotocol pair
/// `roomcast.v1, bearer.<token>`, or in the first frame. What is said then is in `/asyncapi.json`.
/// A foreign `Origin` is 403, too many handshakes of an address are 429.
#[utoipa::path(
    get,
    path = "/ws",
    operation_id = "openSocket",
    tag = "WebSocket",
    params(
        ("Upgrade" = String, Header, description = "`websocket`", pattern = "^websocket$", example = "websocket"),
        ("Sec-WebSocket-Version" = String, Header, description = "13", pattern = "^13$", example = "13"),
        ("Sec-WebSocket-Key" = String, Header, description = "16 bytes in base64.", pattern = "^[A-Za-z0-9+/]{21}[AQgw]==$", example = "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol" = Option<String>, Header, description = "`roomcast.v1, bearer.<token>`, where the token is not in `Authorization`."),
    ),
    responses(
        (
            status = 101,
            description = "It is a WebSocket.",
            headers(("Sec-WebSocket-Protocol" = String, description = "`roomcast.v1`, where it was offered.")),
        ),
        Refusals,
    ),
    security((), ("bearer" = [])),
)]
async fn open(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
    registry: Data<Mailbox<RoomRegistry>>,
) -> Result<HttpResponse, actix_web::Error> {
    may_open(&request, &gateway)?;
    let identity = match handshake::token(&request)? {
        Some(token) => Some(gateway.auth.authenticate(token).await?),
        None => None,
    };
    handshake::check(&request)?;
    let outbox = outbox(&request, Dialect::Json)?;
    let registry = Mailbox::clone(&registry);
    let trace = Trace::current();
    log::debug!(session:% = outbox.session_id; "a socket opens");
    websocket::start(
        move |connection| {
            SessionActor::new(gateway, registry, outbox, connection, identity).traced(trace)
        },
        &request,
        payload,
    )
}

/// Makes the outbox of a socket that is about to open.
///
/// # Errors
/// Without a second handle: its peer could stop reading and never be cut.
pub(super) fn outbox(request: &HttpRequest, dialect: Dialect) -> Result<Arc<Outbox>, ApiError> {
    let connection = request.conn_data::<Rc<Connection>>();
    let handle = connection.and_then(|connection| connection.handle());
    let handle = handle.ok_or_else(|| ApiError::unavailable("too many connections"))?;
    Ok(Outbox::new(SessionId::random(), Some(handle), dialect))
}

/// Judges a handshake by all but its token.
///
/// # Errors
/// While the server drains, over the rate of an address, and for an origin that is not allowed.
pub(super) fn may_open(request: &HttpRequest, gateway: &Gateway) -> Result<(), ApiError> {
    if gateway.drain.is_draining() {
        return Err(ApiError::unavailable("the server restarts"));
    }
    let addr = client_addr(request, &gateway.config.http);
    let handshake = gateway.limits.check_handshake(addr);
    handshake.map_err(ApiError::rate_limited)?;
    if !is_allowed_origin(request, &gateway.config.http.cors_origins) {
        let detail = "this origin may not open sockets here";
        return Err(ApiError::with_detail(Code::Forbidden, detail));
    }
    Ok(())
}

/// Browsers send `Origin`: it must be on the list, or, with no list, this host itself.
fn is_allowed_origin(request: &HttpRequest, allowed: &[String]) -> bool {
    let headers = request.headers();
    let is_allowed = |origin: &str| {
        allowed.iter().any(|known| known == origin) || origin::is_own_host(origin, headers)
    };
    origin::origin(headers).is_none_or(is_allowed)
}
