//! Tools that run a program and count what it does.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

use crate::figures::Unit;

/// How long a tool may take to write down what it has counted, once the program has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// Outside the kernel, by callgrind.
    Instructions,
    /// By strace, those of all threads.
    SystemCalls,
}

impl Counter {
    /// Returns a command that runs a program, in a process of its own, and counts into a log.
    pub(crate) fn command(self, program: &Path, log: &Path) -> Command {
        let mut command;
        match self {
            Self::Instructions => {
                command = Command::new("valgrind");
                command
                    .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                    .arg(format!("--log-file={}", log.display()));
            }
            Self::SystemCalls => {
                command = Command::new("strace");
                // As a grandchild, so that signals reach the program.
                command.args(["-D", "-f", "-c", "-U", "calls,name", "-o"]);
                command.arg(log);
            }
        }
        command.arg(program);
        command
    }

    /// Reads what was counted, once the program has ended.
    pub(crate) fn read(self, log: &Path) -> anyhow::Result<u64> {
        let began = Instant::now();
        loop {
            let said = fs::read_to_string(log).unwrap_or_default();
            if let Some(count) = said.lines().find_map(|line| self.total(line)) {
                return Ok(count);
            }
            if began.elapsed() > PATIENCE {
                bail!("{self:?}: nothing was counted");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads the line of the log that has the sum.
    fn total(self, line: &str) -> Option<u64> {
        let number = match self {
            Self::Instructions => line.split_once("Collected :")?.1,
            Self::SystemCalls => line.trim_end().strip_suffix("total")?,
        };
        number.trim().parse().ok()
    }

    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Instructions => Unit::Instructions,
            Self::SystemCalls => Unit::SystemCalls,
        }
    }

    pub(crate) fn measure(self) -> &'static str {
        match self {
            Self::Instructions => "user instructions (callgrind)",
            Self::SystemCalls => "system calls (strace)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_found() {
        let line = "==123== Collected : 4567";
        assert_eq!(Counter::Instructions.total(line), Some(4567));
        assert_eq!(Counter::Instructions.total("==123== Events    : Ir"), None);
        assert_eq!(Counter::SystemCalls.total("     963 total"), Some(963));
        assert_eq!(Counter::SystemCalls.total("     12 futex"), None);
    }
}
