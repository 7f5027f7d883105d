//! A build with TLS: rustls, with aws-lc for its cryptography.

use std::{fmt, fs, io, path::Path, sync::Arc};

use deadpool_redis::redis::{Client, RedisResult, TlsCertificates};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio::{
    io::{ReadHalf, WriteHalf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

use super::FileError;

/// What a client may speak above TLS.
const HTTP_1_1: &[u8] = b"http/1.1";

/// How PostgreSQL is talked to.
pub type PostgresTls = MakeRustlsConnect;

/// A client's connection; boxed, so that one without TLS is as small as before.
pub type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The half of it that reads.
pub type TransportReader = Either<OwnedReadHalf, ReadHalf<Box<TlsStream<TcpStream>>>>;

/// The half of it that writes.
pub type TransportWriter = Either<OwnedWriteHalf, WriteHalf<Box<TlsStream<TcpStream>>>>;

/// Certificates out of a file.
#[derive(Clone)]
pub struct Certificates {
    pem: String,
    chain: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.chain.len())
    }
}

/// A key out of a file.
pub struct PrivateKey(PrivateKeyDer<'static>);

/// What the listener proves itself with.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// Takes a certificate, with those between it and its authority, and its key.
    ///
    /// # Errors
    /// When they do not belong together.
    pub fn new(chain: Certificates, key: PrivateKey) -> Result<Self, FileError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has what both versions need")
            .with_no_client_auth()
            .with_single_cert(chain.chain, key.0);
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => FileError::OtherKey,
            other => FileError::Unusable(other.to_string()),
        })?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// When it is no TLS, or none that we speak, or the client went.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Transport> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.0));
        let stream = Box::pin(acceptor.accept(stream)).await?;
        Ok(Either::Right(Box::new(stream)))
    }
}

/// How a server is talked to that has to prove itself, by its certificate and the name in it.
#[derive(Clone)]
pub struct ClientTls(ClientConfig);

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// Trusts these authorities alone, or without any the system's.
    ///
    /// # Errors
    /// When the system has none, or one that was named cannot be used.
    pub fn new(authorities: Option<&Certificates>) -> Result<Self, FileError> {
        let mut roots = RootCertStore::empty();
        match authorities {
            Some(authorities) => {
                for authority in &authorities.chain {
                    let added = roots.add(authority.clone());
                    added.map_err(|error| FileError::Unusable(error.to_string()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        match roots.is_empty() {
            true => Err(FileError::NoAuthorities),
            false => Ok(Self(client(roots))),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn client(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has what both versions need")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Reads certificates.
///
/// # Errors
/// When the file is not there, or has none in it.
pub fn certificates(path: &Path) -> Result<Certificates, FileError> {
    let pem = fs::read_to_string(path).map_err(FileError::Unreadable)?;
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| FileError::Malformed)?;
    match chain.is_empty() {
        true => Err(FileError::Empty),
        false => Ok(Certificates { pem, chain }),
    }
}

/// Reads a key.
///
/// # Errors
/// When the file is not there, or has none in it.
pub fn private_key(path: &Path) -> Result<PrivateKey, FileError> {
    let pem = fs::read(path).map_err(FileError::Unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        pem::Error::NoItemsFound => FileError::Empty,
        _ => FileError::Malformed,
    });
    key.map(PrivateKey)
}

/// Returns certificates as they were in their file.
#[must_use]
pub fn pem(certificates: &Certificates) -> &str {
    &certificates.pem
}

/// Takes a connection without TLS.
#[must_use]
pub fn plain(stream: TcpStream) -> Transport {
    Either::Left(stream)
}

/// Gives a connection's halves to two owners.
#[must_use]
pub fn split(transport: Transport) -> (TransportReader, TransportWriter) {
    match transport {
        Either::Left(stream) => {
            let (reader, writer) = stream.into_split();
            (Either::Left(reader), Either::Left(writer))
        }
        Either::Right(stream) => {
            let (reader, writer) = tokio::io::split(stream);
            (Either::Right(reader), Either::Right(writer))
        }
    }
}

/// Returns how PostgreSQL is talked to; a connection without TLS does not ask for it.
#[must_use]
pub fn postgres(tls: Option<&ClientTls>) -> PostgresTls {
    let config = tls.map(|tls| tls.0.clone());
    MakeRustlsConnect::new(config.unwrap_or_else(|| client(RootCertStore::empty())))
}

/// Returns a client for Valkey's URL; without authorities it trusts the system's.
///
/// # Errors
/// When it is none.
pub fn valkey(url: &str, authorities: Option<&Certificates>) -> RedisResult<Client> {
    // It takes the process's choice; whoever was first has chosen the same.
    let _ = aws_lc_rs::default_provider().install_default();
    let Some(authorities) = authorities else {
        return Client::open(url);
    };
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(authorities.pem.clone().into_bytes()),
    };
    Client::build_with_tls(url, certificates)
}

/// Returns whether a server's certificate was not believed, which waiting does not mend.
#[must_use]
pub fn is_distrust(error: &io::Error) -> bool {
    let cause = error.get_ref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}
