//! Reads each kind of value. Pure; a refusal says what the value must be.

mod urls;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use log::LevelFilter;
use secrecy::SecretString;
use url::{Host, Url};

pub use self::urls::{database_url, redis_url, server_url, ssl_mode};
pub(super) use self::urls::{is_encrypted_redis, split_ssl_mode};
use super::LogFormat;

/// Shortest secret that signs tokens, in bytes: the length of an HS256 key.
pub const MIN_SECRET_BYTES: usize = 32;

/// Longest life of a token.
const MAX_EXPIRES_IN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Largest number that a limit may be.
const MAX_LIMIT: u32 = 1_000_000;

/// What a value must be, and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(String);

impl Invalid {
    /// Makes a refusal from a rule that begins with "must".
    #[must_use]
    pub fn new(rule: impl Into<String>) -> Self {
        Self(rule.into())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Parsed<T> = Result<T, Invalid>;

/// Longest prefix of a topic's name: with the longest of ours it stays below Kafka's 249.
const MAX_TOPIC_PREFIX_LEN: usize = 100;

/// Reads a port; 0 is for any.
///
/// # Errors
/// When it is none.
pub fn port(text: &str) -> Parsed<u16> {
    let port = text.trim().parse();
    port.map_err(|_| Invalid::new("must be a port from 0 to 65535"))
}

/// Reads the port of a service.
///
/// # Errors
/// When it is none.
pub fn service_port(text: &str) -> Parsed<u16> {
    let rule = || Invalid::new("must be a port from 1 to 65535");
    let port: u16 = text.trim().parse().map_err(|_| rule())?;
    (port > 0).then_some(port).ok_or_else(rule)
}

/// Reads an IP address.
///
/// # Errors
/// When it is none.
pub fn ip(text: &str) -> Parsed<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let ip = bare.unwrap_or(text).parse();
    ip.map_err(|_| Invalid::new("must be an IP address"))
}

/// Reads where metrics are served; `None` for nowhere.
///
/// # Errors
/// When it is neither an address nor `off`.
pub fn metrics_addr(text: &str) -> Parsed<Option<SocketAddr>> {
    let rule = "must be an IP address and a port, such as 127.0.0.1:9464, or `off`";
    match text.trim() {
        "off" => Ok(None),
        addr => addr.parse().map(Some).map_err(|_| Invalid::new(rule)),
    }
}

/// Reads where operators reach a server that runs.
///
/// # Errors
/// When it is no address, or none that can be reached.
pub fn listening_addr(text: &str) -> Parsed<SocketAddr> {
    let addr = metrics_addr(text)?.filter(|addr| addr.port() != 0);
    addr.ok_or_else(|| {
        Invalid::new("must be where the server's metrics are, as it says at its start")
    })
}

/// Reads a number within a range.
pub fn within(range: RangeInclusive<u32>) -> impl FnOnce(&str) -> Parsed<u32> {
    move |text| {
        let number = text.trim().parse().ok();
        let number = number.filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (least, most) = range.into_inner();
            Invalid::new(format!("must be a number from {least} to {most}"))
        })
    }
}

/// Reads a limit; 0 is for none.
///
/// # Errors
/// When it is no number, or too large.
pub fn limit(text: &str) -> Parsed<u32> {
    within(0..=MAX_LIMIT)(text)
}

/// Reads the life of a token: `30s`, `15m`, `12h`, `1d`, or seconds.
///
/// # Errors
/// When it is none, or not from 1 s to 365 d.
pub fn expires_in(text: &str) -> Parsed<Duration> {
    let text = text.trim();
    let units = [("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];
    let with_unit = units
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, unit_s) = with_unit.unwrap_or((text, 1));
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| is_plain);
    let duration = seconds.and_then(|number| number.checked_mul(unit_s));
    let allowed = Duration::from_secs(1)..=MAX_EXPIRES_IN;
    let duration = duration.map(Duration::from_secs);
    duration
        .filter(|duration| allowed.contains(duration))
        .ok_or_else(|| {
            Invalid::new("must be a time such as 30s, 15m, 12h, 1d or 3600, from 1 s to 365 d")
        })
}

/// Reads a secret that signs tokens.
///
/// # Errors
/// When it is too short.
pub fn secret(text: &str) -> Parsed<SecretString> {
    if text.len() < MIN_SECRET_BYTES {
        let rule = format!("must be at least {MIN_SECRET_BYTES} bytes long");
        return Err(Invalid::new(rule));
    }
    Ok(text.into())
}

/// Reads a text that means nothing to us.
///
/// # Errors
/// When it is empty or has U+0000 in it.
pub fn text(text: &str) -> Parsed<String> {
    let is_plain = !text.is_empty() && !text.contains('\0');
    is_plain
        .then(|| text.to_owned())
        .ok_or_else(|| Invalid::new("must not be empty, nor contain U+0000"))
}

/// Reads what the names of topics begin with.
///
/// # Errors
/// When Kafka would not take it in a name.
pub fn topic_prefix(text: &str) -> Parsed<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = text.len() <= MAX_TOPIC_PREFIX_LEN && text.bytes().all(is_allowed);
    fits.then(|| text.to_owned()).ok_or_else(|| {
        Invalid::new("must be letters, digits, `.`, `_` and `-`, at most 100 of them")
    })
}

/// Reads a secret text that means nothing to us.
///
/// # Errors
/// When it is empty or has U+0000 in it.
pub fn password(given: &str) -> Parsed<SecretString> {
    text(given).map(Into::into)
}

/// Reads a path.
///
/// # Errors
/// When it is empty or has U+0000 in it.
pub fn path(given: &str) -> Parsed<PathBuf> {
    text(given).map(Into::into)
}

/// Reads the host of a service: a name, an address, or the folder of a socket.
///
/// # Errors
/// When it is none of them, for instance because a port hangs on it.
pub fn host(text: &str) -> Parsed<String> {
    let folder = text.trim();
    match folder.starts_with('/') {
        true => Ok(folder.to_owned()),
        false => network_host(text),
    }
}

/// Reads the host of a service: a name or an address.
///
/// # Errors
/// When it is neither, for instance because a port hangs on it.
pub fn network_host(text: &str) -> Parsed<String> {
    let text = text.trim();
    let is_host = text.parse::<IpAddr>().is_ok() || Host::parse(text).is_ok();
    is_host
        .then(|| text.to_owned())
        .ok_or_else(|| Invalid::new("must be a host name or an IP address, without a port"))
}

/// Reads brokers, `host:port` with commas between.
///
/// # Errors
/// When there is none, or one is not of that form.
pub fn brokers(text: &str) -> Parsed<Vec<String>> {
    let rule = "must be a list of host:port, with commas between";
    let is_broker = |broker: &&str| {
        let parts = broker.rsplit_once(':');
        parts.is_some_and(|(host, port)| Host::parse(host).is_ok() && service_port(port).is_ok())
    };
    let all: Vec<&str> = items(text).collect();
    let is_valid = !all.is_empty() && all.iter().all(is_broker);
    is_valid
        .then(|| all.into_iter().map(ToOwned::to_owned).collect())
        .ok_or_else(|| Invalid::new(rule))
}

/// Reads networks, or single addresses, with commas between.
///
/// # Errors
/// When one is neither.
pub fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    let network = |item: &str| {
        let network = item.parse::<IpNet>().ok();
        network.or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from))
    };
    let all: Option<Vec<IpNet>> = items(text).map(network).collect();
    all.ok_or_else(|| {
        Invalid::new("must be a list of networks such as 10.0.0.0/8, with commas between")
    })
}

/// Reads origins with commas between, and writes them as browsers do.
///
/// # Errors
/// When one is not scheme, host and port alone.
pub fn origins(text: &str) -> Parsed<Vec<String>> {
    let all: Option<Vec<String>> = items(text).map(origin).collect();
    all.ok_or_else(|| {
        Invalid::new(
            "must be a list of origins such as https://chat.example.com, with commas between",
        )
    })
}

fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_bare = url.path().trim_matches('/').is_empty()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let host = url
        .host_str()
        .filter(|host| is_bare && !host.contains('*'))?;
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    // `Url::origin` does not know the schemes of apps, such as `capacitor`.
    Some(format!("{}://{}{port}", url.scheme(), host.to_lowercase()))
}

/// Reads which log lines are written.
///
/// # Errors
/// When `env_logger` would not take it, or would take a mistyped level for a target and write
/// nothing else.
pub fn log_filter(text: &str) -> Parsed<String> {
    let is_valid = env_filter::Builder::new().try_parse(text).is_ok();
    let directives = text.split('/').next().unwrap_or_default();
    let is_clear = |directive: &str| {
        let is_target = directive.contains('=') || directive.starts_with("roomcast");
        is_target || directive.parse::<LevelFilter>().is_ok()
    };
    (is_valid && items(directives).all(is_clear))
        .then(|| text.to_owned())
        .ok_or_else(|| Invalid::new("must be a log filter such as `info` or `warn,roomcast=debug`"))
}

/// Reads the shape of log lines.
///
/// # Errors
/// When it is none.
pub fn log_format(text: &str) -> Parsed<LogFormat> {
    match text.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Invalid::new("must be `text` or `json`")),
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests;
