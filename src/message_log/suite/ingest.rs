//! Appending to `chat.messages.v1`, reading it, committing.

use super::{
    Fixture, append_messages, commit_all, committed, from_zero, in_time, ingest, read, record,
    values, values_of,
};
use crate::message_log::{Appending, NewRecord, Topic};

pub(crate) async fn records_of_a_key_come_back_in_the_order_of_their_appends<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let keys = ["a", "b", "c"];
    let appending: Vec<Appending> = (0..300)
        .flat_map(|n| keys.map(|key| log.append(record(Topic::Messages, key, n))))
        .collect();
    for answer in appending {
        in_time(answer).await.expect("an accepted record");
    }
    let read = read(&mut ingest(&log, from_zero(&log)), 900).await;
    for key in keys {
        assert_eq!(values_of(&read, key), values(key, 0..300));
    }
    log.close().await;
}

pub(crate) async fn offsets_have_no_hole<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    append_messages(&log, "a", 0..700).await;
    append_messages(&log, "b", 0..700).await;
    let read = read(&mut ingest(&log, from_zero(&log)), 1_400).await;
    for records in read.values() {
        let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (0..records.len() as u64).collect::<Vec<_>>());
    }
    log.close().await;
}

pub(crate) async fn an_accepted_record_survives_a_restart<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let id = log.id();
    append_messages(&log, "a", 0..10).await;
    log.close().await;
    let log = fixture.open().await;
    assert_eq!(log.id(), id);
    append_messages(&log, "a", 10..20).await;
    let read = read(&mut ingest(&log, from_zero(&log)), 20).await;
    assert_eq!(values_of(&read, "a"), values("a", 0..20));
    log.close().await;
}

pub(crate) async fn a_record_is_appended_though_nobody_waits_for_the_answer<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    for n in 0..10 {
        drop(log.append(record(Topic::Messages, "a", n)));
    }
    let read = read(&mut ingest(&log, from_zero(&log)), 10).await;
    assert_eq!(values_of(&read, "a"), values("a", 0..10));
    log.close().await;
}

pub(crate) async fn reading_resumes_from_an_offset<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    append_messages(&log, "a", 0..1_200).await;
    let all = read(&mut ingest(&log, from_zero(&log)), 1_200).await;
    let (partition, records) = all.iter().next().expect("one partition of one key");
    for skipped in [1, 499, 500, 1_199] {
        let mut from = from_zero(&log);
        from[*partition as usize].1 = records[skipped].offset;
        let rest = read(&mut ingest(&log, from), 1_200 - skipped).await;
        assert_eq!(rest[partition][..], records[skipped..], "after {skipped}");
    }
    log.close().await;
}

pub(crate) async fn a_live_reader_gets_what_is_appended_later<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let mut stream = ingest(&log, from_zero(&log));
    for n in 0..5 {
        append_messages(&log, "a", n..n + 1).await;
        let read = read(&mut stream, 1).await;
        assert_eq!(values_of(&read, "a"), values("a", n..n + 1));
    }
    log.close().await;
}

pub(crate) async fn the_last_reader_wins<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let mut first = ingest(&log, from_zero(&log));
    let mut second = ingest(&log, from_zero(&log));
    append_messages(&log, "a", 0..3).await;
    let read = read(&mut second, 3).await;
    assert_eq!(values_of(&read, "a"), values("a", 0..3));
    while in_time(first.recv()).await.is_some() {}
    log.close().await;
}

pub(crate) async fn a_commit_is_remembered<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    assert_eq!(committed(&log).await, from_zero(&log), "a new log");
    append_messages(&log, "a", 0..10).await;
    let read = read(&mut ingest(&log, from_zero(&log)), 10).await;
    commit_all(&log, &read).await;
    let noted = committed(&log).await;
    assert_ne!(noted, from_zero(&log));
    log.close().await;
    let log = fixture.open().await;
    assert_eq!(committed(&log).await, noted, "after a restart");
    log.close().await;
}

pub(crate) async fn what_was_not_committed_is_read_again<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    append_messages(&log, "a", 0..10).await;
    let first = read(&mut ingest(&log, from_zero(&log)), 10).await;
    commit_all(&log, &first).await;
    append_messages(&log, "a", 10..20).await;
    log.close().await;
    let log = fixture.open().await;
    let from = committed(&log).await;
    let again = read(&mut ingest(&log, from), 10).await;
    assert_eq!(values_of(&again, "a"), values("a", 10..20));
    log.close().await;
}

pub(crate) async fn a_commit_never_moves_back<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    append_messages(&log, "a", 0..10).await;
    let read = read(&mut ingest(&log, from_zero(&log)), 10).await;
    commit_all(&log, &read).await;
    let noted = committed(&log).await;
    for (partition, _) in &noted {
        log.commit(*partition, 0).await.expect("an old commit");
    }
    assert_eq!(committed(&log).await, noted);
    log.close().await;
}

pub(crate) async fn a_dead_letter_is_accepted<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let letter = NewRecord {
        headers: vec![("roomcast-reason", "not JSON".to_owned())],
        ..record(Topic::DeadLetters, "", 1)
    };
    in_time(log.append(letter))
        .await
        .expect("an accepted record");
    log.close().await;
}
