//! The bytes of a connection: read in small portions, and not at all while answers wait.
//!
//! actix-http parses whatever it has read before it looks at the first answer: 128 KiB of
//! pipelined requests, which are 4,000 of 30 bytes, take 20 MB. So it gets a portion, has it
//! answered, and gets the next when the peer has taken the answers.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    rt::net::TcpStream,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

use super::{
    connection::{Answering, Connection},
    gate::TlsGate,
};
use crate::tls::{self, Transport, TransportReader, TransportWriter};

/// Most bytes that are parsed before anything is answered.
const PORTION_BYTES: u64 = 2 * 1024;

/// A stream that is read no faster than its peer reads.
pub(super) struct PacedStream {
    /// The limit is what may be read before it is somebody else's turn.
    stream: Take<Transport>,
    connection: Rc<Connection>,
}

impl PacedStream {
    /// Takes a connection that was accepted, and shakes hands where there is TLS.
    ///
    /// # Errors
    /// When the client does not.
    pub(super) async fn accept(stream: TcpStream, gate: Option<&TlsGate>) -> io::Result<Self> {
        let connection = Connection::prepare(&stream, gate.is_none());
        let stream = match gate {
            Some(gate) => gate.shake_hands(stream).await?,
            None => tls::plain(stream),
        };
        Ok(Self {
            stream: stream.take(PORTION_BYTES),
            connection,
        })
    }

    pub(super) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.connection)
    }

    /// Gives the connection away, to carry something else.
    pub(super) fn into_split(self) -> (TransportReader, TransportWriter) {
        tls::split(self.stream.into_inner())
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Ready(_) => self.connection.moved(),
            Poll::Pending => self.connection.blocked(),
        }
        written
    }
}

impl AsyncRead for PacedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.connection.may_read() {
            this.connection.wake_to_read(cx.waker());
            return Poll::Pending;
        }
        if this.stream.limit() == 0 {
            this.stream.set_limit(PORTION_BYTES);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if read.is_pending() {
            this.stream.set_limit(PORTION_BYTES);
        }
        read
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.stream.get_mut()).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(self.stream.get_mut()).poll_flush(cx);
        // TLS takes bytes before the peer does.
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.stream.get_mut()).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }
}

/// A request's body, which is read from the connection until it ends or nobody wants it.
struct WantedBody {
    payload: Payload,
    connection: Rc<Connection>,
}

/// Has the body of a request read while it is answered.
pub(super) fn want_body(request: &mut ServiceRequest, connection: Rc<Connection>) {
    connection.set_wants_body(true);
    let (_, payload) = request.parts_mut();
    let wanted = WantedBody {
        payload: payload.take(),
        connection,
    };
    *payload = Payload::Stream {
        payload: Box::pin(wanted),
    };
}

impl Stream for WantedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(self.payload.poll_next_unpin(cx));
        if !matches!(chunk, Some(Ok(_))) {
            self.connection.set_wants_body(false);
        }
        Poll::Ready(chunk)
    }
}

impl Drop for WantedBody {
    fn drop(&mut self) {
        self.connection.set_wants_body(false);
    }
}

/// An answer's body; the request is answered once it has gone.
pub struct AnswerBody {
    body: BoxBody,
    _answering: Option<Answering>,
}

impl AnswerBody {
    pub(super) fn new(body: BoxBody, answering: Option<Answering>) -> Self {
        Self {
            body,
            _answering: answering,
        }
    }
}

impl MessageBody for AnswerBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
