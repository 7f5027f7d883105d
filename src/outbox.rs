//! What one socket is owed: frames that wait for it, its position in each room, and the
//! acknowledgements that are still to come.
//!
//! It is shared by the session (replies), the rooms on the same arbiter (pushes), the registry
//! (pings, cuts), the [`flusher`] (writes what waits while the peer reads) and the connection's own
//! task (writes what the peer did not take at once), and so is the one thing beside an actor that
//! has a lock: a WebSocket actor is not polled while its peer does
//! not read, and could not answer for its own queue (docs/adr/0003).
//!
//! Invariants: a room's messages enter in order of seq, each once; `messageAccepted` enters
//! before the `newMessage` of the same message; at most [`MAX_QUEUED_BYTES`](crate::protocol::MAX_QUEUED_BYTES) wait.

mod flusher;
mod queue;
mod state;
#[cfg(test)]
mod tests;
mod unacknowledged;

use std::{
    net::Shutdown,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use socket2::Socket;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use self::state::{Closing, State};
use crate::{
    error::ApiError,
    fanout::{Delivery, SharedDelivery},
    ids::{ClientMsgId, RoomId, Seq, SessionId, UserId},
    metrics,
    protocol::{
        client::RequestId,
        close::CloseCode,
        dialect::{Broadcast, Dialect},
        server::{Frame, MessageFailed, ServerEvent},
    },
};

pub use self::flusher::{flushed, start as start_flusher};

/// A replay goes on when fewer bytes than this wait.
const REPLAY_LOW_BYTES: usize = 64 * 1024;

/// It stops for a while when this many do: there has to be room for answers, and for the other rooms.
const REPLAY_HIGH_BYTES: usize = 128 * 1024;

/// A full socket that has taken nothing for this long is closed; one that reads is only behind.
const FULL_PATIENCE: Duration = Duration::from_secs(1);

/// A second handle of a socket, to act on it from outside its connection.
#[derive(Debug, Clone)]
pub struct Handle {
    pub socket: Arc<Socket>,
    /// Whether frames may be written to it as they are: there is no TLS between.
    pub is_bare: bool,
}

/// The queue of one socket.
#[derive(Debug)]
pub struct Outbox {
    pub session_id: SessionId,
    started: Instant,
    /// Milliseconds from `started` to the last frame that came in.
    heard_ms: AtomicU64,
    state: Mutex<State>,
    drained: Notify,
    /// Of the replays that take turns.
    replay: Semaphore,
}

impl Outbox {
    /// Makes an empty outbox; without a socket handle it cannot be cut from outside.
    #[must_use]
    pub fn new(session_id: SessionId, handle: Option<Handle>, dialect: Dialect) -> Arc<Self> {
        Arc::new(Self {
            session_id,
            started: Instant::now(),
            heard_ms: AtomicU64::new(0),
            state: Mutex::new(State::new(handle, dialect)),
            drained: Notify::new(),
            replay: Semaphore::new(1),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Locks to change what waits.
    fn change(self: &Arc<Self>) -> Changing<'_> {
        Changing {
            state: self.lock(),
            outbox: self,
        }
    }

    /// Notes whose socket it is.
    pub fn identify(&self, user_id: UserId) {
        self.lock().user_id = Some(user_id);
    }

    /// Notes that the peer sent something.
    pub fn heard(&self) {
        let ms = self.started.elapsed().as_millis();
        self.heard_ms
            .store(u64::try_from(ms).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns how long the peer has been silent.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(heard)
    }

    /// Returns how long the oldest frame has waited for the peer to read.
    #[must_use]
    pub fn waited_for(&self) -> Duration {
        self.lock().queue.waited_for()
    }

    /// Returns how many bytes the peer has not taken yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    /// Returns how long ago a close frame was queued; `None` while the socket is open.
    #[must_use]
    pub fn closing_for(&self) -> Option<Duration> {
        self.lock().closing.map(|closing| closing.since.elapsed())
    }

    /// Returns whether frames are still taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lock().closing.is_none()
    }

    /// Returns whether the connection has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.lock().closing.is_some_and(|closing| closing.ended)
    }

    // ------------------------------------------------------------- frames in

    /// Queues a frame; drops it on a closing socket, and closes one that does not keep up.
    pub fn push(self: &Arc<Self>, frame: Frame) {
        self.change().push(frame);
    }

    /// Queues what the transport has to say before anything else.
    pub fn open(self: &Arc<Self>) {
        let mut state = self.change();
        if let Some(frame) = state.dialect.opening() {
            state.push(frame);
        }
    }

    /// Queues, once, that the client is let in.
    pub fn greet(self: &Arc<Self>) {
        let mut state = self.change();
        if !std::mem::replace(&mut state.greeted, true)
            && let Some(frame) = state.dialect.greeting(self.session_id)
        {
            state.push(frame);
        }
    }

    /// Queues a ping.
    pub fn ping(self: &Arc<Self>) {
        let mut state = self.change();
        let ping = state.dialect.ping();
        state.push(ping);
    }

    /// Queues an event as a push.
    pub fn push_event(self: &Arc<Self>, event: &ServerEvent<'_>) {
        let mut state = self.change();
        let frame = state.dialect.push(event);
        state.push(frame);
    }

    /// Queues an event that others get too.
    pub fn push_shared(self: &Arc<Self>, broadcast: &Broadcast<'_>) {
        let mut state = self.change();
        let frame = broadcast.frame(state.dialect).clone();
        state.push(frame);
    }

    /// Queues the reply to a request.
    pub fn reply(self: &Arc<Self>, event: &ServerEvent<'_>, id: Option<&RequestId>) {
        self.change().reply(event, id);
    }

    /// Queues that a request is done whose success is not told by an event, where one can say so.
    pub fn done(self: &Arc<Self>, id: Option<&RequestId>) {
        let mut state = self.change();
        if let Some(frame) = state.dialect.done(id) {
            state.push(frame);
        }
    }

    /// Queues a close frame behind what waits; what comes later is dropped.
    pub fn close(self: &Arc<Self>, code: CloseCode) {
        self.change().close(code);
    }

    /// Queues a close frame for a peer that broke a rule: what it says is not read any more, so that
    /// its answer is not waited for (RFC 6455, section 7.1.7).
    pub fn fail(self: &Arc<Self>, code: CloseCode) {
        let mut state = self.change();
        state.close(code);
        if let Some(closing) = &mut state.closing {
            closing.fails = true;
        }
    }

    /// Queues the answer to the peer's close frame; the connection ends when it is out.
    pub fn answer_close(self: &Arc<Self>, frame: Frame) {
        let mut state = self.change();
        if state.closing.is_none() {
            state.enqueue(frame);
        }
        state.finish();
    }

    /// The peer sends no more: the connection ends when what waits is out.
    pub fn finish(&self) {
        self.lock().finish();
    }

    /// Queues a room's message unless it is queued already, its acknowledgement before it.
    ///
    /// Returns `false` when there is no room for it: the socket reads, but not as fast as the room
    /// speaks. It is told by [`take_behind`](Self::take_behind) and walks on by itself.
    #[must_use]
    pub fn deliver(self: &Arc<Self>, delivery: &Delivery) -> bool {
        let mut state = self.change();
        let room_id = delivery.room_id();
        let Some(position) = state.position(room_id) else {
            return true;
        };
        if delivery.seq() <= position {
            return true;
        }
        if state.is_open_and_full(delivery) && state.queue.waited_for() < FULL_PATIENCE {
            state.behind.push(room_id);
            return false;
        }
        state.advance(room_id, delivery.seq());
        state.push_message(delivery);
        // A record that is read again after a crash is marked as a repeat, and may yet be what
        // brings the message: then it is its own answer.
        state
            .repeats
            .retain(|repeat| !std::ptr::eq(Arc::as_ptr(repeat), delivery));
        state.answer_repeats(room_id);
        true
    }

    /// Returns the rooms that have to be read from the store, from their positions on.
    #[must_use]
    pub fn take_behind(&self) -> Vec<RoomId> {
        std::mem::take(&mut self.lock().behind)
    }

    /// Answers a repeat: queues a message again that the socket has had.
    ///
    /// One beyond its position has yet to come, from its room or from a replay: its answer is
    /// queued right behind it.
    pub fn deliver_again(self: &Arc<Self>, delivery: &SharedDelivery) {
        let mut state = self.change();
        let room_id = delivery.room_id();
        state.repeat(room_id, delivery);
    }

    // ------------------------------------------------------------- positions

    /// Notes that the client is about to be told where it stands in a room: it takes no message of
    /// it before, and the answers to repeats wait.
    pub fn expect_room(&self, room_id: RoomId) {
        self.lock().join(room_id);
    }

    /// Sets the position from which a room's messages are taken.
    pub fn begin_room(self: &Arc<Self>, room_id: RoomId, position: Seq) {
        let mut state = self.change();
        state.advance(room_id, position);
        state.answer_repeats(room_id);
    }

    /// Takes no more messages of a room.
    pub fn end_room(&self, room_id: RoomId) {
        self.lock().leave(room_id);
    }

    /// Returns the last seq queued of a joined room.
    #[must_use]
    pub fn position(&self, room_id: RoomId) -> Option<Seq> {
        self.lock().position(room_id)
    }

    /// Returns the joined rooms.
    #[must_use]
    pub fn rooms(&self) -> Vec<RoomId> {
        self.lock().rooms()
    }

    // ------------------------------------------------------- acknowledgements

    /// Notes that a send is in the log's hands.
    pub fn expect_acceptance(
        &self,
        room_id: RoomId,
        client_msg_id: ClientMsgId,
        reply_to: Option<RequestId>,
    ) {
        let mut state = self.lock();
        state.unacknowledged.push(room_id, client_msg_id, reply_to);
    }

    /// Returns whether no send is in the log's hands.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.lock().unacknowledged.is_empty()
    }

    /// Queues `messageAccepted`, unless the stored message has said so before.
    pub fn accept(self: &Arc<Self>, room_id: RoomId, client_msg_id: ClientMsgId) {
        self.change().accept(room_id, client_msg_id);
    }

    /// Queues `messageFailed`, unless the stored message has shown otherwise.
    pub fn refuse(self: &Arc<Self>, room_id: RoomId, client_msg_id: ClientMsgId, error: &ApiError) {
        let mut state = self.change();
        if let Some(reply_to) = state.unacknowledged.take(room_id, client_msg_id) {
            let id = client_msg_id.to_string();
            let failed = ServerEvent::MessageFailed(MessageFailed::new(Some(&id), error));
            metrics::get().failed(error.code);
            state.reply(&failed, reply_to.as_ref());
        }
    }

    // ------------------------------------------------------------ frames out

    /// Notes that the connection is at it: it takes by itself what is queued from now on.
    pub fn attend(&self) {
        self.lock().is_parked = false;
    }

    /// Takes what waits, as one write.
    pub fn take(&self) -> Option<Bytes> {
        self.take_from(&mut self.lock())
    }

    fn take_from(&self, state: &mut State) -> Option<Bytes> {
        let bytes = state.queue.take()?;
        self.tell_drained(state);
        Some(bytes)
    }

    /// Takes what waits, as one write: nothing at all, once, where nothing follows and the peer is
    /// to be told so; `None` once the close frame is out and the peer is gone.
    ///
    /// Asked again, what was taken before has been written.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.lock();
        if let Some(bytes) = self.take_from(&mut state) {
            return Poll::Ready(Some(bytes));
        }
        if state.closing.is_some_and(|closing| closing.gone) {
            return Poll::Ready(None);
        }
        if state.ends_writing() {
            return Poll::Ready(Some(Bytes::new()));
        }
        state.park(cx.waker());
        Poll::Pending
    }

    /// Writes what waits, unless the connection is at it.
    fn flush(&self) {
        let mut state = self.lock();
        state.flush();
        self.tell_drained(&mut state);
    }

    fn tell_drained(&self, state: &mut State) {
        if state.queue.bytes() < REPLAY_LOW_BYTES && std::mem::take(&mut state.awaits_drain) {
            self.drained.notify_waiters();
        }
    }

    /// Waits until little enough waits for a replay to go on, or the socket closes.
    pub async fn writable(&self) {
        loop {
            let drained = self.drained.notified();
            {
                let mut state = self.lock();
                if state.queue.bytes() < REPLAY_LOW_BYTES || state.closing.is_some() {
                    return;
                }
                state.awaits_drain = true;
            }
            drained.await;
        }
    }

    /// Waits for the turn of a replay that has found no room: of several, one goes on at a time.
    pub async fn replay_turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.replay.acquire().await.ok()
    }

    /// Returns whether a replay may queue another message.
    #[must_use]
    pub fn takes_replay(&self) -> bool {
        self.lock().queue.bytes() < REPLAY_HIGH_BYTES
    }

    /// Notes that the connection has ended: nothing more is written.
    pub fn end(&self) {
        let mut state = self.lock();
        let since = state.closing.map_or_else(Instant::now, |c| c.since);
        state.closing = Some(Closing {
            since,
            gone: true,
            ended: true,
            fails: false,
        });
        state.end();
        self.drained.notify_waiters();
    }

    /// Shuts the socket down under its actor, which may never be polled again.
    pub fn cut(&self) {
        let handle = self.lock().handle.take();
        if let Some(handle) = handle {
            // The peer may have gone already; then there is nothing left to shut down.
            let _ = handle.socket.shutdown(Shutdown::Both);
        }
        self.end();
    }
}

/// The state while it is changed: what is queued then is written soon.
struct Changing<'a> {
    state: MutexGuard<'a, State>,
    outbox: &'a Arc<Outbox>,
}

impl Deref for Changing<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if self.state.has_to_be_listed() {
            self.state.is_listed = flusher::list(self.outbox);
            if !self.state.is_listed {
                self.state.wake();
            }
        }
    }
}
