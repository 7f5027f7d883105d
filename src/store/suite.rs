//! What holds for every adapter of the port: one suite, run against each.

use ulid::Ulid;

use super::*;
use crate::{
    ids::{ClientMsgId, EventId},
    message::{MessageType, RECORD_VERSION},
};

/// Runs the suite against the store that an async expression opens; it is empty. `None` skips.
macro_rules! store_suite {
    ($open:expr) => {
        $crate::store::suite::store_suite! { @tests $open =>
            a_batch_is_stored_in_order
            a_repeat_is_a_duplicate_and_burns_no_seq
            a_batch_read_again_is_replayed
            a_repeat_read_again_is_still_a_repeat
            a_batch_partly_read_before_is_split
            a_batch_after_a_hole_is_refused
            another_logs_batch_is_refused
            a_dead_record_stops_nobody
            two_rooms_have_orders_of_their_own
            pages_are_cut_from_the_order
            a_read_cursor_never_moves_back
            memberships_have_growing_generations
            a_database_is_bound_to_one_log
            a_batch_is_stored_whole_or_not_at_all_when_partitions_interleave
            a_long_content_is_kept_whole
            another_epoch_is_begun
            a_reset_forgets_the_log_and_keeps_the_messages
            partitions_are_recorded_once
            memberships_are_looked_up_in_pairs
        }
    };
    (@tests $open:expr => $($test:ident)+) => {$(
        #[tokio::test]
        async fn $test() {
            let Some((_guard, store)) = $open.await else {
                return;
            };
            $crate::store::suite::$test(&store).await;
        }
    )+};
}

pub(crate) use store_suite;

const LOG: LogId = LogId(uuid::Uuid::from_u128(7));

/// A user with a room, in a store that is bound to [`LOG`].
pub(super) struct Scene {
    pub(super) user: UserId,
    pub(super) room: RoomId,
}

async fn new_user(store: &Store, name: &str) -> UserId {
    let new = NewUser {
        email: format!("{name}@example.com"),
        password_hash: "x".into(),
        display_name: name.into(),
    };
    let user = store.register(new).await.expect("the store is up");
    user.expect("the address is free").id
}

pub(super) async fn scene(store: &Store) -> Scene {
    store.bind_log(LOG).await.expect("not bound yet");
    let user = new_user(store, "ada").await;
    let room = store.create_room("room".into(), Visibility::Public, user);
    Scene {
        user,
        room: room.await.expect("the store is up").id,
    }
}

impl Scene {
    fn message(&self, content: &str) -> SubmittedMessage {
        SubmittedMessage {
            event_id: EventId::random(),
            room_id: self.room,
            sender_id: self.user,
            client_msg_id: ClientMsgId::random(),
            message_type: MessageType::Text,
            content: content.into(),
            produced_at: Timestamp::now(),
            version: RECORD_VERSION,
        }
    }

    pub(super) fn messages(&self, count: usize) -> Vec<SubmittedMessage> {
        (0..count).map(|n| self.message(&n.to_string())).collect()
    }
}

pub(super) fn batch(from: u64, messages: &[SubmittedMessage]) -> IngestBatch {
    IngestBatch {
        log_id: LOG,
        partition: 0,
        from,
        records: messages.iter().cloned().map(Ok).collect(),
    }
}

pub(super) async fn ingest(store: &Store, batch: IngestBatch) -> Vec<RecordOutcome> {
    match store.ingest(batch).await.expect("the store is up") {
        Ingested::Done(outcomes) => outcomes,
        Ingested::Behind { next } => panic!("behind, at {next}"),
    }
}

/// What became of records, with their seqs: `new 1`, `duplicate 1`, `replayed 1`, `dead`.
pub(super) fn told(outcomes: &[RecordOutcome]) -> Vec<String> {
    let tell = |outcome: &RecordOutcome| match outcome {
        RecordOutcome::New(msg) => format!("new {}", msg.seq),
        RecordOutcome::Duplicate(msg) => format!("duplicate {}", msg.seq),
        RecordOutcome::Replayed(msg) => format!("replayed {}", msg.seq),
        RecordOutcome::Dead { replayed, .. } if *replayed => "dead again".to_owned(),
        RecordOutcome::Dead { .. } => "dead".to_owned(),
    };
    outcomes.iter().map(tell).collect()
}

pub(super) async fn page(
    store: &Store,
    room: RoomId,
    cursor: PageCursor,
    limit: usize,
) -> (Vec<u64>, bool) {
    let page = store.messages(room, cursor, limit).await;
    let page = page.expect("the store is up");
    let seqs = page.messages.iter().map(|msg| msg.seq.0).collect();
    (seqs, page.has_more)
}

pub(super) async fn a_batch_is_stored_in_order(store: &Store) {
    let scene = scene(store).await;
    let messages = scene.messages(3);
    let outcomes = ingest(store, batch(0, &messages)).await;
    assert_eq!(told(&outcomes), ["new 1", "new 2", "new 3"]);
    let stored = store.messages(scene.room, PageCursor::Newest, 10).await;
    let stored = stored.expect("the store is up").messages;
    let sent = messages.iter().map(|msg| &msg.content);
    assert!(stored.iter().map(|msg| &msg.content).eq(sent));
    assert!(stored.is_sorted_by(|a, b| a.message_id < b.message_id));
    let room = store.room(scene.room).await.expect("up").expect("there");
    assert_eq!(room.last_seq, Seq(3));
    assert_eq!(room.last_message_id, Some(stored[2].message_id));
    assert_eq!(store.ingest_offsets().await.expect("up"), [(0, 3)]);
}

pub(super) async fn a_repeat_is_a_duplicate_and_burns_no_seq(store: &Store) {
    let scene = scene(store).await;
    let [a, b] = [scene.message("a"), scene.message("b")];
    let repeated = SubmittedMessage {
        content: "another text".into(),
        ..a.clone()
    };
    let outcomes = ingest(store, batch(0, &[a.clone(), repeated.clone(), b])).await;
    assert_eq!(told(&outcomes), ["new 1", "duplicate 1", "new 2"]);
    let RecordOutcome::Duplicate(msg) = &outcomes[1] else {
        panic!("a duplicate");
    };
    assert_eq!((msg.content.as_str(), msg.duplicate), ("a", true));
    let outcomes = ingest(store, batch(3, &[repeated])).await;
    assert_eq!(told(&outcomes), ["duplicate 1"]);
    // The same id of another sender is another message.
    let eve = new_user(store, "eve").await;
    let other = SubmittedMessage {
        sender_id: eve,
        ..a
    };
    let outcomes = ingest(store, batch(4, &[other])).await;
    assert_eq!(told(&outcomes), ["new 3"]);
}

pub(super) async fn a_batch_read_again_is_replayed(store: &Store) {
    let scene = scene(store).await;
    let mut first = batch(0, &scene.messages(2));
    first.records.push(Err(RecordError::UnknownVersion(9)));
    let outcomes = ingest(store, first.clone()).await;
    assert_eq!(told(&outcomes), ["new 1", "new 2", "dead"]);
    let outcomes = ingest(store, first).await;
    assert_eq!(told(&outcomes), ["replayed 1", "replayed 2", "dead again"]);
    assert_eq!(store.ingest_offsets().await.expect("up"), [(0, 3)]);
}

pub(super) async fn a_repeat_read_again_is_still_a_repeat(store: &Store) {
    let scene = scene(store).await;
    let original = scene.message("a");
    let repeat = SubmittedMessage {
        event_id: EventId::random(),
        ..original.clone()
    };
    let records = batch(0, &[original, repeat]);
    ingest(store, records.clone()).await;
    let outcomes = ingest(store, records).await;
    let replayed = outcomes.iter().map(|outcome| match outcome {
        RecordOutcome::Replayed(msg) => (msg.duplicate, msg.replayed),
        other => panic!("{other:?}"),
    });
    // Whoever repeated it may still wait for the answer.
    assert_eq!(replayed.collect::<Vec<_>>(), [(true, true), (true, false)]);
}

pub(super) async fn a_batch_partly_read_before_is_split(store: &Store) {
    let scene = scene(store).await;
    let messages = scene.messages(5);
    ingest(store, batch(0, &messages[..3])).await;
    let outcomes = ingest(store, batch(1, &messages[1..])).await;
    assert_eq!(
        told(&outcomes),
        ["replayed 2", "replayed 3", "new 4", "new 5"]
    );
}

pub(super) async fn a_batch_after_a_hole_is_refused(store: &Store) {
    let scene = scene(store).await;
    ingest(store, batch(0, &scene.messages(2))).await;
    let outcome = store.ingest(batch(3, &scene.messages(1))).await;
    assert_eq!(outcome.expect("up"), Ingested::Behind { next: 2 });
    assert_eq!(
        page(store, scene.room, PageCursor::Newest, 9).await.0,
        [1, 2]
    );
}

pub(super) async fn another_logs_batch_is_refused(store: &Store) {
    let scene = scene(store).await;
    let foreign = IngestBatch {
        log_id: LogId::random(),
        ..batch(0, &scene.messages(1))
    };
    let refused = store.ingest(foreign).await;
    assert!(matches!(refused, Err(IngestError::OtherLog)), "{refused:?}");
}

pub(super) async fn a_dead_record_stops_nobody(store: &Store) {
    let scene = scene(store).await;
    let unknown_room = SubmittedMessage {
        room_id: RoomId::random(),
        ..scene.message("x")
    };
    let unknown_sender = SubmittedMessage {
        sender_id: UserId::random(),
        ..scene.message("x")
    };
    let mut records = batch(0, &[unknown_room, scene.message("a"), unknown_sender]);
    let unreadable = RecordError::Malformed("not JSON".into());
    records.records.insert(1, Err(unreadable));
    records.records.push(Ok(scene.message("b")));
    let outcomes = ingest(store, records).await;
    assert_eq!(told(&outcomes), ["dead", "dead", "new 1", "dead", "new 2"]);
}

pub(super) async fn two_rooms_have_orders_of_their_own(store: &Store) {
    let scene = scene(store).await;
    let other = store.create_room("other".into(), Visibility::Private, scene.user);
    let other = Scene {
        user: scene.user,
        room: other.await.expect("up").id,
    };
    let mixed = [
        scene.message("a"),
        other.message("b"),
        scene.message("c"),
        other.message("d"),
    ];
    let outcomes = ingest(store, batch(0, &mixed)).await;
    assert_eq!(told(&outcomes), ["new 1", "new 1", "new 2", "new 2"]);
    let mut heads = store
        .heads(vec![scene.room, other.room, RoomId::random()])
        .await
        .expect("up");
    heads.sort_unstable();
    let mut expected = vec![(scene.room, Seq(2)), (other.room, Seq(2))];
    expected.sort_unstable();
    assert_eq!(heads, expected);
}

pub(super) async fn pages_are_cut_from_the_order(store: &Store) {
    let scene = scene(store).await;
    ingest(store, batch(0, &scene.messages(7))).await;
    let all = store
        .messages(scene.room, PageCursor::Newest, 100)
        .await
        .expect("up")
        .messages;
    let id = |seq: usize| all[seq - 1].message_id;
    let check = async |cursor, limit, seqs: &[u64], has_more| {
        let found = page(store, scene.room, cursor, limit).await;
        assert_eq!(found, (seqs.to_vec(), has_more), "{cursor:?} {limit}");
    };
    check(PageCursor::Newest, 3, &[5, 6, 7], true).await;
    check(PageCursor::Newest, 7, &[1, 2, 3, 4, 5, 6, 7], false).await;
    check(PageCursor::Before(id(3)), 5, &[1, 2], false).await;
    check(PageCursor::Before(id(7)), 2, &[5, 6], true).await;
    check(PageCursor::After(id(5)), 5, &[6, 7], false).await;
    check(PageCursor::After(id(1)), 2, &[2, 3], true).await;
    check(PageCursor::AfterSeq(Seq(4)), 2, &[5, 6], true).await;
    check(PageCursor::AfterSeq(Seq(7)), 2, &[], false).await;
    // A cursor need not exist.
    let just_before = MessageId(Ulid(id(1).0.0 - 1));
    let just_after = MessageId(Ulid(id(7).0.0 + 1));
    check(PageCursor::After(just_before), 1, &[1], true).await;
    check(PageCursor::Before(just_after), 1, &[7], true).await;
    check(PageCursor::Before(MessageId(Ulid::nil())), 1, &[], false).await;
    check(PageCursor::After(MessageId(Ulid(u128::MAX))), 1, &[], false).await;
    let at = async |id| store.seq_at(scene.room, id).await.expect("up");
    assert_eq!((at(just_after).await, at(id(4)).await), (Seq(7), Seq(4)));
    assert_eq!(at(just_before).await, Seq::ZERO);
    assert_eq!(at(MessageId(Ulid::nil())).await, Seq::ZERO);
}

pub(super) async fn a_read_cursor_never_moves_back(store: &Store) {
    let scene = scene(store).await;
    ingest(store, batch(0, &scene.messages(3))).await;
    let all = store
        .messages(scene.room, PageCursor::Newest, 9)
        .await
        .expect("up")
        .messages;
    let id = |seq: usize| all[seq - 1].message_id;
    let mark = async |user, id| store.mark_read(scene.room, user, id).await.expect("up");
    let nothing = MessageId(Ulid::nil());
    assert_eq!(mark(scene.user, nothing).await, ReadMark::Unmoved(None));
    assert_eq!(mark(scene.user, id(2)).await, ReadMark::Moved(id(2)));
    assert_eq!(
        mark(scene.user, id(1)).await,
        ReadMark::Unmoved(Some(id(2)))
    );
    let beyond = MessageId(Ulid(u128::MAX));
    assert_eq!(mark(scene.user, beyond).await, ReadMark::Moved(id(3)));
    assert_eq!(mark(UserId::random(), id(1)).await, ReadMark::NotMember);
}

pub(super) async fn memberships_have_growing_generations(store: &Store) {
    let scene = scene(store).await;
    let bob = new_user(store, "bob").await;
    let join = async || match store.join(scene.room, bob).await.expect("up") {
        Joined::Member(member) => member.generation,
        other => panic!("{other:?}"),
    };
    let first = join().await;
    assert_eq!(
        store.join(scene.room, bob).await.expect("up"),
        Joined::AlreadyMember
    );
    let left = store.leave(scene.room, bob).await.expect("up");
    let MemberChange::Done(left) = left else {
        panic!("{left:?}");
    };
    assert_eq!(left.generation, first);
    assert!(join().await > first);
    let members = store.members(scene.room).await.expect("up");
    assert_eq!(
        members.iter().map(|m| m.role).collect::<Vec<_>>(),
        [Role::Owner, Role::Member]
    );
}

pub(super) async fn a_database_is_bound_to_one_log(store: &Store) {
    assert_eq!(store.installation().await.expect("up").log_id, None);
    store.bind_log(LOG).await.expect("not bound yet");
    store.bind_log(LOG).await.expect("the same log");
    let other = store.bind_log(LogId::random()).await;
    assert!(
        matches!(other, Err(OpenError::OtherLog { .. })),
        "{other:?}"
    );
    assert_eq!(store.installation().await.expect("up").log_id, Some(LOG));
}

/// Several partitions may hold records of one room, after their number was changed.
pub(super) async fn a_batch_is_stored_whole_or_not_at_all_when_partitions_interleave(
    store: &Store,
) {
    let scene = scene(store).await;
    let ingesting = (0..4).map(|partition| {
        let records = IngestBatch {
            partition,
            ..batch(0, &scene.messages(50))
        };
        store.ingest(records)
    });
    for outcome in futures_util::future::join_all(ingesting).await {
        assert!(matches!(outcome, Ok(Ingested::Done(_))), "{outcome:?}");
    }
    let mut seqs = Vec::new();
    loop {
        let after = Seq(seqs.last().copied().unwrap_or(0));
        let (more, has_more) = page(store, scene.room, PageCursor::AfterSeq(after), 100).await;
        seqs.extend(more);
        if !has_more {
            break;
        }
    }
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
}

pub(super) async fn another_epoch_is_begun(store: &Store) {
    let first = store.installation().await.expect("up").epoch;
    let second = store.new_epoch().await.expect("up");
    assert_ne!(first, second);
    assert_eq!(store.installation().await.expect("up").epoch, second);
}

pub(super) async fn a_reset_forgets_the_log_and_keeps_the_messages(store: &Store) {
    let scene = scene(store).await;
    let messages = scene.messages(2);
    ingest(store, batch(0, &messages)).await;
    store.reset_ingest().await.expect("up");
    assert_eq!(store.installation().await.expect("up").log_id, None);
    assert_eq!(store.ingest_offsets().await.expect("up"), []);
    let refused = store.ingest(batch(0, &messages)).await;
    assert!(matches!(refused, Err(IngestError::OtherLog)), "{refused:?}");
    store.bind_log(LOG).await.expect("not bound any more");
    // What the new log holds of the old one is recognised, and is nobody's repeat.
    let outcomes = ingest(store, batch(0, &messages)).await;
    assert_eq!(told(&outcomes), ["duplicate 1", "duplicate 2"]);
    for outcome in outcomes {
        assert!(matches!(outcome, RecordOutcome::Duplicate(msg) if msg.replayed));
    }
}

pub(super) async fn partitions_are_recorded_once(store: &Store) {
    let scene = scene(store).await;
    ingest(store, batch(0, &scene.messages(2))).await;
    for (count, before) in [(3, 1), (6, 3), (6, 6), (2, 6)] {
        let found = store.record_partitions(count).await.expect("up");
        assert_eq!(found, before, "{count}");
    }
    let mut offsets = store.ingest_offsets().await.expect("up");
    offsets.sort_unstable();
    assert_eq!(offsets, [(0, 2), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]);
}

pub(super) async fn memberships_are_looked_up_in_pairs(store: &Store) {
    let scene = scene(store).await;
    let [bob, eve] = [new_user(store, "bob").await, new_user(store, "eve").await];
    let other = store.create_room("other".into(), Visibility::Public, bob);
    let other = other.await.expect("up").id;
    let Joined::Member(member) = store.join(scene.room, eve).await.expect("up") else {
        panic!("it is public");
    };
    let asked = [
        (scene.room, scene.user),
        (scene.room, eve),
        (scene.room, bob),
        (other, eve),
        (other, bob),
        (RoomId::random(), bob),
    ];
    // Also when there are too many for one statement.
    let many = (0..1_500).map(|_| (other, UserId::random()));
    let asked = asked.into_iter().chain(many).collect();
    let found = store.memberships(asked).await.expect("up");
    let mut pairs: Vec<_> = found.iter().map(|(room, user, _)| (*room, *user)).collect();
    pairs.sort_unstable();
    let mut expected = [(scene.room, scene.user), (scene.room, eve), (other, bob)];
    expected.sort_unstable();
    assert_eq!(pairs, expected);
    assert!(found.contains(&(scene.room, eve, member.generation)));
    assert_eq!(store.memberships(Vec::new()).await.expect("up"), []);
}

pub(super) async fn a_long_content_is_kept_whole(store: &Store) {
    let scene = scene(store).await;
    // Nothing that could be packed: ids in a row.
    let mut longest = String::new();
    while longest.len() < 19_000 {
        longest.push_str(&ClientMsgId::random().to_string());
    }
    let contents = ["short", &longest[..2_000], &longest[..2_001], &longest];
    let messages = contents.map(|content| scene.message(content));
    let outcomes = ingest(store, batch(0, &messages)).await;
    assert_eq!(told(&outcomes), ["new 1", "new 2", "new 3", "new 4"]);
    let again = ingest(store, batch(4, &messages)).await;
    let replayed = ingest(store, batch(0, &messages)).await;
    for outcome in again.iter().chain(&replayed).chain(&outcomes) {
        let (RecordOutcome::New(msg)
        | RecordOutcome::Duplicate(msg)
        | RecordOutcome::Replayed(msg)) = outcome
        else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            msg.content,
            contents[usize::try_from(msg.seq.0 - 1).expect("small")]
        );
    }
    for cursor in [PageCursor::Newest, PageCursor::AfterSeq(Seq::ZERO)] {
        let page = store.messages(scene.room, cursor, 9).await.expect("up");
        let found: Vec<_> = page.messages.iter().map(|msg| &msg.content).collect();
        assert_eq!(found, contents);
    }
}
