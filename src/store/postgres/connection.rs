//! One connection: how it is made, how it is set up, and why it was not.

use std::{error::Error, fmt::Write, io, sync::Arc, time::Duration};

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use secrecy::ExposeSecret;
use tokio_postgres::{
    Client, Config, Connection, Socket,
    config::{Host, SslMode},
    error::SqlState,
    tls::MakeTlsConnect,
};

use super::Conn;
use crate::{
    config::DatabaseConfig,
    store::{OpenError, StoreError},
    tls::{self, PostgresTls},
};

/// How long making a connection may take, its set-up included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer that has vanished keeps a connection waiting.
const PEER_TIMEOUT: Duration = Duration::from_secs(6);

/// No statement runs longer than a caller waits, and no transaction keeps its locks while its
/// process stands still. What was answered is never lost, whatever the server's default.
const SETUP: &str = "SET statement_timeout = '6s'; \
     SET idle_in_transaction_session_timeout = '10s'; \
     SET default_transaction_isolation = 'read committed'; \
     SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') = 'off';";

/// A database on a server, as its URL names it.
#[derive(Clone)]
pub(super) struct Server {
    config: Arc<Config>,
    tls: PostgresTls,
}

/// A connection's stream.
type Stream = <PostgresTls as MakeTlsConnect<Socket>>::Stream;

impl Server {
    /// Reads a URL; nothing is opened.
    pub(super) fn at(given: &DatabaseConfig) -> Result<Self, OpenError> {
        let parsed = given.url.expose_secret().parse::<Config>();
        let mut config = parsed.map_err(|error| OpenError::BadUrl(chain(&error)))?;
        config
            .application_name("roomcast")
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(PEER_TIMEOUT)
            .keepalives_idle(PEER_TIMEOUT)
            // All or nothing: what is in between promises nothing.
            .ssl_mode(match given.tls {
                Some(_) => SslMode::Require,
                None => SslMode::Disable,
            });
        Ok(Self {
            config: Arc::new(config),
            tls: tls::postgres(given.tls.as_ref()),
        })
    }

    /// Makes a connection and sets it up.
    pub(super) async fn connect(&self) -> Result<Conn, OpenError> {
        let (client, connection) = self.open().await?;
        let conn = AsyncPgConnection::try_from_client_and_connection(client, connection);
        let mut conn = conn.await.map_err(unavailable)?;
        conn.batch_execute(SETUP).await.map_err(unavailable)?;
        Ok(conn)
    }

    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::clone_on_copy, reason = "with TLS it is no such type")
    )]
    async fn open(&self) -> Result<(Client, Connection<Socket, Stream>), OpenError> {
        let opened = self.config.connect(self.tls.clone()).await;
        opened.map_err(|error| self.refusal(&error))
    }

    /// Returns whether the server takes these texts for texts.
    ///
    /// Diesel does not pass the server's codes on, so this asks beside it.
    pub(super) async fn takes(&self, texts: &[&str]) -> Result<bool, StoreError> {
        let opened = self.open().await;
        let (client, connection) = opened.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let connection = tokio::spawn(connection);
        let asked = client.execute("SELECT $1::text[]", &[&texts]).await;
        connection.abort();
        match asked {
            Ok(_) => Ok(true),
            Err(error) if error.code().is_some_and(is_wrong_data) => Ok(false),
            Err(error) => Err(StoreError::Unavailable(chain(&error))),
        }
    }

    /// Returns the database's name, for people.
    pub(super) fn database(&self) -> String {
        let user = self.config.get_user();
        self.config
            .get_dbname()
            .or(user)
            .unwrap_or_default()
            .to_owned()
    }

    /// Returns `host:port`, for people.
    fn addr(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("{host}:{port}")
    }

    /// Tells what a person has to put right from what time puts right.
    fn refusal(&self, error: &tokio_postgres::Error) -> OpenError {
        let (addr, reason) = (self.addr(), chain(error));
        let code = error.code().map(SqlState::code);
        match code {
            // Who we are, and what we may.
            Some(code) if code.starts_with("28") || code == "42501" => {
                OpenError::Refused { addr, reason }
            }
            Some("3D000") => OpenError::NoDatabase {
                name: self.database(),
                addr,
            },
            // It starts, stops, or has no connection left.
            Some(_) => OpenError::Unavailable { addr, reason },
            None if is_distrust(error) => OpenError::Untrusted { addr, reason },
            None if error.is_closed() || is_of_network(error) => {
                OpenError::Unavailable { addr, reason }
            }
            // It wants what we were not given: a password, TLS.
            None => OpenError::Refused { addr, reason },
        }
    }
}

fn is_distrust(error: &tokio_postgres::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause.is_some_and(tls::is_distrust)
}

fn is_of_network(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|cause| cause.is::<io::Error>())
}

/// Class 22: the data is wrong, whenever it comes.
fn is_wrong_data(code: &SqlState) -> bool {
    code.code().starts_with("22")
}

fn unavailable(error: impl std::fmt::Display) -> OpenError {
    StoreError::Unavailable(error.to_string()).into()
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
