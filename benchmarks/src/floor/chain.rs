//! A bare chain: produce, consume, commit one row, produce, consume.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{anyhow, ensure};
use hdrhistogram::Histogram;
use rdkafka::{Message, consumer::BaseConsumer};

use super::{
    kafka::{self, Producer, consumer, created},
    postgres::Rows,
};
use crate::open_loop::{Beat, histogram};

/// How long a consumer looks for a record before it looks whether it should go on.
const LOOK: Duration = Duration::from_millis(100);

/// Records that are not counted: they find their way to brokers and database.
const WARM_UP: u64 = 100;

/// Sends at a rate; returns how long each record took to the end of the chain, in microseconds.
pub(crate) fn at_rate(
    brokers: &str,
    database_url: &str,
    per_s: u32,
    duration: Duration,
) -> anyhow::Result<Histogram<u64>> {
    let topics = ["in", "out"].map(|end| format!("floor-{end}-{}", uuid::Uuid::new_v4()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for topic in &topics {
        runtime.block_on(kafka::make_topic(brokers, topic))?;
    }
    let [input, output] = &topics;
    let is_over = AtomicBool::new(false);
    let records = u64::from(per_s) * duration.as_secs() + WARM_UP;
    let reader = consumer(brokers, output)?;
    let (producer, answers) = Producer::new(brokers)?;
    let room = uuid::Uuid::new_v4().to_string();
    let beat = Beat::new(per_s);
    let beat = &beat;
    thread::scope(|scope| {
        let storing = scope.spawn(|| store(brokers, database_url, input, output, &is_over));
        let sending = scope.spawn(move || {
            (0..records).try_for_each(|number| {
                let record = format!("{number} {}", created(&room, &room));
                beat.wait_for(number);
                producer.send(input, &room, record.as_bytes(), number)?;
                anyhow::Ok(())
            })?;
            (0..records).try_for_each(|_| answers.next().map(drop))
        });
        let ended = read(&reader, beat, records);
        is_over.store(true, Ordering::Relaxed);
        sending.join().map_err(|_| anyhow!("a thread panicked"))??;
        storing.join().map_err(|_| anyhow!("a thread panicked"))??;
        ended
    })
}

fn read(reader: &BaseConsumer, beat: &Beat, records: u64) -> anyhow::Result<Histogram<u64>> {
    let mut times = histogram()?;
    for expected in 0..records {
        let number = next(reader, Duration::from_secs(10))?;
        let (number, _) = number.ok_or_else(|| anyhow!("a record was lost"))?;
        ensure!(number == expected, "records came out of order");
        let took = beat.due(number).elapsed();
        if number >= WARM_UP {
            times.record(took.as_micros().max(1) as u64)?;
        }
    }
    Ok(times)
}

/// Stores each record and sends it on.
fn store(
    brokers: &str,
    database_url: &str,
    input: &str,
    output: &str,
    is_over: &AtomicBool,
) -> anyhow::Result<()> {
    let consumer = consumer(brokers, input)?;
    let (producer, answers) = Producer::new(brokers)?;
    let mut rows = Rows::connect(database_url)?;
    let mut stored = 0;
    while !is_over.load(Ordering::Relaxed) {
        let Some((number, record)) = next(&consumer, LOOK)? else {
            continue;
        };
        rows.insert_one(&record)?;
        producer.send(output, "room", record.as_bytes(), number)?;
        stored += 1;
    }
    (0..stored).try_for_each(|_| answers.next().map(drop))
}

fn next(consumer: &BaseConsumer, wait: Duration) -> anyhow::Result<Option<(u64, String)>> {
    let Some(record) = consumer.poll(wait) else {
        return Ok(None);
    };
    let record = record?;
    let text = std::str::from_utf8(record.payload().unwrap_or_default())?;
    let number = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(Some((number, text.to_owned())))
}
