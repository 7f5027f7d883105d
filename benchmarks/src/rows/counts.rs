//! Row 3: what a delivery, a send and a session cost in instructions outside the kernel, and in
//! system calls.
//!
//! Two runs of different length are subtracted, so that starting and ending do not count. The
//! counts are nearly the same in every round: there is one.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::{
    Plan,
    fanout::{AT_ONCE, SOCKETS, USERS, Way, cast, send},
};
use crate::{
    counting::Counter,
    crowd::{self, Crowd, Seat},
    figures::Figures,
    floor::Listening,
    server::Server,
    table::{Goal, Line, Preset},
    world::Stage,
};

/// What is counted, in two lengths.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// One message at a time to a room of 1,000.
    Deliveries,
    /// One message at a time from who is alone in a room, with its acknowledgement and its delivery.
    Sends,
    /// From the handshake to the hang-up, with a room that is joined.
    Sessions,
}

impl Load {
    fn measure(self) -> &'static str {
        match self {
            Self::Deliveries => "a delivery, room of 1,000, one message at a time",
            Self::Sends => "a send, alone in its room, one message at a time",
            Self::Sessions => "a session: connects, signs in, joins a room, hangs up",
        }
    }

    fn lengths(self) -> [usize; 2] {
        match self {
            Self::Deliveries => [10_000, 40_000],
            Self::Sends | Self::Sessions => [100, 500],
        }
    }

    fn sockets(self, length: usize) -> usize {
        match self {
            Self::Deliveries => SOCKETS,
            Self::Sends => 1,
            Self::Sessions => length,
        }
    }

    fn deliveries(self, length: usize) -> usize {
        match self {
            Self::Deliveries | Self::Sends => length,
            Self::Sessions => 0,
        }
    }
}

/// The counts in their order; the first has a goal, and `--quick` takes it alone.
const COUNTS: [(Counter, Load); 6] = [
    (Counter::Instructions, Load::Deliveries),
    (Counter::Instructions, Load::Sends),
    (Counter::Instructions, Load::Sessions),
    (Counter::SystemCalls, Load::Deliveries),
    (Counter::SystemCalls, Load::Sends),
    (Counter::SystemCalls, Load::Sessions),
];

const INSTRUCTIONS_A_DELIVERY: f64 = 3_000.0;

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let stage = Stage::set(&plan.roomcast, &cast(1))?;
    let once = Plan::new(plan.roomcast.clone(), 1, plan.is_quick);
    let counts = if plan.is_quick { &COUNTS[..1] } else { &COUNTS };
    let line = |(place, (counter, load)): (usize, &(Counter, Load))| {
        let [mut floor, mut found] = [(); 2].map(|()| Figures::new(counter.unit()));
        once.rounds("counts", || {
            floor.push(each(*load, |length| of_floor(*counter, *load, length))?);
            found.push(each(*load, |length| {
                of_roomcast(plan, &stage, *counter, *load, length)
            })?);
            Ok(())
        })?;
        Ok(Line {
            row: 3,
            measure: format!("{} {}", counter.measure(), load.measure()),
            preset: Preset::Embedded,
            floor: Some(floor),
            judged: found.clone(),
            roomcast: found,
            goal: match place {
                0 => Goal::AtMost(INSTRUCTIONS_A_DELIVERY),
                _ => Goal::Free,
            },
        })
    };
    counts.iter().enumerate().map(line).collect()
}

/// Returns the difference of the two lengths, for each of what the longer has more.
fn each(load: Load, mut count: impl FnMut(usize) -> anyhow::Result<u64>) -> anyhow::Result<f64> {
    let [short, long] = load.lengths();
    let (less, more) = (count(short)?, count(long)?);
    Ok(more.saturating_sub(less) as f64 / (long - short) as f64)
}

fn of_floor(counter: Counter, load: Load, length: usize) -> anyhow::Result<u64> {
    let folder = TempDir::new()?;
    let log = folder.path().join("counts");
    let command = counter.command(&std::env::current_exe()?, &log);
    let floor = Listening::broadcaster_by(command)?;
    let room = vec!["67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned()];
    let seats = vec![Seat::Floor; load.sockets(length)];
    run(floor.addr, seats, &room, load.deliveries(length))?;
    floor.stop()?;
    counter.read(&log)
}

fn of_roomcast(
    plan: &Plan,
    stage: &Stage,
    counter: Counter,
    load: Load,
    length: usize,
) -> anyhow::Result<u64> {
    let copy = stage.copy()?;
    let log = copy.path().join("counts");
    let server = Server::embedded_by(counter.command(&plan.roomcast, &log), copy.path())?;
    let world = &stage.world;
    let seats = (0..load.sockets(length)).map(|socket| Seat::in_room(world, socket % USERS, 0));
    let deliveries = load.deliveries(length);
    run(server.addr, seats.collect(), &world.rooms, deliveries)?;
    server.stop()?;
    counter.read(&log)
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
