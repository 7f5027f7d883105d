//! A Valkey of a test's own, which it may stop and kill.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use secrecy::SecretString;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::until;
use crate::{config::RedisConfig, presence::valkey::ValkeyPresence, real_service};

/// A server process; it ends with the value.
pub(crate) struct PrivateValkey {
    process: Child,
    port: Port,
    password: Option<&'static str>,
    dir: TempDir,
}

impl PrivateValkey {
    /// Starts one; `None` after saying that there is no server here.
    pub(crate) async fn start(test: &str, password: Option<&'static str>) -> Option<Self> {
        let port = Port::reserve();
        let dir = TempDir::new().expect("a folder");
        let process = match run(&dir, port.number, password) {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                real_service::skip(test, "needs valkey-server (run dev/test)");
                return None;
            }
            Err(error) => panic!("valkey-server does not start: {error}"),
        };
        let valkey = Self {
            process,
            port,
            password,
            dir,
        };
        valkey.wait().await;
        Some(valkey)
    }

    /// Returns where it is, with a password.
    pub(crate) fn config(&self, password: Option<&str>) -> RedisConfig {
        let login = password.map(|password| format!(":{password}@"));
        let url = format!(
            "redis://{}127.0.0.1:{}",
            login.unwrap_or_default(),
            self.port.number
        );
        SecretString::from(url).into()
    }

    /// Returns a gateway's presence.
    pub(crate) fn presence(&self) -> ValkeyPresence {
        super::open(&self.config(self.password))
    }

    async fn wait(&self) {
        // Each look has connections of its own, whose breaker has not opened yet.
        until("valkey-server is up", || async {
            self.presence().is_healthy().await
        })
        .await;
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it has ended");
    }

    /// Starts it again, empty, where it was.
    pub(crate) async fn restart(&mut self) {
        self.process = run(&self.dir, self.port.number, self.password).expect("it ran before");
        self.wait().await;
    }
}

impl Drop for PrivateValkey {
    fn drop(&mut self) {
        // It may be dead or stopped; both end so.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port for one server, also before it listens and while it is dead.
///
/// A bound socket that does not listen keeps the port from whoever wants any, and from connections
/// that go out; a server that asks for it by its number shares it, as both allow that.
struct Port {
    number: u16,
    _bound: Socket,
}

impl Port {
    fn reserve() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        bound.set_reuse_address(true).expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        bound.bind(&any.into()).expect("a free port");
        let addr = bound.local_addr().expect("bound").as_socket();
        Self {
            number: addr.expect("of TCP").port(),
            _bound: bound,
        }
    }
}

fn run(dir: &TempDir, port: u16, password: Option<&str>) -> std::io::Result<Child> {
    let mut command = Command::new("valkey-server");
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &port.to_string()])
        .arg("--dir")
        .arg(dir.path());
    if let Some(password) = password {
        command.args(["--requirepass", password]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}
