//! The floors: programs that do the least possible, each run as a process of its own.

pub(crate) mod broadcaster;
pub(crate) mod chain;
pub(crate) mod history;
pub(crate) mod kafka;
pub(crate) mod postgres;
pub(crate) mod producer;
pub(crate) mod sqlite;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::Context;
use clap::Subcommand;
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Core, pinned};

/// Which floor a process is.
#[derive(Debug, Subcommand)]
pub(crate) enum Floor {
    /// Accepts WebSockets and writes a frame to each of them for each frame it is sent
    Broadcaster,
    /// Produces as fast as so many in flight allow
    Producer(producer::ProducerArgs),
}

/// Becomes the floor.
pub(crate) fn run(floor: &Floor) -> anyhow::Result<()> {
    match floor {
        Floor::Broadcaster => broadcaster::run(),
        Floor::Producer(args) => producer::run(args),
    }
}

/// A floor that listens; it ends with this value.
pub(crate) struct Listening {
    child: Child,
    pub(crate) addr: std::net::SocketAddr,
}

impl Listening {
    /// Starts the broadcaster on a core.
    pub(crate) fn broadcaster(core: Core) -> anyhow::Result<Self> {
        Self::broadcaster_by(pinned(core, &std::env::current_exe()?))
    }

    /// Starts the broadcaster with a command that ends with this program.
    pub(crate) fn broadcaster_by(mut command: Command) -> anyhow::Result<Self> {
        command.args(["floor", "broadcaster"]);
        Self::start(command)
    }

    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let addr = line.trim().parse();
        let floor = Self {
            child,
            addr: addr.context("the floor did not say where it listens")?,
        };
        Ok(floor)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the floor in a way that whoever counts its instructions notices.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have died by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
