//! The queue before the thread, and what can be counted of it.

use super::*;
use crate::message_log::AppendError;

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_keeps_what_it_took() {
    let dir = folder();
    let (log, writer) = LocalLog::assemble(dir.path(), Expected::default()).expect("a new log");
    let append = |n| log.append(suite::record(Topic::Messages, "a", n));
    let taken: Vec<Appending> = (0..QUEUE).map(append).collect();
    assert_eq!(log.figures().queued, QUEUE);
    let refused = suite::in_time(append(QUEUE)).await;
    assert!(
        matches!(refused, Err(AppendError::Refused(_))),
        "{refused:?}"
    );

    tokio::spawn(writer.run());
    for answer in taken {
        suite::in_time(answer).await.expect("an accepted record");
    }
    suite::in_time(append(QUEUE)).await.expect("room again");
    let read = suite::read(&mut suite::ingest(&wrap(&log), vec![(0, 0)]), QUEUE + 1).await;
    assert_eq!(
        suite::values_of(&read, "a"),
        suite::values("a", 0..QUEUE + 1)
    );
    log.close().await;
}

#[tokio::test]
async fn figures_show_the_lag() {
    let dir = folder();
    let log = open_alone(dir.path());
    suite::append_messages(&wrap(&log), "a", 0..5).await;
    log.commit(0, 3).await.expect("a commit");
    drop(log.append(suite::record(Topic::Persisted, "a", 0)));
    let expected = Figures {
        queued: 0,
        end: 5,
        committed: 3,
        broadcast_queued: 1,
    };
    assert_eq!(log.figures(), expected);
    log.close().await;
}
