//! Supervision: a dead child is built anew by its factory, within a budget.
//!
//! `actix::Supervisor` does not survive a panic, so supervision is ours: a supervised actor's
//! `stopped`, which also runs while its panic unwinds, sends [`ChildDown`] to its supervisor.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient};

use super::{Reference, mailbox::Counted};
use crate::metrics::{self, ActorKind};

/// A child's deaths that its supervisor bears within [`BUDGET_WINDOW`].
const BUDGET_DEATHS: usize = 3;

/// The time in which deaths count against the budget.
const BUDGET_WINDOW: Duration = Duration::from_secs(30);

/// How long a supervisor waits before it builds a child anew; doubled with each recent death.
const RESTART_DELAY: Duration = Duration::from_millis(50);

/// A child's recent deaths.
#[derive(Debug, Default)]
pub struct Budget(VecDeque<Instant>);

impl Budget {
    /// Notes a death; returns how long to wait before the next life, `None` over the budget.
    pub fn spend(&mut self, now: Instant) -> Option<Duration> {
        while self
            .0
            .front()
            .is_some_and(|death| now.duration_since(*death) > BUDGET_WINDOW)
        {
            self.0.pop_front();
        }
        self.0.push_back(now);
        let deaths = self.0.len();
        (deaths <= BUDGET_DEATHS).then(|| RESTART_DELAY * (1 << (deaths - 1)))
    }
}

/// A child has stopped. Sent by its `stopped`, also while a panic unwinds.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ChildDown<Id: Send + 'static = ()> {
    pub child: Id,
    /// False when it was asked to stop.
    pub panicked: bool,
}

/// What a child holds of its supervisor.
#[derive(Debug, Clone)]
pub struct Guardian<Id: Send + 'static = ()> {
    supervisor: Recipient<ChildDown<Id>>,
    child: Id,
}

impl<Id: Copy + Send + 'static> Guardian<Id> {
    /// Makes what `child` is given of its supervisor.
    #[must_use]
    pub fn new(supervisor: Recipient<ChildDown<Id>>, child: Id) -> Self {
        Self { supervisor, child }
    }

    /// Tells the supervisor that its child has stopped; to be called in `stopped`.
    pub fn child_down(&self) {
        let (child, panicked) = (self.child, std::thread::panicking());
        self.supervisor.do_send(ChildDown { child, panicked });
    }
}

/// Supervises one long-lived actor; over the budget the process ends.
pub struct Supervisor<A: Actor> {
    kind: ActorKind,
    child: Option<Reference<A>>,
    factory: Box<dyn Fn(Guardian) -> Addr<A>>,
    budget: Budget,
}

impl<A: Counted<Context = Context<A>>> Supervisor<A> {
    /// Starts a child under a new supervisor on this arbiter; returns the child's reference.
    pub fn start_child(
        kind: ActorKind,
        factory: impl Fn(Guardian) -> Addr<A> + 'static,
    ) -> Reference<A> {
        let mut reference = None;
        Self::create(|ctx| {
            let child = Reference::new(factory(Guardian::new(ctx.address().recipient(), ())));
            reference = Some(child.clone());
            Self {
                kind,
                child: Some(child),
                factory: Box::new(factory),
                budget: Budget::default(),
            }
        });
        reference.expect("`create` runs its argument before it returns")
    }

    fn rebuild(&self, ctx: &Context<Self>) {
        if let Some(child) = &self.child {
            metrics::get().actor(self.kind).restarted();
            child.replace((self.factory)(Guardian::new(ctx.address().recipient(), ())));
            log::warn!(actor = self.kind.name(); "actor built anew after a panic");
        }
    }
}

impl<A: Counted<Context = Context<A>>> Actor for Supervisor<A> {
    type Context = Context<Self>;
}

impl<A: Counted<Context = Context<A>>> Handler<ChildDown> for Supervisor<A> {
    type Result = ();

    fn handle(&mut self, down: ChildDown, ctx: &mut Context<Self>) {
        if !down.panicked {
            return;
        }
        match self.budget.spend(Instant::now()) {
            Some(delay) => {
                ctx.run_later(delay, |this, ctx| this.rebuild(ctx));
            }
            None => give_up(self.kind),
        }
    }
}

/// Ends the process: an actor that everything depends on keeps dying.
pub fn give_up(kind: ActorKind) {
    log::error!(actor = kind.name(); "actor died too often: the process ends");
    actix::System::try_current()
        .map_or_else(|| std::process::exit(1), |system| system.stop_with_code(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_death_within_the_window_is_one_too_many() {
        let mut budget = Budget::default();
        let start = Instant::now();
        let spend = |budget: &mut Budget, s| budget.spend(start + Duration::from_secs(s)).is_some();
        assert!(spend(&mut budget, 0));
        assert!(spend(&mut budget, 1));
        assert!(spend(&mut budget, 2));
        assert!(!spend(&mut budget, 3));
        assert!(spend(&mut budget, 40), "forgotten by then");
    }
}
