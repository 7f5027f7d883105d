//! Measures what roomcast costs, beside floors that do the least possible, in one run.
//!
//! `dev/benchmark` builds it, and `docs/BENCHMARKS.md` says how to read what it prints.

mod counting;
mod crowd;
mod figures;
mod floor;
mod frame;
mod open_loop;
mod process;
mod rest;
mod rows;
mod server;
mod services;
mod table;
mod world;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};

use crate::{
    floor::Floor,
    rows::{Plan, ROWS},
};

const ROUNDS: usize = 5;
const QUICK_ROUNDS: usize = 3;

/// Rows that `--quick` leaves out unless they are asked for.
const SLOW: [&[u8]; 2] = [&[11], &[14]];

#[derive(Debug, Parser)]
#[command(
    about = "Measures roomcast beside bare programs, and prints the table of docs/BENCHMARKS.md"
)]
struct Args {
    /// Fewer and shorter rounds, without rows 11 and 14
    #[arg(long)]
    quick: bool,
    /// Measure these rows alone
    #[arg(long = "row", value_name = "N")]
    rows: Vec<u8>,
    /// Rounds that have to count [default: 5, with --quick 3]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Become a floor, for the measurement that starts it
    #[command(subcommand, hide = true)]
    Floor(Floor),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    raise_descriptor_limit();
    match &args.command {
        Some(Command::Floor(floor)) => floor::run(floor),
        None => measure(&args),
    }
}

fn measure(args: &Args) -> anyhow::Result<()> {
    let usual = if args.quick { QUICK_ROUNDS } else { ROUNDS };
    let plan = Plan::new(roomcast()?, args.rounds.unwrap_or(usual), args.quick);
    let known = |row: &u8| ROWS.iter().any(|(rows, _)| rows.contains(row));
    ensure!(args.rows.iter().all(known), "there is no such row");
    println!("{}", table::HEAD);
    for (rows, measure) in ROWS {
        if args.rows.is_empty() || args.rows.iter().any(|row| rows.contains(row)) {
            if args.quick && args.rows.is_empty() && SLOW.contains(rows) {
                println!("| {rows:?} | not measured: --quick leaves it out | | | | | | |");
                continue;
            }
            // A row that fails does not take the others with it.
            match measure(&plan) {
                Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
                Err(error) => println!("| {rows:?} | not measured: {error:#} | | | | | | |"),
            }
        }
    }
    Ok(())
}

/// Returns the server's program, which is built into the same folder.
fn roomcast() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("roomcast");
    ensure!(path.exists(), "{} is not built", path.display());
    path.canonicalize().context("the server's program")
}

/// Each client is an open file.
fn raise_descriptor_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is forbidden, connecting says so.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}
