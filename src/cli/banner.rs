//! What a server prints when it is ready: where everything is.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use anstyle::{AnsiColor, Style};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    config::{Role, ServeConfig},
    data_dir::DataDir,
    server::Opened,
};

const TITLE: Style = Style::new().bold();
const LABEL: Style = AnsiColor::Cyan.on_default();
const ADDRESS: Style = Style::new().underline();

/// What is known before anything listens.
pub(super) struct Banner {
    folder: PathBuf,
    secret: PathBuf,
}

impl Banner {
    pub(super) fn new(dir: &DataDir) -> Self {
        Self {
            folder: dir.path().to_owned(),
            secret: dir.secret_path(),
        }
    }

    /// Prints to standard error; colours on a terminal alone, and not with `NO_COLOR`.
    pub(super) fn show(&self, opened: &Opened) {
        // A closed standard error is no reason not to serve.
        let _ = self.write(&mut anstream::stderr().lock(), opened);
    }

    fn write(&self, out: &mut impl Write, opened: &Opened) -> io::Result<()> {
        title(out, "the whole chat system in this process")?;
        addresses(out, opened, true)?;
        fact(
            out,
            "data",
            format!(
                "{} (embedded database and message log; presence in memory)",
                self.folder.display()
            ),
        )?;
        fact(
            out,
            "secret",
            format!(
                "{} (signs tokens: keep it to yourself)",
                self.secret.display()
            ),
        )?;
        writeln!(out, "\n  Ctrl-C stops it.\n")
    }
}

/// What is known of a process on the services before it listens: never a password.
pub(super) struct ServeBanner {
    role: Role,
    services: Vec<(&'static str, String)>,
}

impl ServeBanner {
    pub(super) fn new(role: Role, config: &ServeConfig) -> Self {
        let host = |url: &SecretString| {
            let url = Url::parse(url.expose_secret()).ok()?;
            let port = url.port().map(|port| format!(":{port}"));
            let path = url.path().trim_start_matches('/');
            let name = percent_decode_str(url.host_str()?).decode_utf8_lossy();
            Some(format!("{name}{}/{path}", port.unwrap_or_default()))
        };
        let mut services = vec![
            ("database", host(&config.database.url).unwrap_or_default()),
            ("kafka", config.kafka.brokers.join(",")),
        ];
        if let Some(gateway) = &config.gateway {
            services.push(("valkey", host(&gateway.redis.url).unwrap_or_default()));
        }
        Self { role, services }
    }

    /// Prints to standard error, as [`Banner::show`].
    pub(super) fn show(&self, opened: &Opened) {
        let _ = self.write(&mut anstream::stderr().lock(), opened);
    }

    fn write(&self, out: &mut impl Write, opened: &Opened) -> io::Result<()> {
        title(
            out,
            match self.role {
                Role::All => "a gateway and a worker in this process",
                Role::Gateway => "a gateway",
                Role::Worker => "a worker",
            },
        )?;
        addresses(out, opened, false)?;
        for (label, place) in &self.services {
            fact(out, label, place.clone())?;
        }
        writeln!(out)
    }
}

fn title(out: &mut impl Write, what: &str) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        out,
        "\n{TITLE}roomcast {version}{TITLE:#} is ready: {what}\n"
    )
}

fn addresses(out: &mut impl Write, opened: &Opened, has_demo: bool) -> io::Result<()> {
    if let Some(here) = opened.addr.map(reachable) {
        let (http, ws) = match opened.has_tls {
            true => ("https", "wss"),
            false => ("http", "ws"),
        };
        address(out, "page", format!("{http}://{here}/"))?;
        if has_demo {
            address(out, "demo", format!("{http}://{here}/demo"))?;
        }
        address(out, "websocket", format!("{ws}://{here}/ws"))?;
        address(out, "api", format!("{http}://{here}/rooms"))?;
        address(out, "health", format!("{http}://{here}/health"))?;
        match opened.metrics_addr {
            Some(addr) => address(
                out,
                "metrics",
                format!("http://{}/metrics", reachable(addr)),
            )?,
            None => writeln!(out, "  {LABEL}metrics{LABEL:#}    off (METRICS_ADDR)")?,
        }
    }
    if let Some(here) = opened.worker_addr.map(reachable) {
        address(out, "health", format!("http://{here}/health"))?;
        address(out, "metrics", format!("http://{here}/metrics"))?;
    }
    Ok(())
}

fn address(out: &mut impl Write, label: &str, url: String) -> io::Result<()> {
    writeln!(
        out,
        "  {LABEL}{label:<10}{LABEL:#} {ADDRESS}{url}{ADDRESS:#}"
    )
}

fn fact(out: &mut impl Write, label: &str, text: String) -> io::Result<()> {
    writeln!(out, "  {LABEL}{label:<10}{LABEL:#} {text}")
}

/// An address that listens everywhere is reached at this machine's own.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(opened: &Opened) -> String {
        let banner = Banner {
            folder: "/data".into(),
            secret: "/data/jwt.secret".into(),
        };
        let mut text = Vec::new();
        banner.write(&mut text, opened).expect("a vector takes all");
        let text = String::from_utf8(text).expect("UTF-8");
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn every_address_can_be_opened_as_printed() {
        let text = shown(&Opened {
            addr: Some(([0, 0, 0, 0], 3000).into()),
            has_tls: false,
            worker_addr: None,
            metrics_addr: Some("[::]:9464".parse().expect("an address")),
        });
        let has = |line: &str| {
            assert!(
                text.lines().any(|found| found.trim() == line),
                "{line} in {text}"
            );
        };
        has("page       http://127.0.0.1:3000/");
        has("demo       http://127.0.0.1:3000/demo");
        has("websocket  ws://127.0.0.1:3000/ws");
        has("health     http://127.0.0.1:3000/health");
        has("metrics    http://[::1]:9464/metrics");
        assert!(text.contains("secret     /data/jwt.secret"), "{text}");
    }

    #[test]
    fn with_tls_the_addresses_say_so() {
        let text = shown(&Opened {
            addr: Some(([127, 0, 0, 1], 3000).into()),
            has_tls: true,
            ..Opened::default()
        });
        assert!(
            text.contains("page       https://127.0.0.1:3000/"),
            "{text}"
        );
        assert!(
            text.contains("websocket  wss://127.0.0.1:3000/ws"),
            "{text}"
        );
    }

    #[test]
    fn metrics_that_are_off_are_said_to_be() {
        let text = shown(&Opened {
            addr: Some(([127, 0, 0, 1], 3000).into()),
            ..Opened::default()
        });
        assert!(text.contains("metrics    off"), "{text}");
    }
}
