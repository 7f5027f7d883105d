//! Rows 7 and 9: how long a message takes to be accepted, and to come back.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::anyhow;
use hdrhistogram::Histogram;

use crate::{
    figures::{Figures, Unit},
    floor::{chain, producer},
    open_loop::{self, Exchange, Wire, ms},
    rows::Plan,
    server::Server,
    services::Ground,
    table::{Goal, Line, Preset},
    world::{Cast, World},
};

/// Samples of all rounds together that a 99th percentile needs.
const SAMPLES: usize = 10_000;

/// Seconds in which a server that has just started becomes its usual self.
const WARM_UP: Duration = Duration::from_secs(2);

/// A latency of each round, and of all rounds together.
struct Latency {
    p50: Figures,
    all: Histogram<u64>,
}

impl Latency {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            p50: Figures::new(Unit::Millis),
            all: open_loop::histogram()?,
        })
    }

    fn add(&mut self, times: &Histogram<u64>) -> anyhow::Result<()> {
        self.p50.push(ms(times, 0.5));
        Ok(self.all.add(times)?)
    }

    fn p99(&self) -> Figures {
        open_loop::pooled(&self.all, 0.99)
    }
}

pub(crate) fn accepted(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    const PER_S: u32 = 50;
    let floor = |ground: &Ground, duration| producer::at_rate(&ground.brokers, PER_S, duration);
    let (bare, found) = rounds(plan, "acceptance", PER_S, Exchange::Accepted, floor)?;
    let what = "send → ACCEPTED at 50/s beside a bare acknowledgement";
    Ok(vec![
        line(
            7,
            format!("{what}, p50"),
            (bare.p50.clone(), found.p50.clone()),
            found.p50.above(&bare.p50),
            0.3,
        ),
        line(
            7,
            format!("{what}, p99 of {}", found.all.len()),
            (bare.p99(), found.p99()),
            found.p99().above(&bare.p99()),
            2.0,
        ),
    ])
}

pub(crate) fn new_message(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    const PER_S: u32 = 100;
    let floor = |ground: &Ground, duration| {
        chain::at_rate(&ground.brokers, &ground.database_url, PER_S, duration)
    };
    let (bare, found) = rounds(plan, "the whole way", PER_S, Exchange::NewMessage, floor)?;
    let what = "send → newMessage at 100/s beside a bare chain";
    Ok(vec![
        line(
            9,
            format!("{what}, p50"),
            (bare.p50.clone(), found.p50.clone()),
            found.p50.over(&bare.p50),
            1.5,
        ),
        line(
            9,
            format!("{what}, p99 of {}", found.all.len()),
            (bare.p99(), found.p99()),
            found.p99().over(&bare.p99()),
            1.5,
        ),
    ])
}

fn line(
    row: u8,
    measure: String,
    (floor, roomcast): (Figures, Figures),
    judged: Figures,
    most: f64,
) -> Line {
    Line {
        row,
        measure,
        preset: Preset::Services,
        floor: Some(floor),
        roomcast,
        judged,
        goal: Goal::AtMost(most),
    }
}

fn rounds(
    plan: &Plan,
    what: &str,
    per_s: u32,
    exchange: Exchange,
    floor: impl Fn(&Ground, Duration) -> anyhow::Result<Histogram<u64>>,
) -> anyhow::Result<(Latency, Latency)> {
    let samples = match plan.is_quick {
        true => SAMPLES / 10,
        false => SAMPLES,
    };
    let seconds = samples.div_ceil(plan.rounds).div_ceil(per_s as usize);
    let duration = Duration::from_secs(seconds as u64);
    let services = plan.services()?;
    let (mut bare, mut found) = (Latency::new()?, Latency::new()?);
    plan.rounds(what, || {
        let ground = services.ground()?;
        let floor = floor(&ground, duration)?;
        let times = of_roomcast(plan, &ground, per_s, exchange, duration)?;
        bare.add(&floor)?;
        found.add(&times)
    })?;
    Ok((bare, found))
}

fn of_roomcast(
    plan: &Plan,
    ground: &Ground,
    per_s: u32,
    exchange: Exchange,
    duration: Duration,
) -> anyhow::Result<Histogram<u64>> {
    let server = Server::on_services(&plan.roomcast, "all", &ground.env)?;
    let cast = Cast {
        users: 1,
        rooms: 1,
        rooms_of: vec![vec![0]],
    };
    let world = World::make(&server, &cast)?;
    let run = |duration| {
        let wire = Wire::connect(server.addr, &world.users[0].token, &world.rooms[0])?;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let running = scope.spawn(|| wire.exchange(&world.rooms[0], exchange, per_s, &stop));
            thread::sleep(duration);
            stop.store(true, Ordering::Relaxed);
            running.join().map_err(|_| anyhow!("a thread panicked"))?
        })
    };
    run(WARM_UP)?;
    let times = run(duration)?;
    server.stop()?;
    Ok(times)
}
