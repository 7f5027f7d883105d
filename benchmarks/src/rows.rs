//! What is measured: a module for each kind of load, a number for each row of the table.

mod build;
mod counts;
mod fanout;
mod history;
mod memory;
mod services;
mod stalled;
mod standalone;
mod storm;

use std::{path::PathBuf, sync::OnceLock};

use crate::{services::Services, table::Line};

/// How a run is made.
pub(crate) struct Plan {
    /// The program that is measured.
    pub(crate) roomcast: PathBuf,
    /// Rounds that have to count.
    pub(crate) rounds: usize,
    /// A fraction of the usual load.
    pub(crate) is_quick: bool,
    /// Started by the first row that needs them, for all.
    services: OnceLock<Services>,
}

/// A row's measurement: it prints nothing, and says what it found.
type Measure = fn(&Plan) -> anyhow::Result<Vec<Line>>;

/// All rows, in the order in which they are run.
pub(crate) const ROWS: &[(&[u8], Measure)] = &[
    (&[1, 2, 4], fanout::measure),
    (&[3], counts::measure),
    (&[5], memory::measure),
    (&[6], storm::measure),
    (&[12], stalled::measure),
    (&[13], standalone::measure),
    (&[7], services::accepted),
    (&[9], services::new_message),
    (&[10], services::backlog),
    (&[8], services::throughput),
    (&[11], history::measure),
    (&[14], build::measure),
];

impl Plan {
    pub(crate) fn new(roomcast: PathBuf, rounds: usize, is_quick: bool) -> Self {
        Self {
            roomcast,
            rounds,
            is_quick,
            services: OnceLock::new(),
        }
    }

    /// Returns the services of the run, each round of which has its ground to itself.
    pub(crate) fn services(&self) -> anyhow::Result<&Services> {
        if let Some(services) = self.services.get() {
            return Ok(services);
        }
        let services = Services::up()?;
        Ok(self.services.get_or_init(|| services))
    }

    /// Scales a load down for a quick run.
    pub(crate) fn scaled(&self, load: usize) -> usize {
        match self.is_quick {
            true => load.div_ceil(3),
            false => load,
        }
    }

    /// Runs rounds until enough of them count; a round that fails is void and told.
    pub(crate) fn rounds(
        &self,
        what: &str,
        mut round: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut void = 0;
        let mut counted = 0;
        while counted < self.rounds {
            eprintln!("{what}: round {} of {}", counted + 1, self.rounds);
            match round() {
                Ok(()) => counted += 1,
                Err(error) if void < self.rounds => {
                    void += 1;
                    eprintln!("{what}: this round is void: {error:#}");
                }
                Err(error) => {
                    return Err(error.context(format!("{what}: too many rounds are void")));
                }
            }
        }
        Ok(())
    }
}
