//! One TCP connection: prepared when it is accepted, hung up when it drips or does not read.
//!
//! actix-http limits the time for the first request's head alone; after it, a head may drip in
//! for ever. Here a connection that has no request for a while is closed, whatever it says, and so
//! is one that takes no answer. When it is read at all is for [`may_read`](Connection::may_read)
//! to say, which [`PacedStream`](super::paced::PacedStream) asks.

use std::{
    cell::{Cell, RefCell},
    net::Shutdown,
    rc::{Rc, Weak},
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use actix_web::rt::{self, net::TcpStream, task::JoinHandle, time::sleep};
use socket2::{SockRef, Socket};

use crate::outbox::Handle;

/// How long a connection may be without a whole request head: a second more than a silent one
/// is kept alive.
const IDLE_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a peer may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection as its requests see it, by `conn_data::<Rc<Connection>>()`.
#[derive(Debug)]
pub(super) struct Connection {
    /// To act on the socket under who owns it; `None` when there was no descriptor left.
    handle: Option<Handle>,
    /// Requests that have no answer yet, or one that is not written yet.
    requests: Cell<u32>,
    /// When the last answer was made, or when the connection was accepted.
    idle_since: Cell<Instant>,
    /// Hangs up when it is idle; none once it carries a WebSocket.
    watch: RefCell<Option<JoinHandle<()>>>,
    /// The request that is answered reads its body.
    wants_body: Cell<bool>,
    /// Since when the peer takes nothing of what is written.
    blocked_since: Cell<Option<Instant>>,
    /// Who reads, and was told to wait.
    reader: RefCell<Option<Waker>>,
}

/// Hangs up when the connection has been idle for too long; ends with it.
async fn watch(connection: Weak<Connection>) {
    while let Some(left) = connection.upgrade().and_then(|known| known.time_left()) {
        sleep(left).await;
    }
}

impl Connection {
    /// Prepares a connection that was accepted, and watches it from then on; a bare one is without
    /// TLS.
    pub(super) fn prepare(stream: &TcpStream, is_bare: bool) -> Rc<Self> {
        let handle = second_handle(stream).map(|socket| Handle {
            socket: Arc::new(socket),
            is_bare,
        });
        let connection = Rc::new(Self {
            handle,
            requests: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            watch: RefCell::default(),
            wants_body: Cell::new(false),
            blocked_since: Cell::new(None),
            reader: RefCell::default(),
        });
        let watching = rt::spawn(watch(Rc::downgrade(&connection)));
        connection.watch.replace(Some(watching));
        connection
    }

    /// Returns the second handle of the socket.
    pub(super) fn handle(&self) -> Option<Handle> {
        self.handle.clone()
    }

    /// Notes that a request's head is whole; dropping the result notes that its answer is written.
    pub(super) fn begin(self: Rc<Self>) -> Answering {
        self.requests.set(self.requests.get() + 1);
        Answering(self)
    }

    /// Notes whether the request that is answered reads its body.
    pub(super) fn set_wants_body(&self, wants_body: bool) {
        self.wants_body.set(wants_body);
        self.wake_reader();
    }

    /// Returns whether more may be read: nothing but what the request under way asks for, and
    /// nothing at all while the peer does not read.
    pub(super) fn may_read(&self) -> bool {
        let is_wanted = self.requests.get() == 0 || self.wants_body.get();
        is_wanted && self.blocked_since.get().is_none()
    }

    /// Wakes who reads when that may have changed.
    pub(super) fn wake_to_read(&self, reader: &Waker) {
        self.reader.replace(Some(reader.clone()));
    }

    /// Notes that the peer has taken something.
    pub(super) fn moved(&self) {
        if self.blocked_since.take().is_some() {
            self.wake_reader();
        }
    }

    /// Notes that the peer takes nothing at the moment.
    pub(super) fn blocked(&self) {
        if self.blocked_since.get().is_none() {
            self.blocked_since.set(Some(Instant::now()));
        }
    }

    fn wake_reader(&self) {
        let reader = self.reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Returns how long it may go on as it is; `None` when it was shut down.
    fn time_left(&self) -> Option<Duration> {
        if let Some(since) = self.blocked_since.get() {
            let left = WRITE_TIMEOUT.checked_sub(since.elapsed());
            return left.or_else(|| self.shut_down(Shutdown::Both));
        }
        if self.requests.get() > 0 {
            return Some(IDLE_TIMEOUT);
        }
        let left = IDLE_TIMEOUT.checked_sub(self.idle_since.get().elapsed());
        // An answer under way is still written; nothing more is read.
        left.or_else(|| self.shut_down(Shutdown::Read))
    }

    fn shut_down(&self, how: Shutdown) -> Option<Duration> {
        // The peer may have gone first.
        let _ = self.handle.as_ref().map(|it| it.socket.shutdown(how));
        None
    }
}

/// Duplicates a socket; `None` leaves the connection without what needs a handle of its own.
fn second_handle(stream: &TcpStream) -> Option<Socket> {
    let handle = SockRef::from(stream).try_clone();
    // Descriptors have run out, which is worth a line.
    handle
        .inspect_err(|error| log::warn!(error:%; "a connection has no second handle"))
        .ok()
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Rc<Connection>);

impl Answering {
    /// The answer makes a WebSocket of the connection, which has its own limits.
    pub(super) fn upgrade(&self) {
        // A socket that does nothing keeps no memory for it.
        if let Some(watching) = self.0.watch.take() {
            watching.abort();
        }
        self.0.wake_reader();
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
        self.0.idle_since.set(Instant::now());
        self.0.wake_reader();
    }
}
