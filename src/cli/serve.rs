//! `roomcast serve`: production, on PostgreSQL, Kafka and Valkey.

use clap::{Args, ValueEnum};

use super::{
    failure::Failure,
    flags::{Flags, ForServe},
};
use crate::config::{Role, ServeConfig};

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Which half of the system this process is
    #[arg(long, value_enum)]
    role: RoleName,
    /// Apply the migrations that the database lacks, instead of refusing to start
    #[arg(long)]
    migrate: bool,
    #[command(flatten)]
    flags: Flags<ForServe>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Gateway and worker
    All,
    /// Sockets and the API
    Gateway,
    /// Stores messages
    Worker,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::All => Self::All,
            RoleName::Gateway => Self::Gateway,
            RoleName::Worker => Self::Worker,
        }
    }
}

pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    ServeConfig::load(args.flags.settings(), args.role.into())?;
    Err(Failure::NotYet("serve"))
}
