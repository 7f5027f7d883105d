//! Rows 1, 2 and 4: what a delivery costs the server, beside a broadcaster that only writes.
//!
//! A thousand sockets are there. One message at a time, or ten written at once, is awaited by all
//! who are in its room before the next is sent, so that nothing but the server's own work counts.

use std::{net::SocketAddr, time::Duration};

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

pub(super) const SOCKETS: usize = 1_000;
pub(super) const USERS: usize = 50;

/// Connections that are set up at a time.
pub(super) const AT_ONCE: usize = 50;

/// Deliveries of a measurement, and before it.
const DELIVERIES: usize = 300_000;
const WARM_UP: usize = 20_000;

/// Who sends when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// So many messages, written at once, to one room after the other.
    Burst(usize),
    /// A message to each room at the same time.
    EveryRoom,
}

/// A load, and what it found.
struct Case {
    rooms: usize,
    way: Way,
    deliveries: usize,
    found: Figures,
}

impl Case {
    fn new(plan: &Plan, rooms: usize, way: Way, deliveries: usize) -> Self {
        Self {
            rooms,
            way,
            deliveries: plan.scaled(deliveries),
            found: Figures::new(Unit::Micros),
        }
    }
}

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let stages = [1, 10, 100]
        .into_iter()
        .map(|rooms| Ok((rooms, Stage::set(&plan.roomcast, &cast(rooms))?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut floor = Case::new(plan, 1, Way::Burst(1), DELIVERIES);
    let mut cases = [
        Case::new(plan, 1, Way::Burst(1), DELIVERIES),
        Case::new(plan, 1, Way::Burst(10), DELIVERIES),
        Case::new(plan, 10, Way::Burst(1), DELIVERIES / 3),
        Case::new(plan, 100, Way::Burst(1), DELIVERIES / 15),
        Case::new(plan, 10, Way::EveryRoom, DELIVERIES / 3),
        Case::new(plan, 100, Way::EveryRoom, DELIVERIES / 3),
    ];
    process::move_to(Core::Load)?;
    let measured = plan.rounds("fan-out", || {
        let mut costs = vec![of_floor(&floor)?];
        for case in &cases {
            let (_, stage) = stages
                .iter()
                .find(|(rooms, _)| *rooms == case.rooms)
                .expect("there is a stage for each number of rooms");
            costs.push(of_roomcast(plan, stage, case)?);
        }
        floor.found.push(costs[0]);
        let found = cases.iter_mut().zip(&costs[1..]);
        found.for_each(|(case, cost)| case.found.push(*cost));
        Ok(())
    });
    process::move_to(Core::Any)?;
    measured?;
    Ok(lines(&floor.found, cases.map(|case| case.found)))
}

fn lines(floor: &Figures, found: [Figures; 6]) -> Vec<Line> {
    let line = |row, measure: &str, found: &Figures, floor: &Figures, most| Line {
        row,
        measure: format!("server CPU a delivery, {measure}"),
        preset: Preset::Embedded,
        floor: Some(floor.clone()),
        roomcast: found.clone(),
        judged: found.over(floor),
        goal: Goal::AtMost(most),
    };
    let [one, ten, hundreds, tens, hundreds_together, tens_together] = &found;
    let of_row_1 = "(the floor is row 1)";
    vec![
        line(1, "room of 1,000, one message at a time", one, floor, 1.3),
        line(2, "room of 1,000, ten messages at once", ten, floor, 0.3),
        line(
            4,
            &format!("one message at a time, rooms of 100 {of_row_1}"),
            hundreds,
            one,
            1.3,
        ),
        line(
            4,
            &format!("one message at a time, rooms of 10 {of_row_1}"),
            tens,
            one,
            2.5,
        ),
        line(
            4,
            &format!("a message to each room at once, rooms of 100 {of_row_1}"),
            hundreds_together,
            one,
            1.3,
        ),
        line(
            4,
            &format!("a message to each room at once, rooms of 10 {of_row_1}"),
            tens_together,
            one,
            2.5,
        ),
    ]
}

/// Each user has a socket in every room whose number is theirs modulo the number of users.
pub(super) fn cast(rooms: usize) -> Cast {
    let rooms_of = |user: usize| (user % rooms..rooms).step_by(USERS).collect();
    Cast {
        users: USERS,
        rooms,
        rooms_of: (0..USERS).map(rooms_of).collect(),
    }
}

fn of_floor(case: &Case) -> anyhow::Result<f64> {
    let floor = Listening::broadcaster(Core::Server)?;
    let room = vec!["67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned()];
    run(
        floor.addr,
        floor.pid(),
        vec![Seat::Floor; SOCKETS],
        &room,
        case,
    )
}

fn of_roomcast(plan: &Plan, stage: &Stage, case: &Case) -> anyhow::Result<f64> {
    let (server, _folder) = stage.serve(&plan.roomcast, Core::Server)?;
    let world = &stage.world;
    let seat = |socket: usize| Seat::in_room(world, socket % USERS, socket % case.rooms);
    let seats = (0..SOCKETS).map(seat).collect();
    run(server.addr, server.pid(), seats, &world.rooms, case)
}

/// Returns the server's microseconds a delivery.
fn run(
    addr: SocketAddr,
    pid: u32,
    seats: Vec<Seat>,
    rooms: &[String],
    case: &Case,
) -> anyhow::Result<f64> {
    crowd::run(async {
        let crowd = Crowd::connect(addr, seats, AT_ONCE).await?;
        // What joining causes is over.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut sent = 0;
        send(&crowd, rooms, case.way, WARM_UP, &mut sent).await?;
        let before = process::cpu(pid)?;
        let deliveries = send(&crowd, rooms, case.way, case.deliveries, &mut sent).await?;
        let used = process::cpu(pid)?.saturating_sub(before);
        crowd.check()?;
        Ok(used.as_secs_f64() * 1e6 / deliveries as f64)
    })
}

/// Sends until there were so many deliveries; returns how many there were.
pub(super) async fn send(
    crowd: &Crowd,
    rooms: &[String],
    way: Way,
    deliveries: usize,
    sent: &mut usize,
) -> anyhow::Result<usize> {
    let in_room = crowd.len() / rooms.len();
    let mut done = 0;
    while done < deliveries {
        let (here, messages) = match way {
            Way::Burst(messages) => (*sent % rooms.len()..*sent % rooms.len() + 1, messages),
            Way::EveryRoom => (0..rooms.len(), 1),
        };
        let wave = here.len() * messages * in_room;
        for room in here {
            // The sockets of a room are those whose number is its own modulo the number of rooms.
            let member = room + *sent / rooms.len() % in_room * rooms.len();
            let frames = (0..messages).map(|_| frame::send_message(&rooms[room]));
            crowd.write(member, &frames.collect::<Vec<_>>().concat())?;
            *sent += 1;
        }
        crowd.arrive(wave as u64).await?;
        done += wave;
    }
    Ok(done)
}
