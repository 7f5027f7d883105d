//! `GET /socket.io/`: the handshake of Engine.IO, and its refusals in its own words.
//!
//! The checks come in the order of the reference implementation, so that a client that is
//! mistaken hears what it would hear from any server.

use std::borrow::Cow;

use actix_http::ws::verify_handshake;
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::{Data, Payload, ServiceConfig, resource},
};
use serde::Serialize;
use url::form_urlencoded;

use super::{caller::bearer, handshake, socket};
use crate::{
    actors::{mailbox::Mailbox, room_registry::RoomRegistry, session::SessionActor},
    error::Code,
    gateway::Gateway,
    protocol::dialect::Dialect,
    trace::Trace,
    transport::{socket_io::SocketIo, websocket},
};

/// Registers the route. Clients write the slash unless they are told not to.
pub(super) fn configure(config: &mut ServiceConfig) {
    for path in ["/socket.io/", "/socket.io"] {
        config.service(resource(path).to(open));
    }
}

/// Why there is no connection, by Engine.IO's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    UnknownTransport = 0,
    UnknownSession = 1,
    BadMethod = 2,
    BadRequest = 3,
    Forbidden = 4,
    UnsupportedVersion = 5,
}

impl Refusal {
    fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    fn answer(self) -> HttpResponse {
        #[derive(Serialize)]
        struct Body {
            code: u8,
            message: &'static str,
        }
        let status = match self {
            Self::Forbidden => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        HttpResponse::build(status).json(Body {
            code: self as u8,
            message: self.message(),
        })
    }
}

async fn open(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
    registry: Data<Mailbox<RoomRegistry>>,
) -> Result<HttpResponse, actix_web::Error> {
    if let Err(refusal) = check(&request) {
        return Ok(refusal.answer());
    }
    match socket::may_open(&request, &gateway) {
        Err(error) if error.code == Code::Forbidden => return Ok(Refusal::Forbidden.answer()),
        allowed => allowed?,
    }
    let outbox = socket::outbox(&request, Dialect::SocketIo)?;
    let registry = Mailbox::clone(&registry);
    let trace = Trace::current();
    log::debug!(session:% = outbox.session_id; "a socket of Socket.IO opens");
    let header_token = bearer(&request).map(ToOwned::to_owned);
    websocket::start(
        move |mut connection| {
            connection.socket_io = Some(SocketIo { header_token });
            SessionActor::new(gateway, registry, outbox, connection, None).traced(trace)
        },
        &request,
        payload,
    )
}

fn check(request: &HttpRequest) -> Result<(), Refusal> {
    let query = request.query_string();
    if parameter(query, "transport").as_deref() != Some("websocket") {
        return Err(Refusal::UnknownTransport);
    }
    if parameter(query, "sid").is_some_and(|sid| !sid.is_empty()) {
        // A session lives and dies with its WebSocket: none can be taken up again.
        return Err(Refusal::UnknownSession);
    }
    if request.method() != Method::GET {
        return Err(Refusal::BadMethod);
    }
    if verify_handshake(request.head()).is_err() || handshake::check(request).is_err() {
        return Err(Refusal::BadRequest);
    }
    if parameter(query, "EIO").as_deref() != Some("4") {
        return Err(Refusal::UnsupportedVersion);
    }
    Ok(())
}

/// Returns a parameter of the query; an empty text when it is given more than once.
fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut values = pairs.filter_map(|(known, value)| (known == name).then_some(value));
    let first = values.next()?;
    Some(values.next().map_or(first, |_| Cow::Borrowed("")))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_handshake_is_refused_in_the_words_of_engine_io() {
        let expect = |method: Method, query: &str, headers: &[(&str, &str)], expected| {
            let request = TestRequest::with_uri(&format!("/socket.io/?{query}")).method(method);
            let request = headers.iter().fold(request, |request, header| {
                request.insert_header((header.0, header.1))
            });
            assert_eq!(check(&request.to_http_request()), expected, "{query}");
        };
        let upgrade = &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let (get, good) = (Method::GET, "EIO=4&transport=websocket");
        expect(get.clone(), good, upgrade, Ok(()));
        let unknown = Err(Refusal::UnknownTransport);
        expect(get.clone(), "", upgrade, unknown);
        expect(get.clone(), "EIO=4&transport=polling", &[], unknown);
        expect(
            get.clone(),
            "EIO=4&transport=webtransport",
            upgrade,
            unknown,
        );
        let twice = "EIO=4&transport=websocket&transport=polling";
        expect(get.clone(), twice, upgrade, unknown);
        let resumes = format!("{good}&sid=abc");
        expect(get.clone(), &resumes, upgrade, Err(Refusal::UnknownSession));
        expect(Method::POST, good, &[], Err(Refusal::BadMethod));
        expect(get.clone(), good, &[], Err(Refusal::BadRequest));
        let old = Err(Refusal::UnsupportedVersion);
        expect(get.clone(), "transport=websocket", upgrade, old);
        expect(get, "EIO=3&transport=websocket", upgrade, old);
    }
}
