//! `GET /echo`: the frame layer of `/ws` without chat behind it. In no server that is deployed.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload, ServiceConfig, resource},
};

use super::{handshake, socket};
use crate::{gateway::Gateway, protocol::dialect::Dialect, transport::echo};

/// Registers the route.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(resource("/echo").get(open));
}

async fn open(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, actix_web::Error> {
    socket::may_open(&request, &gateway)?;
    handshake::check(&request)?;
    echo::start(socket::outbox(&request, Dialect::Json)?, &request, payload)
}
