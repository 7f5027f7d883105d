//! `roomcast bench`: load generator and verifier.

use clap::Args;

use super::failure::Failure;
use crate::config::{Environment, Mode, Settings, parse};

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
    let mut settings = Settings::new(Mode::Dev, [].into(), Environment::default());
    for url in &args.urls {
        settings.read_argument("URL", url, parse::server_url);
    }
    let numbers = [
        ("--clients", &args.clients, 1..=100_000),
        ("--rooms", &args.rooms, 1..=100_000),
        ("--rate", &args.rate, 0..=1_000_000),
        ("--duration-s", &args.duration_s, 1..=86_400),
        ("--reconnect-every-s", &args.reconnect_every_s, 0..=86_400),
        ("--duplicate-percent", &args.duplicate_percent, 0..=100),
    ];
    for (flag, text, range) in numbers {
        settings.read_argument(flag, text, parse::within(range));
    }
    settings.finish(Some(()))?;
    Err(Failure::NotYet("bench"))
}
