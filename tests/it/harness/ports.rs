//! A port at which nobody answers, and nobody else begins to.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use socket2::{Domain, Socket, Type};

/// A port of this machine that is bound, and not listened on. As long as it is held, nobody who
/// asks for any port is given it; who asks for it by its number, as a server that is started on it
/// does, gets it.
pub struct ReservedPort(Socket);

impl ReservedPort {
    /// Takes one that is free.
    pub fn any() -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::bind(addr).expect("a free port")
    }

    /// Takes that of a server that has ended, of which this is `host:port`; `None` when somebody
    /// else has it already.
    pub fn of(host: &str) -> Option<Self> {
        Self::bind(host.parse().ok()?).ok()
    }

    fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // Connections of who had it may linger; and two may have a port only if both say so.
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        Ok(Self(socket))
    }

    /// Returns where nobody answers.
    pub fn addr(&self) -> SocketAddr {
        let addr = self.0.local_addr().expect("it is bound");
        addr.as_socket().expect("an address of IPv4")
    }
}
