//! Races, records that the server refuses, connections that break.

use futures_util::future::join_all;

use super::{open, proxy::Proxy, scratch};
use crate::{
    ids::Seq,
    store::{
        IngestBatch, IngestError, Ingested, NewUser, PageCursor, RecordOutcome,
        suite::{Scene, batch, ingest, page, scene, told},
    },
};

/// Ends every connection of a store to this database, and waits until each has ended.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = 'roomcast'";

#[tokio::test]
async fn workers_that_race_on_a_partition_store_each_record_once() {
    let Some((scratch, store)) = open().await else {
        return;
    };
    let scene = scene(&store).await;
    let other = scratch.store().await;
    let messages = scene.messages(60);
    let mut news = 0;
    for from in (0..60).step_by(10) {
        // One begins in the middle of what the other stores.
        let all = batch(from, &messages[from as usize..][..10]);
        let tail = batch(from, &messages[from as usize..][..5]);
        let done = join_all([store.ingest(all), other.ingest(tail)]).await;
        for outcome in done {
            let Ok(Ingested::Done(outcomes)) = outcome else {
                panic!("{outcome:?}");
            };
            let is_new = |outcome: &&RecordOutcome| matches!(outcome, RecordOutcome::New(_));
            news += outcomes.iter().filter(is_new).count();
        }
    }
    assert_eq!(news, 60);
    let (seqs, _) = page(&store, scene.room, PageCursor::AfterSeq(Seq::ZERO), 100).await;
    assert_eq!(seqs, (1..=60).collect::<Vec<_>>());
    assert_eq!(store.ingest_offsets().await.expect("up"), [(0, 60)]);
}

#[tokio::test]
async fn a_reset_that_a_new_connection_waits_for_is_seen() {
    let Some((scratch, store)) = open().await else {
        return;
    };
    let scene = scene(&store).await;
    ingest(&store, batch(0, &scene.messages(1))).await;
    let reset = scratch::connect(&scratch.url()).await;
    let hold = "BEGIN; SELECT FROM ingest_offsets FOR UPDATE";
    reset.batch_execute(hold).await.expect("a lock");
    // Has prepared none of its statements, which leave together all the same.
    let cold = scratch.store().await;
    let late = tokio::spawn({
        let records = batch(1, &scene.messages(1));
        async move { cold.ingest(records).await }
    });
    let waiting = "SELECT pid::text FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while scratch.texts(waiting).await.is_empty() {
        assert!(!late.is_finished(), "it has to wait for the lock");
    }
    let forget = "UPDATE installation SET log_id = NULL; COMMIT";
    reset.batch_execute(forget).await.expect("a commit");
    let refused = late.await.expect("no panic");
    assert!(matches!(refused, Err(IngestError::OtherLog)), "{refused:?}");
}

#[tokio::test]
async fn one_of_two_that_register_an_address_at_once_gets_it() {
    let Some((_scratch, store)) = open().await else {
        return;
    };
    let new = NewUser {
        email: "ada@example.com".into(),
        password_hash: "x".into(),
        display_name: "Ada".into(),
    };
    let registered = join_all((0..8).map(|_| store.register(new.clone()))).await;
    let users = registered.into_iter().map(|user| user.expect("up"));
    assert_eq!(users.flatten().count(), 1);
}

/// A batch of nine records, two of which hold this content.
fn batch_with(scene: &Scene, content: &str) -> IngestBatch {
    let mut messages = scene.messages(9);
    for bad in [2, 7] {
        messages[bad].content = content.into();
    }
    batch(0, &messages)
}

const ALL_BUT_TWO: [&str; 9] = [
    "new 1", "new 2", "dead", "new 3", "new 4", "new 5", "new 6", "dead", "new 7",
];

#[tokio::test]
async fn a_text_that_the_server_cannot_keep_is_dead_and_stops_nobody() {
    let Some((_scratch, store)) = open().await else {
        return;
    };
    let scene = scene(&store).await;
    // SQLSTATE 22021; the edge refuses it, another producer may not.
    let records = batch_with(&scene, "nul \0");
    let outcomes = ingest(&store, records.clone()).await;
    assert_eq!(told(&outcomes), ALL_BUT_TWO);
    assert_eq!(store.ingest_offsets().await.expect("up"), [(0, 9)]);
    let again = ingest(&store, records).await;
    assert_eq!(
        told(&again)[1..4],
        ["replayed 2", "dead again", "replayed 3"]
    );
}

#[tokio::test]
async fn a_record_that_breaks_a_constraint_is_dead_and_stops_nobody() {
    let Some((scratch, store)) = open().await else {
        return;
    };
    let scene = scene(&store).await;
    // SQLSTATE 23514.
    let constraint = "ALTER TABLE messages ADD CHECK (content <> 'forbidden')";
    scratch.execute(constraint).await;
    let outcomes = ingest(&store, batch_with(&scene, "forbidden")).await;
    assert_eq!(told(&outcomes), ALL_BUT_TWO);
}

#[tokio::test]
async fn an_error_that_is_not_the_datas_is_no_dead_letter() {
    let Some((scratch, store)) = open().await else {
        return;
    };
    let scene = scene(&store).await;
    // As a full disk says it: SQLSTATE 53100.
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100''; END'; \
         CREATE TRIGGER full_disk BEFORE INSERT ON messages EXECUTE FUNCTION full_disk()";
    scratch.execute(full).await;
    let records = batch(0, &scene.messages(3));
    let refused = store.ingest(records.clone()).await;
    assert!(refused.is_err(), "{refused:?}");
    scratch.execute("DROP TRIGGER full_disk ON messages").await;
    assert_eq!(
        told(&ingest(&store, records).await),
        ["new 1", "new 2", "new 3"]
    );
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_out() {
    let Some((scratch, direct)) = open().await else {
        return;
    };
    let scene = scene(&direct).await;
    let proxy = Proxy::before(&scratch.url()).await;
    let store = scratch::open(&proxy.url(&scratch.url()), false).await;
    ingest(&store, batch(0, &scene.messages(1))).await;
    let mut messages = scene.messages(2);
    messages.push(messages[0].clone());
    proxy.arm();
    let outcomes = ingest(&store, batch(1, &messages)).await;
    assert!(!proxy.is_armed(), "it has cut a connection");
    assert_eq!(told(&outcomes), ["new 2", "new 3", "duplicate 2"]);
    let (seqs, _) = page(&direct, scene.room, PageCursor::Newest, 9).await;
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test]
async fn a_connection_that_ends_before_the_commit_loses_and_doubles_nothing() {
    let Some((scratch, store)) = open().await else {
        return;
    };
    let scene = scene(&store).await;
    // The first commit ends its own connection, just before it.
    let deadly = "CREATE SEQUENCE commits; \
         CREATE FUNCTION die_once() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN IF nextval(''commits'') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); \
         END IF; RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER die_once AFTER INSERT ON messages \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die_once()";
    scratch.execute(deadly).await;
    let outcomes = ingest(&store, batch(0, &scene.messages(2))).await;
    assert_eq!(told(&outcomes), ["new 1", "new 2"]);
    let used = scratch.texts("SELECT last_value::text FROM commits").await;
    assert_ne!(used, ["1"], "it was tried again");
}

#[tokio::test]
async fn connections_that_were_ended_fail_nobody() {
    let Some((scratch, store)) = open().await else {
        return;
    };
    let ask = async || {
        let asked = join_all((0..30).map(|_| store.installation())).await;
        asked.into_iter().filter(Result::is_err).count()
    };
    assert_eq!(ask().await, 0, "the pool is full");
    for _ in 0..3 {
        scratch.execute(TERMINATE).await;
        assert_eq!(ask().await, 0);
    }
}
