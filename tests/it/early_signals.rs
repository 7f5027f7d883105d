//! A server that is told to stop before it serves ends as one that serves: cleanly.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::harness::{Cli, PATIENCE};

/// A process that does not outlive its test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().expect("the binary starts"))
    }

    fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        kill(pid, Signal::SIGTERM).expect("the process runs");
        self.0.wait().expect("a child can be waited for")
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
            std::thread::yield_now();
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
