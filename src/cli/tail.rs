//! `roomcast tail`: follows a room from a terminal, a line a message, across reconnects.

mod credentials;
mod follower;
mod message;
mod rest;
mod socket;
mod trouble;
mod view;

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    endpoint::Endpoint,
    failure::{Failure, remark},
    flags::{Flags, ForTail},
    logging,
};
use crate::{
    config::{ConfigError, LogConfig, Settings, parse},
    ids::RoomId,
};
use credentials::Credentials;
use follower::Follower;
use trouble::Trouble;

/// Waits between two attempts: from a quarter of a second to ten.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// Id of the room
    #[arg(value_name = "ROOM")]
    room: String,
    /// Whose eyes to see with, an e-mail address or the id of a user, when the token is signed
    /// here; the owner's of the room unless said
    #[arg(
        long = "as",
        value_name = "EMAIL|USER_ID",
        conflicts_with = "ROOMCAST_TOKEN"
    )]
    as_user: Option<String>,
    /// Earlier messages to begin with, 0 to 100
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value = "10",
        allow_negative_numbers = true
    )]
    last: String,
    /// Print messages as JSON, as the server sends them
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags<ForTail>,
}

/// What to follow, and how to show it.
struct TailOptions {
    room_id: RoomId,
    endpoint: Endpoint,
    credentials: Credentials,
    last: u32,
    is_json: bool,
    logs: LogConfig,
}

pub(super) fn run(args: TailArgs) -> Result<(), Failure> {
    let options = TailOptions::load(args)?;
    logging::start(&options.logs);
    actix::System::new().block_on(follow(options))
}

async fn follow(options: TailOptions) -> Result<(), Failure> {
    let mut follower = Follower::new(options);
    let stopped = tokio::select! {
        failure = follow_for_ever(&mut follower) => Err(failure),
        stopped = stop() => stopped.map_err(Failure::from),
    };
    follower.close().await;
    stopped
}

/// Comes back after every passing trouble; returns what is lasting.
async fn follow_for_ever(follower: &mut Follower) -> Failure {
    let waits = ExponentialBuilder::default()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times();
    let mut next_waits = waits.build();
    loop {
        let trouble = follower.follow().await;
        let (why, after) = match trouble {
            Trouble::Lasting(failure) => return failure,
            Trouble::Passing { why, .. } if !follower.was_live() => {
                return anyhow::anyhow!("{why}").into();
            }
            Trouble::Passing { why, after } => (why, after),
        };
        if follower.take_progress() {
            next_waits = waits.build();
        }
        let wait = after.or_else(|| next_waits.next()).unwrap_or(LONGEST_WAIT);
        remark(&format!(
            "{why}: coming back in {:.1} s",
            wait.as_secs_f64()
        ));
        tokio::time::sleep(wait).await;
    }
}

async fn stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

impl TailOptions {
    fn load(args: TailArgs) -> Result<Self, ConfigError> {
        let TailArgs {
            room,
            as_user,
            last,
            json,
            flags,
        } = args;
        let mut settings = flags.settings();
        let options = Self::read(&mut settings, &room, as_user.as_deref(), &last, json);
        settings.finish(options)
    }

    fn read(
        settings: &mut Settings,
        room: &str,
        as_user: Option<&str>,
        last: &str,
        is_json: bool,
    ) -> Option<Self> {
        let room_id = settings.read_argument("ROOM", room, |text| {
            text.parse()
                .map_err(|_| parse::Invalid::new("must be the id of a room"))
        });
        let last = settings.read_argument("--last", last, parse::within(0..=100));
        let endpoint = Endpoint::read(settings);
        let credentials = Credentials::read(settings, as_user);
        let logs = LogConfig::read(settings);
        Some(Self {
            room_id: room_id?,
            endpoint: endpoint?,
            credentials: credentials?,
            last: last?,
            is_json,
            logs: logs?,
        })
    }
}
