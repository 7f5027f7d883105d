//! URLs: of PostgreSQL, of Valkey, of a server of ours.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Invalid, Parsed};

/// What PostgreSQL's URLs say of TLS by.
const SSL_MODE: &str = "sslmode";

/// Reads the URL of PostgreSQL.
///
/// # Errors
/// When it is none, or names no host or no user.
pub fn database_url(text: &str) -> Parsed<SecretString> {
    let rule = || Invalid::new("must be a URL such as postgres://user:password@host:5432/database");
    let url = Url::parse(text.trim()).map_err(|_| rule())?;
    let has = |name: &str| {
        url.query_pairs()
            .any(|(key, value)| key == name && !value.is_empty())
    };
    let has_host = url.host_str().is_some_and(|host| !host.is_empty()) || has("host");
    let has_user = !url.username().is_empty() || has("user");
    let mut modes = url.query_pairs().filter(|(key, _)| key == SSL_MODE);
    modes.try_for_each(|(_, mode)| match ssl_mode(&mode) {
        Ok(_) => Ok(()),
        Err(Invalid(rule)) => Err(Invalid::new(format!("{SSL_MODE} {rule}"))),
    })?;
    let is_postgres = matches!(url.scheme(), "postgres" | "postgresql");
    (is_postgres && has_host && has_user)
        .then(|| text.trim().into())
        .ok_or_else(rule)
}

/// Reads whether PostgreSQL is talked to by TLS.
///
/// # Errors
/// When it is no mode, or one that promises nothing.
pub fn ssl_mode(text: &str) -> Parsed<bool> {
    match text.trim() {
        "disable" => Ok(false),
        "require" | "verify-full" => Ok(true),
        _ => Err(Invalid::new("must be disable, require or verify-full")),
    }
}

/// Takes `sslmode` out of the URL of PostgreSQL; returns whether it asks for TLS.
pub(in crate::config) fn split_ssl_mode(given: SecretString) -> (SecretString, Option<bool>) {
    let Ok(mut url) = Url::parse(given.expose_secret()) else {
        return (given, None);
    };
    let modes = url.query_pairs().filter(|(key, _)| key == SSL_MODE);
    let Some(mode) = modes.last().and_then(|(_, mode)| ssl_mode(&mode).ok()) else {
        return (given, None);
    };
    // As they were: the client reads a space as %20 alone, and not as a plus.
    let others = url.query().unwrap_or_default().split('&');
    let others = others.filter(|pair| pair.split('=').next() != Some(SSL_MODE));
    let others = others.collect::<Vec<_>>().join("&");
    url.set_query((!others.is_empty()).then_some(&others));
    (String::from(url).into(), Some(mode))
}

/// Reads the URL of Valkey.
///
/// # Errors
/// When it is none, or its path is not the number of a database.
pub fn redis_url(text: &str) -> Parsed<SecretString> {
    let rule = || Invalid::new("must be a URL such as redis://user:password@host:6379/0");
    let url = Url::parse(text.trim()).map_err(|_| rule())?;
    let number = url.path().trim_matches('/');
    let is_number = number.is_empty() || number.parse::<u32>().is_ok();
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    let is_redis = matches!(url.scheme(), "redis" | "rediss") && url.fragment().is_none();
    (is_redis && has_host && is_number)
        .then(|| text.trim().into())
        .ok_or_else(rule)
}

/// Returns whether the URL of Valkey asks for TLS.
pub(in crate::config) fn is_encrypted_redis(url: &SecretString) -> bool {
    Url::parse(url.expose_secret().trim()).is_ok_and(|url| url.scheme() == "rediss")
}

/// Reads where a server of ours is.
///
/// # Errors
/// When it is no `http` URL.
pub fn server_url(text: &str) -> Parsed<Url> {
    let text = text.trim();
    let url = Url::parse(text).ok();
    url.filter(|url| url.scheme() == "http" && url.host_str().is_some())
        .ok_or_else(|| {
            let rule = match text.split_once("://") {
                None => "must begin with http://, such as http://127.0.0.1:3000",
                Some(("https" | "wss", _)) => {
                    "must begin with http://: these commands do not speak TLS; name the server \
                     itself, behind its proxy, such as http://127.0.0.1:3000"
                }
                Some(_) => "must be a URL such as http://127.0.0.1:3000",
            };
            Invalid::new(rule)
        })
}
