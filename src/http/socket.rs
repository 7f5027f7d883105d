//! `GET /ws`: who may open a WebSocket, and the upgrade.

use std::rc::Rc;

use actix::Addr;
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload, ServiceConfig, resource},
};

use super::{client_addr, connection::Connection, handshake, only, origin};
use crate::{
    actors::{room_registry::RoomRegistry, session::SessionActor},
    auth::Identity,
    error::{ApiError, Code},
    gateway::Gateway,
    ids::SessionId,
    outbox::Outbox,
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
    registry: Data<Addr<RoomRegistry>>,
) -> Result<HttpResponse, actix_web::Error> {
    let identity = admit(&request, &gateway).await?;
    handshake::check(&request)?;
    // Without a second handle its peer could stop reading and never be cut.
    let connection = request.conn_data::<Rc<Connection>>();
    let handle = connection.and_then(|connection| connection.socket());
    let handle = handle.ok_or_else(|| ApiError::unavailable("too many connections"))?;
    let outbox = Outbox::new(SessionId::random(), Some(handle));
    let registry = Addr::clone(&registry);
    websocket::start(
        move |connection| SessionActor::new(gateway, registry, outbox, connection, identity),
        &request,
        payload,
    )
}

/// Judges a handshake; `None` when it carries no token, which the first frame then has to.
async fn admit(request: &HttpRequest, gateway: &Gateway) -> Result<Option<Identity>, ApiError> {
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
    match handshake::token(request)? {
        Some(token) => gateway.auth.authenticate(token).await.map(Some),
        None => Ok(None),
    }
}

/// Browsers send `Origin`: it must be on the list, or, with no list, this host itself.
fn is_allowed_origin(request: &HttpRequest, allowed: &[String]) -> bool {
    let headers = request.headers();
    let is_allowed = |origin: &str| {
        allowed.iter().any(|known| known == origin) || origin::is_own_host(origin, headers)
    };
    origin::origin(headers).is_none_or(is_allowed)
}
