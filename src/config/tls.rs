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
    match (chain?, key?) {
        (None, None) => Some(None),
        (Some(chain), Some(key)) => {
            let made = ServerTls::new(chain, key);
            made.map_err(|error| settings.refuse(&keys::TLS_KEY, error.to_string()))
                .ok()
                .map(Some)
        }
        (Some(_), None) => {
            settings.refuse(&keys::TLS_KEY, "is not set: TLS_CERT needs it");
            None
        }
        (None, Some(_)) => {
            settings.refuse(&keys::TLS_CERT, "is not set: TLS_KEY needs it");
            None
        }
    }
}

/// Reads how PostgreSQL is talked to; `own` is what its URL says, and wins.
pub(super) fn database(settings: &mut Settings, own: Option<bool>) -> Option<Option<ClientTls>> {
    let by_setting = settings.read(&keys::DB_SSL_MODE, parse::ssl_mode);
    let authorities = read_file(settings, &keys::DB_SSL_CA, tls::certificates);
    let (by_setting, authorities) = (by_setting?, authorities?);
    let (key, is_wanted) = match own {
        Some(is_wanted) => (&keys::DATABASE_URL, is_wanted),
        None => (&keys::DB_SSL_MODE, by_setting),
    };
    if !is_wanted {
        let is_idle = authorities.is_some();
        return refuse_idle(
            settings,
            is_idle,
            &keys::DB_SSL_CA,
            "DB_SSL_MODE=verify-full",
        );
    }
    let made = ClientTls::new(authorities.as_ref());
    let key = match made {
        Err(FileError::NotBuiltIn) => key,
        _ => &keys::DB_SSL_CA,
    };
    made.map_err(|error| settings.refuse(key, error.to_string()))
        .ok()
        .map(Some)
}

/// Reads whom Valkey is trusted by; the inner `None` is for the system's authorities.
pub(super) fn valkey(settings: &mut Settings, is_wanted: bool) -> Option<Option<Certificates>> {
    let authorities = read_file(settings, &keys::REDIS_SSL_CA, tls::certificates)?;
    if is_wanted && !tls::IS_BUILT_IN {
        settings.refuse(&keys::REDIS_URL, FileError::NotBuiltIn.to_string());
        return None;
    }
    let is_idle = authorities.is_some() && !is_wanted;
    refuse_idle::<()>(
        settings,
        is_idle,
        &keys::REDIS_SSL_CA,
        "a REDIS_URL with rediss://",
    )?;
    Some(authorities)
}

impl KafkaSecurity {
    pub(super) fn read(settings: &mut Settings) -> Option<Self> {
        let protocol = settings.read(&keys::KAFKA_SECURITY_PROTOCOL, protocol);
        let authorities = read_file(settings, &keys::KAFKA_SSL_CA, tls::certificates);
        let mechanism = settings.read_optional(&keys::KAFKA_SASL_MECHANISM, mechanism);
        let username = settings.read_optional(&keys::KAFKA_SASL_USERNAME, parse::text);
        let password = settings.read_optional(&keys::KAFKA_SASL_PASSWORD, parse::password);
        let protocol = protocol?;
        if protocol != KafkaProtocol::Plaintext && !tls::IS_BUILT_IN {
            let why = FileError::NotBuiltIn.to_string();
            settings.refuse(&keys::KAFKA_SECURITY_PROTOCOL, why);
            return None;
        }
        let authorities = authorities?;
        let is_idle = authorities.is_some() && !protocol.is_encrypted();
        let other = "KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL";
        let is_valid = refuse_idle::<()>(settings, is_idle, &keys::KAFKA_SSL_CA, other);
        let sasl = sasl(settings, protocol, mechanism?, username?, password?);
        is_valid?;
        Some(Self {
            protocol,
            sasl: sasl?,
            authorities,
        })
    }
}

fn sasl(
    settings: &mut Settings,
    protocol: KafkaProtocol,
    mechanism: Option<&'static str>,
    username: Option<String>,
    password: Option<SecretString>,
) -> Option<Option<Sasl>> {
    if !protocol.asks_who_we_are() {
        let given = [
            (&keys::KAFKA_SASL_MECHANISM, mechanism.is_some()),
            (&keys::KAFKA_SASL_USERNAME, username.is_some()),
            (&keys::KAFKA_SASL_PASSWORD, password.is_some()),
        ];
        let other = "KAFKA_SECURITY_PROTOCOL=SASL_SSL or SASL_PLAINTEXT";
        let checked = given.map(|(key, is_idle)| refuse_idle::<()>(settings, is_idle, key, other));
        let are_valid = checked.iter().all(Option::is_some);
        return are_valid.then_some(None);
    }
    let mut need = |key: &Key, is_set: bool| {
        if !is_set {
            let why = format!("is not set: {} needs it", protocol.name());
            settings.refuse(key, why);
        }
    };
    need(&keys::KAFKA_SASL_MECHANISM, mechanism.is_some());
    need(&keys::KAFKA_SASL_USERNAME, username.is_some());
    need(&keys::KAFKA_SASL_PASSWORD, password.is_some());
    Some(Some(Sasl {
        mechanism: mechanism?,
        username: username?,
        password: password?,
    }))
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
        let refused = |error| Invalid::new(format!("must be a PEM file ({error})"));
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
