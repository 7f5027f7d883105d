//! A server that is told to stop before it serves ends as one that serves: cleanly.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::harness::{Cli, PATIENCE};

/// How often something is looked for.
const POLL: Duration = Duration::from_millis(5);

/// A process that does not outlive its test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().expect("the binary starts"))
    }

    fn terminate(self) -> ExitStatus {
        self.end(Signal::SIGTERM)
    }

    /// Sends a signal, and waits for the end that it asks for.
    fn end(mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        kill(pid, signal).expect("the process runs");
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it goes on");
            thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("readable").count()
}

#[test]
fn a_temporary_folder_is_removed_however_early_the_end_comes() {
    for _ in 0..5 {
        let cli = Cli::new().file("tmp/.keep", "");
        let tmp = cli.folder().join("tmp");
        let cli = cli.env("TMPDIR", tmp.display());
        let args = ["dev", "--ephemeral", "--port", "0", "--metrics-addr", "off"];
        let server = Process::start(&mut cli.command(&args));
        let began = Instant::now();
        while entries(&tmp) == 1 {
            assert!(began.elapsed() < PATIENCE, "no folder was made");
            thread::yield_now();
        }
        let status = server.terminate();
        assert!(status.success(), "{status}");
        assert_eq!(entries(&tmp), 1, "the folder is left behind");
    }
}

#[test]
fn who_waits_for_a_service_can_be_told_to_stop() {
    let cli = Cli::new()
        .env("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:1/none")
        .env("KAFKA_BROKERS", "127.0.0.1:1")
        .env("REDIS_PORT", 1)
        .env("JWT_SECRET", "0123456789abcdef0123456789abcdef");
    let mut server = Process::start(&mut cli.command(&["serve", "--role", "all"]));
    let stderr = server.0.stderr.take().expect("piped");
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("waiting: ")),
        "it says what it waits for"
    );
    let status = server.terminate();
    assert!(status.success(), "{status}");
}

/// Opening a folder checks all that its log holds, which takes as long as it takes: here, for ever.
#[test]
fn who_opens_a_large_folder_can_be_told_to_stop() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let cli = Cli::new().env("FAILPOINTS", "log-opening=pause");
        let store = cli.folder().join("data/roomcast.sqlite3");
        let args = ["dev", "--port", "0", "--metrics-addr", "off"];
        let server = Process::start(&mut cli.command(&args));
        let began = Instant::now();
        while !store.exists() {
            assert!(began.elapsed() < PATIENCE, "no store was made");
            thread::sleep(POLL);
        }
        let status = server.end(signal);
        assert!(status.success(), "{status}");
    }
}
