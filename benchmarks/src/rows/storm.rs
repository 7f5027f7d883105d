//! Row 6: ten thousand clients come at once, and others are there already.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use hdrhistogram::Histogram;
use rustix::process::nice;

use super::Plan;
use crate::{
    crowd::{self, Crowd, Seat},
    figures::{Figures, Unit},
    floor::Listening,
    open_loop::{self, Exchange, Wire},
    process::{self, Core},
    table::{Goal, Line, Preset},
    world::{Cast, Stage},
};

/// Connects of a round; all stay open, and cost the server two descriptors each.
const CONNECTS: usize = 9_500;
const AT_ONCE: usize = 50;
const USERS: usize = 2_000;

/// Heartbeats a second of the client that is there already.
const HEARTBEATS_PER_S: u32 = 2_000;
const QUIET: Duration = Duration::from_secs(2);

/// How long those who came stay at least: all hang up at once, which is another load.
const STAY: Duration = Duration::from_millis(200);

/// How much nicer than the heartbeats who connects is.
const NICENESS: i32 = 19;

struct Storm {
    per_s: f64,
    cpu_micros: f64,
}

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let cast = Cast {
        users: USERS,
        rooms: 0,
        rooms_of: vec![Vec::new(); USERS],
    };
    let stage = Stage::set(&plan.roomcast, &cast)?;
    let [mut floor_rate, mut rate] = [(); 2].map(|()| Figures::new(Unit::PerSecond));
    let [mut floor_cpu, mut cpu] = [(); 2].map(|()| Figures::new(Unit::Micros));
    let (mut quiet, mut stormy) = (open_loop::histogram()?, open_loop::histogram()?);
    process::move_to(Core::Load)?;
    let measured = plan.rounds("connects", || {
        let bare = of_floor()?;
        let found = of_roomcast(plan, &stage, &mut quiet, &mut stormy)?;
        floor_rate.push(bare.per_s);
        floor_cpu.push(bare.cpu_micros);
        rate.push(found.per_s);
        cpu.push(found.cpu_micros);
        Ok(())
    });
    process::move_to(Core::Any)?;
    measured?;
    let calm = open_loop::pooled(&quiet, 0.99);
    let storm = open_loop::pooled(&stormy, 0.99);
    let line = |measure: String, floor, roomcast: Figures, judged, goal| Line {
        row: 6,
        measure,
        preset: Preset::Embedded,
        floor: Some(floor),
        roomcast,
        judged,
        goal,
    };
    let samples = stormy.len().min(quiet.len());
    Ok(vec![
        line(
            format!("connects with token and presence a second, {CONNECTS}, {AT_ONCE} at a time"),
            floor_rate,
            rate.clone(),
            rate,
            Goal::AtLeast(8_000.0),
        ),
        line(
            "server CPU a connect".to_owned(),
            floor_cpu,
            cpu.clone(),
            cpu,
            Goal::AtMost(120.0),
        ),
        line(
            format!("p99 of a heartbeat meanwhile (the floor is quiet; {samples} samples)"),
            calm.clone(),
            storm.clone(),
            storm.over(&calm),
            Goal::AtMost(3.0),
        ),
    ])
}

fn of_floor() -> anyhow::Result<Storm> {
    let floor = Listening::broadcaster(Core::Server)?;
    storm(floor.addr, floor.pid(), vec![Seat::Floor; CONNECTS], || {})
}

fn of_roomcast(
    plan: &Plan,
    stage: &Stage,
    quiet: &mut Histogram<u64>,
    stormy: &mut Histogram<u64>,
) -> anyhow::Result<Storm> {
    let (server, _folder) = stage.serve(&plan.roomcast, Core::Server)?;
    let users = &stage.world.users;
    let stop = AtomicBool::new(false);
    let beat = || {
        let wire = Wire::connect(server.addr, &users[0].token, "")?;
        stop.store(false, Ordering::Relaxed);
        anyhow::Ok(wire)
    };
    let wire = beat()?;
    let calm = thread::scope(|scope| {
        let beating =
            scope.spawn(|| wire.exchange("", Exchange::Heartbeat, HEARTBEATS_PER_S, &stop));
        thread::sleep(QUIET);
        stop.store(true, Ordering::Relaxed);
        beating.join().map_err(|_| anyhow!("a thread panicked"))?
    })?;
    let wire = beat()?;
    let seats = (0..CONNECTS)
        .map(|n| Seat::idle(&users[n % USERS]))
        .collect();
    let (found, during) = thread::scope(|scope| {
        let beating =
            scope.spawn(|| wire.exchange("", Exchange::Heartbeat, HEARTBEATS_PER_S, &stop));
        let end = || stop.store(true, Ordering::Relaxed);
        let found = storm(server.addr, server.pid(), seats, end);
        // A round that failed has not come so far.
        end();
        let during = beating.join().map_err(|_| anyhow!("a thread panicked"))?;
        anyhow::Ok((found?, during?))
    })?;
    quiet.add(calm)?;
    stormy.add(during)?;
    Ok(found)
}

/// Has all connect; calls `end` while they are still there.
///
/// By a thread that is nicer than others: on their core, who connects must not keep the heartbeats
/// of the same round from being sent and read when it is time.
fn storm(
    addr: SocketAddr,
    pid: u32,
    seats: Vec<Seat>,
    end: impl FnOnce() + Send,
) -> anyhow::Result<Storm> {
    thread::scope(|scope| {
        let storming = scope.spawn(|| {
            nice(NICENESS)?;
            connect_all(addr, pid, seats, end)
        });
        storming.join().map_err(|_| anyhow!("a thread panicked"))?
    })
}

fn connect_all(
    addr: SocketAddr,
    pid: u32,
    seats: Vec<Seat>,
    end: impl FnOnce(),
) -> anyhow::Result<Storm> {
    let connects = seats.len() as f64;
    crowd::run(async {
        let (began, before) = (Instant::now(), process::cpu(pid)?);
        let crowd = Crowd::connect(addr, seats, AT_ONCE).await?;
        let took = began.elapsed();
        let used = process::cpu(pid)?.saturating_sub(before);
        end();
        tokio::time::sleep(STAY).await;
        crowd.check()?;
        Ok(Storm {
            per_s: connects / took.as_secs_f64(),
            cpu_micros: used.as_secs_f64() * 1e6 / connects,
        })
    })
}
