//! `roomcast dlq`: messages that could not be stored.

use clap::{Args, Subcommand};

use super::{
    failure::Failure,
    flags::{Flags, ForDlq},
};
use crate::config::KafkaConfig;

#[derive(Debug, Args)]
pub(super) struct DlqArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the dead letters and why they are dead
    List(Flags<ForDlq>),
    /// Put the dead letters back into the log
    Replay(Flags<ForDlq>),
}

pub(super) fn run(args: DlqArgs) -> Result<(), Failure> {
    let (flags, command) = match args.action {
        Action::List(flags) => (flags, "dlq list"),
        Action::Replay(flags) => (flags, "dlq replay"),
    };
    let mut settings = flags.settings();
    let kafka = KafkaConfig::read(&mut settings);
    settings.finish(kafka)?;
    Err(Failure::NotYet(command))
}
