//! `roomcast bench` as a process of its own.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{Cli, within};

/// Load under way. It is killed with its test.
pub struct Bench {
    pid: Pid,
    output: JoinHandle<Output>,
}

impl Bench {
    /// Starts it against servers, with flags as they are typed.
    pub fn start(urls: &[&str], flags: &str) -> Self {
        let args: Vec<&str> = ["bench"]
            .into_iter()
            .chain(urls.iter().copied())
            .chain(flags.split_whitespace())
            .collect();
        let mut command = Cli::new().command(&args);
        command.current_dir("/");
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = piped.spawn().expect("the binary starts");
        Self {
            pid: Pid::from_raw(child.id().cast_signed()),
            output: spawn_blocking(|| child.wait_with_output().expect("it ends")),
        }
    }

    /// Ends the load early; what was sent is verified all the same.
    pub fn interrupt(&self) {
        kill(self.pid, Signal::SIGINT).expect("it runs");
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Output {
        within("the end of the load", &mut self.output)
            .await
            .expect("no panic")
    }

    /// Waits for its end, for which it may take longer than a test waits for anything else.
    pub async fn ended_within(mut self, most: Duration) -> Output {
        let ended = timeout(most, &mut self.output).await;
        ended.expect("the load ends").expect("no panic")
    }

    /// Runs to the end; returns the report, which is all there is on standard output.
    pub async fn report(self, status: i32) -> Value {
        let output = self.ended().await;
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{stdout}{stderr}");
        assert_eq!(stdout.lines().count(), 1, "{stdout}");
        serde_json::from_str(&stdout).expect("JSON")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !self.output.is_finished() {
            // It may end just now.
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Returns a number of a report.
pub fn count(report: &Value, key: &str) -> u64 {
    let count = report[key].as_u64();
    count.unwrap_or_else(|| panic!("{key} in {report}"))
}

/// Asserts that all was accepted, and that every promise was kept.
#[track_caller]
pub fn assert_clean(report: &Value) {
    for key in ["lost", "duplicated", "reordered", "gaps"] {
        assert_eq!(count(report, key), 0, "{key} in {report}");
    }
    assert_eq!(count(report, "accepted"), count(report, "sent"), "{report}");
}
