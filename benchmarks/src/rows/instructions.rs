//! Row 3: what a delivery costs in instructions outside the kernel, counted by callgrind.
//!
//! Two runs of different length are subtracted, so that starting, connecting and ending do not
//! count.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::{
    Plan,
    fanout::{AT_ONCE, SOCKETS, USERS, Way, cast, send},
};
use crate::{
    crowd::{self, Crowd, Seat},
    figures::{Figures, Unit},
    floor::Listening,
    process,
    server::Server,
    table::{Goal, Line, Preset},
    world::Stage,
};

/// Deliveries of the two runs.
const SHORT: usize = 10_000;
const LONG: usize = 40_000;

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let stage = Stage::set(&plan.roomcast, &cast(1))?;
    let [mut floor, mut found] = [(); 2].map(|()| Figures::new(Unit::Instructions));
    // They are the same in every round, but for what depends on time.
    let once = Plan::new(plan.roomcast.clone(), 1, plan.is_quick);
    once.rounds("instructions", || {
        let [short, long] = [of_floor(SHORT)?, of_floor(LONG)?];
        floor.push(per_delivery(short, long));
        let short = of_roomcast(plan, &stage, SHORT)?;
        let long = of_roomcast(plan, &stage, LONG)?;
        found.push(per_delivery(short, long));
        Ok(())
    })?;
    Ok(vec![Line {
        row: 3,
        measure: "user instructions a delivery, room of 1,000, one message at a time (callgrind, two lengths subtracted)".to_owned(),
        preset: Preset::Embedded,
        floor: Some(floor),
        judged: found.clone(),
        roomcast: found,
        goal: Goal::AtMost(3_000.0),
    }])
}

fn per_delivery(short: u64, long: u64) -> f64 {
    long.saturating_sub(short) as f64 / (LONG - SHORT) as f64
}

fn of_floor(deliveries: usize) -> anyhow::Result<u64> {
    let folder = TempDir::new()?;
    let log = folder.path().join("valgrind");
    let floor = Listening::broadcaster_by(process::counted(&std::env::current_exe()?, &log))?;
    let room = vec!["67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned()];
    run(floor.addr, vec![Seat::Floor; SOCKETS], &room, deliveries)?;
    floor.stop()?;
    process::instructions(&log)
}

fn of_roomcast(plan: &Plan, stage: &Stage, deliveries: usize) -> anyhow::Result<u64> {
    let copy = stage.copy()?;
    let log = copy.path().join("valgrind");
    let server = Server::embedded_by(process::counted(&plan.roomcast, &log), copy.path())?;
    let seats = (0..SOCKETS).map(|socket| Seat::in_room(&stage.world, socket % USERS, 0));
    run(server.addr, seats.collect(), &stage.world.rooms, deliveries)?;
    server.stop()?;
    process::instructions(&log)
}

fn run(
    addr: SocketAddr,
    seats: Vec<Seat>,
    rooms: &[String],
    deliveries: usize,
) -> anyhow::Result<()> {
    crowd::run(async {
        let crowd = Crowd::connect(addr, seats, AT_ONCE).await?;
        send(&crowd, rooms, Way::Burst(1), deliveries, &mut 0).await?;
        crowd.check()
    })
}
