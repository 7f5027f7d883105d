//! `roomcast bench`: load generator and verifier.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use url::Url;

use super::{
    endpoint::Endpoint,
    failure::{Failure, print_line},
};
use crate::{
    bench::{self, Plan, Report},
    config::{ConfigError, Environment, Mode, Settings, parse},
};

/// Numbers stay text here, so that every problem is told at once.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Gateways, such as http://127.0.0.1:3000; clients are spread over them
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Clients, 1 to 100000
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        allow_negative_numbers = true
    )]
    clients: String,
    /// Rooms that they are spread over, 1 to 100000
    #[arg(
        long,
        value_name = "N",
        default_value = "10",
        allow_negative_numbers = true
    )]
    rooms: String,
    /// Messages a second, 0 to 1000000; 0 for as fast as they are acknowledged
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        allow_negative_numbers = true
    )]
    rate: String,
    /// Seconds of load, 1 to 86400
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "10",
        allow_negative_numbers = true
    )]
    duration_s: String,
    /// Seconds between two reconnects of a client on average, 0 to 86400; 0 for none
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0",
        allow_negative_numbers = true
    )]
    reconnect_every_s: String,
    /// Messages that are sent twice, 0 to 100 in a hundred
    #[arg(
        long,
        value_name = "PERCENT",
        default_value = "0",
        allow_negative_numbers = true
    )]
    duplicate_percent: String,
    /// Print the result as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: BenchArgs) -> Result<(), Failure> {
    let is_json = args.json;
    let plan = args.plan()?;
    // Each client is an open file. Where that is forbidden, connecting says so.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let report = actix::System::new().block_on(run_until_stopped(plan))?;
    let shown = match is_json {
        true => serde_json::to_string(&report).context("the report is no JSON")?,
        false => report.to_string(),
    };
    print_line(&shown)?;
    match report.is_clean() {
        true => Ok(()),
        false => Err(Failure::RunTime(anyhow::anyhow!(
            "the servers did not keep what they promised"
        ))),
    }
}

/// Runs the plan; the first signal ends the load, the second everything.
async fn run_until_stopped(plan: Plan) -> anyhow::Result<Report> {
    let stop = Notify::new();
    let signals = async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.notify_one();
        }
        anyhow::bail!("stopped before anything was verified")
    };
    tokio::select! {
        ended = bench::run(plan, &stop) => ended,
        stopped = signals => stopped,
    }
}

impl BenchArgs {
    fn plan(self) -> Result<Plan, ConfigError> {
        let mut settings = Settings::new(Mode::Dev, [].into(), Environment::default());
        let plan = self.read(&mut settings);
        settings.finish(plan)
    }

    fn read(&self, settings: &mut Settings) -> Option<Plan> {
        let urls: Vec<Option<Url>> = self
            .urls
            .iter()
            .map(|url| settings.read_argument("URL", url, parse::server_url))
            .collect();
        let mut number =
            |flag, text: &str, range| settings.read_argument(flag, text, parse::within(range));
        let clients = number("--clients", &self.clients, 1..=100_000);
        let rooms = number("--rooms", &self.rooms, 1..=100_000);
        let rate = number("--rate", &self.rate, 0..=1_000_000);
        let duration_s = number("--duration-s", &self.duration_s, 1..=86_400);
        let reconnect_every_s = number("--reconnect-every-s", &self.reconnect_every_s, 0..=86_400);
        let duplicate_percent = number("--duplicate-percent", &self.duplicate_percent, 0..=100);
        Some(Plan {
            gateways: urls
                .into_iter()
                .map(|url| url.map(Endpoint::from))
                .collect::<Option<_>>()?,
            clients: clients? as usize,
            rooms: rooms? as usize,
            rate: rate?,
            duration: Duration::from_secs(duration_s?.into()),
            reconnect_every: Duration::from_secs(reconnect_every_s?.into()),
            duplicate_percent: duplicate_percent?,
        })
    }
}
