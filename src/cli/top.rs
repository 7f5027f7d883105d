//! `roomcast top`: a running server at a glance.

use clap::Args;

use super::{
    endpoint::Endpoint,
    failure::Failure,
    flags::{Flags, ForProbe},
};

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    flags: Flags<ForProbe>,
}

pub(super) fn run(args: TopArgs) -> Result<(), Failure> {
    let mut settings = args.flags.settings();
    let endpoint = Endpoint::read(&mut settings);
    settings.finish(endpoint)?;
    Err(Failure::NotYet("top"))
}
