//! `roomcast migrate`: brings the schema of PostgreSQL up to date.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::runtime::Builder;

use super::{
    failure::{Failure, print_line},
    flags::{Flags, ForMigrate},
    logging, reaching,
};
use crate::{
    config::{DatabaseConfig, LogConfig, Settings, keys, parse},
    store::{OpenError, Store},
};

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    steps: Steps,
    /// Do not ask before --new-epoch or --reset-ingest
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    flags: Flags<ForMigrate>,
}

/// What is done besides.
#[derive(Debug, Clone, Copy, Args)]
struct Steps {
    /// Begin a new epoch: needed after restoring a backup, so that clients load their rooms anew
    #[arg(long)]
    new_epoch: bool,
    /// Forget how far the log was read: needed after losing the log
    #[arg(long)]
    reset_ingest: bool,
}

/// What the command runs with.
struct MigrateConfig {
    database: DatabaseConfig,
    start_timeout: Duration,
    logs: LogConfig,
}

pub(super) fn run(args: MigrateArgs) -> Result<(), Failure> {
    let MigrateArgs { steps, yes, flags } = args;
    let mut settings = flags.settings();
    let config = MigrateConfig::read(&mut settings);
    check_asking(&mut settings, steps, yes);
    let config = settings.finish(config)?;
    logging::start(&config.logs);
    if !yes {
        steps.ask()?;
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no runtime can be started")?;
    runtime.block_on(migrate(&config, steps))
}

impl MigrateConfig {
    fn read(settings: &mut Settings) -> Option<Self> {
        let database = DatabaseConfig::read(settings);
        let start_timeout = settings.read(&keys::START_TIMEOUT_S, parse::within(1..=3_600));
        let logs = LogConfig::read(settings);
        Some(Self {
            database: database?,
            start_timeout: Duration::from_secs(start_timeout?.into()),
            logs: logs?,
        })
    }
}

/// Whoever cannot answer has to have agreed before.
fn check_asking(settings: &mut Settings, steps: Steps, yes: bool) {
    if yes || io::stdin().is_terminal() {
        return;
    }
    for (flag, is_given) in [
        ("--new-epoch", steps.new_epoch),
        ("--reset-ingest", steps.reset_ingest),
    ] {
        if is_given {
            settings.note(flag, "asks first, and there is no terminal: add --yes");
        }
    }
}

impl Steps {
    fn ask(self) -> Result<(), Failure> {
        if self.new_epoch {
            confirm("Every client will load its rooms anew. Begin a new epoch?")?;
        }
        if self.reset_ingest {
            confirm(
                "Workers must be stopped. They will read the next log from its beginning; \
                 what is stored stays. Forget the log?",
            )?;
        }
        Ok(())
    }
}

fn confirm(question: &str) -> Result<(), Failure> {
    let mut stderr = io::stderr();
    // Nobody sees the question: then nobody answers it.
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.context("the answer cannot be read")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(anyhow!("nothing was changed").into()),
    }
}

async fn migrate(config: &MigrateConfig, steps: Steps) -> Result<(), Failure> {
    let store = open(config).await?;
    if steps.new_epoch {
        let epoch = store.new_epoch().await.map_err(anyhow::Error::new)?;
        print_line(&format!("a new epoch has begun: {epoch}"))?;
    }
    if steps.reset_ingest {
        store.reset_ingest().await.map_err(anyhow::Error::new)?;
        print_line("the log is forgotten: the next worker takes the log that it finds")?;
    }
    store.close().await;
    Ok(())
}

async fn open(config: &MigrateConfig) -> Result<Store, Failure> {
    let database = &config.database;
    let opened = reaching::service(config.start_timeout, async || {
        match Store::open_postgres(database, false).await {
            Ok(store) => Ok((store, "the schema was up to date")),
            Err(OpenError::Behind { .. }) => {
                let store = Store::open_postgres(database, true).await?;
                Ok((store, "the schema is up to date now"))
            }
            Err(error) => Err(error),
        }
    });
    let (store, done) = opened.await?;
    print_line(done)?;
    Ok(store)
}
