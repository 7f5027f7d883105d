use std::{
    io::Read,
    sync::atomic::AtomicUsize,
    task::{Wake, Waker},
};

use socket2::{Domain, Type};

use super::*;
use crate::{
    clock::Timestamp,
    ids::MessageId,
    message::{MessageType, PersistedMessage},
    protocol::{server::HeartbeatAck, wire},
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
fn a_repeat_waits_until_its_sender_knows_where_it_stands() {
    let (room, user) = (RoomId::random(), UserId::random());
    let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
    let repeat = |seq| outbox.deliver_again(&Delivery::new(message(room, user, seq, "x")));
    outbox.expect_room(room);
    repeat(3);
    assert!(outbox.deliver(&Delivery::new(message(room, user, 4, "x"))));
    assert_eq!((outbox.position(room), outbox.rooms()), (None, vec![]));
    assert_eq!(events(&outbox), Vec::<String>::new(), "it has no place yet");
    outbox.begin_room(room, Seq(4));
    assert_eq!(events(&outbox), ["newMessage"]);
    outbox.expect_room(room);
    repeat(3);
    outbox.end_room(room);
    outbox.begin_room(room, Seq(4));
    assert_eq!(events(&outbox), Vec::<String>::new(), "it was not let in");
}

#[test]
fn repeats_that_wait_close_nobody() {
    let (room, user) = (RoomId::random(), UserId::random());
    let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
    outbox.expect_room(room);
    // Six times as long on the wire.
    let content = "\u{1}".repeat(5_000);
    for seq in 1..=20 {
        outbox.deliver_again(&Delivery::new(message(room, user, seq, &content)));
    }
    outbox.begin_room(room, Seq(20));
    assert!(outbox.is_open());
    let writes = std::iter::from_fn(|| taken(&outbox));
    let bytes: usize = writes.map(|write| write.len()).sum();
    assert!((100_000..131_072).contains(&bytes), "{bytes} bytes");
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
fn fill(outbox: &Arc<Outbox>, room: RoomId, user: UserId) -> u64 {
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
    outbox.lock().queue.waiting_since = Instant::now().checked_sub(FULL_PATIENCE);
    let content = "x".repeat(4_000);
    let _ = outbox.deliver(&Delivery::new(message(room, user, refused, &content)));
    assert!(!outbox.is_open());
    let close = taken(&outbox).expect("a close frame");
    assert_eq!(close[2..4], 4490_u16.to_be_bytes());
}

#[test]
fn who_broke_a_rule_is_told_and_hung_up_on() {
    let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
    outbox.fail(CloseCode::ProtocolError);
    let close = taken(&outbox).expect("a close frame");
    assert_eq!(close, wire::close(CloseCode::ProtocolError));
    let end = taken(&outbox).expect("the end of what is written");
    assert!(end.is_empty());
    assert_eq!(taken(&outbox), None, "it is told once");
}

fn ack() -> ServerEvent<'static> {
    ServerEvent::HeartbeatAck(HeartbeatAck {
        server_time: Timestamp::now(),
    })
}

#[test]
fn what_waits_leaves_in_one_write() {
    let outbox = Outbox::new(SessionId::random(), None, Dialect::Json);
    (0..10).for_each(|_| outbox.push_event(&ack()));
    assert_eq!(events(&outbox).len(), 10);
    assert_eq!(taken(&outbox), None);
}

/// A connection's task, as far as it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An outbox whose socket is `is_bare`, its peer, and its connection, which waits for more.
fn connected(is_bare: bool) -> (Arc<Outbox>, Socket, Arc<Woken>) {
    start_flusher();
    let (socket, peer) = Socket::pair(Domain::UNIX, Type::STREAM, None).expect("a pair");
    for end in [&socket, &peer] {
        end.set_nonblocking(true).expect("it is open");
        // What a full one holds is less than a peer reads at once, whatever the machine's default.
        end.set_send_buffer_size(1 << 16).expect("it is open");
    }
    let handle = Some(Handle {
        socket: Arc::new(socket),
        is_bare,
    });
    let outbox = Outbox::new(SessionId::random(), handle, Dialect::Json);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(
        outbox
            .poll_take(&mut Context::from_waker(&waker))
            .is_pending()
    );
    (outbox, peer, woken)
}

fn times(woken: &Woken) -> usize {
    woken.0.load(Ordering::Relaxed)
}

/// Reads what is there; `None` when nothing is.
fn read(mut peer: &Socket) -> Option<String> {
    let mut bytes = vec![0; 1 << 20];
    let read = peer.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

#[actix::test]
async fn what_is_queued_in_one_turn_is_written_at_once_and_wakes_nobody() {
    let (outbox, peer, woken) = connected(true);
    (0..3).for_each(|_| outbox.push_event(&ack()));
    assert_eq!(read(&peer), None, "the turn is not over");
    flushed().await;
    let written = read(&peer).expect("it is written");
    assert_eq!(written.matches("heartbeatAck").count(), 3);
    assert_eq!(times(&woken), 0);
    assert_eq!(taken(&outbox), None);
}

#[actix::test]
async fn what_the_peer_does_not_take_is_left_to_the_connection() {
    let (outbox, peer, woken) = connected(true);
    let (room, user) = (RoomId::random(), UserId::random());
    outbox.begin_room(room, Seq::ZERO);
    let mut seq = 0;
    let content = "x".repeat(4_000);
    while times(&woken) == 0 {
        seq += 1;
        assert!(outbox.deliver(&Delivery::new(message(room, user, seq, &content))));
        flushed().await;
    }
    outbox.push_event(&ack());
    flushed().await;
    assert_eq!(times(&woken), 1, "it is at it");
    let (mut all, mut more) = (read(&peer).expect("the socket is full"), true);
    while more {
        let rest = taken(&outbox).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        more = rest.is_some();
        all.extend(rest);
    }
    assert_eq!(all.matches("\"newMessage\"").count() as u64, seq);
    assert_eq!(all.matches("xx\"").count() as u64, seq, "none is cut short");
    assert!(all.ends_with('}') && all.contains("heartbeatAck"));
}

#[actix::test]
async fn who_is_at_it_writes_by_itself() {
    let (outbox, peer, woken) = connected(true);
    outbox.attend();
    outbox.push_event(&ack());
    flushed().await;
    assert_eq!((read(&peer), times(&woken)), (None, 0));
    assert_eq!(events(&outbox), ["heartbeatAck"]);
}

#[actix::test]
async fn what_ends_a_connection_or_has_to_be_encrypted_is_left_to_it() {
    let (bare, bare_peer, bare_woken) = connected(true);
    let (tls, tls_peer, tls_woken) = connected(false);
    bare.close(CloseCode::Normal);
    tls.push_event(&ack());
    flushed().await;
    assert_eq!((read(&bare_peer), times(&bare_woken)), (None, 1));
    assert_eq!((read(&tls_peer), times(&tls_woken)), (None, 1));
}
