//! A bare idempotent producer: so many records in flight, or at a rate.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use hdrhistogram::Histogram;

use super::kafka::{self, Producer, created, make_topic};
use crate::{
    open_loop::{Beat, histogram},
    process,
};

/// Rooms that the records are of.
const ROOMS: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct ProducerArgs {
    brokers: String,
    /// Records that wait for their acknowledgement at a time
    in_flight: u64,
    seconds: u64,
}

/// What a producer of its own process did.
pub(crate) struct Produced {
    pub(crate) per_s: f64,
    pub(crate) per_cpu_s: f64,
}

/// The process: prints records a second, and a second of processor time.
pub(crate) fn run(args: &ProducerArgs) -> anyhow::Result<()> {
    let topic = fresh_topic(&args.brokers)?;
    let (producer, answers) = Producer::new(&args.brokers)?;
    let rooms = rooms();
    let send = |number: u64| {
        let room = &rooms[number as usize % ROOMS];
        producer.send(&topic, room, created(room, room).as_bytes(), number)
    };
    // The first records find their way to the brokers.
    let partitions = kafka::PARTITIONS as u64;
    (0..partitions).try_for_each(send)?;
    (0..partitions).try_for_each(|_| answers.next().map(drop))?;
    let (began, before) = (Instant::now(), process::cpu(std::process::id())?);
    let (mut sent, mut acknowledged) = (0, 0);
    while began.elapsed() < Duration::from_secs(args.seconds) {
        while sent - acknowledged < args.in_flight {
            send(sent)?;
            sent += 1;
        }
        answers.next()?;
        acknowledged += 1;
    }
    let took = began.elapsed().as_secs_f64();
    let cpu = process::cpu(std::process::id())?.saturating_sub(before);
    let records = acknowledged as f64;
    println!("{} {}", records / took, records / cpu.as_secs_f64());
    Ok(())
}

/// Runs a process and reads what it prints.
pub(crate) fn spawn(brokers: &str, in_flight: u64, seconds: u64) -> anyhow::Result<Produced> {
    let run = Command::new(std::env::current_exe()?)
        .args(["floor", "producer", brokers])
        .args([in_flight.to_string(), seconds.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "the floor failed: {said}");
    let printed = String::from_utf8(run.stdout)?;
    let mut figures = printed.split_whitespace().map(str::parse::<f64>);
    let mut figure = || anyhow::Ok(figures.next().context("a figure")??);
    Ok(Produced {
        per_s: figure()?,
        per_cpu_s: figure()?,
    })
}

/// Sends at a rate; returns how long each acknowledgement took, in microseconds.
pub(crate) fn at_rate(
    brokers: &str,
    per_s: u32,
    duration: Duration,
) -> anyhow::Result<Histogram<u64>> {
    let topic = fresh_topic(brokers)?;
    let (producer, answers) = Producer::new(brokers)?;
    let room = uuid::Uuid::new_v4().to_string();
    // The first record finds its way to the broker.
    producer.send(&topic, &room, created(&room, &room).as_bytes(), 0)?;
    answers.next()?;
    let records = u64::from(per_s) * duration.as_secs();
    let beat = Beat::new(per_s);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            (0..records).try_for_each(|number| {
                let record = created(&room, &room);
                beat.wait_for(number);
                producer.send(&topic, &room, record.as_bytes(), number)
            })
        });
        let mut times = histogram()?;
        for _ in 0..records {
            let took = beat.due(answers.next()?).elapsed();
            times.record(took.as_micros().max(1) as u64)?;
        }
        sending.join().map_err(|_| anyhow!("a thread panicked"))??;
        Ok(times)
    })
}

fn fresh_topic(brokers: &str) -> anyhow::Result<String> {
    let topic = format!("floor-{}", uuid::Uuid::new_v4());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(make_topic(brokers, &topic))?;
    Ok(topic)
}

fn rooms() -> Vec<String> {
    let room = |_| uuid::Uuid::new_v4().to_string();
    (0..ROOMS).map(room).collect()
}
