//! Row 5: the memory of sockets that do nothing but live.

use std::time::Duration;

use super::Plan;
use crate::{
    crowd::{self, Crowd, Seat},
    figures::{Figures, Unit},
    floor::Listening,
    frame,
    process::{self, Core},
    table::{Goal, Line, Preset},
    world::{Cast, Stage},
};

const SOCKETS: usize = 5_000;

/// Rooms that every socket has one of.
const ROOMS: usize = 100;

/// Sockets that join further rooms, those rooms, and how many of them each joins.
const JOINERS: usize = 500;
const FURTHER_ROOMS: usize = 250;
const FURTHER_EACH: usize = 50;

const AT_ONCE: usize = 50;

/// What is left over from connecting has been done after this time.
const SETTLE: Duration = Duration::from_secs(3);

struct Found {
    per_socket: f64,
    per_room: f64,
}

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let cast = Cast {
        users: SOCKETS,
        rooms: ROOMS + FURTHER_ROOMS,
        rooms_of: (0..SOCKETS)
            .map(|user| std::iter::once(user % ROOMS).chain(further(user)).collect())
            .collect(),
    };
    let stage = Stage::set(&plan.roomcast, &cast)?;
    let (mut floor, mut per_socket) = (Figures::new(Unit::KiB), Figures::new(Unit::KiB));
    let mut per_room = Figures::new(Unit::Bytes);
    plan.rounds("idle memory", || {
        let bare = of_floor()?;
        let found = of_roomcast(plan, &stage)?;
        floor.push(bare);
        per_socket.push(found.per_socket);
        per_room.push(found.per_room);
        Ok(())
    })?;
    Ok(vec![
        Line {
            row: 5,
            measure: "resident memory an idle signed-in socket, 5,000 of them, a room each"
                .to_owned(),
            preset: Preset::Embedded,
            floor: Some(floor),
            judged: per_socket.clone(),
            roomcast: per_socket,
            goal: Goal::AtMost(12.0),
        },
        Line {
            row: 5,
            measure: "resident memory a further joined room".to_owned(),
            preset: Preset::Embedded,
            floor: None,
            judged: per_room.clone(),
            roomcast: per_room,
            goal: Goal::AtMost(64.0),
        },
    ])
}

/// The further rooms of a user; each room has as many members as any other.
fn further(user: usize) -> impl Iterator<Item = usize> {
    let number = if user < JOINERS { FURTHER_EACH } else { 0 };
    (0..number).map(move |n| ROOMS + (user + n) % FURTHER_ROOMS)
}

fn of_floor() -> anyhow::Result<f64> {
    let floor = Listening::broadcaster(Core::Any)?;
    crowd::run(async {
        let before = process::resident_bytes(floor.pid())?;
        let crowd = Crowd::connect(floor.addr, vec![Seat::Floor; SOCKETS], AT_ONCE).await?;
        let grown = process::resident_bytes(floor.pid())?.saturating_sub(before);
        crowd.check()?;
        Ok(grown as f64 / 1024.0 / SOCKETS as f64)
    })
}

/// Measures all that the process has grown by since it was ready.
fn of_roomcast(plan: &Plan, stage: &Stage) -> anyhow::Result<Found> {
    let (server, _folder) = stage.serve(&plan.roomcast, Core::Any)?;
    let world = &stage.world;
    crowd::run(async {
        let resident = || process::resident_bytes(server.pid());
        let before = resident()?;
        let seats = (0..SOCKETS).map(|user| Seat::in_room(world, user, user % ROOMS));
        let crowd = Crowd::connect(server.addr, seats.collect(), AT_ONCE).await?;
        for _ in 0..2 {
            (0..SOCKETS).try_for_each(|socket| crowd.write(socket, &frame::heartbeat()))?;
            tokio::time::sleep(SETTLE).await;
        }
        let idle = resident()?;
        for n in 0..FURTHER_EACH {
            for user in 0..JOINERS {
                let room = ROOMS + (user + n) % FURTHER_ROOMS;
                crowd.write(user, &frame::join_room(&world.rooms[room]))?;
            }
            // Not all at once: what is measured is what stays.
            crowd.joined(((n + 1) * JOINERS) as u64).await?;
        }
        tokio::time::sleep(SETTLE).await;
        let joined = resident()?;
        crowd.check()?;
        let rooms = (JOINERS * FURTHER_EACH) as f64;
        Ok(Found {
            per_socket: (idle - before) as f64 / 1024.0 / SOCKETS as f64,
            per_room: joined.saturating_sub(idle) as f64 / rooms,
        })
    })
}
