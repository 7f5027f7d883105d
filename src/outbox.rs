//! What one socket is owed: frames that wait for it, its position in each room, and the
//! acknowledgements that are still to come.
//!
//! It is shared by the session (replies), the rooms on the same arbiter (pushes), the registry
//! (pings, cuts) and the connection's own task (takes frames when the peer reads), and so is the
//! one thing beside an actor that has a lock: a WebSocket actor is not polled while its peer does
//! not read, and could not answer for its own queue (docs/adr/0003).
//!
//! Invariants: a room's messages enter in order of seq, each once; `messageAccepted` enters
//! before the `newMessage` of the same message; at most [`MAX_QUEUED_BYTES`] wait.

use std::{
    collections::VecDeque,
    net::Shutdown,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use rustc_hash::FxHashMap;
use socket2::Socket;
use tokio::sync::Notify;

use crate::{
    error::ApiError,
    fanout::{Delivery, SharedDelivery},
    ids::{ClientMsgId, RoomId, Seq, SessionId, UserId},
    metrics,
    protocol::{
        MAX_QUEUED_BYTES,
        client::RequestId,
        close::CloseCode,
        dialect::{Broadcast, Dialect},
        server::{Frame, Kind, MessageAccepted, MessageFailed, ServerEvent},
        wire,
    },
};

/// Most bytes handed to the connection at once: one write.
const MAX_WRITE_BYTES: usize = 64 * 1024;

/// A replay goes on when fewer bytes than this wait.
const REPLAY_LOW_BYTES: usize = 64 * 1024;

/// A full socket that has taken nothing for this long is closed; one that reads is only behind.
const FULL_PATIENCE: Duration = Duration::from_secs(1);

/// Repeats that wait for their message; it is close behind, so that more are hardly ever there.
const MAX_REPEATS: usize = 1_024;

/// The queue of one socket.
#[derive(Debug)]
pub struct Outbox {
    pub session_id: SessionId,
    started: Instant,
    /// Milliseconds from `started` to the last frame that came in.
    heard_ms: AtomicU64,
    state: Mutex<State>,
    drained: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// A second handle of the socket, to cut it from outside. Given up with the connection: rooms
    /// may know of the outbox for a while longer, and would keep the socket open by it.
    socket: Option<Arc<Socket>>,
    user_id: Option<UserId>,
    dialect: Dialect,
    /// Whether the client was told that it is let in, or was before it is sent away.
    greeted: bool,
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Since when the oldest frame waits.
    waiting_since: Option<Instant>,
    waker: Option<Waker>,
    closing: Option<Closing>,
    /// The last seq queued, for each joined room.
    positions: FxHashMap<RoomId, Seq>,
    /// Rooms of which a message found no room here: they go on from the position, by the store.
    behind: Vec<RoomId>,
    /// Repeats whose message has yet to be queued for the first time.
    repeats: Vec<SharedDelivery>,
    /// Sends in the log's hands.
    unacknowledged: Vec<Unacknowledged>,
}

#[derive(Debug, Clone, Copy)]
struct Closing {
    since: Instant,
    /// The peer has closed, or the connection has ended: nothing more is written.
    gone: bool,
    /// The connection has ended.
    ended: bool,
    /// Nothing is expected of the peer: the connection closes behind what waits.
    fails: bool,
}

#[derive(Debug)]
struct Unacknowledged {
    room_id: RoomId,
    client_msg_id: ClientMsgId,
    reply_to: Option<RequestId>,
}

impl Outbox {
    /// Makes an empty outbox; without a socket handle it cannot be cut from outside.
    #[must_use]
    pub fn new(session_id: SessionId, socket: Option<Arc<Socket>>, dialect: Dialect) -> Arc<Self> {
        Arc::new(Self {
            session_id,
            started: Instant::now(),
            heard_ms: AtomicU64::new(0),
            state: Mutex::new(State {
                socket,
                dialect,
                ..State::default()
            }),
            drained: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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
        self.lock().waited_for()
    }

    /// Returns how many bytes the peer has not taken yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.lock().bytes
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
    pub fn push(&self, frame: Frame) {
        self.lock().push(frame);
    }

    /// Queues what the transport has to say before anything else.
    pub fn open(&self) {
        let mut state = self.lock();
        if let Some(frame) = state.dialect.opening() {
            state.push(frame);
        }
    }

    /// Queues, once, that the client is let in.
    pub fn greet(&self) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.greeted, true)
            && let Some(frame) = state.dialect.greeting(self.session_id)
        {
            state.push(frame);
        }
    }

    /// Queues a ping.
    pub fn ping(&self) {
        let mut state = self.lock();
        let ping = state.dialect.ping();
        state.push(ping);
    }

    /// Queues an event as a push.
    pub fn push_event(&self, event: &ServerEvent<'_>) {
        let mut state = self.lock();
        let frame = state.dialect.push(event);
        state.push(frame);
    }

    /// Queues an event that others get too.
    pub fn push_shared(&self, broadcast: &Broadcast<'_>) {
        let mut state = self.lock();
        let frame = broadcast.frame(state.dialect).clone();
        state.push(frame);
    }

    /// Queues the reply to a request.
    pub fn reply(&self, event: &ServerEvent<'_>, id: Option<&RequestId>) {
        self.lock().reply(event, id);
    }

    /// Queues that a request is done whose success is not told by an event, where one can say so.
    pub fn done(&self, id: Option<&RequestId>) {
        let mut state = self.lock();
        if let Some(frame) = state.dialect.done(id) {
            state.push(frame);
        }
    }

    /// Queues a close frame behind what waits; what comes later is dropped.
    pub fn close(&self, code: CloseCode) {
        self.lock().close(code);
    }

    /// Queues a close frame for a peer that broke a rule: what it says is not read any more, so that
    /// its answer is not waited for (RFC 6455, section 7.1.7).
    pub fn fail(&self, code: CloseCode) {
        let mut state = self.lock();
        state.close(code);
        if let Some(closing) = &mut state.closing {
            closing.fails = true;
        }
    }

    /// Queues the answer to the peer's close frame; the connection ends when it is out.
    pub fn answer_close(&self, frame: Frame) {
        let mut state = self.lock();
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
    pub fn deliver(&self, delivery: &Delivery) -> bool {
        let mut state = self.lock();
        let room_id = delivery.room_id();
        let Some(position) = state.positions.get(&room_id).copied() else {
            return true;
        };
        if delivery.seq() <= position {
            return true;
        }
        if state.is_open_and_full(delivery) && state.waited_for() < FULL_PATIENCE {
            state.behind.push(room_id);
            return false;
        }
        state.positions.insert(room_id, delivery.seq());
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
    pub fn deliver_again(&self, delivery: &SharedDelivery) {
        let mut state = self.lock();
        let room_id = delivery.room_id();
        if state.positions.contains_key(&room_id) && state.repeats.len() < MAX_REPEATS {
            state.repeats.push(Arc::clone(delivery));
            state.answer_repeats(room_id);
        }
    }

    // ------------------------------------------------------------- positions

    /// Sets the position from which a room's messages are taken.
    pub fn begin_room(&self, room_id: RoomId, position: Seq) {
        let mut state = self.lock();
        state.positions.insert(room_id, position);
        state.answer_repeats(room_id);
    }

    /// Takes no more messages of a room.
    pub fn end_room(&self, room_id: RoomId) {
        let mut state = self.lock();
        state.positions.remove(&room_id);
        state.repeats.retain(|repeat| repeat.room_id() != room_id);
    }

    /// Returns the last seq queued of a joined room.
    #[must_use]
    pub fn position(&self, room_id: RoomId) -> Option<Seq> {
        self.lock().positions.get(&room_id).copied()
    }

    /// Returns the joined rooms.
    #[must_use]
    pub fn rooms(&self) -> Vec<RoomId> {
        self.lock().positions.keys().copied().collect()
    }

    // ------------------------------------------------------- acknowledgements

    /// Notes that a send is in the log's hands.
    pub fn expect_acceptance(
        &self,
        room_id: RoomId,
        client_msg_id: ClientMsgId,
        reply_to: Option<RequestId>,
    ) {
        self.lock().unacknowledged.push(Unacknowledged {
            room_id,
            client_msg_id,
            reply_to,
        });
    }

    /// Returns whether no send is in the log's hands.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.lock().unacknowledged.is_empty()
    }

    /// Queues `messageAccepted`, unless the stored message has said so before.
    pub fn accept(&self, room_id: RoomId, client_msg_id: ClientMsgId) {
        self.lock().accept(room_id, client_msg_id);
    }

    /// Queues `messageFailed`, unless the stored message has shown otherwise.
    pub fn refuse(&self, room_id: RoomId, client_msg_id: ClientMsgId, error: &ApiError) {
        let mut state = self.lock();
        if let Some(send) = state.take_unacknowledged(room_id, client_msg_id) {
            let id = client_msg_id.to_string();
            let failed = ServerEvent::MessageFailed(MessageFailed::new(Some(&id), error));
            metrics::get().failed(error.code);
            state.reply(&failed, send.reply_to.as_ref());
        }
    }

    // ------------------------------------------------------------ frames out

    /// Takes what waits, as one write; `None` once the close frame is out and the peer is gone.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.lock();
        if let Some(bytes) = state.take() {
            if state.bytes < REPLAY_LOW_BYTES {
                self.drained.notify_waiters();
            }
            return Poll::Ready(Some(bytes));
        }
        if state.closing.is_some_and(|closing| closing.gone) {
            return Poll::Ready(None);
        }
        // What was taken before has been written.
        state.end_writing();
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits until little enough waits for a replay to go on, or the socket closes.
    pub async fn writable(&self) {
        loop {
            let drained = self.drained.notified();
            {
                let state = self.lock();
                if state.bytes < REPLAY_LOW_BYTES || state.closing.is_some() {
                    return;
                }
            }
            drained.await;
        }
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
        state.socket = None;
        state.frames.clear();
        state.bytes = 0;
        state.waiting_since = None;
        state.positions = FxHashMap::default();
        state.behind = Vec::new();
        state.repeats = Vec::new();
        state.wake();
        self.drained.notify_waiters();
    }

    /// Shuts the socket down under its actor, which may never be polled again.
    pub fn cut(&self) {
        let socket = self.lock().socket.take();
        if let Some(socket) = socket {
            // The peer may have gone already; then there is nothing left to shut down.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.end();
    }
}

impl State {
    fn waited_for(&self) -> Duration {
        self.waiting_since
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn is_open_and_full(&self, delivery: &Delivery) -> bool {
        self.closing.is_none()
            && self.bytes + delivery.frame(self.dialect).bytes.len() > MAX_QUEUED_BYTES
    }

    fn push(&mut self, frame: Frame) {
        if self.closing.is_some() {
            return;
        }
        if self.bytes + frame.bytes.len() > MAX_QUEUED_BYTES {
            metrics::get().slow_sockets.increment(1);
            self.frames.clear();
            self.bytes = 0;
            self.close(CloseCode::TooSlow);
            return;
        }
        self.enqueue(frame);
    }

    fn reply(&mut self, event: &ServerEvent<'_>, id: Option<&RequestId>) {
        for frame in self.dialect.reply(event, id).into_iter().flatten() {
            self.push(frame);
        }
    }

    fn enqueue(&mut self, frame: Frame) {
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
        self.waiting_since.get_or_insert_with(Instant::now);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn close(&mut self, code: CloseCode) {
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

    fn finish(&mut self) {
        let closing = self.closing;
        self.closing = Some(Closing {
            since: closing.map_or_else(Instant::now, |it| it.since),
            gone: true,
            ended: closing.is_some_and(|it| it.ended),
            fails: false,
        });
        self.wake();
    }

    /// Tells the peer of a failed connection that nothing follows. It is still read from: closed with
    /// bytes unread, the connection would be reset, and the peer might not see why.
    fn end_writing(&mut self) {
        let fails = self.closing.as_mut().map(|closing| &mut closing.fails);
        if fails.is_some_and(std::mem::take)
            && let Some(socket) = &self.socket
        {
            // The peer may have gone already.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    fn push_message(&mut self, delivery: &Delivery) {
        if self.user_id == Some(delivery.sender_id()) {
            self.accept(delivery.room_id(), delivery.client_msg_id());
        }
        self.push(delivery.frame(self.dialect).clone());
    }

    /// Queues those repeats of a room again whose message is at or below its position.
    fn answer_repeats(&mut self, room_id: RoomId) {
        if self.repeats.is_empty() {
            return;
        }
        let Some(position) = self.positions.get(&room_id).copied() else {
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

    fn accept(&mut self, room_id: RoomId, client_msg_id: ClientMsgId) {
        if let Some(send) = self.take_unacknowledged(room_id, client_msg_id) {
            let accepted = ServerEvent::MessageAccepted(MessageAccepted::new(client_msg_id));
            self.reply(&accepted, send.reply_to.as_ref());
        }
    }

    fn take_unacknowledged(
        &mut self,
        room_id: RoomId,
        client_msg_id: ClientMsgId,
    ) -> Option<Unacknowledged> {
        let at = self
            .unacknowledged
            .iter()
            .position(|send| send.room_id == room_id && send.client_msg_id == client_msg_id)?;
        Some(self.unacknowledged.remove(at))
    }

    /// Takes as many frames as one write may carry, at least one if any waits.
    fn take(&mut self) -> Option<Bytes> {
        let first = self.frames.pop_front()?;
        self.taken(&first);
        let fits = |next: Option<&Frame>, have: usize| {
            next.is_some_and(|frame| have + frame.bytes.len() <= MAX_WRITE_BYTES)
        };
        let bytes = if fits(self.frames.front(), first.bytes.len()) {
            let mut write =
                BytesMut::with_capacity(self.bytes.min(MAX_WRITE_BYTES) + first.bytes.len());
            write.extend_from_slice(&first.bytes);
            while fits(self.frames.front(), write.len()) {
                let next = self.frames.pop_front().expect("it was just looked at");
                write.extend_from_slice(&next.bytes);
                self.taken(&next);
            }
            write.freeze()
        } else {
            first.bytes
        };
        self.waiting_since = (!self.frames.is_empty()).then(Instant::now);
        if self.frames.is_empty() {
            // Most sockets are idle most of the time: an empty queue keeps no memory.
            self.frames = VecDeque::new();
        }
        Some(bytes)
    }

    fn taken(&mut self, frame: &Frame) {
        self.bytes -= frame.bytes.len();
        metrics::get().frame_out(frame.kind);
        if frame.kind == Kind::NewMessage {
            metrics::get().delivered.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        task::Waker,
    };

    use super::*;
    use crate::{
        clock::Timestamp,
        ids::MessageId,
        message::{MessageType, PersistedMessage},
        protocol::server::HeartbeatAck,
    };

    fn message(room_id: RoomId, sender_id: UserId, seq: u64, content: &str) -> PersistedMessage {
        PersistedMessage {
            message_id: MessageId(ulid::Ulid::from(u128::from(seq))),
            room_id,
            seq: Seq(seq),
            sender_id,
            client_msg_id: ClientMsgId::random(),
            message_type: MessageType::Text,
            content: content.into(),
            created_at: Timestamp::now(),
            produced_at: None,
            duplicate: false,
            replayed: false,
        }
    }

    fn taken(outbox: &Outbox) -> Option<Bytes> {
        match outbox.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(bytes) => bytes,
            Poll::Pending => None,
        }
    }

    fn events(outbox: &Outbox) -> Vec<String> {
        let bytes = taken(outbox).unwrap_or_default();
        String::from_utf8_lossy(&bytes)
            .split("{\"event\":\"")
            .skip(1)
            .filter_map(|frame| frame.split('"').next().map(str::to_owned))
            .collect()
    }

    #[test]
    fn a_message_at_or_below_the_position_is_skipped() {
        let (room, user) = (RoomId::random(), UserId::random());
        let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
        let deliver = |seq| {
            let has_room = outbox.deliver(&Delivery::new(message(room, user, seq, "x")));
            assert!(has_room);
        };
        deliver(1);
        assert_eq!(events(&outbox), Vec::<String>::new(), "not joined");
        outbox.begin_room(room, Seq(1));
        deliver(1);
        deliver(2);
        deliver(2);
        assert_eq!(events(&outbox), ["newMessage"]);
        assert_eq!(outbox.position(room), Some(Seq(2)));
    }

    #[test]
    fn a_record_read_again_that_brings_its_message_is_its_own_answer() {
        let (room, user) = (RoomId::random(), UserId::random());
        let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
        outbox.begin_room(room, Seq::ZERO);
        let replayed = Delivery::new(message(room, user, 1, "x"));
        outbox.deliver_again(&replayed);
        assert!(outbox.deliver(&replayed));
        assert_eq!(events(&outbox), ["newMessage"]);
        outbox.deliver_again(&replayed);
        assert_eq!(events(&outbox), ["newMessage"], "now it repeats");
    }

    #[test]
    fn a_repeat_is_answered_once_its_message_has_come() {
        let (room, user) = (RoomId::random(), UserId::random());
        let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
        outbox.begin_room(room, Seq(4));
        let repeat = |seq| outbox.deliver_again(&Delivery::new(message(room, user, seq, "x")));
        repeat(5);
        repeat(5);
        assert_eq!(
            events(&outbox),
            Vec::<String>::new(),
            "its message is on its way"
        );
        repeat(4);
        repeat(1);
        assert_eq!(events(&outbox), ["newMessage", "newMessage"]);
        assert!(outbox.deliver(&Delivery::new(message(room, user, 5, "x"))));
        assert_eq!(
            events(&outbox).len(),
            3,
            "the message and an answer to each repeat"
        );
        repeat(6);
        outbox.end_room(room);
        repeat(1);
        assert_eq!(events(&outbox), Vec::<String>::new(), "left");
    }

    #[test]
    fn the_acknowledgement_comes_before_the_message_and_once() {
        let (room, user) = (RoomId::random(), UserId::random());
        let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
        outbox.identify(user);
        outbox.begin_room(room, Seq::ZERO);
        let msg = message(room, user, 1, "x");
        let key = (room, msg.client_msg_id);
        outbox.expect_acceptance(key.0, key.1, None);
        assert!(outbox.deliver(&Delivery::new(msg)));
        outbox.accept(key.0, key.1);
        outbox.refuse(key.0, key.1, &ApiError::unavailable("late"));
        assert_eq!(events(&outbox), ["messageAccepted", "newMessage"]);
    }

    /// Fills an outbox; returns the seq that it has no room for.
    fn fill(outbox: &Outbox, room: RoomId, user: UserId) -> u64 {
        outbox.begin_room(room, Seq::ZERO);
        let content = "x".repeat(4_000);
        let mut deliveries = (1..).map(|seq| Delivery::new(message(room, user, seq, &content)));
        let refused = deliveries.find(|delivery| !outbox.deliver(delivery));
        refused.expect("it is bounded").seq().0
    }

    #[test]
    fn a_full_socket_that_reads_is_behind_and_stays_open() {
        let (room, user) = (RoomId::random(), UserId::random());
        let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
        let refused = fill(&outbox, room, user);
        assert!((60..70).contains(&refused), "{refused} messages of 4 KB");
        assert!(outbox.is_open());
        assert_eq!(outbox.position(room), Some(Seq(refused - 1)));
        assert_eq!(outbox.take_behind(), [room]);
        assert_eq!(outbox.take_behind(), [], "told once");
    }

    #[test]
    fn a_full_socket_that_takes_nothing_is_closed() {
        let (room, user) = (RoomId::random(), UserId::random());
        let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
        let refused = fill(&outbox, room, user);
        outbox.lock().waiting_since = Instant::now().checked_sub(FULL_PATIENCE);
        let content = "x".repeat(4_000);
        let _ = outbox.deliver(&Delivery::new(message(room, user, refused, &content)));
        assert!(!outbox.is_open());
        let close = taken(&outbox).expect("a close frame");
        assert_eq!(close[2..4], 4490_u16.to_be_bytes());
    }

    #[test]
    fn who_broke_a_rule_is_told_and_hung_up_on() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let mut peer = TcpStream::connect(addr).expect("a connection");
        let (mut ours, _) = listener.accept().expect("a connection");
        let handle = Socket::from(ours.try_clone().expect("a second handle"));
        let handle = Some(Arc::new(handle));
        let outbox = Outbox::new(SessionId::random(), handle, Dialect::Json);
        outbox.fail(CloseCode::ProtocolError);
        let close = taken(&outbox).expect("a close frame");
        ours.write_all(&close).expect("it is open");
        assert_eq!(taken(&outbox), None);
        let patience = Some(Duration::from_secs(10));
        peer.set_read_timeout(patience).expect("a limit");
        let mut read = Vec::new();
        peer.read_to_end(&mut read).expect("the end");
        assert_eq!(read, close);
        peer.write_all(b"more").expect("it is read from");
        assert_eq!(ours.read(&mut [0; 4]).expect("it is open"), 4);
    }

    #[test]
    fn what_waits_leaves_in_one_write() {
        let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
        let ack = ServerEvent::HeartbeatAck(HeartbeatAck {
            server_time: Timestamp::now(),
        });
        (0..10).for_each(|_| outbox.push_event(&ack));
        assert_eq!(events(&outbox).len(), 10);
        assert_eq!(taken(&outbox), None);
    }
}
