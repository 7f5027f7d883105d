//! What `dev` prints when it is ready: where everything is.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use anstyle::{AnsiColor, Style};

use crate::{data_dir::DataDir, server::Opened};

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
        let here = reachable(opened.addr);
        let version = env!("CARGO_PKG_VERSION");
        writeln!(
            out,
            "\n{TITLE}roomcast {version}{TITLE:#} is ready: the whole chat system in this process\n"
        )?;
        let mut address = |label: &str, url: String| {
            writeln!(
                out,
                "  {LABEL}{label:<10}{LABEL:#} {ADDRESS}{url}{ADDRESS:#}"
            )
        };
        address("page", format!("http://{here}/"))?;
        address("demo", format!("http://{here}/demo"))?;
        address("websocket", format!("ws://{here}/ws"))?;
        address("api", format!("http://{here}/rooms"))?;
        address("health", format!("http://{here}/health"))?;
        match opened.metrics_addr {
            Some(addr) => address("metrics", format!("http://{}/metrics", reachable(addr)))?,
            None => writeln!(out, "  {LABEL}metrics{LABEL:#}    off (METRICS_ADDR)")?,
        }
        let mut fact =
            |label: &str, text: String| writeln!(out, "  {LABEL}{label:<10}{LABEL:#} {text}");
        fact(
            "data",
            format!(
                "{} (embedded database and message log; presence in memory)",
                self.folder.display()
            ),
        )?;
        fact(
            "secret",
            format!(
                "{} (signs tokens: keep it to yourself)",
                self.secret.display()
            ),
        )?;
        writeln!(out, "\n  Ctrl-C stops it.\n")
    }
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
            addr: ([0, 0, 0, 0], 3000).into(),
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
    fn metrics_that_are_off_are_said_to_be() {
        let text = shown(&Opened {
            addr: ([127, 0, 0, 1], 3000).into(),
            metrics_addr: None,
        });
        assert!(text.contains("metrics    off"), "{text}");
    }
}
