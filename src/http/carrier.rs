//! The bytes of a connection that has become a WebSocket: what the peer sends into the payload of
//! the request, what its body says to the peer.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_http::body::{BoxBody, MessageBody};
use actix_web::error::PayloadError;
use bytes::{Buf, Bytes};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::{TransportReader, TransportWriter};

/// Most bytes that are read in one turn: they are handled before more is read.
const PORTION_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where bytes are read to. What arrived is copied out: no connection holds a buffer of its own.
    static PORTION: RefCell<Box<[u8]>> = RefCell::new(vec![0; PORTION_BYTES].into());
}

/// Whether a turn has read its portion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Begun,
    HasRead,
}

/// The turn of a connection, which its two halves share.
pub(super) type SharedTurn = Rc<Cell<Turn>>;

/// What the peer sends.
pub(super) struct Incoming {
    /// What came with the handshake.
    early: Bytes,
    stream: TransportReader,
    turn: SharedTurn,
}

impl Incoming {
    pub(super) fn new(early: Bytes, stream: TransportReader) -> (Self, SharedTurn) {
        let turn = Rc::new(Cell::new(Turn::Begun));
        let incoming = Self {
            // What is left of a buffer holds all of it, even when it is nothing.
            early: match early.is_empty() {
                true => Bytes::new(),
                false => early,
            },
            stream,
            turn: Rc::clone(&turn),
        };
        (incoming, turn)
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.early.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.early))));
        }
        // The next turn follows by itself.
        if self.turn.get() == Turn::HasRead {
            return Poll::Pending;
        }
        PORTION.with_borrow_mut(|portion| {
            let mut portion = ReadBuf::new(portion);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut portion))?;
            // Less than a portion: the stream is read out until it says otherwise.
            if portion.remaining() == 0 {
                self.turn.set(Turn::HasRead);
            }
            let read = portion.filled();
            let chunk = (!read.is_empty()).then(|| Ok(Bytes::copy_from_slice(read)));
            Poll::Ready(chunk)
        })
    }
}

/// Writes what the body of a `101` says, until it ends or the peer is gone.
pub(super) struct Carrier {
    /// What is to be written before the body is asked for more.
    bytes: Bytes,
    body: BoxBody,
    stream: TransportWriter,
    turn: SharedTurn,
}

impl Carrier {
    pub(super) fn new(
        head: Bytes,
        body: BoxBody,
        stream: TransportWriter,
        turn: SharedTurn,
    ) -> Self {
        Self {
            bytes: head,
            body,
            stream,
            turn,
        }
    }
}

impl Future for Carrier {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.turn.set(Turn::Begun);
        loop {
            while this.bytes.has_remaining() {
                match ready!(Pin::new(&mut this.stream).poll_write(cx, &this.bytes)) {
                    Ok(written) => this.bytes.advance(written),
                    Err(_) => return Poll::Ready(()),
                }
            }
            // Written to the end, it would hold its buffer until there is more to say.
            this.bytes = Bytes::new();
            // TLS takes more than it can give to the socket.
            if ready!(Pin::new(&mut this.stream).poll_flush(cx)).is_err() {
                return Poll::Ready(());
            }
            match Pin::new(&mut this.body).poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => this.bytes = bytes,
                Poll::Ready(Some(Err(_)) | None) => {
                    // TLS says that it ends. A peer that does not even take that is left alone.
                    let _ = Pin::new(&mut this.stream).poll_shutdown(cx);
                    return Poll::Ready(());
                }
                Poll::Pending => break,
            }
        }
        if this.turn.get() == Turn::HasRead {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
