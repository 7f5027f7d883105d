//! One client: it connects, comes back whenever its connection ends, and stops when all is done.

use std::rc::Rc;

use tokio::time::{Instant, sleep_until};

use super::{
    outbox::Outbox,
    plan::Schedule,
    session::{Ending, Session},
    socket::{Broken, Socket},
    waits::Waits,
    world::{Phase, World},
};
use crate::cli::endpoint::Endpoint;

/// What one client keeps across its connections.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) world: Rc<World>,
    pub(super) outbox: Outbox,
    /// When its messages are due; `None` before the load begins, and without a rate.
    pub(super) schedule: Option<Schedule>,
    /// How many messages it made, to take its rooms in turn.
    pub(super) made: usize,
    waits: Waits,
}

impl Client {
    pub(super) fn new(number: usize, world: Rc<World>) -> Self {
        let outbox = Outbox::new(world.plan.window());
        Self {
            number,
            world,
            outbox,
            schedule: None,
            made: 0,
            waits: Waits::default(),
        }
    }

    /// Runs until the phase is [`Phase::Done`].
    pub(super) async fn run(mut self) {
        let world = Rc::clone(&self.world);
        let mut phase = world.phase.clone();
        let done = phase.wait_for(|phase| *phase == Phase::Done);
        tokio::select! {
            // Its sender lives as long as the run.
            _ = done => {}
            () = self.come_back_for_ever() => {}
        }
    }

    async fn come_back_for_ever(&mut self) {
        let mut goes_home = true;
        loop {
            let world = Rc::clone(&self.world);
            let gateway = match goes_home {
                true => world.home(self.number),
                false => world.any_gateway(),
            };
            let ending = self.stay(gateway).await;
            self.pulse_stops();
            self.outbox.disconnected();
            goes_home = matches!(ending, Ending::Restless);
            let wait = match ending {
                Ending::Restless => continue,
                Ending::SentAway { back_at } => {
                    sleep_until(back_at).await;
                    self.waits.next(None)
                }
                Ending::Broken { why, after } => {
                    *world.last_trouble.borrow_mut() = Some(why);
                    self.waits.next(after)
                }
            };
            sleep_until(Instant::now() + wait).await;
        }
    }

    fn pulse_stops(&self) {
        let world = &self.world;
        let pulse = &world.pulses[self.number];
        if pulse.is_joined.replace(false) {
            world.reconnects.set(world.reconnects.get() + 1);
        }
        pulse.is_idle.set(false);
    }

    /// Connects to a gateway and stays there until the connection ends.
    async fn stay(&mut self, gateway: &Endpoint) -> Ending {
        let world = Rc::clone(&self.world);
        let user = world.user(self.number);
        let token = match user.token(&world.rest, gateway).await {
            Ok(token) => token,
            Err(error) => {
                return Ending::Broken {
                    after: error.retry_after(),
                    why: error.to_string(),
                };
            }
        };
        let ended = match Socket::open(&gateway.websocket(), &token).await {
            Ok(socket) => Session::new(self, gateway).run(socket).await,
            Err(broken) => Err(broken),
        };
        match ended {
            Ok(ending) => ending,
            Err(Broken::Passing { why, after }) => Ending::Broken { why, after },
            Err(Broken::Unauthenticated) => {
                let renewal = user.renew(&world.rest, gateway, &token).await;
                let why = renewal.err().map(|error| error.to_string());
                Ending::Broken {
                    why: why.unwrap_or_else(|| Broken::Unauthenticated.to_string()),
                    after: None,
                }
            }
        }
    }

    /// Notes that all rooms are joined: the next failure is the first again.
    pub(super) fn joined(&mut self) {
        self.waits.reset();
        self.world.pulses[self.number].is_joined.set(true);
    }
}
