//! `GET /ws`: who may open a WebSocket, and the upgrade.

use std::rc::Rc;

use actix::Addr;
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload, ServiceConfig, resource},
};

use super::{caller::bearer, client_addr, connection::Connection, only};
use crate::{
    actors::{room_registry::RoomRegistry, session::SessionActor},
    auth::Identity,
    error::{ApiError, Code},
    gateway::Gateway,
    ids::SessionId,
    outbox::Outbox,
    transport::websocket,
};

/// What a browser puts before a token in `Sec-WebSocket-Protocol`.
const BEARER_PROTOCOL: &str = "bearer.";

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
    match handshake_token(request) {
        Some(token) => gateway.auth.authenticate(token).await.map(Some),
        None => Ok(None),
    }
}

/// Reads the token from `Authorization`, or from the subprotocol pair that browsers can send.
fn handshake_token(request: &HttpRequest) -> Option<&str> {
    bearer(request).or_else(|| {
        let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let mut protocols = offered
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(',').map(str::trim));
        protocols.find_map(|protocol| protocol.strip_prefix(BEARER_PROTOCOL))
    })
}

/// Browsers send `Origin`: it must be on the list, or, with no list, this host itself.
fn is_allowed_origin(request: &HttpRequest, allowed: &[String]) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    if allowed.iter().any(|known| known == origin) {
        return true;
    }
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let is_same = |host| {
        origin
            .split_once("://")
            .is_some_and(|(_, rest)| rest == host)
    };
    host.is_some_and(is_same)
}
