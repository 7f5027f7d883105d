//! A peer that says what it hears, on the frame layer of `/ws`: for conformance tests alone.
//!
//! Guard, codec, outbox and limits are those of a session; only binary messages are taken too.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
use actix_http::ws::{Message, ProtocolError};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use actix_web_actors::ws::WebsocketContext;

use super::{
    frames::{Arrived, Binary, Ending, Frames},
    websocket,
};
use crate::{
    outbox::Outbox,
    protocol::{server::Frame, wire},
};

/// How often it is looked after; and how long a peer has to read why it is closed, as a session's.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

struct EchoActor {
    outbox: Arc<Outbox>,
    frames: Frames,
}

/// Answers a handshake and starts the echo.
///
/// # Errors
/// When the request is no WebSocket handshake.
pub fn start(
    outbox: Arc<Outbox>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    let echo = |frames| {
        let actor = EchoActor {
            outbox: Arc::clone(&outbox),
            frames,
        };
        (actor, outbox)
    };
    websocket::upgrade(echo, Binary::Taken, request, payload)
}

impl Actor for EchoActor {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // What the registry does for sessions.
        ctx.run_interval(CLOSE_PATIENCE / 4, |this, _| {
            if this.outbox.closing_for() > Some(CLOSE_PATIENCE) {
                this.outbox.cut();
            }
        });
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.outbox.end();
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for EchoActor {
    fn handle(&mut self, frame: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        let answer = match self.frames.read(frame) {
            Ok(Arrived::Text(text)) => wire::text(text.as_bytes()),
            Ok(Arrived::Binary(bytes)) => wire::binary(&bytes),
            Ok(Arrived::Ping(payload)) => wire::pong(&payload),
            Ok(Arrived::Pong | Arrived::Part) => return,
            Err(Ending::Closed(reason)) => {
                let answer = Frame::control(wire::echo_close(reason));
                return self.outbox.answer_close(answer);
            }
            Err(Ending::Broken(code)) => return self.outbox.fail(code),
            Err(Ending::Lost) => return ctx.stop(),
        };
        self.outbox.push(Frame::control(answer));
    }
}
