//! Row 10: a worker alone and a backlog, beside bare inserts.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    figures::{Figures, Unit},
    floor::{
        kafka::{self, Producer, created},
        postgres::{self, Bare},
    },
    rows::Plan,
    server::Server,
    services::Ground,
    table::{Goal, Line, Preset},
    world::{Cast, World},
};

const RECORDS: usize = 20_000;
const USERS: usize = 20;
const ROOMS: usize = 100;

/// How often the worker's progress is looked at, and for how long.
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let services = plan.services()?;
    let [mut hundreds, mut bare, mut found] = [(); 3].map(|()| Figures::new(Unit::PerSecond));
    plan.rounds("backlog", || {
        let ground = services.ground()?;
        fill(plan, &ground)?;
        let by_hundred = postgres::unnest_rows_per_s(&ground.database_url, RECORDS, 100)?;
        let by_500 = postgres::unnest_rows_per_s(&ground.database_url, RECORDS, 500)?;
        let stored = of_worker(plan, &ground)?;
        hundreds.push(by_hundred);
        bare.push(by_500);
        found.push(stored);
        Ok(())
    })?;
    let line = |measure: &str, floor: Figures, goal| Line {
        row: 10,
        measure: format!("rows a second stored and published from a backlog of 20,000, {measure}"),
        preset: Preset::Services,
        judged: found.over(&floor),
        floor: Some(floor),
        roomcast: found.clone(),
        goal,
    };
    Ok(vec![
        line("beside bare UNNEST of 500", bare, Goal::AtLeast(0.7)),
        line("beside bare UNNEST of 100", hundreds, Goal::Free),
    ])
}

/// Makes users and rooms, and leaves messages of theirs in the log while no worker runs.
fn fill(plan: &Plan, ground: &Ground) -> anyhow::Result<()> {
    let gateway = Server::on_services(&plan.roomcast, "gateway", &ground.env)?;
    let cast = Cast {
        users: USERS,
        rooms: ROOMS,
        rooms_of: (0..USERS)
            .map(|user| (user..ROOMS).step_by(USERS).collect())
            .collect(),
    };
    let world = World::make(&gateway, &cast)?;
    gateway.stop()?;
    let topic = format!("{}chat.messages.v1", ground.prefix);
    let (producer, answers) = Producer::new(&ground.brokers)?;
    for n in 0..RECORDS {
        let (room, user) = (&world.rooms[n % ROOMS], &world.users[n % ROOMS % USERS].id);
        producer.send(&topic, room, created(room, user).as_bytes(), n as u64)?;
    }
    (0..RECORDS).try_for_each(|_| answers.next().map(drop))
}

/// Returns how many rows a second are stored and published, from the first that is.
fn of_worker(plan: &Plan, ground: &Ground) -> anyhow::Result<f64> {
    let database = Bare::connect(&ground.database_url)?;
    let stored =
        database.prepare("SELECT COALESCE(SUM(next_offset), 0)::bigint FROM ingest_offsets")?;
    let topic = format!("{}chat.messages.persisted.v1", ground.prefix);
    let published = kafka::asker(&ground.brokers)?;
    // The first question finds its way to the broker.
    kafka::records(&published, &topic)?;
    let worker = thread::scope(|scope| {
        let starting = scope.spawn(|| Server::on_services(&plan.roomcast, "worker", &ground.env));
        let began = Instant::now();
        let (mut first, mut all) = (None, 0);
        while all < RECORDS as i64 {
            thread::sleep(LOOK);
            ensure!(began.elapsed() < PATIENCE, "only {all} rows were stored");
            all = database.number(&stored)?;
            first = first.or((all > 0).then(|| (Instant::now(), all)));
        }
        let (first_at, first) = first.unwrap_or((began, 0));
        while kafka::records(&published, &topic)? < RECORDS as u64 {
            thread::sleep(LOOK);
            ensure!(began.elapsed() < PATIENCE, "not all rows were published");
        }
        let took = first_at.elapsed().as_secs_f64();
        let worker = starting
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        anyhow::Ok((worker, (all - first) as f64 / took))
    })?;
    let (worker, per_s) = worker;
    worker.stop()?;
    let rows = database.prepare("SELECT COUNT(*) FROM messages")?;
    ensure!(
        database.number(&rows)? == RECORDS as i64,
        "rows were lost or doubled"
    );
    Ok(per_s)
}
