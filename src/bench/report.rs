//! What a run found, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::{
    latency::{Latency, Summary},
    ledger::Counts,
    plan::Plan,
    verify::Verdict,
};

/// The result of a run; as JSON it has the keys of the command's contract, and more.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    sent: u64,
    accepted: u64,
    delivered: u64,
    #[serde(flatten)]
    verdict: Verdict,
    latency_ms: Latencies,
    reconnects: u64,
    clients: usize,
    rooms: usize,
    /// How long the load took.
    seconds: f64,
    accepted_per_s: f64,
    delivered_per_s: f64,
}

/// The load itself: how long it took, and how far things were at its end.
pub(super) struct Loaded {
    pub(super) seconds: f64,
    pub(super) counts: Counts,
}

#[derive(Debug, Serialize)]
struct Latencies {
    accept: Summary,
    deliver: Summary,
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        counts: Counts,
        verdict: Verdict,
        latency: &Latency,
        reconnects: u64,
        loaded: &Loaded,
    ) -> Self {
        let per_s = |count: u64| count as f64 / loaded.seconds.max(1e-3);
        Self {
            sent: counts.sent,
            accepted: counts.accepted,
            delivered: counts.delivered,
            verdict,
            latency_ms: Latencies {
                accept: latency.accept.summary(),
                deliver: latency.deliver.summary(),
            },
            reconnects,
            clients: plan.clients,
            rooms: plan.rooms,
            seconds: loaded.seconds,
            accepted_per_s: per_s(loaded.counts.accepted),
            delivered_per_s: per_s(loaded.counts.delivered),
        }
    }

    /// Returns whether every promise was kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.verdict.is_clean()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verdict, seconds, ..
        } = self;
        writeln!(
            f,
            "{} clients, {} rooms, {seconds:.1} s, {} reconnects",
            self.clients, self.rooms, self.reconnects
        )?;
        writeln!(f)?;
        writeln!(f, "  {:<12}{:>10}", "sent", self.sent)?;
        for (name, count, per_s) in [
            ("accepted", self.accepted, self.accepted_per_s),
            ("delivered", self.delivered, self.delivered_per_s),
        ] {
            writeln!(f, "  {name:<12}{count:>10}  {per_s:.0} a second")?;
        }
        let Verdict {
            lost,
            duplicated,
            reordered,
            gaps,
            ..
        } = *verdict;
        for (name, count) in [
            ("lost", lost),
            ("duplicated", duplicated),
            ("reordered", reordered),
            ("gaps", gaps),
        ] {
            writeln!(f, "  {name:<12}{count:>10}")?;
        }
        for (name, count) in rare(verdict) {
            if count > 0 {
                writeln!(f, "  {name:<12}{count:>10}")?;
            }
        }
        writeln!(f)?;
        let head = ["p50", "p90", "p99", "max"];
        write!(f, "  {:<12}", "latency, ms")?;
        head.iter().try_for_each(|name| write!(f, "{name:>10}"))?;
        for (name, times) in [
            ("accept", self.latency_ms.accept),
            ("deliver", self.latency_ms.deliver),
        ] {
            write!(f, "\n  {name:<12}")?;
            let Summary { p50, p90, p99, max } = times;
            [p50, p90, p99, max]
                .iter()
                .try_for_each(|ms| write!(f, "{ms:>10.1}"))?;
        }
        Ok(())
    }
}

/// What is shown where there is any.
fn rare(verdict: &Verdict) -> [(&'static str, u64); 6] {
    [
        ("contradicted", verdict.contradicted),
        ("unknown", verdict.unknown),
        ("appeared", verdict.appeared),
        ("rejected", verdict.rejected),
        ("unsent", verdict.unsent),
        ("repeats", verdict.repeats),
    ]
}
