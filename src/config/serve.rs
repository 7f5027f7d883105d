//! What `serve` runs with: the real services, by role.

use std::{net::SocketAddr, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use super::{
    ConfigError, GatewayConfig, KafkaSecurity, LogConfig, Settings,
    keys::{self, Key},
    parse, tls,
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
        let (url, own_mode) = url.map(parse::split_ssl_mode).unzip();
        let tls = tls::database(settings, own_mode.flatten());
        Some(Self {
            url: url?,
            tls: tls?,
        })
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
        let is_encrypted = url.iter().flatten().any(parse::is_encrypted_redis);
        let authorities = tls::valkey(settings, is_encrypted);
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
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::{Environment, Mode};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    const LEAST: [(&str, &str); 5] = [
        ("DB_HOST", "db"),
        ("DB_USERNAME", "chat"),
        ("DB_PASSWORD", "pass"),
        ("DB_DATABASE", "chat"),
        ("JWT_SECRET", SECRET),
    ];

    fn settings(given: &[(&'static str, &str)]) -> Settings {
        let process = given.iter().map(|(name, value)| (*name, value.into()));
        let environment = Environment {
            process: process.collect(),
            ..Environment::default()
        };
        Settings::new(Mode::Serve, HashMap::new(), environment)
    }

    fn problems(given: &[(&'static str, &str)], role: Role) -> Vec<String> {
        let error = ServeConfig::load(settings(given), role).expect_err("not valid");
        error
            .problems
            .into_iter()
            .map(|problem| problem.what)
            .collect()
    }

    fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        LEAST.iter().chain(more).copied().collect()
    }

    #[test]
    fn the_least_is_database_and_secret() {
        let config = ServeConfig::load(settings(&LEAST), Role::All).expect("valid");
        assert_eq!(
            config.database.url.expose_secret(),
            "postgres://chat:pass@db:5432/chat"
        );
        let gateway = config.gateway.expect("all has a gateway");
        assert_eq!(gateway.redis.url.expose_secret(), "redis://localhost:6379");
        assert_eq!(gateway.config.http.bind_addr, ([0, 0, 0, 0], 3000).into());
        assert_eq!(config.worker_addr, Some(([0, 0, 0, 0], 3001).into()));
        assert_eq!(config.kafka.brokers, ["localhost:29092"]);
    }

    #[test]
    fn each_role_asks_for_what_it_needs() {
        let check = |role, expected: &[&str]| assert_eq!(problems(&[], role), expected, "{role:?}");
        let database = ["DB_HOST", "DB_USERNAME", "DB_PASSWORD", "DB_DATABASE"];
        let gateway: Vec<_> = database.into_iter().chain(["JWT_SECRET"]).collect();
        check(Role::Worker, &database);
        check(Role::Gateway, &gateway);
        check(Role::All, &gateway);
        ServeConfig::load(settings(&LEAST[..4]), Role::Worker).expect("no secret needed");
    }

    #[test]
    fn a_url_wins_and_the_parts_are_checked_all_the_same() {
        let urls = [
            ("DATABASE_URL", "postgres://u@h/d"),
            ("REDIS_URL", "redis://r:1"),
        ];
        let config = ServeConfig::load(settings(&with(&urls)), Role::All).expect("valid");
        assert_eq!(config.database.url.expose_secret(), "postgres://u@h/d");
        let gateway = config.gateway.expect("all has a gateway");
        assert_eq!(gateway.redis.url.expose_secret(), "redis://r:1");
        let alone = [urls[0], ("JWT_SECRET", SECRET)];
        ServeConfig::load(settings(&alone), Role::All).expect("the parts may be missing");
        let bad = [
            urls[0],
            urls[1],
            ("DB_PORT", "x"),
            ("REDIS_PORT", "0"),
            ("DB_HOST", "a:1"),
        ];
        let found = problems(&with(&bad), Role::All);
        assert_eq!(found, ["DB_PORT", "DB_HOST", "REDIS_PORT"]);
        let bad_url = problems(&with(&[("DATABASE_URL", "mysql://x")]), Role::All);
        assert_eq!(
            bad_url,
            ["DATABASE_URL"],
            "valid parts do not stand in for a bad URL"
        );
    }

    #[test]
    fn parts_become_a_url_whatever_is_in_them() {
        let odd = [
            ("DB_HOST", "::1"),
            ("DB_USERNAME", "a b@c"),
            ("DB_PASSWORD", "p@ss:/?#[]%41"),
            ("DB_DATABASE", "x/y"),
        ];
        let database = DatabaseConfig::read(&mut settings(&odd)).expect("valid");
        let url = url::Url::parse(database.url.expose_secret()).expect("a URL");
        let decoded = |text: &str| {
            let text = percent_encoding::percent_decode_str(text).decode_utf8();
            text.expect("UTF-8").into_owned()
        };
        assert_eq!(url.host_str(), Some("[::1]"));
        assert_eq!(decoded(url.username()), "a b@c");
        assert_eq!(decoded(url.password().expect("one")), "p@ss:/?#[]%41");
        assert_eq!(decoded(url.path()), "/x/y");
        let socket = [("DB_HOST", "/run/pg"), odd[1], odd[2], odd[3]];
        let database = DatabaseConfig::read(&mut settings(&socket)).expect("valid");
        assert!(database.url.expose_secret().contains("@%2Frun%2Fpg:5432/"));
    }

    #[test]
    fn a_start_demands_no_more_copies_than_it_makes() {
        let few = [
            ("KAFKA_REPLICATION", "1"),
            ("KAFKA_MIN_ISR", "2"),
            ("KAFKA_MIN_REPLICATION", "3"),
        ];
        assert_eq!(
            problems(&with(&few), Role::Worker),
            ["KAFKA_MIN_REPLICATION", "KAFKA_MIN_ISR"]
        );
    }

    #[test]
    fn a_problem_is_told_once() {
        let bad = with(&[("BIND_ADDR", "here")]);
        assert_eq!(problems(&bad, Role::All), ["BIND_ADDR"]);
    }

    #[test]
    fn no_secret_is_shown() {
        let config = ServeConfig::load(settings(&LEAST), Role::All).expect("valid");
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("pass") && !shown.contains(SECRET),
            "{shown}"
        );
    }
}
