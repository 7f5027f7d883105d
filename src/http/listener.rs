//! The listener: as `HttpServer` makes it, over a stream of ours.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    time::Duration,
};

use actix_http::{HttpService, Protocol, Request, Response};
use actix_service::{IntoServiceFactory, ServiceFactoryExt as _, fn_factory, map_config};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{AppConfig, Server, Service, ServiceFactory, fn_service},
    rt::net::TcpStream,
};
use socket2::{Domain, Socket, Type};

use super::{gate::TlsGate, paced::PacedStream, upgrade};

/// HTTP headers must be here within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection is kept for the next request.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long a connection may take to close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long requests under way have to end; the server looks once a second.
const REQUEST_LINGER_S: u64 = 5;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;

/// The kernel's send buffer of a connection, in bytes; it keeps twice that. A peer that does not
/// read shows early, and holds little memory.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How long sent bytes may stay unacknowledged before the kernel gives a connection up.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(12);

/// Serves an application at an address, over TLS if there is a gate for it; returns where, with the port
/// that was found for 0.
///
/// Each worker thread calls `worker` once, and makes its applications by what that returns: one for
/// requests, one for upgrades.
///
/// # Errors
/// When the address cannot be bound.
pub fn serve<W, F, I, S, B>(
    addr: SocketAddr,
    gate: Option<TlsGate>,
    worker: W,
) -> io::Result<(Server, SocketAddr)>
where
    W: Fn() -> F + Send + Clone + 'static,
    F: Fn() -> I,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let listener = listen(addr)?;
    let addr = listener.local_addr()?;
    let server = Server::build()
        .disable_signals()
        .shutdown_timeout(REQUEST_LINGER_S);
    let stopping = server.graceful_shutdown_signal();
    let server = server.listen("roomcast", listener, move || {
        let stopping = stopping.clone();
        let gate = gate.clone();
        let app = worker();
        let refusing = || {
            let app = app().into_factory();
            app.map_err(|error| error.into().error_response())
        };
        let upgrading = refusing();
        let upgrading = fn_factory(move || {
            let app = upgrading.new_service(AppConfig::default());
            async {
                let app = Rc::new(app.await?);
                Ok::<_, S::InitError>(fn_service(move |(request, framed)| {
                    Box::pin(upgrade::answer(Rc::clone(&app), request, framed))
                }))
            }
        });
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEADER_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .local_addr(addr)
            .on_connect_ext(|stream: &PacedStream, extensions| {
                extensions.insert(stream.connection());
            })
            .upgrade(upgrading)
            .finish(map_config(refusing(), |()| AppConfig::default()));
        fn_service(move |stream: TcpStream| {
            let gate = gate.clone();
            async move {
                let peer = stream.peer_addr().ok();
                let accepted = PacedStream::accept(stream, gate.as_ref()).await;
                let stream = accepted.inspect_err(|error| {
                    log::debug!(error:%; "a client did not shake hands");
                })?;
                Ok((stream, Protocol::Http1, peer))
            }
        })
        .and_then(http)
    })?;
    Ok((server.run(), addr))
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // The kernel hands these down to each connection that is accepted.
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;

    #[test]
    fn connections_are_as_the_listener_is() {
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a port is free");
        let addr = listener.local_addr().expect("it is bound");
        let _client = TcpStream::connect(addr).expect("it listens");
        let (accepted, _) = listener.accept().expect("somebody has come");
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().expect("a socket"));
        let kept = accepted.send_buffer_size().expect("a socket");
        assert_eq!(kept, 2 * SEND_BUFFER_BYTES);
        let timeout = accepted.tcp_user_timeout().expect("a socket");
        assert_eq!(timeout, Some(TCP_USER_TIMEOUT));
    }
}
