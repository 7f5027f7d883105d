//! The bytes of a connection that has become a WebSocket: what the peer sends into the payload of
//! the request, what its body says to the peer.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_http::body::{BoxBody, MessageBody};
use actix_web::error::PayloadError;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::{TransportReader, TransportWriter};

/// Most bytes that are read in one turn: they are handled before more is read.
const PORTION_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where bytes are read to. What arrived is copied out: no connection holds a buffer of its own.
    static PORTION: RefCell<Box<[u8]>> = RefCell::new(vec![0; PORTION_BYTES].into());
}

/// How many bytes a connection may still read in its turn, which its two halves share.
pub(super) type Turn = Rc<Cell<usize>>;

/// What the peer sends.
pub(super) struct Incoming {
    /// What came with the handshake.
    early: Bytes,
    stream: TransportReader,
    turn: Turn,
}

impl Incoming {
    pub(super) fn new(early: Bytes, stream: TransportReader) -> (Self, Turn) {
        let turn = Rc::new(Cell::new(PORTION_BYTES));
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
            return Poll::Ready(Some(Ok(mem::take(&mut self.early))));
        }
        // The next turn follows by itself.
        let left = self.turn.get();
        if left == 0 {
            return Poll::Pending;
        }
        PORTION.with_borrow_mut(|portion| {
            let mut portion = ReadBuf::new(&mut portion[..left]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut portion))?;
            // TLS gives a record at a time: less than a portion does not mean that there is no more.
            self.turn.set(portion.remaining());
            let read = portion.filled();
            let chunk = (!read.is_empty()).then(|| Ok(Bytes::copy_from_slice(read)));
            Poll::Ready(chunk)
        })
    }
}

/// Writes what the body of a `101` says, until it ends or the peer is gone.
pub(super) struct Carrier {
    /// The answer's, until the body was asked for the first time: what that says goes with it.
    head: BytesMut,
    /// What is to be written before the body is asked for more.
    bytes: Bytes,
    /// Nothing follows, and the peer has yet to be told so.
    ends: bool,
    body: BoxBody,
    stream: TransportWriter,
    turn: Turn,
}

impl Carrier {
    pub(super) fn new(head: BytesMut, body: BoxBody, stream: TransportWriter, turn: Turn) -> Self {
        Self {
            head,
            bytes: Bytes::new(),
            ends: false,
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
        this.turn.set(PORTION_BYTES);
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
            if this.ends {
                // TLS ends before TCP does. The peer may have gone already.
                let _ = ready!(Pin::new(&mut this.stream).poll_shutdown(cx));
                this.ends = false;
            }
            let said = Pin::new(&mut this.body).poll_next(cx);
            if !this.head.is_empty() {
                if let Poll::Ready(Some(Ok(bytes))) = said {
                    this.ends = bytes.is_empty();
                    this.head.extend_from_slice(&bytes);
                }
                // Whatever else the body has said, it says again.
                this.bytes = mem::take(&mut this.head).freeze();
                continue;
            }
            match said {
                Poll::Ready(Some(Ok(bytes))) => {
                    this.ends = bytes.is_empty();
                    this.bytes = bytes;
                }
                Poll::Ready(Some(Err(_)) | None) => {
                    // TLS says that it ends. A peer that does not even take that is left alone.
                    let _ = Pin::new(&mut this.stream).poll_shutdown(cx);
                    return Poll::Ready(());
                }
                Poll::Pending => break,
            }
        }
        if this.turn.get() == 0 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, io::Read, net::TcpListener};

    use actix_http::body::BodyStream;
    use actix_web::rt;
    use futures_util::{StreamExt, stream};
    use tokio::net::TcpStream;

    use super::*;
    use crate::tls;

    /// What the peer reads first of a head and of a body that begins like this.
    async fn first_read(said: Option<&'static str>) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let addr = listener.local_addr().expect("it is bound");
        let stream = TcpStream::connect(addr).await.expect("it listens");
        let (mut peer, _) = listener.accept().expect("somebody has come");
        let (_reading, writing) = tls::split(tls::plain(stream));
        let said = stream::iter(said).map(|text| Ok::<_, actix_web::Error>(Bytes::from(text)));
        let body = said.chain(stream::once(pending()));
        let body = BoxBody::new(BodyStream::new(Box::pin(body)));
        let turn = Turn::default();
        rt::spawn(Carrier::new("head,".into(), body, writing, turn));
        let reading = rt::task::spawn_blocking(move || {
            let mut portion = [0; 64];
            let read = peer.read(&mut portion).expect("it is open");
            String::from_utf8_lossy(&portion[..read]).into_owned()
        });
        reading.await.expect("no panic")
    }

    #[actix_web::test]
    async fn what_is_said_at_once_goes_with_the_head() {
        assert_eq!(first_read(Some("ready")).await, "head,ready");
        assert_eq!(first_read(None).await, "head,");
    }
}
