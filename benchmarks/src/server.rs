//! roomcast as a process of its own.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    process::{Core, pinned},
    rest::Rest,
};

/// Limits would measure themselves.
const NO_LIMITS: [&str; 5] = [
    "LIMIT_SEND_BURST",
    "LIMIT_JOIN_BURST",
    "LIMIT_FRAME_BURST",
    "LIMIT_SOCKETS_PER_USER",
    "LIMIT_HANDSHAKES_PER_S",
];

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A server; it is killed when this value goes.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
    metrics_addr: SocketAddr,
}

impl Server {
    /// Starts the embedded preset on a data folder; returns once it is ready.
    pub(crate) fn embedded(roomcast: &Path, folder: &Path, core: Core) -> anyhow::Result<Self> {
        Self::embedded_by(pinned(core, roomcast), folder)
    }

    /// Does the same with a command that ends with the program.
    pub(crate) fn embedded_by(mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        command.args(["dev", "--port", "0", "--data-dir"]);
        command.arg(folder);
        Self::start(command, "page")
    }

    /// Starts a role of the services preset, whose addresses are in the environment.
    pub(crate) fn on_services(
        roomcast: &Path,
        role: &str,
        env: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let mut command = pinned(Core::Any, roomcast);
        command
            .args(["serve", "--role", role, "--migrate"])
            .envs(env.iter().map(|(key, value)| (key, value)))
            .envs([("PORT", "0"), ("WORKER_PORT", "0")]);
        let label = if role == "worker" { "health" } else { "page" };
        Self::start(command, label)
    }

    fn start(mut command: Command, label: &str) -> anyhow::Result<Self> {
        let mut child = command
            .env("BCRYPT_COST", "4")
            .env("METRICS_ADDR", "127.0.0.1:0")
            .env("RUST_LOG", "warn")
            .envs(NO_LIMITS.map(|name| (name, "0")))
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = BufReader::new(child.stderr.take().context("stderr is piped")?);
        let mut lines = stderr.lines().map_while(Result::ok);
        let mut said = Vec::new();
        let mut find = |label: &str| {
            lines.by_ref().find_map(|line| {
                let addr = address(&line, label);
                said.push(line);
                addr
            })
        };
        // The line about the metrics comes last of all addresses.
        let found = find(label).and_then(|addr| Some((addr, find("metrics")?)));
        // What it logs is shown, the rest of the banner is not, and nothing fills the pipe.
        std::thread::spawn(move || {
            let logged = lines.filter(|line| !line.is_empty() && !line.starts_with(' '));
            logged.for_each(|line| eprintln!("roomcast: {line}"));
        });
        let Some((addr, metrics_addr)) = found else {
            let _ = child.wait();
            bail!("roomcast did not start: {}", said.join("\n"));
        };
        let server = Self {
            child,
            addr,
            metrics_addr,
        };
        server.await_ready()?;
        Ok(server)
    }

    fn await_ready(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_TIMEOUT {
            let answer = Rest::connect(self.addr)
                .and_then(|mut rest| rest.call("GET", "/health/ready", "", ""));
            if answer.is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the server does not become ready")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn rest(&self) -> anyhow::Result<Rest> {
        Rest::connect(self.addr)
    }

    /// Returns what one of its metrics says, over all labels.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let (_, text) = Rest::connect(self.metrics_addr)?.call("GET", "/metrics", "", "")?;
        let text = String::from_utf8(text)?;
        let values = text.lines().filter_map(|line| {
            let labels_and_value = line.strip_prefix(name)?;
            let value = labels_and_value.rsplit_once(' ')?.1;
            labels_and_value
                .starts_with(['{', ' '])
                .then(|| value.parse::<f64>())
        });
        Ok(values.sum::<Result<f64, _>>()?)
    }

    /// Drains the server and waits for its end.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(
                began.elapsed() < STOP_TIMEOUT,
                "the server does not drain to an end"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the line of the banner that says where something is.
fn address(line: &str, label: &str) -> Option<SocketAddr> {
    let url = line.trim_start().strip_prefix(label)?.trim();
    let addr = url.strip_prefix("http://")?.split('/').next()?;
    addr.parse().ok()
}
