//! `roomcast dev`: the whole system in one process.

use std::{cell::OnceCell, path::Path, rc::Rc};

use clap::Args;
use rustix::fs::Mode;

use super::{
    banner::Banner,
    descriptors,
    failure::Failure,
    flags::{Flags, ForDev},
    logging,
};
use crate::{
    backends::Backends,
    config::DevConfig,
    data_dir::DataDir,
    server::{self, ServerConfig, Stop},
};

/// Less than a start needs.
const LEAST_FREE_BYTES: u64 = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Keep the data in a temporary folder that is removed at the end
    #[arg(long, conflicts_with = "ROOMCAST_DATA_DIR")]
    ephemeral: bool,
    #[command(flatten)]
    flags: Flags<ForDev>,
}

pub(super) fn run(args: DevArgs) -> Result<(), Failure> {
    let config = DevConfig::load(args.flags.settings(), args.ephemeral)?;
    logging::start(&config.logs);
    descriptors::prepare();
    // Also in a folder that others may enter: messages and hashes of passwords are not for them.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // Held here, so that the lock and a temporary folder last until everything has stopped.
    let held = Rc::new(OnceCell::new());
    server::block_on(serve(Rc::clone(&held), config))
}

async fn serve(held: Rc<OnceCell<DataDir>>, config: DevConfig) -> Result<(), Failure> {
    // Before there is a folder: a signal from now on ends the server in an orderly way.
    let mut stop = Stop::listen()?;
    let opened = open(config.data_dir.as_deref())?;
    let dir = held.get_or_init(|| opened);
    let noted = dir.note_token_life(config.gateway.tokens.expires_in);
    noted.map_err(|error| blame_disk(error.into(), dir.path()))?;
    let banner = Banner::new(dir);
    let opening = Backends::embedded(dir);
    let opened = match dir.is_temporary() {
        // At once, for it is empty; and what is made in it has to go with it.
        true => opening.await,
        false => tokio::select! {
            opened = opening => opened,
            // Nothing is served yet, and the opening changes nothing that it cannot change again.
            () = stop.told() => return Ok(()),
        },
    };
    let backends = opened.map_err(|error| blame_disk(error, dir.path()))?;
    let config = ServerConfig {
        gateway: Some(config.gateway),
        worker_addr: None,
    };
    server::run(backends, config, stop, |opened| banner.show(opened)).await?;
    Ok(())
}

/// Takes a folder, or makes a temporary one.
fn open(path: Option<&Path>) -> Result<DataDir, anyhow::Error> {
    let (opened, folder) = match path {
        Some(path) => (DataDir::open(path), path.to_owned()),
        None => (DataDir::ephemeral(), std::env::temp_dir()),
    };
    opened.map_err(|error| blame_disk(error.into(), &folder))
}

/// On a full disk everything fails in words of its own: what is to be done stands before them.
fn blame_disk(error: anyhow::Error, folder: &Path) -> anyhow::Error {
    let is_full = rustix::fs::statvfs(folder)
        .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_FREE_BYTES);
    match is_full {
        true => error.context(format!(
            "the disk is full: make room where `{}` lies, and start again",
            folder.display()
        )),
        false => error,
    }
}
