//! How a command ends: what people are told, and the exit status.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::config::ConfigError;

/// A failure at run time.
const RUN_TIME: u8 = 1;

/// Bad configuration or usage.
const USAGE: u8 = 2;

/// A dependency that cannot be reached (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting that turned out to be wrong where it was used.
    #[error("{0}")]
    Setting(String),
    /// A dependency was waited for in vain.
    #[error("{0}")]
    Unavailable(String),
    #[error("{}", one_line(.0))]
    RunTime(#[from] anyhow::Error),
    /// Whoever read our output has gone, which is no failure.
    #[error("nobody reads the output")]
    NobodyReads,
}

impl Failure {
    /// Tells people on standard error; returns the exit status.
    pub(super) fn report(&self) -> ExitCode {
        let status = match self {
            Self::Config(_) | Self::Setting(_) => USAGE,
            Self::Unavailable(_) => UNAVAILABLE,
            Self::RunTime(_) => RUN_TIME,
            Self::NobodyReads => return ExitCode::SUCCESS,
        };
        match self {
            Self::Config(error) => {
                // Nobody is left to be told when that fails.
                let _ = writeln!(io::stderr(), "{error}");
            }
            other => remark(&other.to_string()),
        }
        ExitCode::from(status)
    }
}

/// An error and what caused it, in one line.
fn one_line(error: &anyhow::Error) -> String {
    let whole = format!("{error:#}");
    let lines: Vec<&str> = whole.lines().map(str::trim).collect();
    lines.join(" ")
}

/// Writes a line to standard output at once.
pub(super) fn print_line(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::NobodyReads,
        _ => anyhow::Error::new(error)
            .context("standard output cannot be written")
            .into(),
    })
}

/// Writes a line to standard error; it is a remark, so that nothing depends on it.
pub(super) fn remark(line: &str) {
    let _ = writeln!(io::stderr(), "roomcast: {line}");
}
