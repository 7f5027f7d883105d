//! A server process.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

#[cfg(feature = "tls")]
use super::tls::{Identity, Tunnel};
use super::{
    PATIENCE, ReservedPort, await_until,
    ground::{Ground, Part},
    rest::TestUser,
};

/// A drain takes no longer (contract section 7).
const DRAIN: Duration = Duration::from_secs(25);

/// How a server is started.
#[derive(Clone, Default)]
pub struct ServerOptions {
    env: Vec<(String, String)>,
    /// 0 is any free port.
    port: u16,
    expects_errors: bool,
    expects_imbalance: bool,
    part: Part,
    #[cfg(feature = "tls")]
    tls: Option<Identity>,
}

impl ServerOptions {
    /// The defaults: every limit as shipped, cheap bcrypt.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// Switches every limit off.
    pub fn unlimited(self) -> Self {
        let names = [
            "LIMIT_SEND_BURST",
            "LIMIT_SEND_PER_S",
            "LIMIT_JOIN_BURST",
            "LIMIT_FRAME_BURST",
            "LIMIT_SOCKETS_PER_USER",
            "LIMIT_LOGIN_FAILURES",
            "LIMIT_HANDSHAKES_PER_S",
        ];
        names
            .into_iter()
            .fold(self, |options, name| options.env(name, 0))
    }

    /// Makes a named point in the server fail, for instance `room-actor=1*panic`.
    pub fn failpoint(self, action: &str) -> Self {
        self.env("FAILPOINTS", action)
    }

    /// The test provokes errors: they may be logged.
    pub fn expect_errors(mut self) -> Self {
        self.expects_errors = true;
        self
    }

    /// The test injects faults after which counters need not be equal.
    pub fn expect_imbalance(mut self) -> Self {
        self.expects_imbalance = true;
        self
    }

    /// The server is a part of a system whose other parts are other servers: what it accepted is
    /// counted as stored by another.
    pub fn part(mut self, part: Part) -> Self {
        self.part = part;
        self.expects_imbalance = true;
        self
    }

    /// The server speaks TLS; its URLs are those of a tunnel, for clients that do not.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, identity: Identity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// Starts a server on fresh ground.
    pub async fn start(self) -> TestServer {
        let ground = Arc::new(Ground::fresh().await);
        self.start_on(ground).await
    }

    /// Starts a server beside others, or after another.
    pub async fn start_on(self, ground: Arc<Ground>) -> TestServer {
        TestServer::launch(self, ground).await
    }
}

/// What a process has said so far, line by line.
#[derive(Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

/// A running server. When it is dropped it is stopped, and its counters and log are judged.
pub struct TestServer {
    child: Child,
    ground: Arc<Ground>,
    options: ServerOptions,
    said: Arc<Said>,
    /// Reads what the process says; `None` once all of it has been read.
    reader: Option<thread::JoinHandle<()>>,
    base: String,
    metrics: String,
    ended: bool,
    /// The port of a process that has ended, for one that is started in its place.
    port: Option<ReservedPort>,
    #[cfg(feature = "tls")]
    tunnel: Option<(Tunnel, String)>,
}

impl TestServer {
    /// Starts a server with default options in a fresh folder.
    pub async fn start() -> Self {
        ServerOptions::new().start().await
    }

    async fn launch(options: ServerOptions, ground: Arc<Ground>) -> Self {
        let mut command = ground.command(options.part, options.port);
        #[cfg(feature = "tls")]
        let identity = options.tls.clone().or_else(Identity::of_run);
        #[cfg(feature = "tls")]
        if let Some(identity) = &identity {
            command.envs(identity.env());
        }
        let mut child = command
            .env("BCRYPT_COST", "4")
            .env("NO_COLOR", "1")
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let said = Arc::new(Said::default());
        let stderr = child.stderr.take().expect("stderr is piped");
        let reader = thread::spawn({
            let said = Arc::clone(&said);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    said.lines.lock().expect("no panic").push(line);
                    said.more.notify_all();
                }
            }
        });
        let part = options.part;
        let mut server = Self {
            child,
            ground,
            options,
            said,
            reader: Some(reader),
            base: String::new(),
            metrics: String::new(),
            ended: false,
            port: None,
            #[cfg(feature = "tls")]
            tunnel: None,
        };
        server.base = match part {
            Part::Worker => server.announced("health ").replace("/health", ""),
            Part::All | Part::Gateway => server.announced("page "),
        };
        server.metrics = server.announced("metrics ");
        #[cfg(feature = "tls")]
        if let (Some(identity), Some(host)) = (identity, server.base.strip_prefix("https://")) {
            let tunnel = Tunnel::to(host, &identity);
            let host = host.to_owned();
            server.base = format!("http://{}", tunnel.host());
            server.tunnel = Some((tunnel, host));
        }
        server
    }

    /// Waits for the banner's line that begins with `label`; returns the address on it.
    fn announced(&mut self, label: &str) -> String {
        let lines = self.said.lines.lock().expect("no panic");
        let found = |lines: &mut Vec<String>| {
            let line = lines
                .iter()
                .find(|line| line.trim_start().starts_with(label))?;
            let at = line.find("http")?;
            line[at..].split_whitespace().next().map(str::to_owned)
        };
        let waiting = |lines: &mut Vec<String>| found(lines).is_none();
        let waited = self.said.more.wait_timeout_while(lines, PATIENCE, waiting);
        let (mut lines, _) = waited.expect("no panic");
        let found = found(&mut lines);
        // Not held when this panics: the log is read once more then.
        drop(lines);
        let Some(address) = found else {
            panic!("the server did not say where its {label}is");
        };
        address.trim_end_matches('/').to_owned()
    }

    /// Returns the URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Returns the WebSocket's URL.
    pub fn ws_url(&self) -> String {
        format!("{}/ws", self.base.replacen("http", "ws", 1))
    }

    /// Returns `host:port`.
    pub fn host(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Returns `host:port` of the server itself, where TLS is spoken.
    #[cfg(feature = "tls")]
    pub fn direct_host(&self) -> &str {
        let (_, host) = self.tunnel.as_ref().expect("it speaks TLS");
        host
    }

    /// Returns the URL of the metrics.
    pub fn metrics_url(&self) -> &str {
        &self.metrics
    }

    /// Returns the folder that the server keeps its data in.
    pub fn data_dir(&self) -> PathBuf {
        self.ground.data_dir()
    }

    /// Returns the folder that the server runs in.
    pub fn folder(&self) -> &Path {
        self.ground.folder()
    }

    /// Returns the process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns every line that the server has written.
    pub fn log(&self) -> Vec<String> {
        self.said.lines.lock().expect("no panic").clone()
    }

    /// Registers and logs in a user of this name.
    pub async fn user(&self, name: &str) -> TestUser {
        TestUser::register(self, name).await
    }

    /// Registers and logs in users of these names.
    pub async fn users<const N: usize>(&self, names: [&str; N]) -> [TestUser; N] {
        let users = join_all(names.map(|name| self.user(name))).await;
        let Ok(users) = users.try_into() else {
            unreachable!("there are as many as names");
        };
        users
    }

    /// Returns what the server stands on, for another beside it.
    pub fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// Returns a token that `roomcast token` makes beside this server; on the services, where it
    /// finds no data folder, one that the tests sign.
    pub fn token(&self, user: &str, expires_in_s: i64) -> String {
        if self.ground.is_on_services() {
            return self.ground.sign(user, expires_in_s);
        }
        let output = Command::new(env!("CARGO_BIN_EXE_roomcast"))
            .args(["token", user, "--expires-in", &expires_in_s.to_string()])
            .arg("--data-dir")
            .arg(self.data_dir())
            .current_dir(self.folder())
            .output()
            .expect("the command runs");
        assert!(output.status.success(), "{output:?}");
        let token = String::from_utf8(output.stdout).expect("text");
        assert_eq!(token.lines().count(), 1, "a token alone");
        token.trim().to_owned()
    }

    /// Returns a metric's value, summed over its labels that contain `label`; 0 when absent.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let text = reqwest::get(&self.metrics).await.expect("metrics answer");
        let text = text.text().await.expect("metrics are text");
        sum(&text, name, label)
    }

    /// Waits until a metric has a value.
    pub async fn await_metric(&self, name: &str, label: &str, expected: f64) {
        let what = format!("{name}{{{label}}} = {expected}");
        await_until(&what, || async {
            let value = self.metric(name, label).await;
            (value >= expected).then_some(())
        })
        .await;
    }

    /// Kills the process as a power cut would, as far as a process can tell.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("a child can be waited for");
        self.has_ended();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).expect("the process runs");
    }

    /// Waits for the process to end; panics when it takes longer than `most`.
    pub async fn ended(&mut self, most: Duration) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let status = tokio::time::timeout(most, waiting).await;
        let status = status.expect("the process ends in time");
        self.has_ended();
        status
    }

    fn has_ended(&mut self) {
        self.ended = true;
        self.read_to_the_end();
        self.port = ReservedPort::of(self.host());
    }

    /// The kernel may know of the end before the last lines have been read.
    fn read_to_the_end(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has said so.
            let _ = reader.join();
        }
    }

    /// Starts again on the same folder; the process must have ended.
    pub async fn restart(self) -> Self {
        let options = self.options.clone();
        self.restart_with(options).await
    }

    /// Starts again on the same folder and port; the process must have ended.
    pub async fn restart_in_place(mut self) -> Self {
        // Held until the next one has it.
        let _port = self.port.take();
        let (_, port) = self.host().rsplit_once(':').expect("host:port");
        let mut options = self.options.clone();
        options.port = port.parse().expect("a port");
        self.restart_with(options).await
    }

    /// Starts again on the same folder with other options.
    pub async fn restart_with(self, options: ServerOptions) -> Self {
        assert!(self.ended, "a server is restarted after its end");
        let ground = Arc::clone(&self.ground);
        drop(self);
        Self::launch(options, ground).await
    }

    /// Waits for the process to end; kills it when a drain has had its time.
    fn end_of_drain(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DRAIN;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() >= deadline {
                self.signal(Signal::SIGKILL);
                return self.child.wait().expect("a child can be waited for");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Judges counters (contract section 7) of a server that still runs.
    fn judge_counters(&self) -> Result<(), String> {
        let url = self.metrics.clone();
        let read = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                let (began, mut last) = (Instant::now(), String::new());
                while began.elapsed() < PATIENCE {
                    let answer = reqwest::get(&url).await.map_err(|e| e.to_string())?;
                    last = answer.text().await.map_err(|e| e.to_string())?;
                    if is_balanced(&last) {
                        return Ok(());
                    }
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                Err(format!("counters do not balance: {}", balance(&last)))
            })
        };
        thread::spawn(read).join().expect("no panic")
    }

    fn judge_log(&self) -> Result<(), String> {
        let bad = |line: &&String| line.contains(" ERROR ") || line.contains("panicked");
        match self.log().iter().find(bad) {
            Some(line) if !self.options.expects_errors => {
                Err(format!("an error was logged: {line}"))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let mut verdict = Ok(());
        if !self.ended {
            if !self.options.expects_imbalance && !thread::panicking() {
                verdict = self.judge_counters();
            }
            self.signal(Signal::SIGTERM);
            let status = self.end_of_drain();
            self.read_to_the_end();
            if !status.success() && !self.options.expects_errors {
                verdict = verdict.and(Err(format!(
                    "ended with {status}, signal {:?}",
                    status.signal()
                )));
            }
        }
        verdict = verdict.and_then(|()| self.judge_log());
        if thread::panicking() {
            eprintln!("---- server's log\n{}", self.log().join("\n"));
        } else if let Err(problem) = verdict {
            panic!("{problem}\n---- server's log\n{}", self.log().join("\n"));
        }
    }
}

fn sum(text: &str, name: &str, label: &str) -> f64 {
    let lines = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
    });
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

fn counter(text: &str, name: &str) -> f64 {
    sum(text, &format!("roomcast_messages_{name}_total"), "")
}

/// Nothing died and no fault was injected: every accepted message has exactly one outcome.
fn is_balanced(text: &str) -> bool {
    let stored = ["persisted", "duplicate", "dead_lettered"];
    let stored: f64 = stored.iter().map(|name| counter(text, name)).sum();
    counter(text, "accepted") == stored && counter(text, "unknown") == 0.0
}

fn balance(text: &str) -> String {
    [
        "accepted",
        "persisted",
        "duplicate",
        "dead_lettered",
        "unknown",
    ]
    .map(|name| format!("{name} {}", counter(text, name)))
    .join(", ")
}
