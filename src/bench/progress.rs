//! The bar on standard error: how far things are, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ledger::Counts;

/// Redraws a second.
const REDRAWS: u8 = 5;

/// See the module.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Begins with what comes before the load. Where standard error is no terminal, nothing shows.
    pub(super) fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS);
        let bar = ProgressBar::with_draw_target(None, target);
        Self(bar)
    }

    /// Says what is going on where there is no end in sight.
    pub(super) fn say(&self, what: String) {
        self.0.set_message(what);
        self.0.tick();
    }

    /// Shows a bar of the time that the load takes.
    pub(super) fn begin_load(&self, duration: Duration) {
        let style = "{wide_bar} {msg}  {eta} left";
        let style = ProgressStyle::with_template(style).expect("the template is sound");
        self.0.set_style(style);
        self.0.set_length(millis(duration));
        self.0.reset_elapsed();
    }

    /// Shows how far the load is.
    pub(super) fn load(&self, elapsed: Duration, counts: Counts) {
        self.0.set_position(millis(elapsed));
        self.0.set_message(words(counts));
    }

    /// Goes back to a line without a bar.
    pub(super) fn end_load(&self) {
        let spinner = ProgressStyle::default_spinner();
        self.0.set_style(spinner);
    }

    /// Removes the bar.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// Returns the counts as people read them.
pub(super) fn words(counts: Counts) -> String {
    let Counts {
        sent,
        accepted,
        delivered,
    } = counts;
    format!("{sent} sent, {accepted} accepted, {delivered} delivered")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
