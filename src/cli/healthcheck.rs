//! `roomcast healthcheck`: asks a running server how it is, for containers without `curl`.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use super::{
    endpoint::{Endpoint, unanswered},
    failure::{Failure, print_line},
    flags::{Flags, ForProbe},
};

/// A server that does not answer within this time is not healthy.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct HealthcheckArgs {
    /// Ask whether the process runs, not whether it may receive traffic
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    flags: Flags<ForProbe>,
}

pub(super) fn run(args: HealthcheckArgs) -> Result<(), Failure> {
    let mut settings = args.flags.settings();
    let endpoint = Endpoint::read(&mut settings);
    let url = settings.finish(endpoint)?.http(match args.live {
        true => "/health/live",
        false => "/health/ready",
    });
    let status = actix::System::new().block_on(status(&url))?;
    match status {
        200 => print_line(&format!("{url}: ok")),
        _ => Err(anyhow!("{url} answers {status}: the server is up but not well").into()),
    }
}

async fn status(url: &str) -> anyhow::Result<u16> {
    let client = awc::Client::builder().timeout(TIMEOUT).disable_redirects();
    let answer = client.finish().get(url).send().await;
    // The error is not `Send`, so that its text alone can go on.
    let answer = answer.map_err(|error| anyhow!("{}", unanswered(url, &error)))?;
    Ok(answer.status().as_u16())
}
