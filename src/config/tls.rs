//! What the settings say of TLS: whom the listener is, and how the services are talked to.

use std::path::Path;

use secrecy::SecretString;

use super::{
    Settings,
    keys::{self, Key},
    parse::{self, Invalid},
};
use crate::tls::{self, Certificates, ClientTls, FileError, ServerTls};

/// How the brokers are talked to.
#[derive(Debug, Clone, Default)]
pub struct KafkaSecurity {
    /// `KAFKA_SECURITY_PROTOCOL`.
    pub protocol: KafkaProtocol,
    /// Who we are there; `None` unless the protocol asks.
    pub sasl: Option<Sasl>,
    /// `KAFKA_SSL_CA`; `None` for the system's.
    pub authorities: Option<Certificates>,
}

/// What is spoken with the brokers, by Kafka's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KafkaProtocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl KafkaProtocol {
    const ALL: [Self; 4] = [
        Self::Plaintext,
        Self::Ssl,
        Self::SaslPlaintext,
        Self::SaslSsl,
    ];

    /// Returns Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    fn asks_who_we_are(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// A user of the brokers.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// `KAFKA_SASL_MECHANISM`, by Kafka's name.
    pub mechanism: &'static str,
    /// `KAFKA_SASL_USERNAME`.
    pub username: String,
    /// `KAFKA_SASL_PASSWORD`.
    pub password: SecretString,
}

/// Mechanisms that need no library beside TLS's.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Reads what the listener proves itself with; the inner `None` is for no TLS.
pub(super) fn server(settings: &mut Settings) -> Option<Option<ServerTls>> {
    let chain = read_file(settings, &keys::TLS_CERT, tls::certificates);
    let key = read_file(settings, &keys::TLS_KEY, tls::private_key);
    // Also where the other one is no good: every problem is told at once.
    let mut pair = |key: &Key, other: &Key| {
        if settings.find(key).is_none() && settings.find(other).is_some() {
            settings.refuse(key, format!("is not set: {} needs it", other.name));
        }
    };
    pair(&keys::TLS_CERT, &keys::TLS_KEY);
    pair(&keys::TLS_KEY, &keys::TLS_CERT);
    match (chain?, key?) {
        (None, None) => Some(None),
        (Some(chain), Some(key)) => {
            let made = ServerTls::new(chain, key);
            made.map_err(|error| settings.refuse(&keys::TLS_KEY, error.to_string()))
                .ok()
                .map(Some)
        }
        (Some(_), None) | (None, Some(_)) => None,
    }
}

/// What the URL of a service says of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InUrl {
    Wanted,
    Unwanted,
    /// It leaves it to the setting.
    Silent,
    /// The URL is no good, and may have meant either.
    Unknown,
}

/// Reads how PostgreSQL is talked to; what its URL says wins.
pub(super) fn database(settings: &mut Settings, in_url: InUrl) -> Option<Option<ClientTls>> {
    let by_setting = settings.read(&keys::DB_SSL_MODE, parse::ssl_mode);
    let authorities = read_file(settings, &keys::DB_SSL_CA, authorities);
    let (key, is_wanted) = match in_url {
        InUrl::Wanted => (&keys::DATABASE_URL, true),
        InUrl::Unwanted => (&keys::DATABASE_URL, false),
        InUrl::Silent => (&keys::DB_SSL_MODE, by_setting?),
        InUrl::Unknown => return None,
    };
    if is_wanted && !tls::IS_BUILT_IN {
        settings.refuse(key, FileError::NotBuiltIn.to_string());
    }
    let authorities = authorities?;
    by_setting?;
    if !is_wanted {
        let is_idle = authorities.is_some();
        let other = "DB_SSL_MODE=verify-full";
        return refuse_idle(settings, is_idle, &keys::DB_SSL_CA, other);
    }
    let made = ClientTls::new(authorities.as_ref());
    made.map_err(|error| match error {
        // It has been told.
        FileError::NotBuiltIn => {}
        other => settings.refuse(&keys::DB_SSL_CA, other.to_string()),
    })
    .ok()
    .map(Some)
}

/// Reads whom Valkey is trusted by; the inner `None` is for the system's authorities.
pub(super) fn valkey(settings: &mut Settings, in_url: InUrl) -> Option<Option<Certificates>> {
    let authorities = read_file(settings, &keys::REDIS_SSL_CA, authorities);
    let is_wanted = in_url == InUrl::Wanted;
    if is_wanted && !tls::IS_BUILT_IN {
        settings.refuse(&keys::REDIS_URL, FileError::NotBuiltIn.to_string());
        return None;
    }
    let authorities = authorities?;
    let is_idle = authorities.is_some() && !is_wanted && in_url != InUrl::Unknown;
    let other = "a REDIS_URL with rediss://";
    refuse_idle::<()>(settings, is_idle, &keys::REDIS_SSL_CA, other)?;
    Some(authorities)
}

impl KafkaSecurity {
    pub(super) fn read(settings: &mut Settings) -> Option<Self> {
        let protocol = settings.read(&keys::KAFKA_SECURITY_PROTOCOL, protocol);
        let authorities = read_file(settings, &keys::KAFKA_SSL_CA, authorities);
        let mechanism = settings.read_optional(&keys::KAFKA_SASL_MECHANISM, mechanism);
        let username = settings.read_optional(&keys::KAFKA_SASL_USERNAME, parse::text);
        let password = settings.read_optional(&keys::KAFKA_SASL_PASSWORD, parse::password);
        // Without it, it is not known what the others are for.
        let protocol = protocol?;
        let is_possible = protocol == KafkaProtocol::Plaintext || tls::IS_BUILT_IN;
        if !is_possible {
            let why = FileError::NotBuiltIn.to_string();
            settings.refuse(&keys::KAFKA_SECURITY_PROTOCOL, why);
        }
        let is_idle = matches!(authorities, Some(Some(_))) && !protocol.is_encrypted();
        let other = "KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL";
        let is_used = refuse_idle::<()>(settings, is_idle, &keys::KAFKA_SSL_CA, other);
        let sasl = sasl(settings, protocol, mechanism, username, password);
        is_used?;
        let read = Self {
            protocol,
            sasl: sasl?,
            authorities: authorities?,
        };
        is_possible.then_some(read)
    }
}

fn sasl(
    settings: &mut Settings,
    protocol: KafkaProtocol,
    mechanism: Option<Option<&'static str>>,
    username: Option<Option<String>>,
    password: Option<Option<SecretString>>,
) -> Option<Option<Sasl>> {
    const KEYS: [&Key; 3] = [
        &keys::KAFKA_SASL_MECHANISM,
        &keys::KAFKA_SASL_USERNAME,
        &keys::KAFKA_SASL_PASSWORD,
    ];
    if !protocol.asks_who_we_are() {
        let other = "KAFKA_SECURITY_PROTOCOL=SASL_SSL or SASL_PLAINTEXT";
        let checked = KEYS.map(|key| {
            let is_idle = settings.find(key).is_some();
            refuse_idle::<()>(settings, is_idle, key, other)
        });
        let are_valid = checked.iter().all(Option::is_some);
        return are_valid.then_some(None);
    }
    for key in KEYS {
        if settings.find(key).is_none() {
            let why = format!("is not set: {} needs it", protocol.name());
            settings.refuse(key, why);
        }
    }
    Some(Some(Sasl {
        mechanism: mechanism??,
        username: username??,
        password: password??,
    }))
}

/// Reads certificates of authorities; one that can vouch for nobody is told with all else.
fn authorities(path: &Path) -> Result<Certificates, FileError> {
    let authorities = tls::certificates(path)?;
    ClientTls::new(Some(&authorities)).map(|_| authorities)
}

/// Whoever names authorities or a user thinks that they count.
fn refuse_idle<T>(
    settings: &mut Settings,
    is_idle: bool,
    key: &Key,
    other: &str,
) -> Option<Option<T>> {
    if is_idle {
        settings.refuse(key, format!("means nothing without {other}"));
    }
    (!is_idle).then_some(None)
}

/// Reads a file that a setting names.
fn read_file<T>(
    settings: &mut Settings,
    key: &Key,
    read: impl FnOnce(&Path) -> Result<T, FileError>,
) -> Option<Option<T>> {
    if !tls::IS_BUILT_IN && settings.find(key).is_some() {
        settings.refuse(key, FileError::NotBuiltIn.to_string());
        return None;
    }
    settings.read_optional(key, |text| {
        let path = parse::path(text)?;
        let refused = |error| match error {
            FileError::Unusable(why) => {
                Invalid::new(format!("must be a PEM file of what can be used ({why})"))
            }
            other => Invalid::new(format!("must be a PEM file ({other})")),
        };
        read(&path).map_err(refused)
    })
}

fn protocol(text: &str) -> Result<KafkaProtocol, Invalid> {
    let named = |protocol: &KafkaProtocol| protocol.name().eq_ignore_ascii_case(text.trim());
    let found = KafkaProtocol::ALL.into_iter().find(named);
    found.ok_or_else(|| Invalid::new("must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"))
}

fn mechanism(text: &str) -> Result<&'static str, Invalid> {
    let named = |name: &&str| name.eq_ignore_ascii_case(text.trim());
    let found = MECHANISMS.into_iter().find(named);
    found.ok_or_else(|| Invalid::new("must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"))
}

#[cfg(test)]
mod tests;
