//! Row 13: the embedded preset with a hundred senders, and how soon it is there.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::Plan;
use crate::{
    figures::{Figures, Unit},
    floor::sqlite,
    process::Core,
    server::Server,
    table::{Goal, Line, Preset},
};

const SECONDS: usize = 6;

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let [mut floor_rate, mut rate] = [(); 2].map(|()| Figures::new(Unit::PerSecond));
    let [mut floor_start, mut start] = [(); 2].map(|()| Figures::new(Unit::Seconds));
    plan.rounds("embedded", || {
        let seconds = plan.scaled(SECONDS);
        let bare = sqlite::rows_per_s(seconds as u64)?;
        let no_start = of_no_start(&plan.roomcast)?;
        let folder = TempDir::new()?;
        let began = Instant::now();
        let server = Server::embedded(&plan.roomcast, folder.path(), Core::Any)?;
        let ready = began.elapsed().as_secs_f64();
        let found = bench(&plan.roomcast, &server, seconds)?;
        floor_rate.push(bare);
        rate.push(found.per_s);
        floor_start.push(no_start);
        start.push(ready);
        Ok(())
    })?;
    Ok(vec![
        Line {
            row: 13,
            measure: "accepted and stored a second, 100 senders in as many rooms (the floor: SQLite, 100 rows a synced transaction)".to_owned(),
            preset: Preset::Embedded,
            floor: Some(floor_rate),
            judged: rate.clone(),
            roomcast: rate,
            goal: Goal::AtLeast(8_000.0),
        },
        Line {
            row: 13,
            measure: "from the start on an empty folder until ready (the floor: `roomcast --version`)".to_owned(),
            preset: Preset::Embedded,
            floor: Some(floor_start),
            judged: start.clone(),
            roomcast: start,
            goal: Goal::AtMost(0.3),
        },
    ])
}

fn of_no_start(roomcast: &Path) -> anyhow::Result<f64> {
    let began = Instant::now();
    Command::new(roomcast).arg("--version").output()?;
    Ok(began.elapsed().as_secs_f64())
}

/// What `roomcast bench` found.
pub(super) struct Found {
    /// Accepted and stored: each room has one client, who sees what is stored.
    pub(super) per_s: f64,
    pub(super) accepted: f64,
}

/// Runs `roomcast bench` with a hundred clients, each in a room of its own, as fast as they can.
pub(super) fn bench(roomcast: &Path, server: &Server, seconds: usize) -> anyhow::Result<Found> {
    let run = Command::new(roomcast)
        .args(["bench", &format!("http://{}", server.addr), "--json"])
        .args(["--clients", "100", "--rooms", "100", "--rate", "0"])
        .args(["--duration-s", &seconds.to_string()])
        .output()?;
    let report: Value = serde_json::from_slice(&run.stdout)
        .with_context(|| String::from_utf8_lossy(&run.stderr).into_owned())?;
    ensure!(run.status.success(), "a promise was broken: {report}");
    let figure = |key: &str| report[key].as_f64().with_context(|| format!("no {key}"));
    Ok(Found {
        per_s: figure("accepted_per_s")?.min(figure("delivered_per_s")?),
        accepted: figure("accepted")?,
    })
}
