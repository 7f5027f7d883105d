//! `roomcast check-config`: what `serve --role all` would run with, or every problem.

use clap::Args;

use super::{
    failure::{Failure, print_line},
    flags::{Flags, ForServe, Reads},
};
use crate::config::{Role, ServeConfig, Settings, keys::Key};

#[derive(Debug, Args)]
pub(super) struct CheckConfigArgs {
    #[command(flatten)]
    flags: Flags<ForServe>,
}

pub(super) fn run(args: CheckConfigArgs) -> Result<(), Failure> {
    let mut settings = args.flags.settings();
    let config = ServeConfig::read(&mut settings, Role::All);
    let keys = ForServe::KEYS.iter().copied().flatten();
    let lines: Vec<String> = keys.map(|key| line(&settings, key)).collect();
    settings.finish(config)?;
    lines.iter().try_for_each(|line| print_line(line))
}

/// A line as it could stand in `.env`, secrets aside.
fn line(settings: &Settings, key: &Key) -> String {
    match settings.show(key) {
        Some((text, source)) => format!("{}={text}  # {source}", key.name),
        None => format!("# {} is not set", key.name),
    }
}
