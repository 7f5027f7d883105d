//! One TCP connection: prepared when it is accepted, hung up when it drips.
//!
//! actix-http limits the time for the first request's head alone; after it, a head may drip in
//! for ever. Here a connection that has no request for a while is closed, whatever it says.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    net::Shutdown,
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    dev::Extensions,
    rt::{self, net::TcpStream, task::JoinHandle, time::sleep},
};
use socket2::{SockRef, Socket};

/// The kernel's send buffer of a connection, in bytes; it keeps twice that. A peer that does not
/// read shows early, and holds little memory.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How long sent bytes may stay unacknowledged before the kernel gives a connection up.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(12);

/// How long a connection may be without a whole request head: a second more than a silent one
/// is kept alive.
const IDLE_TIMEOUT: Duration = Duration::from_secs(6);

/// A connection as its requests see it, by `conn_data::<Rc<Connection>>()`.
#[derive(Debug)]
pub(super) struct Connection {
    /// A second handle, to act on the socket under who owns it.
    socket: Arc<Socket>,
    /// Requests that have no answer yet.
    requests: Cell<u32>,
    /// When the last answer was made, or when the connection was accepted.
    idle_since: Cell<Instant>,
    /// Hangs up when it is idle; none once it carries a WebSocket, which has its own time limits.
    watch: RefCell<Option<JoinHandle<()>>>,
}

/// Prepares a connection when it is accepted.
pub fn accepted(connection: &dyn Any, extensions: &mut Extensions) {
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
            let connection = Rc::new(Connection {
                socket: Arc::new(socket),
                requests: Cell::new(0),
                idle_since: Cell::new(Instant::now()),
                watch: RefCell::default(),
            });
            let watching = rt::spawn(watch(Rc::downgrade(&connection)));
            connection.watch.replace(Some(watching));
            extensions.insert(connection);
        }
        // The peer may have gone already; or descriptors have run out, which is worth a line.
        Err(error) => log::warn!(error:%; "a connection was not prepared"),
    }
}

/// Hangs up when the connection has been idle for too long; ends with it.
async fn watch(connection: Weak<Connection>) {
    while let Some(left) = connection.upgrade().and_then(|known| known.time_left()) {
        sleep(left).await;
    }
}

impl Connection {
    /// Returns the second handle of the socket.
    pub(super) fn socket(&self) -> Arc<Socket> {
        Arc::clone(&self.socket)
    }

    /// Notes that a request's head is whole; dropping the result notes that it was answered.
    pub(super) fn begin(self: Rc<Self>) -> Answering {
        self.requests.set(self.requests.get() + 1);
        Answering(self)
    }

    /// Returns how long it may still be idle; `None` when it was hung up.
    fn time_left(&self) -> Option<Duration> {
        if self.requests.get() > 0 {
            return Some(IDLE_TIMEOUT);
        }
        let left = IDLE_TIMEOUT.checked_sub(self.idle_since.get().elapsed());
        if left.is_none() {
            // An answer under way is still written; nothing more is read.
            let _ = self.socket.shutdown(Shutdown::Read);
        }
        left
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Rc<Connection>);

impl Answering {
    /// The answer makes a WebSocket of the connection.
    pub(super) fn upgrade(&self) {
        if let Some(watching) = self.0.watch.take() {
            watching.abort();
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}
