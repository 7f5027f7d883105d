//! The end of a log's life in a process.

use super::{
    Fixture, append_messages, from_zero, in_time, ingest, read, record, values, values_of,
};
use crate::message_log::{AppendError, Appending, Topic};

pub(crate) async fn nothing_is_appended_after_the_close<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    assert!(log.is_healthy().await);
    log.close().await;
    assert!(!log.is_healthy().await);
    for topic in [
        Topic::Messages,
        Topic::Persisted,
        Topic::Events,
        Topic::DeadLetters,
    ] {
        let refused = in_time(log.append(record(topic, "a", 1))).await;
        assert!(matches!(refused, Err(AppendError::Refused(_))), "{topic:?}");
    }
    assert!(
        in_time(ingest(&log, from_zero(&log)).recv())
            .await
            .is_none()
    );
    assert!(in_time(log.broadcast().recv()).await.is_none());
    let log = fixture.open().await;
    append_messages(&log, "a", 0..1).await;
    read(&mut ingest(&log, from_zero(&log)), 1).await;
    log.close().await;
}

pub(crate) async fn what_was_queued_before_the_close_is_kept<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let appending: Vec<Appending> = (0..2_000)
        .map(|n| log.append(record(Topic::Messages, "a", n)))
        .collect();
    in_time(log.close()).await;
    for answer in appending {
        in_time(answer).await.expect("an accepted record");
    }
    let log = fixture.open().await;
    let read = read(&mut ingest(&log, from_zero(&log)), 2_000).await;
    assert_eq!(values_of(&read, "a"), values("a", 0..2_000));
    log.close().await;
}

pub(crate) async fn closing_twice_is_closing_once<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    append_messages(&log, "a", 0..1).await;
    in_time(futures_util::future::join(log.close(), log.close())).await;
    in_time(log.close()).await;
}

pub(crate) async fn a_reader_ends_when_the_log_closes<F: Fixture>() {
    let fixture = F::new().await;
    let log = fixture.open().await;
    let mut stream = ingest(&log, from_zero(&log));
    let mut broadcast = log.broadcast();
    append_messages(&log, "a", 0..1).await;
    in_time(log.close()).await;
    while in_time(stream.recv()).await.is_some() {}
    assert!(in_time(broadcast.recv()).await.is_none());
}
