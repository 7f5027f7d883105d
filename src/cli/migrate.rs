//! `roomcast migrate`: brings the schema of PostgreSQL up to date.

use clap::Args;

use super::{
    failure::Failure,
    flags::{Flags, ForMigrate},
};
use crate::config::DatabaseConfig;

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Begin a new epoch: needed after restoring a backup, so that clients load their rooms anew
    #[arg(long)]
    new_epoch: bool,
    /// Forget how far the log was read: needed after losing the log
    #[arg(long)]
    reset_ingest: bool,
    /// Do not ask before --new-epoch or --reset-ingest
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    flags: Flags<ForMigrate>,
}

pub(super) fn run(args: MigrateArgs) -> Result<(), Failure> {
    let mut settings = args.flags.settings();
    let database = DatabaseConfig::read(&mut settings);
    if args.yes && !(args.new_epoch || args.reset_ingest) {
        settings.note(
            "--yes",
            "must go with --new-epoch or --reset-ingest: nothing else asks",
        );
    }
    settings.finish(database)?;
    Err(Failure::NotYet("migrate"))
}
