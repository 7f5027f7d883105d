//! `roomcast top`: the actors of a running server at a glance, on a terminal live.

mod screen;
mod view;

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use anyhow::anyhow;
use clap::Args;

use super::{
    endpoint::{Endpoint, unanswered},
    failure::{Failure, print_line},
    flags::{Flags, ForTop},
};
use crate::config::{Settings, keys, parse};
use screen::{Screen, Wish};
use view::{Snapshot, render};

/// A server that does not answer within this time is not shown.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Below the tables while nothing is wrong.
const FOOTER: &str = "q ends it";

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// Print one table and end, as it does where standard output is no terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    flags: Flags<ForTop>,
}

pub(super) fn run(args: TopArgs) -> Result<(), Failure> {
    let mut settings = args.flags.settings();
    let url = operators_url(&mut settings);
    let url = settings.finish(url)?;
    let is_live = !args.once && io::stdout().is_terminal();
    actix::System::new().block_on(async {
        let first = ask(&url).await?;
        match is_live {
            true => watch(&url, first).await,
            false => print_line(render(&first, None).trim_end()),
        }
    })
}

/// Where operators read: what `ROOMCAST_URL` says, else this machine at `METRICS_ADDR`.
fn operators_url(settings: &mut Settings) -> Option<String> {
    if let Some(url) = settings.read_optional(&keys::ROOMCAST_URL, parse::server_url)? {
        return Some(Endpoint::from(url).http("/debug/actors"));
    }
    let addr = settings.read(&keys::METRICS_ADDR, parse::listening_addr)?;
    Some(Endpoint::from(addr).http("/debug/actors"))
}

async fn ask(url: &str) -> anyhow::Result<Snapshot> {
    let client = awc::Client::builder().timeout(TIMEOUT).disable_redirects();
    let answer = client.finish().get(url).send().await;
    // The errors are not `Send`, so that their text alone can go on.
    let mut answer = answer.map_err(|error| anyhow!("{}", unanswered(url, &error)))?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(anyhow!(
            "{url} answers {status}: name the address of its metrics with --metrics-addr or --url"
        ));
    }
    let body = answer.body().limit(MAX_ANSWER_BYTES).await;
    let body = body.map_err(|error| anyhow!("{url} does not answer as a server does: {error}"))?;
    let snapshot = serde_json::from_slice(&body);
    snapshot.map_err(|error| anyhow!("{url} does not answer as this version does: {error}"))
}

/// Shows the server until a key ends it; one that does not answer for a while is said to.
async fn watch(url: &str, first: Snapshot) -> Result<(), Failure> {
    let mut screen = Screen::open().map_err(anyhow::Error::new)?;
    let (mut last, mut taken) = (first, Instant::now());
    let mut text = render(&last, None);
    let mut footer = FOOTER.to_owned();
    loop {
        let shown = screen.show(&text, &footer);
        shown.map_err(anyhow::Error::new)?;
        let wish = screen.wait(INTERVAL).map_err(anyhow::Error::new)?;
        if wish == Wish::End {
            return Ok(());
        }
        match ask(url).await {
            Ok(snapshot) => {
                let now = Instant::now();
                text = render(&snapshot, Some((&last, now.duration_since(taken))));
                (last, taken) = (snapshot, now);
                FOOTER.clone_into(&mut footer);
            }
            Err(error) => footer = format!("{FOOTER}; {error}"),
        }
    }
}
