//! What `serve` runs with: the real services, by role.

use std::{net::SocketAddr, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use super::{
    ConfigError, GatewayConfig, KafkaSecurity, LogConfig, Settings,
    keys::{self, Key},
    parse,
    tls::{self, InUrl},
};
use crate::tls::{Certificates, ClientTls};

/// Which half of the system a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    All,
    Gateway,
    Worker,
}

/// Everything that `serve` runs with. What a role does not need is not looked at.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    pub database: DatabaseConfig,
    pub kafka: KafkaConfig,
    /// `START_TIMEOUT_S`: how long a service that cannot be reached is waited for.
    pub start_timeout: Duration,
    /// `None` for a worker.
    pub gateway: Option<ServeGateway>,
    /// `BIND_ADDR` and `WORKER_PORT`; `None` for a gateway.
    pub worker_addr: Option<SocketAddr>,
    pub logs: LogConfig,
}

/// What a gateway on the real services needs more than another.
#[derive(Debug, Clone)]
pub struct ServeGateway {
    pub config: GatewayConfig,
    /// `JWT_SECRET`.
    pub secret: SecretString,
    pub redis: RedisConfig,
}

/// Where PostgreSQL is: `DATABASE_URL`, or one made from `DB_*`.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// Without `sslmode`.
    pub url: SecretString,
    /// `DB_SSL_MODE` and `DB_SSL_CA`; `None` for a connection in the clear.
    pub tls: Option<ClientTls>,
}

impl From<SecretString> for DatabaseConfig {
    /// Talks to it in the clear.
    fn from(url: SecretString) -> Self {
        Self { url, tls: None }
    }
}

/// Where Valkey is: `REDIS_URL`, or one made from `REDIS_*`.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// With `rediss` for TLS.
    pub url: SecretString,
    /// `REDIS_SSL_CA`; `None` for the system's.
    pub authorities: Option<Certificates>,
}

impl From<SecretString> for RedisConfig {
    fn from(url: SecretString) -> Self {
        Self {
            url,
            authorities: None,
        }
    }
}

/// Where Kafka is, and what its topics have to be like.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `KAFKA_BROKERS`, each `host:port`.
    pub brokers: Vec<String>,
    /// `KAFKA_SECURITY_PROTOCOL` and what it needs.
    pub security: KafkaSecurity,
    /// `KAFKA_PARTITIONS` of a topic that does not exist yet.
    pub partitions: u32,
    /// `KAFKA_REPLICATION` of a topic that does not exist yet; `None` leaves it to the brokers.
    pub replication: Option<u32>,
    /// `KAFKA_MIN_REPLICATION`: fewer copies refuse the start.
    pub min_replication: u32,
    /// `KAFKA_MIN_ISR`: a smaller `min.insync.replicas` refuses the start.
    pub min_isr: u32,
    /// `KAFKA_TOPIC_PREFIX`: before the names of the topics and of the workers' group.
    pub topic_prefix: String,
}

impl ServeConfig {
    /// Reads what a role runs with.
    ///
    /// # Errors
    /// Every problem.
    pub fn load(settings: Settings, role: Role) -> Result<Self, ConfigError> {
        let mut settings = settings;
        let config = Self::read(&mut settings, role);
        settings.finish(config)
    }

    /// Reads what a role runs with; `None` says that a problem was noted.
    pub fn read(settings: &mut Settings, role: Role) -> Option<Self> {
        let database = DatabaseConfig::read(settings);
        let kafka = KafkaConfig::read(settings);
        let gateway = (role != Role::Worker).then(|| ServeGateway::read(settings));
        let worker_addr = (role != Role::Gateway).then(|| worker_addr(settings));
        let start_timeout = settings.read(&keys::START_TIMEOUT_S, parse::within(1..=3_600));
        let logs = LogConfig::read(settings);
        Some(Self {
            database: database?,
            kafka: kafka?,
            start_timeout: Duration::from_secs(start_timeout?.into()),
            gateway: transpose(gateway)?,
            worker_addr: transpose(worker_addr)?,
            logs: logs?,
        })
    }
}

/// Tells "not needed" from "a problem was noted".
fn transpose<T>(needed: Option<Option<T>>) -> Option<Option<T>> {
    needed.map_or(Some(None), |read| read.map(Some))
}

fn worker_addr(settings: &mut Settings) -> Option<SocketAddr> {
    let ip = settings.read(&keys::BIND_ADDR, parse::ip);
    let port = settings.read(&keys::WORKER_PORT, parse::port);
    Some(SocketAddr::new(ip?, port?))
}

impl ServeGateway {
    fn read(settings: &mut Settings) -> Option<Self> {
        let secret = settings.read(&keys::JWT_SECRET, parse::secret);
        let previous = settings.read_optional(&keys::JWT_SECRET_PREVIOUS, parse::secret);
        let config = GatewayConfig::read(settings, previous.clone().flatten());
        let redis = RedisConfig::read(settings);
        previous?;
        Some(Self {
            config: config?,
            secret: secret?,
            redis: redis?,
        })
    }
}

impl DatabaseConfig {
    /// Reads where PostgreSQL is; `None` says that a problem was noted.
    ///
    /// A URL wins, and then the parts may be missing; those that are set are checked all the same.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let url = Self::read_url(settings);
        let url = url.map(|url| parse::split_ssl_mode(url).0);
        let in_url = Self::tls_in_url(settings);
        let tls = tls::database(settings, in_url);
        Some(Self {
            url: url?,
            tls: tls?,
        })
    }

    /// Whatever else is wrong with where it is.
    fn tls_in_url(settings: &Settings) -> InUrl {
        let Some(given) = settings.find(&keys::DATABASE_URL) else {
            return InUrl::Silent;
        };
        let mode = parse::database_url(&given.text).map(|url| parse::split_ssl_mode(url).1);
        match mode {
            Ok(Some(true)) => InUrl::Wanted,
            Ok(Some(false)) => InUrl::Unwanted,
            Ok(None) => InUrl::Silent,
            Err(_) => InUrl::Unknown,
        }
    }

    fn read_url(settings: &mut Settings) -> Option<SecretString> {
        let url = settings.read_optional(&keys::DATABASE_URL, parse::database_url);
        let port = settings.read(&keys::DB_PORT, parse::service_port);
        if settings.find(&keys::DATABASE_URL).is_some() {
            let host = settings.read_optional(&keys::DB_HOST, parse::host);
            let texts = [&keys::DB_USERNAME, &keys::DB_PASSWORD, &keys::DB_DATABASE];
            let texts = texts.map(|key| settings.read_optional(key, parse::text));
            let are_valid = port
                .and(host)
                .and(texts.into_iter().collect::<Option<Vec<_>>>());
            return url?.filter(|_| are_valid.is_some());
        }
        let host = settings.read(&keys::DB_HOST, parse::host);
        let username = settings.read(&keys::DB_USERNAME, parse::text);
        let password = settings.read(&keys::DB_PASSWORD, parse::password);
        let database = settings.read(&keys::DB_DATABASE, parse::text);
        let url = format!(
            "postgres://{}:{}@{}:{}/{}",
            encoded(&username?),
            encoded(password?.expose_secret()),
            encoded_host(&host?),
            port?,
            encoded(&database?),
        );
        Some(url.into())
    }
}

impl RedisConfig {
    /// Reads where Valkey is; `None` says that a problem was noted.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let url = settings.read_optional(&keys::REDIS_URL, parse::redis_url);
        let host = settings.read(&keys::REDIS_HOST, parse::network_host);
        let port = settings.read(&keys::REDIS_PORT, parse::service_port);
        let in_url = match &url {
            Some(Some(url)) if parse::is_encrypted_redis(url) => InUrl::Wanted,
            Some(_) => InUrl::Unwanted,
            None => InUrl::Unknown,
        };
        let authorities = tls::valkey(settings, in_url);
        let parts = format!("redis://{}:{}", encoded_host(&host?), port?);
        Some(Self {
            url: url?.unwrap_or_else(|| parts.into()),
            authorities: authorities?,
        })
    }
}

impl KafkaConfig {
    /// Reads where Kafka is; `None` says that a problem was noted.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let copies = || parse::within(1..=100);
        let brokers = settings.read(&keys::KAFKA_BROKERS, parse::brokers);
        let partitions = settings.read(&keys::KAFKA_PARTITIONS, parse::within(1..=1_000));
        let replication = settings.read_optional(&keys::KAFKA_REPLICATION, copies());
        let min_replication = settings.read(&keys::KAFKA_MIN_REPLICATION, copies());
        let min_isr = settings.read(&keys::KAFKA_MIN_ISR, copies());
        let topic_prefix = settings.read_optional(&keys::KAFKA_TOPIC_PREFIX, parse::topic_prefix);
        let security = KafkaSecurity::read(settings);
        let config = Self {
            brokers: brokers?,
            security: security?,
            partitions: partitions?,
            replication: replication?,
            min_replication: min_replication?,
            min_isr: min_isr?,
            topic_prefix: topic_prefix?.unwrap_or_default(),
        };
        config.check_copies(settings)?;
        Some(config)
    }

    /// New topics have to satisfy what every start demands.
    fn check_copies(&self, settings: &mut Settings) -> Option<()> {
        let replication = self.replication.unwrap_or(u32::MAX);
        let mut check = |key: &Key, demanded: u32| {
            if demanded <= replication {
                return Some(());
            }
            let why = format!("must be at most KAFKA_REPLICATION ({replication}), not {demanded}");
            settings.note(key.name, why);
            None
        };
        let min_replication = check(&keys::KAFKA_MIN_REPLICATION, self.min_replication);
        let min_isr = check(&keys::KAFKA_MIN_ISR, self.min_isr);
        min_replication.and(min_isr)
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The folder of a socket is written like a name; an IPv6 address has brackets.
fn encoded_host(host: &str) -> String {
    match host {
        folder if folder.starts_with('/') => encoded(folder),
        addr if addr.contains(':') => format!("[{addr}]"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
