//! Row 11: pages of history in a small and in a large table, beside hand-written SQL.

use std::time::Instant;

use anyhow::ensure;
use hdrhistogram::Histogram;

use super::Plan;
use crate::{
    figures::{Figures, Unit},
    floor::history::{History, ROOMS},
    open_loop::{histogram, ms},
    rest::Rest,
    server::Server,
    table::{Goal, Line, Preset},
    world::{Cast, World},
};

/// Millions of rows of the small table and of the large one; a tenth of both with `--quick`.
const SMALL: f64 = 1.0;
const LARGE: f64 = 10.0;

/// Pages of each kind, a round.
const PAGES: usize = 1_000;

/// The rooms that are asked for, so that memberships are known after the first pages.
const ASKED_ROOMS: usize = 100;

/// How long the pages of a round took.
struct Times {
    sql: Histogram<u64>,
    newest: Histogram<u64>,
    deep: Histogram<u64>,
}

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let services = plan.services()?;
    let ground = services.ground()?;
    let server = Server::on_services(&plan.roomcast, "gateway", &ground.env)?;
    let cast = Cast {
        users: 1,
        rooms: 0,
        rooms_of: vec![Vec::new()],
    };
    let user = World::make(&server, &cast)?.users.remove(0);
    let mut history = History::make(&ground.database_url, &user.id)?;
    let [mut sql, mut newest, mut deep, mut small] = [(); 4].map(|()| Figures::new(Unit::Millis));
    let [(small_seq, small_rows), (large_seq, large_rows)] = [SMALL, LARGE].map(|millions| {
        let millions = if plan.is_quick {
            millions / 10.0
        } else {
            millions
        };
        let each_room = (millions * 1e6) as i64 / ROOMS;
        (each_room, format!("{millions} million rows"))
    });
    history.fill_to(small_seq)?;
    plan.rounds(&format!("history, {small_rows}"), || {
        let times = round(plan, &history, &server, &user.token, small_seq)?;
        small.push(ms(&times.newest, 0.5));
        Ok(())
    })?;
    history.fill_to(large_seq)?;
    plan.rounds(&format!("history, {large_rows}"), || {
        let times = round(plan, &history, &server, &user.token, large_seq)?;
        sql.push(ms(&times.sql, 0.5));
        newest.push(ms(&times.newest, 0.5));
        deep.push(ms(&times.deep, 0.5));
        Ok(())
    })?;
    let line = |measure: &str, floor: &Figures, found: &Figures, judged, most| Line {
        row: 11,
        measure: measure.to_owned(),
        preset: Preset::Services,
        floor: Some(floor.clone()),
        roomcast: found.clone(),
        judged,
        goal: Goal::AtMost(most),
    };
    Ok(vec![
        line(
            &format!("p50 of the newest page of 50, {large_rows}, HTTP beside hand-written SQL"),
            &sql,
            &newest,
            newest.above(&sql),
            0.3,
        ),
        line(
            &format!("p50 of a random deep page, {large_rows} (the floor: the newest)"),
            &newest,
            &deep,
            deep.over(&newest),
            2.0,
        ),
        line(
            &format!("p50 of the newest page at {large_rows} (the floor: at {small_rows})"),
            &small,
            &newest,
            newest.over(&small),
            1.3,
        ),
    ])
}

fn round(
    plan: &Plan,
    history: &History,
    server: &Server,
    token: &str,
    last_seq: i64,
) -> anyhow::Result<Times> {
    // A connection of its own: the server has hung up on one that waited while rows were made.
    let mut rest = server.rest()?;
    let mut times = Times {
        sql: histogram()?,
        newest: histogram()?,
        deep: histogram()?,
    };
    for n in 0..plan.scaled(PAGES) + ASKED_ROOMS {
        let room = n % ASKED_ROOMS;
        let place = history.id(room, fastrand::i64(100..last_seq));
        let path = format!("/rooms/{}/messages", history.rooms[room]);
        let sql = timed(|| history.newest(room))?;
        let newest = timed(|| page(&mut rest, &path, token))?;
        let deep = timed(|| page(&mut rest, &format!("{path}?before={place}"), token))?;
        // The first page of a room looks up who is its member.
        if n >= ASKED_ROOMS {
            times.sql.record(sql)?;
            times.newest.record(newest)?;
            times.deep.record(deep)?;
        }
    }
    Ok(times)
}

/// Returns how many microseconds something took.
fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_micros().max(1) as u64)
}

fn page(rest: &mut Rest, path: &str, token: &str) -> anyhow::Result<()> {
    let (status, body) = rest.call("GET", path, token, "")?;
    ensure!(status == 200, "{path}: {status}");
    let messages = body
        .windows(6)
        .filter(|window| window == b"\"seq\":")
        .count();
    ensure!(messages == 50, "{path}: {messages} messages");
    Ok(())
}
