//! A run from its first request to the verdict.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use super::{
    client::Client,
    latency::Latency,
    ledger::Ledger,
    marks::Mark,
    pages,
    plan::Plan,
    progress::{Progress, words},
    report::{Loaded, Report},
    rest::Rest,
    setup,
    verify::verify,
    world::{Phase, Pulse, World},
};

/// How often the clients are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long nothing may change before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long late copies may take after all has arrived.
const AFTERMATH: Duration = Duration::from_millis(250);

/// Runs a plan. Once `stop` is notified, the load ends and is verified.
///
/// # Errors
/// When nothing can be measured, or not verified.
pub(crate) async fn run(plan: Plan, stop: &Notify) -> anyhow::Result<Report> {
    let progress = Progress::new();
    let ended = run_shown(plan, stop, &progress).await;
    progress.clear();
    ended
}

async fn run_shown(plan: Plan, stop: &Notify, progress: &Progress) -> anyhow::Result<Report> {
    progress.say("making users and rooms".to_owned());
    let rest = Rest::new();
    let stage = setup::set(&plan, &rest).await?;
    let (phase, world) = begin(plan, rest, stage);
    for number in 0..world.plan.clients {
        let client = Client::new(number, Rc::clone(&world));
        actix::spawn(client.run());
    }
    gather(&world, progress).await?;
    let loaded = load(&world, &phase, stop, progress).await;
    settle(&world, progress).await;
    phase.send_replace(Phase::Done);
    progress.say("reading history".to_owned());
    let histories = pages::histories(&world).await;
    let histories = histories.context("history cannot be read, so that nothing is verified")?;
    let ledger = world.ledger.borrow();
    let verdict = verify(&ledger, &histories);
    let latency = world.latency.borrow();
    let reconnects = world.reconnects.get();
    Ok(Report::new(
        &world.plan,
        ledger.counts,
        verdict,
        &latency,
        reconnects,
        &loaded,
    ))
}

fn begin(plan: Plan, rest: Rest, stage: setup::Stage) -> (watch::Sender<Phase>, Rc<World>) {
    let (sender, phase) = watch::channel(Phase::Gather);
    let seats = (0..plan.clients).map(|client| plan.rooms_of(client).collect());
    let ledger = Ledger::new(Mark::random(), stage.rooms, seats.collect());
    let world = World {
        pulses: (0..plan.clients).map(|_| Pulse::default()).collect(),
        plan,
        rest,
        users: stage.users,
        ledger: RefCell::new(ledger),
        latency: RefCell::new(Latency::new()),
        phase,
        reconnects: Cell::new(0),
        last_trouble: RefCell::new(None),
        origin: Instant::now(),
    };
    (sender, Rc::new(world))
}

/// Waits until every client has joined its rooms.
async fn gather(world: &World, progress: &Progress) -> anyhow::Result<()> {
    let joined = || {
        world
            .pulses
            .iter()
            .filter(|pulse| pulse.is_joined.get())
            .count()
    };
    let all = world.pulses.len();
    let is_done = until(joined, || {
        progress.say(format!("{} of {all} clients are there", joined()));
        joined() == all
    });
    if !is_done.await {
        let trouble = world.last_trouble.borrow().clone();
        let trouble = trouble.unwrap_or_else(|| "the server does not answer".to_owned());
        bail!(
            "only {} of {all} clients could join their rooms: {trouble}",
            joined()
        );
    }
    world.reconnects.set(0);
    Ok(())
}

/// Lets the clients send until the time is over, or it is stopped; returns how far they got.
async fn load(
    world: &World,
    phase: &watch::Sender<Phase>,
    stop: &Notify,
    progress: &Progress,
) -> Loaded {
    let began = Instant::now();
    let end = began + world.plan.duration;
    progress.begin_load(world.plan.duration);
    phase.send_replace(Phase::Load { began, end });
    let watching = async {
        while Instant::now() < end {
            progress.load(began.elapsed(), world.ledger.borrow().counts);
            sleep(LOOK.min(end - Instant::now())).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stop.notified() => {
            let end = Instant::now();
            phase.send_replace(Phase::Load { began, end });
        }
    }
    progress.end_load();
    Loaded {
        seconds: began.elapsed().as_secs_f64(),
        counts: world.ledger.borrow().counts,
    }
}

/// Waits until all that was accepted has arrived, or nothing changes any more.
async fn settle(world: &World, progress: &Progress) {
    let counts = || world.ledger.borrow().counts;
    until(counts, || {
        progress.say(format!("waiting for the rest: {}", words(counts())));
        let is_idle = world.pulses.iter().all(|pulse| pulse.is_idle.get());
        is_idle && world.ledger.borrow().is_delivered()
    })
    .await;
    sleep(AFTERMATH).await;
}

/// Looks until something is so; returns `false` when nothing has changed for too long before.
async fn until<T: PartialEq>(state: impl Fn() -> T, mut is_so: impl FnMut() -> bool) -> bool {
    let mut last = state();
    let mut changed_at = Instant::now();
    while !is_so() {
        if changed_at.elapsed() > PATIENCE {
            return false;
        }
        sleep(LOOK).await;
        let current = state();
        if current != last {
            (last, changed_at) = (current, Instant::now());
        }
    }
    true
}
