//! The WebSocket transport: the session's actor context, its frames in, and its bytes out.
//!
//! Frames in pass the [`FrameGuard`] before anything is buffered. Bytes out come from the
//! session's [`Outbox`], never from the context: what waits when the connection is polled leaves
//! in one write.

use std::{
    mem,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix::{Actor, StreamHandler};
use actix_http::ws::{Message, ProtocolError};
use actix_web::{
    Error, HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    error::PayloadError,
    web,
};
use actix_web_actors::ws::{WebsocketContext, handshake_with_protocols};
use bytes::Bytes;
use futures_util::Stream;

use super::frames::{Arrived, Binary, Ending, Fault, Frames, Progress};
use crate::{
    actors::session::{self, SessionActor},
    outbox::Outbox,
    protocol::{SUBPROTOCOL, guard::FrameGuard, server::Frame, wire},
    transport::socket_io::SocketIo,
};

/// Bytes that are read and dropped after a violation, so that the peer can read why.
const MAX_DISCARDED_BYTES: usize = 1 << 20;

/// What of a session is its transport's.
pub struct Connection {
    frames: Frames,
    /// What only a client of Socket.IO has.
    pub(crate) socket_io: Option<SocketIo>,
}

/// Answers a handshake and starts the session's actor.
///
/// # Errors
/// When the request is no WebSocket handshake.
pub fn start(
    session: impl FnOnce(Connection) -> SessionActor,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    let session = |frames| {
        let session = session(Connection {
            frames,
            socket_io: None,
        });
        let outbox = Arc::clone(&session.outbox);
        (session, outbox)
    };
    upgrade(session, Binary::Refused, request, payload)
}

/// Answers a handshake, and starts an actor that has the frames and speaks by the outbox.
///
/// # Errors
/// When the request is no WebSocket handshake.
pub(super) fn upgrade<A>(
    peer: impl FnOnce(Frames) -> (A, Arc<Outbox>),
    binary: Binary,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error>
where
    A: Actor<Context = WebsocketContext<A>> + StreamHandler<Result<Message, ProtocolError>>,
{
    let mut response = handshake_with_protocols(request, &[SUBPROTOCOL])?;
    let progress = Rc::<Progress>::default();
    let guarded = Guarded {
        payload,
        guard: FrameGuard::default(),
        progress: Rc::clone(&progress),
        discarded: 0,
    };
    let (actor, outbox) = peer(Frames::new(progress, binary));
    let (_, context) = WebsocketContext::create_with_addr(actor, guarded);
    Ok(response.body(Outgoing {
        context,
        outbox,
        has_begun: false,
    }))
}

// ----------------------------------------------------------------- frames in

/// The payload, checked header by header; no more of it while frames wait to be handled, for the
/// codec would keep all that it is offered.
struct Guarded {
    payload: web::Payload,
    guard: FrameGuard,
    progress: Rc<Progress>,
    discarded: usize,
}

impl Stream for Guarded {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.progress.fault().is_none() && self.progress.handled() < self.guard.frames() {
            // Asked again as soon as they are.
            return Poll::Pending;
        }
        loop {
            let chunk = match ready!(Pin::new(&mut self.payload).poll_next(cx)) {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => {
                    self.progress.fail(Fault::Disconnected);
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            };
            if self.progress.fault().is_some() {
                self.discarded += chunk.len();
                if self.discarded > MAX_DISCARDED_BYTES {
                    return Poll::Ready(None);
                }
                continue;
            }
            return Poll::Ready(Some(match self.guard.inspect(&chunk) {
                Ok(()) => Ok(chunk),
                Err(violation) => {
                    self.progress.fail(Fault::Violation(violation));
                    Err(PayloadError::Overflow)
                }
            }));
        }
    }
}

impl Actor for SessionActor {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(session::MAILBOX);
        self.opened(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.closed();
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for SessionActor {
    fn handle(&mut self, frame: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        let arrived = match self.connection.frames.read(frame) {
            Ok(arrived) => arrived,
            Err(Ending::Closed(reason)) => {
                let answer = Frame::control(wire::echo_close(reason));
                return self.outbox.answer_close(answer);
            }
            Err(Ending::Broken(code)) => return self.outbox.fail(code),
            Err(Ending::Lost) => return self.outbox.finish(),
        };
        if !self.outbox.is_open() {
            return;
        }
        self.outbox.heard();
        match arrived {
            Arrived::Text(text) => self.text(&text, ctx),
            Arrived::Ping(payload) => {
                if self.control("ping") {
                    self.outbox.push(Frame::control(wire::pong(&payload)));
                }
            }
            Arrived::Pong => {
                self.control("pong");
            }
            // Binary messages are refused before they get here.
            Arrived::Part | Arrived::Binary(_) => {}
        }
    }

    /// Not the end of the actor: answers may wait, and so may the answer to a close frame.
    fn finished(&mut self, _: &mut Self::Context) {
        self.outbox.finish();
    }
}

// ----------------------------------------------------------------- bytes out

/// The response's body: drives the actor, then takes what its outbox holds.
struct Outgoing<S> {
    context: S,
    outbox: Arc<Outbox>,
    /// Whether it was asked before.
    has_begun: bool,
}

/// A chunk of no bytes says that nothing follows, while the peer is still read from.
impl<S> MessageBody for Outgoing<S>
where
    S: Stream<Item = Result<Bytes, Error>> + Unpin,
{
    type Error = Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.outbox.attend();
        match Pin::new(&mut self.context).poll_next(cx) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(bytes)) => return Poll::Ready(Some(bytes)),
            Poll::Pending => {}
        }
        if !mem::replace(&mut self.has_begun, true) {
            // The answer's head is still to be written: the flusher must not come before it. Whoever
            // carries it asks again when it is out.
            return match self.outbox.take() {
                Some(bytes) => Poll::Ready(Some(Ok(bytes))),
                None => Poll::Pending,
            };
        }
        self.outbox.poll_take(cx).map(|bytes| bytes.map(Ok))
    }
}
