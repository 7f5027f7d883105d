//! `roomcast healthcheck`: asks a running server how it is, for containers without `curl`.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use super::{
    endpoint::{Endpoint, unanswered},
    failure::{Failure, print_line},
    flags::{Flags, ForProbe},
};
use crate::config::{Settings, keys, parse};

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
    let endpoint = endpoint(&mut settings);
    let url = settings.finish(endpoint)?.http(match args.live {
        true => "/health/live",
        false => "/health/ready",
    });
    let status = actix::System::new().block_on(status(&url))?;
    match status {
        200 => print_line(&format!("{url}: ok")),
        503 => Err(anyhow!("{url} answers 503: the server is up but not well").into()),
        _ => Err(anyhow!(
            "{url} answers {status}, as no roomcast does there: name the server itself with --port or --url"
        )
        .into()),
    }
}

/// Where a server's health is: what `ROOMCAST_URL` says, else this machine at `PORT`; at
/// `METRICS_ADDR` where its clients speak TLS to it, which this command does not.
fn endpoint(settings: &mut Settings) -> Option<Endpoint> {
    let is_named = settings.find(&keys::ROOMCAST_URL).is_some();
    if is_named || settings.find(&keys::TLS_CERT).is_none() {
        return Endpoint::read(settings);
    }
    let addr = settings.read(&keys::METRICS_ADDR, parse::listening_addr)?;
    Some(addr.into())
}

async fn status(url: &str) -> anyhow::Result<u16> {
    let client = awc::Client::builder().timeout(TIMEOUT).disable_redirects();
    let answer = client.finish().get(url).send().await;
    // The error is not `Send`, so that its text alone can go on.
    let answer = answer.map_err(|error| anyhow!("{}", unanswered(url, &error)))?;
    Ok(answer.status().as_u16())
}
