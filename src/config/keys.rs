//! The table of settings: a row for each, with its flag, its default and what people are told.
//!
//! `--help`, `check-config` and the configuration itself read it; a test holds `.env.example`
//! and the operators' page to it.

/// What a setting is when nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// A problem, unless a URL stands for it.
    Required,
    /// Nothing, which the help explains.
    Nothing,
    Value(&'static str),
    /// `dev` is for whoever sits at the machine, `serve` for a network.
    ByMode {
        dev: &'static str,
        serve: &'static str,
    },
}

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in the environment and in `.env`.
    pub name: &'static str,
    /// `None` for a secret: arguments are there for every user of the machine to read.
    pub flag: Option<&'static str>,
    pub fallback: Fallback,
    /// Unit, range and what zero means.
    pub help: &'static str,
    pub group: &'static str,
}

impl Key {
    /// Returns whether the value must not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.flag.is_none() || self.name.ends_with("_TOKEN")
    }

    /// Returns whether the value is a URL, of which a part may be shown.
    #[must_use]
    pub fn is_url(&self) -> bool {
        self.name.ends_with("_URL")
    }
}

const fn value(text: &'static str) -> Fallback {
    Fallback::Value(text)
}

macro_rules! keys {
    ($($group:ident $title:literal { $($name:ident $flag:expr, $fallback:expr, $help:literal;)+ })+) => {
        $($(
            #[doc = $help]
            pub const $name: Key = Key {
                name: stringify!($name),
                flag: $flag,
                fallback: $fallback,
                help: $help,
                group: $title,
            };
        )+)+

        $(
            #[doc = concat!("The settings of the group \"", $title, "\".")]
            pub const $group: &[&Key] = &[$(&$name),+];
        )+

        /// Every setting, group by group.
        pub const ALL: &[&[&Key]] = &[$($group),+];
    };
}

use Fallback::{ByMode, Nothing, Required};

keys! {
    ADDRESSES "Addresses" {
        PORT Some("port"), value("3000"), "Port of page, API and WebSocket, 0 to 65535; 0 for any";
        BIND_ADDR Some("bind-addr"), ByMode { dev: "127.0.0.1", serve: "0.0.0.0" },
            "IP address to listen on; `0.0.0.0` or `::` for all of the machine's";
        TLS_CERT Some("tls-cert"), Nothing,
            "PEM file of the certificate, and of those between it and its authority: with it page, API and WebSocket are https and wss; none: plain HTTP";
        TLS_KEY Some("tls-key"), Nothing, "PEM file of that certificate's key";
        METRICS_ADDR Some("metrics-addr"), value("127.0.0.1:9464"),
            "Address and port of the metrics; port 0 for any, `off` for none";
        CORS_ORIGINS Some("cors-origins"), Nothing,
            "Origins whose pages may use API and WebSocket, with commas between; none: the same origin only";
        TRUSTED_PROXIES Some("trusted-proxies"), Nothing,
            "Networks or addresses whose X-Forwarded-For is believed, with commas between; none: nobody's";
    }
    ACCOUNTS "Accounts" {
        JWT_EXPIRES_IN Some("jwt-expires-in"), value("1d"),
            "Life of a token: `30s`, `15m`, `12h`, `1d` or seconds, 1 s to 365 d";
        BCRYPT_COST Some("bcrypt-cost"), value("10"),
            "Cost of a password's hash, 4 to 14; each step doubles the time of a login";
    }
    SECRETS "Secrets" {
        JWT_SECRET None, Required, "What tokens are signed with, at least 32 bytes; the same for all gateways";
        JWT_SECRET_PREVIOUS None, Nothing,
            "A secret that is still accepted, at least 32 bytes, for rotation; none: only the current one";
    }
    LIMITS "Limits (0 to 1000000; 0 for no limit, and either 0 of a pair switches that limit off)" {
        LIMIT_SEND_BURST Some("limit-send-burst"), value("20"),
            "Messages that a user may send at once; a pair with LIMIT_SEND_PER_S";
        LIMIT_SEND_PER_S Some("limit-send-per-s"), value("10"),
            "Messages a second that a user may send in the long run";
        LIMIT_JOIN_BURST Some("limit-join-burst"), value("1000"),
            "Rooms that a socket may join at once; 10 a second in the long run";
        LIMIT_FRAME_BURST Some("limit-frame-burst"), value("120"),
            "Other frames that a socket may send at once; 2 a second in the long run";
        LIMIT_SOCKETS_PER_USER Some("limit-sockets-per-user"), value("20"), "Sockets that a user may have open";
        LIMIT_LOGIN_FAILURES Some("limit-login-failures"), value("10"),
            "Failed logins of an account in 15 minutes; ten times as many of an address";
        LIMIT_HANDSHAKES_PER_S Some("limit-handshakes-per-s"), value("200"),
            "WebSocket handshakes of an address in a second";
    }
    LOGS "Logs" {
        RUST_LOG Some("rust-log"), value("info,actix_server=warn"),
            "Which log lines are written: `error`, `warn`, `info`, `debug`, `trace`, `off`, or `target=level`, with commas between";
        LOG_FORMAT Some("log-format"), value("text"),
            "Shape of log lines: `text` for people, `json` for programs, an object a line";
    }
    WORKER "Worker" {
        WORKER_PORT Some("worker-port"), value("3001"),
            "Port of a worker's health and metrics, 0 to 65535; 0 for any";
    }
    DATABASE "PostgreSQL" {
        DB_HOST Some("db-host"), Required, "Host of PostgreSQL, or the folder of its socket";
        DB_PORT Some("db-port"), value("5432"), "Port of PostgreSQL, 1 to 65535";
        DB_USERNAME Some("db-username"), Required, "User of PostgreSQL";
        DB_PASSWORD None, Required, "Password of that user";
        DB_DATABASE Some("db-database"), Required, "Name of the database";
        DATABASE_URL None, Nothing,
            "All of the five above in one, `postgres://user:password@host:port/database`; it wins over them";
        DB_SSL_MODE Some("db-ssl-mode"), value("disable"),
            "TLS to PostgreSQL: `disable`, or `require` or `verify-full`, which both check certificate and host; the URL's `sslmode` wins";
        DB_SSL_CA Some("db-ssl-ca"), Nothing,
            "PEM file of the authorities that may vouch for PostgreSQL; none: the system's";
    }
    KAFKA "Kafka" {
        KAFKA_BROKERS Some("kafka-brokers"), value("localhost:29092"),
            "Brokers to begin with, `host:port` with commas between";
        KAFKA_SECURITY_PROTOCOL Some("kafka-security-protocol"), value("PLAINTEXT"),
            "What is spoken with the brokers: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`";
        KAFKA_SSL_CA Some("kafka-ssl-ca"), Nothing,
            "PEM file of the authorities that may vouch for the brokers; none: the system's";
        KAFKA_SASL_MECHANISM Some("kafka-sasl-mechanism"), Nothing,
            "How we say who we are: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; with SASL alone";
        KAFKA_SASL_USERNAME Some("kafka-sasl-username"), Nothing, "User of the brokers; with SASL alone";
        KAFKA_SASL_PASSWORD None, Nothing, "Password of that user; with SASL alone";
        KAFKA_PARTITIONS Some("kafka-partitions"), value("6"),
            "Partitions of a topic that does not exist yet, 1 to 1000";
        KAFKA_REPLICATION Some("kafka-replication"), Nothing,
            "Copies of a topic that does not exist yet, 1 to 100; none: as the brokers are set up";
        KAFKA_MIN_REPLICATION Some("kafka-min-replication"), value("1"),
            "Fewest copies of a topic with which a start is allowed, 1 to 100";
        KAFKA_MIN_ISR Some("kafka-min-isr"), value("1"),
            "Fewest copies that have to confirm a record for a start to be allowed, 1 to 100";
        KAFKA_TOPIC_PREFIX Some("kafka-topic-prefix"), Nothing,
            "What the names of the topics and of the workers' group begin with: for two installations on one cluster; letters, digits, `.`, `_` and `-`, at most 100; none: as they are";
    }
    VALKEY "Valkey" {
        REDIS_HOST Some("redis-host"), value("localhost"), "Host of Valkey or Redis";
        REDIS_PORT Some("redis-port"), value("6379"), "Port of Valkey or Redis, 1 to 65535";
        REDIS_URL None, Nothing,
            "Both in one, `redis://user:password@host:port/number`, or `rediss://` for TLS; it wins over them";
        REDIS_SSL_CA Some("redis-ssl-ca"), Nothing,
            "PEM file of the authorities that may vouch for Valkey; none: the system's";
    }
    START "Start" {
        START_TIMEOUT_S Some("start-timeout-s"), value("30"),
            "Seconds that a start waits for a service it cannot reach, 1 to 3600";
    }
    TOOLS "Embedded data and tools" {
        ROOMCAST_DATA_DIR Some("data-dir"), value("./data"), "Folder of the embedded database, log and secret";
        ROOMCAST_URL Some("url"), Nothing,
            "Where the server is, `http://host:port`; none: on this machine, at PORT";
        ROOMCAST_TOKEN Some("token"), Nothing,
            "Token to follow a room with; none: one is signed with the secret in the data folder";
    }
}

/// Returns the setting of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    ALL.iter()
        .copied()
        .flatten()
        .copied()
        .find(|key| key.name == name)
}
