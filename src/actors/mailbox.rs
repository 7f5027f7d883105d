//! Mailboxes that are counted: a message waits from when it is sent until it is handled or
//! dropped, whatever happens to the actor meanwhile.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::{
    Actor, Addr, Handler, Message,
    dev::{MessageResponse, OneshotSender, ToEnvelope},
    prelude::{Request, SendError},
};

use crate::metrics::{self, ActorKind, Handling};

/// An actor whose messages are counted.
pub trait Counted: Actor {
    /// The type's name in the metrics.
    const KIND: ActorKind;
}

/// The address of an actor, and how many messages wait for it. Clones share it: actix makes two
/// allocations for each clone of an address, and each has a place of its own in a full mailbox.
pub struct Mailbox<A: Actor>(Arc<Shared<A>>);

struct Shared<A: Actor> {
    addr: Addr<A>,
    depth: Arc<AtomicUsize>,
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Actor> fmt::Debug for Mailbox<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}

impl<A: Actor> Mailbox<A> {
    /// Returns how many messages wait in it, of those that were sent by it and its clones.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.depth.load(Ordering::Relaxed)
    }

    /// Returns whether the actor lives.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.0.addr.connected()
    }
}

impl<A: Counted> Mailbox<A> {
    /// Begins to count the messages of an actor.
    #[must_use]
    pub fn new(addr: Addr<A>) -> Self {
        Self(Arc::new(Shared {
            addr,
            depth: Arc::default(),
        }))
    }

    /// Asks: waits for room in the mailbox, and for the answer.
    pub fn send<M>(&self, message: M) -> Request<A, Posted<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Posted<M>>,
        A::Context: ToEnvelope<A, Posted<M>>,
    {
        self.0.addr.send(self.post(message))
    }

    /// Tells, if there is room in the mailbox.
    ///
    /// # Errors
    /// When there is none, or the actor has ended.
    pub fn try_send<M>(&self, message: M) -> Result<(), Undelivered>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Posted<M>>,
        A::Context: ToEnvelope<A, Posted<M>>,
    {
        let sent = self.0.addr.try_send(self.post(message));
        sent.map_err(|error| match error {
            SendError::Full(_) => Undelivered::Full,
            SendError::Closed(_) => Undelivered::Closed,
        })
    }

    fn post<M>(&self, message: M) -> Posted<M> {
        metrics::get().actor(A::KIND).queued();
        self.0.depth.fetch_add(1, Ordering::Relaxed);
        Posted {
            message,
            waiting: Waiting {
                kind: A::KIND,
                depth: Arc::clone(&self.0.depth),
                is_handled: false,
            },
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    #[error("the mailbox is full")]
    Full,
    #[error("the actor has ended")]
    Closed,
}

/// A message on its way to an actor.
pub struct Posted<M> {
    message: M,
    waiting: Waiting,
}

impl<M: Message> Message for Posted<M> {
    type Result = M::Result;
}

impl<M> Posted<M> {
    /// Takes the message out of the mailbox: it is being handled until the other is dropped.
    pub(super) fn open(mut self) -> (M, Handling) {
        self.waiting.is_handled = true;
        let handling = metrics::get().actor(self.waiting.kind).begin();
        (self.message, handling)
    }
}

/// A place in a mailbox, until it is dropped.
struct Waiting {
    kind: ActorKind,
    depth: Arc<AtomicUsize>,
    is_handled: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.depth.fetch_sub(1, Ordering::Relaxed);
        metrics::get().actor(self.kind).left(self.is_handled);
    }
}

/// What a handler answers, passed on as it is.
pub struct Answer<R>(pub(super) R);

impl<A, M, R> MessageResponse<A, Posted<M>> for Answer<R>
where
    A: Actor,
    M: Message,
    R: MessageResponse<A, M>,
{
    fn handle(self, ctx: &mut A::Context, tx: Option<OneshotSender<M::Result>>) {
        self.0.handle(ctx, tx);
    }
}

/// Has actors handle what comes by a [`Mailbox`] with the handlers that they have.
macro_rules! counted {
    ($($actor:ty as $kind:ident;)+) => {$(
        impl Counted for $actor {
            const KIND: ActorKind = ActorKind::$kind;
        }

        impl<M: Message> Handler<Posted<M>> for $actor
        where
            Self: Handler<M>,
        {
            type Result = Answer<<Self as Handler<M>>::Result>;

            fn handle(&mut self, posted: Posted<M>, ctx: &mut Self::Context) -> Self::Result {
                let (message, _handling) = posted.open();
                Answer(<Self as Handler<M>>::handle(self, message, ctx))
            }
        }
    )+};
}

counted! {
    super::session::SessionActor as Session;
    super::room::RoomActor as Room;
    super::room_registry::RoomRegistry as RoomRegistry;
    super::presence::PresenceActor as Presence;
    super::kafka_bridge::KafkaBridge as KafkaBridge;
    super::persistor::PersistorActor as Persistor;
}
