//! Row 14: a cold build, and what comes out of it.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::Plan;
use crate::{
    figures::{Figures, Unit},
    table::{Goal, Line, Preset},
};

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let target = TempDir::new()?;
    let began = Instant::now();
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("CARGO_TARGET_DIR", target.path())
        .output()
        .context("cargo is missing")?;
    let said = String::from_utf8_lossy(&built.stderr);
    ensure!(built.status.success(), "the build failed: {said}");
    let took = Figures::of(Unit::Seconds, [began.elapsed().as_secs_f64()]);
    let bytes = fs::metadata(&plan.roomcast)?.len() as f64;
    let size = Figures::of(Unit::MiB, [bytes / 1_048_576.0]);
    let line = |measure: &str, figures: Figures, most| Line {
        row: 14,
        measure: measure.to_owned(),
        preset: Preset::Either,
        floor: None,
        judged: figures.clone(),
        roomcast: figures,
        goal: Goal::AtMost(most),
    };
    Ok(vec![
        line(
            "`cargo build --release` into an empty folder, crates fetched",
            took,
            270.0,
        ),
        line("size of the program", size, 20.0),
    ])
}
