//! The WebSocket transport: the session's actor context, its frames in, and its bytes out.
//!
//! Frames in pass the [`FrameGuard`] before anything is buffered. Bytes out come from the
//! session's [`Outbox`], never from the context: what waits when the connection is polled leaves
//! in one write.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix::{Actor, StreamHandler};
use actix_http::ws::{Item, Message, ProtocolError};
use actix_web::{Error, HttpRequest, HttpResponse, error::PayloadError, web};
use actix_web_actors::ws::{WebsocketContext, handshake_with_protocols};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;

use crate::{
    actors::session::{self, SessionActor},
    outbox::Outbox,
    protocol::{
        SUBPROTOCOL,
        close::CloseCode,
        guard::{FrameGuard, Violation},
        server::Frame,
        wire,
    },
    transport::socket_io::SocketIo,
};

/// Bytes that are read and dropped after a violation, so that the peer can read why.
const MAX_DISCARDED_BYTES: usize = 1 << 20;

/// A session with what only its transport needs.
pub struct Connection {
    pub(crate) fragments: BytesMut,
    fault: Rc<Cell<Option<Fault>>>,
    /// Frames that were handled.
    handled: Rc<Cell<u64>>,
    /// What only a client of Socket.IO has.
    pub(crate) socket_io: Option<SocketIo>,
}

/// Why the stream of frames ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Violation(Violation),
    Disconnected,
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
    let mut response = handshake_with_protocols(request, &[SUBPROTOCOL])?;
    let fault = Rc::new(Cell::new(None));
    let handled = Rc::new(Cell::new(0));
    let frames = Guarded {
        payload,
        guard: FrameGuard::default(),
        fault: Rc::clone(&fault),
        handled: Rc::clone(&handled),
        discarded: 0,
    };
    let session = session(Connection {
        fragments: BytesMut::new(),
        fault,
        handled,
        socket_io: None,
    });
    let outbox = Arc::clone(&session.outbox);
    let (_, context) = WebsocketContext::create_with_addr(session, frames);
    Ok(response.streaming(Outgoing { context, outbox }))
}

// ----------------------------------------------------------------- frames in

/// The payload, checked header by header; no more of it while frames wait to be handled, for the
/// codec would keep all that it is offered.
struct Guarded {
    payload: web::Payload,
    guard: FrameGuard,
    fault: Rc<Cell<Option<Fault>>>,
    handled: Rc<Cell<u64>>,
    discarded: usize,
}

impl Stream for Guarded {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.fault.get().is_none() && self.handled.get() < self.guard.frames() {
            // Asked again as soon as they are.
            return Poll::Pending;
        }
        loop {
            let chunk = match ready!(Pin::new(&mut self.payload).poll_next(cx)) {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => {
                    self.fault.set(Some(Fault::Disconnected));
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            };
            if self.fault.get().is_some() {
                self.discarded += chunk.len();
                if self.discarded > MAX_DISCARDED_BYTES {
                    return Poll::Ready(None);
                }
                continue;
            }
            return Poll::Ready(Some(match self.guard.inspect(&chunk) {
                Ok(()) => Ok(chunk),
                Err(violation) => {
                    self.fault.set(Some(Fault::Violation(violation)));
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
        let handled = &self.connection.handled;
        handled.set(handled.get() + 1);
        if let Ok(Message::Close(reason)) = frame {
            return self
                .outbox
                .answer_close(Frame::control(wire::echo_close(reason)));
        }
        if !self.outbox.is_open() {
            return;
        }
        match frame {
            Ok(frame) => {
                self.outbox.heard();
                self.message(frame, ctx);
            }
            Err(error) => self.broken(&error),
        }
    }

    /// Not the end of the actor: answers may wait, and so may the answer to a close frame.
    fn finished(&mut self, _: &mut Self::Context) {
        self.outbox.finish();
    }
}

impl SessionActor {
    fn message(&mut self, frame: Message, ctx: &mut <Self as Actor>::Context) {
        match frame {
            Message::Text(text) => self.text(&text, ctx),
            Message::Binary(_) | Message::Continuation(Item::FirstBinary(_)) => {
                self.outbox.close(CloseCode::Unsupported);
            }
            Message::Continuation(Item::FirstText(part)) => {
                self.connection.fragments = BytesMut::from(&part[..]);
            }
            Message::Continuation(Item::Continue(part)) => {
                self.connection.fragments.extend_from_slice(&part);
            }
            Message::Continuation(Item::Last(part)) => {
                let mut whole = std::mem::take(&mut self.connection.fragments);
                whole.extend_from_slice(&part);
                match std::str::from_utf8(&whole) {
                    Ok(text) => self.text(text, ctx),
                    Err(_) => self.outbox.close(CloseCode::InvalidText),
                }
            }
            Message::Ping(payload) => {
                if self.control("ping") {
                    self.outbox.push(Frame::control(wire::pong(&payload)));
                }
            }
            Message::Pong(_) => {
                self.control("pong");
            }
            // Answered before it gets here.
            Message::Close(_) | Message::Nop => {}
        }
    }

    fn broken(&mut self, error: &ProtocolError) {
        match (self.connection.fault.get(), error) {
            (Some(Fault::Violation(violation)), _) => self.outbox.close(violation.close_code()),
            (Some(Fault::Disconnected), _) => self.outbox.finish(),
            // With the guard before it, text that is not UTF-8 is all the codec can still find.
            (None, ProtocolError::Io(_)) => self.outbox.close(CloseCode::InvalidText),
            (None, _) => self.outbox.close(CloseCode::ProtocolError),
        }
    }
}

// ----------------------------------------------------------------- bytes out

/// The response's body: drives the actor, then takes what its outbox holds.
struct Outgoing<S> {
    context: S,
    outbox: Arc<Outbox>,
}

impl<S> Stream for Outgoing<S>
where
    S: Stream<Item = Result<Bytes, Error>> + Unpin,
{
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match Pin::new(&mut self.context).poll_next(cx) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(bytes)) => return Poll::Ready(Some(bytes)),
            Poll::Pending => {}
        }
        self.outbox.poll_take(cx).map(|bytes| bytes.map(Ok))
    }
}
