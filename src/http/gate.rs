//! The way in over TLS: who may shake hands, and the handshake.
//!
//! A handshake costs a signature before anything is known of who asks for it: what is too much of
//! an address ends before the first byte of it is read.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use actix_web::rt::net::TcpStream;
use ipnet::IpNet;
use tokio::time::timeout;

use crate::{
    gateway::Gateway,
    limits::Limits,
    metrics::{self, HandshakeOutcome},
    tls::{ServerTls, Transport},
};

/// How long a client may take for its handshake: as long as for a request's head.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the listener speaks TLS with, and with whom.
#[derive(Clone)]
pub struct TlsGate {
    tls: ServerTls,
    limits: Arc<Limits>,
    /// Whoever comes by them has been counted there, or is many.
    trusted_proxies: Vec<IpNet>,
}

impl TlsGate {
    /// Makes the gate of a gateway; `None` where it speaks plain HTTP.
    #[must_use]
    pub fn of(gateway: &Gateway) -> Option<Self> {
        let config = &gateway.config.http;
        config.tls.clone().map(|tls| Self {
            tls,
            limits: Arc::clone(&gateway.limits),
            trusted_proxies: config.trusted_proxies.clone(),
        })
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// When there were too many of its address, or it does not in time.
    pub(super) async fn shake_hands(&self, stream: TcpStream) -> io::Result<Transport> {
        let peer = stream.peer_addr()?.ip().to_canonical();
        if !self.may_shake_hands(peer) {
            metrics::get().tls_handshake(HandshakeOutcome::Limited);
            return Err(io::Error::other("too many TLS handshakes of an address"));
        }
        let shaken = timeout(HANDSHAKE_TIMEOUT, self.tls.accept(stream)).await;
        let shaken = shaken.map_err(io::Error::from).flatten();
        metrics::get().tls_handshake(match &shaken {
            Ok(_) => HandshakeOutcome::Done,
            Err(_) => HandshakeOutcome::Failed,
        });
        shaken
    }

    fn may_shake_hands(&self, peer: IpAddr) -> bool {
        let is_trusted = |network: &IpNet| network.contains(&peer);
        self.trusted_proxies.iter().any(is_trusted) || self.limits.check_tls_handshake(peer).is_ok()
    }
}
