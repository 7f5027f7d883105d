//! `GET /ws`: who may open a WebSocket, and the upgrade.

use std::sync::Arc;

use actix::Addr;
use actix_web::{
    HttpRequest, HttpResponse,
    dev::Extensions,
    http::header,
    rt::net::TcpStream,
    web::{Data, Payload, ServiceConfig, resource},
};
use socket2::{SockRef, Socket};

use super::{caller::bearer, client_addr, only};
use crate::{
    actors::{room_registry::RoomRegistry, session::SessionActor},
    auth::Identity,
    error::{ApiError, Code},
    gateway::Gateway,
    ids::SessionId,
    outbox::Outbox,
    transport::websocket,
};

/// The kernel's send buffer of a connection, in bytes; it keeps twice that. A peer that does not
/// read shows early, and holds little memory.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How long sent bytes may stay unacknowledged before the kernel gives a connection up.
const TCP_USER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(12);

/// What a browser puts before a token in `Sec-WebSocket-Protocol`.
const BEARER_PROTOCOL: &str = "bearer.";

/// A second handle of a connection's socket, to cut it under an actor that is not polled.
pub struct PeerSocket(Arc<Socket>);

/// Prepares a connection when it is accepted.
pub fn accepted(connection: &dyn std::any::Any, extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    let socket = SockRef::from(stream);
    let prepared = socket
        .set_send_buffer_size(SEND_BUFFER_BYTES)
        .and_then(|()| socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT)))
        .and_then(|()| socket.try_clone());
    match prepared {
        Ok(socket) => {
            extensions.insert(PeerSocket(Arc::new(socket)));
        }
        // The peer may have gone already; or descriptors have run out, which is worth a line.
        Err(error) => log::warn!(error:%; "a connection was not prepared"),
    }
}

/// Registers the route.
pub fn configure(config: &mut ServiceConfig) {
    config.service(resource("/ws").get(open).default_service(only("GET")));
}

async fn open(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
    registry: Data<Addr<RoomRegistry>>,
) -> Result<HttpResponse, actix_web::Error> {
    let identity = admit(&request, &gateway).await?;
    let socket = request
        .conn_data::<PeerSocket>()
        .map(|peer| Arc::clone(&peer.0));
    let outbox = Outbox::new(SessionId::random(), socket);
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
