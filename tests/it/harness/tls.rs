//! A server with TLS, and a way to it for clients that know none: a tunnel on this machine, at
//! whose other end is TLS.

use std::{fs, io, path::PathBuf, sync::Arc, thread};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncWriteExt, copy, split},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::oneshot,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Set to have every server of the run speak TLS.
const EVERYWHERE: &str = "ROOMCAST_TEST_TLS";

/// A certificate for this machine, and its key.
#[derive(Clone)]
pub struct Identity(Arc<Files>);

struct Files {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// Makes one that nobody vouches for but itself.
    pub fn make() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = generate_simple_self_signed(names).expect("a certificate");
        let CertifiedKey { cert, signing_key } = made;
        let folder = TempDir::new().expect("a folder");
        let write = |name, text| fs::write(folder.path().join(name), text).expect("a file");
        write("cert", cert.pem());
        write("key", signing_key.serialize_pem());
        Self(Arc::new(Files {
            folder,
            certificate: cert.der().clone(),
        }))
    }

    /// Returns one for a server that did not ask, if the run is about TLS.
    pub fn of_run() -> Option<Self> {
        let is_wanted = std::env::var_os(EVERYWHERE).is_some_and(|value| value == "1");
        is_wanted.then(Self::make)
    }

    /// Returns what a server has in its environment to use it.
    pub fn env(&self) -> [(&'static str, PathBuf); 2] {
        let file = |name| self.0.folder.path().join(name);
        [("TLS_CERT", file("cert")), ("TLS_KEY", file("key"))]
    }

    /// Returns a connector that trusts it alone.
    pub fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.certificate.clone()).expect("an authority");
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

/// Shakes hands with a server.
pub async fn connect(connector: &TlsConnector, host: &str) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(host).await.expect("it listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let shaken = over(connector, stream).await;
    shaken.expect("the server shakes hands")
}

/// Tries to shake hands over a connection.
pub async fn over(connector: &TlsConnector, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    connector.connect(name, stream).await
}

/// Plain TCP at one end, TLS to a server at the other; gone when it is dropped.
pub struct Tunnel {
    host: String,
    _end: oneshot::Sender<()>,
}

impl Tunnel {
    /// Digs one to a server.
    pub fn to(server: &str, identity: &Identity) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let host = listener.local_addr().expect("an address").to_string();
        let (server, connector) = (server.to_owned(), identity.connector());
        let (end, ended) = oneshot::channel();
        // Apart from the test's runtime, which ends before a server that is judged at its end.
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = carry(listener, server, connector) => {}
                    _ = ended => {}
                }
            });
        });
        Self { host, _end: end }
    }

    /// Returns `host:port` of the plain end.
    pub fn host(&self) -> &str {
        &self.host
    }
}

async fn carry(listener: std::net::TcpListener, server: String, connector: TlsConnector) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    while let Ok((plain, _)) = listener.accept().await {
        let (server, connector) = (server.clone(), connector.clone());
        tokio::spawn(async move {
            let _ = plain.set_nodelay(true);
            let Ok(stream) = TcpStream::connect(&server).await else {
                return;
            };
            let _ = stream.set_nodelay(true);
            if let Ok(encrypted) = over(&connector, stream).await {
                pass_on(plain, encrypted).await;
            }
        });
    }
}

/// The server ends it: what it said before it cut a flood still has to come back.
async fn pass_on(plain: TcpStream, encrypted: TlsStream<TcpStream>) {
    let (mut reader, mut writer) = plain.into_split();
    let (mut from_server, mut to_server) = split(encrypted);
    let there = async {
        let _ = copy(&mut reader, &mut to_server).await;
        let _ = to_server.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = there => {}
        _ = copy(&mut from_server, &mut writer) => {}
    }
}
