//! Where a running server is, for the tools that talk to one.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use url::Url;

use crate::config::{Settings, keys, parse};

/// The address of a server, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    /// Reads where the server is: on this machine, unless it is said; `None` notes a problem.
    pub(crate) fn read(settings: &mut Settings) -> Option<Self> {
        if let Some(url) = settings.read_optional(&keys::ROOMCAST_URL, parse::server_url)? {
            return Some(url.into());
        }
        let port = settings.read(&keys::PORT, parse::service_port)?;
        Some(Self(format!("http://127.0.0.1:{port}")))
    }

    /// Returns the address of a path.
    pub(crate) fn http(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Returns the address of the WebSocket.
    pub(crate) fn websocket(&self) -> String {
        format!("{}/ws", self.0.replacen("http", "ws", 1))
    }
}

impl From<Url> for Endpoint {
    fn from(url: Url) -> Self {
        Self(url.as_str().trim_end_matches('/').to_owned())
    }
}

impl From<SocketAddr> for Endpoint {
    /// An address that listens everywhere is reached at this machine's own.
    fn from(mut addr: SocketAddr) -> Self {
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Self(format!("http://{addr}"))
    }
}

/// Says that nobody is there, and what to do.
pub(super) fn unanswered(url: &str, error: &dyn fmt::Display) -> String {
    format!(
        "{url} does not answer ({error}): start a server there with `roomcast`, or say where one is with --url"
    )
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::{Environment, Mode};

    #[test]
    fn a_url_wins_over_the_port() {
        let check = |flags: &[(&'static str, &str)], expected: Option<&str>| {
            let flags: HashMap<_, _> = flags
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect();
            let mut settings = Settings::new(Mode::Dev, flags, Environment::default());
            let endpoint = Endpoint::read(&mut settings).map(|endpoint| endpoint.to_string());
            assert_eq!(endpoint.as_deref(), expected);
        };
        check(&[], Some("http://127.0.0.1:3000"));
        check(&[("PORT", "4000")], Some("http://127.0.0.1:4000"));
        check(
            &[("ROOMCAST_URL", "http://a:1/"), ("PORT", "0")],
            Some("http://a:1"),
        );
        check(&[("PORT", "0")], None);
    }

    #[test]
    fn what_listens_everywhere_is_reached_here() {
        let check = |addr: &str, expected: &str| {
            let addr: SocketAddr = addr.parse().expect("an address");
            assert_eq!(Endpoint::from(addr).to_string(), expected);
        };
        check("0.0.0.0:9464", "http://127.0.0.1:9464");
        check("[::]:9464", "http://[::1]:9464");
        check("10.0.0.1:9464", "http://10.0.0.1:9464");
    }
}
