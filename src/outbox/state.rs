//! What an outbox holds under its lock.

use std::{sync::Arc, task::Waker, time::Instant};

use super::{Handle, queue::Queue, unacknowledged::Unacknowledged};
use crate::{
    fanout::{Delivery, SharedDelivery},
    ids::{ClientMsgId, RoomId, Seq, UserId},
    metrics,
    protocol::{
        MAX_QUEUED_BYTES,
        client::RequestId,
        close::CloseCode,
        dialect::Dialect,
        server::{Frame, MessageAccepted, ServerEvent},
        wire,
    },
    small_map::SmallMap,
};

/// Repeats that wait for their message; it is close behind, so that more are hardly ever there.
const MAX_REPEATS: usize = 1_024;

/// What they may be as frames: they are queued at once, and there has to be room for others.
const MAX_REPEATS_BYTES: usize = MAX_QUEUED_BYTES / 2;

/// Stands for the position in a room whose join has yet to be answered: beyond every message.
const JOINING: Seq = Seq(u64::MAX);

#[derive(Debug, Default)]
pub(super) struct State {
    /// A second handle of the socket. Given up with the connection: rooms may know of the outbox for
    /// a while longer, and would keep the socket open by it.
    pub(super) handle: Option<Handle>,
    pub(super) user_id: Option<UserId>,
    pub(super) dialect: Dialect,
    /// Whether the client was told that it is let in, or was before it is sent away.
    pub(super) greeted: bool,
    pub(super) queue: Queue,
    /// Who takes what the peer did not take at once.
    waker: Option<Waker>,
    /// Whether the connection has written all that it took, and sleeps.
    pub(super) is_parked: bool,
    /// Whether the flusher knows that something waits.
    pub(super) is_listed: bool,
    /// Whether a replay waits for less to wait.
    pub(super) awaits_drain: bool,
    pub(super) closing: Option<Closing>,
    /// The last seq queued, for each joined room; [`JOINING`] for one that is not joined yet.
    positions: SmallMap<RoomId, Seq>,
    /// Rooms of which a message found no room here: they go on from the position, by the store.
    pub(super) behind: Vec<RoomId>,
    /// Repeats whose message has yet to be queued for the first time, or whose sender has yet to be
    /// told where it stands in the room.
    pub(super) repeats: Vec<SharedDelivery>,
    pub(super) unacknowledged: Unacknowledged,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    pub(super) since: Instant,
    /// The peer has closed, or the connection has ended: nothing more is written.
    pub(super) gone: bool,
    /// The connection has ended.
    pub(super) ended: bool,
    /// Nothing is expected of the peer: the connection closes behind what waits.
    pub(super) fails: bool,
}

impl State {
    pub(super) fn new(handle: Option<Handle>, dialect: Dialect) -> Self {
        Self {
            handle,
            dialect,
            ..Self::default()
        }
    }

    pub(super) fn is_open_and_full(&self, delivery: &Delivery) -> bool {
        self.closing.is_none()
            && self.queue.bytes() + delivery.frame(self.dialect).bytes.len() > MAX_QUEUED_BYTES
    }

    pub(super) fn push(&mut self, frame: Frame) {
        if self.closing.is_some() {
            return;
        }
        if self.queue.bytes() + frame.bytes.len() > MAX_QUEUED_BYTES {
            metrics::get().slow_sockets.increment(1);
            self.queue.clear();
            self.close(CloseCode::TooSlow);
            return;
        }
        self.enqueue(frame);
    }

    pub(super) fn reply(&mut self, event: &ServerEvent<'_>, id: Option<&RequestId>) {
        for frame in self.dialect.reply(event, id).into_iter().flatten() {
            self.push(frame);
        }
    }

    pub(super) fn enqueue(&mut self, frame: Frame) {
        self.queue.push(frame);
        if !self.is_parked {
            self.queue.waits();
        }
    }

    pub(super) fn close(&mut self, code: CloseCode) {
        if self.closing.is_none() {
            if let Some(frame) = self.dialect.farewell(code, self.greeted) {
                self.enqueue(frame);
            }
            self.enqueue(Frame::control(wire::close(code)));
            metrics::get().closed(code);
            self.closing = Some(Closing {
                since: Instant::now(),
                gone: false,
                ended: false,
                fails: false,
            });
        }
    }

    pub(super) fn finish(&mut self) {
        let closing = self.closing;
        self.closing = Some(Closing {
            since: closing.map_or_else(Instant::now, |it| it.since),
            gone: true,
            ended: closing.is_some_and(|it| it.ended),
            fails: false,
        });
        self.wake();
    }

    /// Returns, once, whether the peer of a failed connection is to be told that nothing follows. It
    /// is still read from: closed with bytes unread, the connection would be reset, and the peer
    /// might not see why.
    pub(super) fn ends_writing(&mut self) -> bool {
        let fails = self.closing.as_mut().map(|closing| &mut closing.fails);
        fails.is_some_and(std::mem::take)
    }

    pub(super) fn push_message(&mut self, delivery: &Delivery) {
        if self.user_id == Some(delivery.sender_id()) {
            self.accept(delivery.room_id(), delivery.client_msg_id());
        }
        self.push(delivery.frame(self.dialect).clone());
    }

    /// Keeps a repeat of a room that is joined, or is about to be, until it is due, which it may be
    /// now.
    pub(super) fn repeat(&mut self, room_id: RoomId, delivery: &SharedDelivery) {
        match self.position(room_id) {
            Some(position) if delivery.seq() <= position => return self.push_message(delivery),
            Some(_) => {}
            None if self.is_joining(room_id) => {}
            None => return,
        }
        let repeats = self.repeats.iter().chain([delivery]);
        let bytes: usize = repeats.map(|it| it.frame(self.dialect).bytes.len()).sum();
        if self.repeats.len() < MAX_REPEATS && bytes <= MAX_REPEATS_BYTES {
            self.repeats.push(Arc::clone(delivery));
        }
    }

    /// Queues those repeats of a room again whose message is at or below its position.
    pub(super) fn answer_repeats(&mut self, room_id: RoomId) {
        if self.repeats.is_empty() {
            return;
        }
        let Some(position) = self.position(room_id) else {
            return;
        };
        let is_due =
            |repeat: &SharedDelivery| repeat.room_id() == room_id && repeat.seq() <= position;
        let repeats = std::mem::take(&mut self.repeats).into_iter();
        let (due, later): (Vec<_>, Vec<_>) = repeats.partition(is_due);
        self.repeats = later;
        for repeat in due {
            self.push_message(&repeat);
        }
    }

    // ------------------------------------------------------------- positions

    pub(super) fn position(&self, room_id: RoomId) -> Option<Seq> {
        let position = self.positions.get(room_id).copied();
        position.filter(|position| *position != JOINING)
    }

    fn is_joining(&self, room_id: RoomId) -> bool {
        self.positions.get(room_id) == Some(&JOINING)
    }

    pub(super) fn join(&mut self, room_id: RoomId) {
        self.positions.insert(room_id, JOINING);
    }

    pub(super) fn advance(&mut self, room_id: RoomId, position: Seq) {
        self.positions.insert(room_id, position);
    }

    pub(super) fn leave(&mut self, room_id: RoomId) {
        self.positions.remove(room_id);
        self.repeats.retain(|repeat| repeat.room_id() != room_id);
    }

    pub(super) fn rooms(&self) -> Vec<RoomId> {
        let joined = self.positions.iter().filter(|(_, at)| **at != JOINING);
        joined.map(|(room_id, _)| room_id).collect()
    }

    // ------------------------------------------------------- acknowledgements

    pub(super) fn accept(&mut self, room_id: RoomId, client_msg_id: ClientMsgId) {
        if let Some(reply_to) = self.unacknowledged.take(room_id, client_msg_id) {
            let accepted = ServerEvent::MessageAccepted(MessageAccepted::new(client_msg_id));
            self.reply(&accepted, reply_to.as_ref());
        }
    }

    // ------------------------------------------------------------ frames out

    /// Notes that the connection has written all that it took, and whom to wake for more.
    pub(super) fn park(&mut self, waker: &Waker) {
        self.is_parked = true;
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.is_parked)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Returns whether something waits that nobody is about to write.
    pub(super) fn has_to_be_listed(&self) -> bool {
        self.is_parked && !self.is_listed && !self.queue.is_empty()
    }

    /// Writes what waits; has the connection do it when it is to close, has TLS, or its peer does
    /// not read. Does nothing while the connection is at it by itself.
    pub(super) fn flush(&mut self) {
        self.is_listed = false;
        if !self.is_parked {
            return;
        }
        let Some(handle) = self.handle.as_ref().filter(|handle| handle.is_bare) else {
            return self.wake();
        };
        if self.closing.is_some() {
            return self.wake();
        }
        while let Some(bytes) = self.queue.take() {
            // What is wrong with the socket, the connection meets as well.
            let written = handle.socket.send(&bytes).unwrap_or(0);
            if written < bytes.len() {
                self.queue.put_back(bytes.slice(written..));
                return self.wake();
            }
        }
    }

    /// The connection has ended: gives up all but what tells so.
    pub(super) fn end(&mut self) {
        self.wake();
        self.waker = None;
        self.handle = None;
        self.queue = Queue::default();
        self.positions = SmallMap::default();
        self.behind = Vec::new();
        self.repeats = Vec::new();
    }
}
