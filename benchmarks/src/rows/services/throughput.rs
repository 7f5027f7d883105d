//! Row 8: how many messages a second are accepted, beside a bare producer.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, anyhow, ensure};

use crate::{
    figures::{Figures, Unit},
    floor::producer,
    process,
    rows::{Plan, standalone::bench},
    server::Server,
    services::Ground,
    table::{Goal, Line, Preset},
};

const SECONDS: usize = 6;

/// In flight at the bare producer that is the floor, and at those beside it.
const IN_FLIGHT: u64 = 256;
const FEWER_IN_FLIGHT: [u64; 2] = [1, 32];

/// How often counters are read during a load.
const LOOK: Duration = Duration::from_millis(200);

struct Found {
    per_s: f64,
    per_gateway_cpu_s: f64,
    per_cpu_s: f64,
}

/// What had been accepted, and what it had cost, at some moment of a load.
#[derive(Debug, Clone, Copy)]
struct Sample {
    accepted: f64,
    gateway_cpu_s: f64,
    worker_cpu_s: f64,
}

pub(crate) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let services = plan.services()?;
    // Brokers that have just started are several times slower for a while.
    if let Err(error) = of_roomcast(plan, &services.ground()?, SECONDS) {
        eprintln!("acceptances: warming up: {error:#}");
    }
    let [mut bare_rate, mut rate, mut one, mut some] =
        [(); 4].map(|()| Figures::new(Unit::PerSecond));
    let [mut bare_cpu, mut gateway_cpu, mut all_cpu] =
        [(); 3].map(|()| Figures::new(Unit::PerCpuSecond));
    plan.rounds("acceptances", || {
        let ground = services.ground()?;
        let seconds = plan.scaled(SECONDS) as u64;
        let fewer =
            FEWER_IN_FLIGHT.map(|n| producer::spawn(&ground.brokers, n, seconds.div_ceil(2)));
        let bare = producer::spawn(&ground.brokers, IN_FLIGHT, seconds)?;
        let found = of_roomcast(plan, &ground, seconds as usize)?;
        let [first, second] = fewer;
        one.push(first?.per_s);
        some.push(second?.per_s);
        bare_rate.push(bare.per_s);
        bare_cpu.push(bare.per_cpu_s);
        rate.push(found.per_s);
        gateway_cpu.push(found.per_gateway_cpu_s);
        all_cpu.push(found.per_cpu_s);
        Ok(())
    })?;
    let line = |measure: &str, floor: &Figures, roomcast: &Figures, judged: Figures, goal| Line {
        row: 8,
        measure: measure.to_owned(),
        preset: Preset::Services,
        floor: Some(floor.clone()),
        roomcast: roomcast.clone(),
        judged,
        goal,
    };
    Ok(vec![
        line(
            "ACCEPTED a second, 100 rooms, gateway and worker apart (the floor: a bare producer, 256 in flight)",
            &bare_rate,
            &rate,
            rate.clone(),
            Goal::AtLeast(10_000.0),
        ),
        line(
            "ACCEPTED a second of the gateway's CPU (the floor: the bare producer's records)",
            &bare_cpu,
            &gateway_cpu,
            gateway_cpu.over(&bare_cpu),
            Goal::AtLeast(0.5),
        ),
        line(
            "ACCEPTED a second of the gateway's and the worker's CPU",
            &bare_cpu,
            &all_cpu,
            all_cpu.over(&bare_cpu),
            Goal::Free,
        ),
        line(
            "ACCEPTED a second beside a bare producer with 1 in flight",
            &one,
            &rate,
            rate.over(&one),
            Goal::Free,
        ),
        line(
            "ACCEPTED a second beside a bare producer with 32 in flight",
            &some,
            &rate,
            rate.over(&some),
            Goal::Free,
        ),
    ])
}

fn of_roomcast(plan: &Plan, ground: &Ground, seconds: usize) -> anyhow::Result<Found> {
    let gateway = Server::on_services(&plan.roomcast, "gateway", &ground.env)?;
    let worker = Server::on_services(&plan.roomcast, "worker", &ground.env)?;
    let is_over = AtomicBool::new(false);
    let (found, samples) = thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let mut samples = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                samples.push(sample(&gateway, &worker)?);
                thread::sleep(LOOK);
            }
            anyhow::Ok(samples)
        });
        let found = bench(&plan.roomcast, &gateway, seconds);
        is_over.store(true, Ordering::Relaxed);
        let samples = sampling.join().map_err(|_| anyhow!("a thread panicked"))?;
        anyhow::Ok((found?, samples?))
    })?;
    let cost = cost(&samples, found.accepted)?;
    gateway.stop()?;
    worker.stop()?;
    Ok(Found {
        per_s: found.per_s,
        per_gateway_cpu_s: cost.accepted / cost.gateway_cpu_s,
        per_cpu_s: cost.accepted / (cost.gateway_cpu_s + cost.worker_cpu_s),
    })
}

/// Returns what happened in the middle of the load: without the preparation before it, and without
/// the reading of history after it.
fn cost(samples: &[Sample], accepted: f64) -> anyhow::Result<Sample> {
    let middle = |sample: &&Sample| (0.1..=0.9).contains(&(sample.accepted / accepted));
    let first = samples.iter().find(middle).context("no sample")?;
    let last = samples.iter().rfind(middle).context("no sample")?;
    ensure!(last.accepted > first.accepted, "the load was too short");
    Ok(Sample {
        accepted: last.accepted - first.accepted,
        gateway_cpu_s: last.gateway_cpu_s - first.gateway_cpu_s,
        worker_cpu_s: last.worker_cpu_s - first.worker_cpu_s,
    })
}

fn sample(gateway: &Server, worker: &Server) -> anyhow::Result<Sample> {
    Ok(Sample {
        accepted: gateway.metric("roomcast_messages_accepted_total")?,
        gateway_cpu_s: process::cpu(gateway.pid())?.as_secs_f64(),
        worker_cpu_s: process::cpu(worker.pid())?.as_secs_f64(),
    })
}
