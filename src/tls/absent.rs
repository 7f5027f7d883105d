//! A build without TLS: types without a value.

use std::{convert::Infallible, io, path::Path};

use deadpool_redis::redis::{Client, RedisResult};
use tokio::net::{
    TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};
use tokio_postgres::NoTls;

use super::FileError;

/// Certificates out of a file.
pub type Certificates = Infallible;

/// A key out of a file.
pub type PrivateKey = Infallible;

/// How PostgreSQL is talked to.
pub type PostgresTls = NoTls;

/// A client's connection.
pub type Transport = TcpStream;

/// The half of it that reads.
pub type TransportReader = OwnedReadHalf;

/// The half of it that writes.
pub type TransportWriter = OwnedWriteHalf;

/// What the listener proves itself with.
#[derive(Debug, Clone)]
pub enum ServerTls {}

impl ServerTls {
    /// Takes a certificate and its key.
    ///
    /// # Errors
    /// Never: there is neither.
    pub fn new(chain: Certificates, _: PrivateKey) -> Result<Self, FileError> {
        match chain {}
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// Never.
    #[expect(clippy::unused_async, reason = "it waits in a build with TLS")]
    pub async fn accept(&self, _: TcpStream) -> io::Result<Transport> {
        match *self {}
    }
}

/// How a server is talked to that has to prove itself.
#[derive(Debug, Clone)]
pub enum ClientTls {}

impl ClientTls {
    /// Trusts authorities.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: Option<&Certificates>) -> Result<Self, FileError> {
        Err(FileError::NotBuiltIn)
    }
}

/// Reads certificates.
///
/// # Errors
/// Always.
pub fn certificates(_: &Path) -> Result<Certificates, FileError> {
    Err(FileError::NotBuiltIn)
}

/// Reads a key.
///
/// # Errors
/// Always.
pub fn private_key(_: &Path) -> Result<PrivateKey, FileError> {
    Err(FileError::NotBuiltIn)
}

/// Returns certificates as they were in their file.
#[must_use]
pub fn pem(certificates: &Certificates) -> &str {
    match *certificates {}
}

/// Takes a connection without TLS.
#[must_use]
pub fn plain(stream: TcpStream) -> Transport {
    stream
}

/// Gives a connection's halves to two owners.
#[must_use]
pub fn split(transport: Transport) -> (TransportReader, TransportWriter) {
    transport.into_split()
}

/// Returns how PostgreSQL is talked to.
#[must_use]
pub fn postgres(_: Option<&ClientTls>) -> PostgresTls {
    NoTls
}

/// Returns a client for Valkey's URL.
///
/// # Errors
/// When it is none.
pub fn valkey(url: &str, _: Option<&Certificates>) -> RedisResult<Client> {
    Client::open(url)
}

/// Returns whether a server's certificate was not believed.
#[must_use]
pub fn is_distrust(_: &io::Error) -> bool {
    false
}
