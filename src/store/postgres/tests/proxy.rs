//! A proxy before PostgreSQL that loses the answer to a commit.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};
use url::Url;

/// What the server sends once a transaction is stored.
const COMMITTED: &[u8] = b"COMMIT\0";

/// Cuts one connection when it is armed and a commit is answered.
pub(super) struct Proxy {
    addr: SocketAddr,
    armed: Arc<AtomicBool>,
}

impl Proxy {
    pub(super) async fn before(server: &Url) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        let armed = Arc::new(AtomicBool::new(false));
        let host = server.host_str().expect("a host").to_owned();
        let port = server.port().unwrap_or(5432);
        let arms = Arc::clone(&armed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((host.as_str(), port)).await;
                tokio::spawn(forward(
                    client,
                    server.expect("it is up"),
                    Arc::clone(&arms),
                ));
            }
        });
        Self { addr, armed }
    }

    /// Returns a URL through it.
    pub(super) fn url(&self, server: &Url) -> Url {
        let mut url = server.clone();
        url.set_ip_host(self.addr.ip()).expect("an address");
        url.set_port(Some(self.addr.port())).expect("a port");
        url
    }

    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::SeqCst)
    }
}

/// Both ends are closed when it returns.
async fn forward(mut client: TcpStream, mut server: TcpStream, armed: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let answers = async {
        let mut chunk = [0; 16_384];
        while let Ok(len @ 1..) = from_server.read(&mut chunk).await {
            let answer = &chunk[..len];
            let is_commit = answer
                .windows(COMMITTED.len())
                .any(|part| part == COMMITTED);
            if is_commit && armed.swap(false, Ordering::SeqCst) {
                return;
            }
            if to_client.write_all(answer).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        _ = copy(&mut from_client, &mut to_server) => {}
    }
}
