//! Row 12: readers that stop reading, and those beside them.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;

use super::Plan;
use crate::{
    crowd::{self, Crowd, Seat},
    figures::{Figures, Unit},
    frame,
    open_loop::{self, Beat},
    process::{self, Core},
    server::Server,
    table::{Goal, Line, Preset},
    world::{Cast, Stage},
};

const READERS: usize = 100;

/// Readers that stop together, to see what each costs.
const MANY: usize = 25;

const PER_S: u32 = 100;
const CONTENT_CHARS: usize = 4_000;
const SECONDS: usize = 6;

/// How often memory is looked at, and at which looks the counters are, too: reading them takes the
/// readers' time.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: usize = 10;

/// How long to wait for a cut.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let cast = Cast {
        users: READERS,
        rooms: 1,
        rooms_of: vec![vec![0]; READERS],
    };
    let stage = Stage::set(&plan.roomcast, &cast)?;
    let [mut calm, mut disturbed] = [open_loop::histogram()?, open_loop::histogram()?];
    let (mut memory, mut cut) = (Figures::new(Unit::KiB), Figures::new(Unit::Seconds));
    process::move_to(Core::Load)?;
    let measured = plan.rounds("stalled readers", || {
        let (server, _folder) = stage.serve(&plan.roomcast, Core::Server)?;
        let found = crowd::run(round(plan, &stage, &server))?;
        calm.add(found.calm)?;
        disturbed.add(found.disturbed)?;
        memory.push(found.kib_each);
        cut.push(found.cut_s);
        Ok(())
    });
    process::move_to(Core::Any)?;
    measured?;
    let quiet = open_loop::pooled(&calm, 0.99);
    let beside = open_loop::pooled(&disturbed, 0.99);
    let line = |measure: String, floor, roomcast: Figures, judged, most| Line {
        row: 12,
        measure,
        preset: Preset::Embedded,
        floor,
        roomcast,
        judged,
        goal: Goal::AtMost(most),
    };
    Ok(vec![
        line(
            format!("growth of resident memory for each of {MANY} readers that stop at once"),
            None,
            memory.clone(),
            memory,
            256.0,
        ),
        line(
            "from the moment at which one of 100 stops reading until it is cut".to_owned(),
            None,
            cut.clone(),
            cut,
            10.0,
        ),
        line(
            format!(
                "p99 of a delivery to the others (the floor: nobody stops; {} samples)",
                calm.len()
            ),
            Some(quiet.clone()),
            beside.clone(),
            beside.over(&quiet),
            1.1,
        ),
    ])
}

struct Round {
    calm: Histogram<u64>,
    disturbed: Histogram<u64>,
    kib_each: f64,
    cut_s: f64,
}

/// What is seen of the server while messages are sent.
struct Watched {
    most_bytes: u64,
    /// When as many sockets had been closed as were slow.
    cut_at: Option<Instant>,
}

async fn round(plan: &Plan, stage: &Stage, server: &Server) -> anyhow::Result<Round> {
    let seats = (0..READERS).map(|user| Seat::in_room(&stage.world, user, 0));
    let crowd = Crowd::connect(server.addr, seats.collect(), READERS).await?;
    let room = &stage.world.rooms[0];
    let seconds = plan.scaled(SECONDS);
    // The first messages find memory, and connections to the store.
    load(&crowd, room, server, 1, READERS, 0).await?;
    crowd.keep_times()?;
    let quiet = load(&crowd, room, server, seconds, READERS, 0).await?;
    let calm = crowd.times().context("times were kept")?;
    crowd.keep_times()?;
    let stopped_at = Instant::now();
    crowd.stall(READERS - 1);
    let one = load(&crowd, room, server, seconds, READERS - 1, 1).await?;
    let disturbed = crowd.times().context("times were kept")?;
    let cut_at = one.cut_at.context("the reader was not cut")?;
    (0..MANY).for_each(|n| crowd.stall(READERS - 2 - n));
    let many = load(&crowd, room, server, seconds, READERS - 1 - MANY, 1 + MANY).await?;
    ensure!(many.cut_at.is_some(), "not all readers were cut");
    let before = quiet.most_bytes.max(one.most_bytes);
    Ok(Round {
        calm,
        disturbed,
        kib_each: many.most_bytes.saturating_sub(before) as f64 / 1024.0 / MANY as f64,
        cut_s: (cut_at - stopped_at).as_secs_f64(),
    })
}

/// Sends at the rate; all who read have to get everything.
async fn load(
    crowd: &Crowd,
    room: &str,
    server: &Server,
    seconds: usize,
    readers: usize,
    slow: usize,
) -> anyhow::Result<Watched> {
    let messages = seconds as u64 * u64::from(PER_S);
    let is_over = Cell::new(false);
    let sending = async {
        let content = "x".repeat(CONTENT_CHARS);
        let beat = Beat::new(PER_S);
        for number in 0..messages {
            tokio::time::sleep_until(beat.due(number).into()).await;
            crowd.sending(beat.due(number));
            crowd.write(0, &frame::send_text(room, &content))?;
        }
        crowd.arrive(messages * readers as u64).await?;
        is_over.set(true);
        anyhow::Ok(())
    };
    let watching = async {
        let mut watched = Watched {
            most_bytes: 0,
            cut_at: None,
        };
        let began = Instant::now();
        for look in 0.. {
            let is_waiting = watched.cut_at.is_none() && began.elapsed() < PATIENCE;
            if is_over.get() && !is_waiting {
                break;
            }
            let resident = process::resident_bytes(server.pid())?;
            watched.most_bytes = watched.most_bytes.max(resident);
            let is_cut =
                || anyhow::Ok(server.metric("roomcast_slow_sockets_total")? >= slow as f64);
            if look % LOOKS == 0 && watched.cut_at.is_none() && is_cut()? {
                watched.cut_at = Some(Instant::now());
            }
            tokio::time::sleep(LOOK).await;
        }
        anyhow::Ok(watched)
    };
    let (sent, watched) = tokio::join!(sending, watching);
    sent?;
    watched
}
