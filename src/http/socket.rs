//! `GET /ws`: who may open a WebSocket, and the upgrade.

use std::{rc::Rc, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload, ServiceConfig, resource},
};

use super::{client_addr, connection::Connection, handshake, only, origin};
use crate::{
    actors::{mailbox::Mailbox, room_registry::RoomRegistry, session::SessionActor},
    error::{ApiError, Code},
    gateway::Gateway,
    ids::SessionId,
    outbox::Outbox,
    protocol::dialect::Dialect,
    trace::Trace,
    transport::websocket,
};

/// Registers the route.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(resource("/ws").get(open).default_service(only("GET")));
}

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
    let handle = connection.and_then(|connection| connection.socket());
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
