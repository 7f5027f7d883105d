//! Tests of the embedded log: the port's suite, and what only this adapter promises.

mod damage;
mod disk;
mod growth;
mod kill;
mod pairs;
mod queue;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::*;
use crate::message_log::{
    IngestEvent, MessageLog,
    suite::{self, Fixture},
};

/// Names the folder to a test that runs in a process of its own.
const CHILD: &str = "ROOMCAST_TEST_LOG";

/// A log in a folder of its own, beside a store that takes whatever was committed.
struct LocalFixture {
    dir: TempDir,
}

impl Fixture for LocalFixture {
    async fn new() -> Self {
        Self { dir: folder() }
    }

    async fn open(&self) -> MessageLog {
        MessageLog::Local(open_alone(self.dir.path()))
    }
}

suite::message_log_suite!(LocalFixture);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Opens a log as a store would that has taken exactly what was committed.
fn open_alone(dir: &Path) -> LocalLog {
    LocalLog::open(dir, store_of(dir)).expect("a good log")
}

/// Returns what a store knows that has taken exactly what was committed.
fn store_of(dir: &Path) -> Expected {
    let path = dir.join("log.sqlite3");
    if !path.exists() {
        return Expected::default();
    }
    // Without the right to write it leaves the WAL of a crash as it is.
    let mut db = files::connect(&path, "ro").expect("a database");
    let meta = rows::load_meta(&mut db)
        .expect("a row")
        .expect("a good row");
    Expected {
        log_id: Some(meta.log_id),
        ingested: meta.first,
    }
}

fn wrap(log: &LocalLog) -> MessageLog {
    MessageLog::Local(log.clone())
}

/// Copies a folder's files as they are on the disk now, as a crash would leave them.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// Runs one test of this binary in a process of its own, in the folder that it finds in [`CHILD`].
fn child(test: &str, dir: &Path) -> Command {
    let binary = std::env::current_exe().expect("this binary");
    let mut command = Command::new("sh");
    // A file that is too large is an error to be handled, not the end of the process.
    command
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(binary)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped());
    command
}

/// Returns the folder when this process is such a child.
fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Returns why a log is not opened.
fn refusal(dir: &Path, expected: Expected) -> String {
    match LocalLog::open(dir, expected) {
        Err(LogError::Refused(reason)) => reason,
        Err(other) => panic!("not refused but: {other}"),
        Ok(_) => panic!("opened"),
    }
}

fn dead_letter(n: usize) -> NewRecord {
    NewRecord {
        headers: vec![
            ("roomcast-reason", format!("not JSON \"{n}\"")),
            ("roomcast-offset", n.to_string()),
        ],
        ..suite::record(Topic::DeadLetters, "", n)
    }
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_crash() {
    let dir = folder();
    let log = open_alone(dir.path());
    suite::append_messages(&wrap(&log), "a", 0..50).await;
    log.append(dead_letter(7))
        .await
        .expect("an accepted record");
    let crashed = folder();
    copy(dir.path(), crashed.path());
    log.close().await;

    let log = open_alone(crashed.path());
    let read = suite::read(&mut suite::ingest(&wrap(&log), vec![(0, 0)]), 50).await;
    assert_eq!(suite::values_of(&read, "a"), suite::values("a", 0..50));
    let letters = log.dead_letters(0, 10).await.expect("dead letters");
    assert_eq!(letters.len(), 1);
    log.close().await;
}

#[tokio::test]
async fn dead_letters_are_kept_with_their_headers() {
    let dir = folder();
    let log = open_alone(dir.path());
    for n in 0..3 {
        log.append(dead_letter(n))
            .await
            .expect("an accepted record");
    }
    log.close().await;
    let log = open_alone(dir.path());
    let letters = log.dead_letters(1, 1).await.expect("dead letters");
    let [letter] = &letters[..] else {
        panic!("one was asked for: {letters:?}");
    };
    assert_eq!((letter.offset, &letter.value[..]), (1, &b":1"[..]));
    assert_eq!(
        letter.headers,
        [
            ("roomcast-reason".to_owned(), "not JSON \"1\"".to_owned()),
            ("roomcast-offset".to_owned(), "1".to_owned())
        ]
    );
    assert_eq!(log.dead_letters(3, 10).await.expect("none"), []);
    log.close().await;
}

#[tokio::test]
async fn a_reader_is_told_when_it_asks_for_what_is_not_there() {
    let dir = folder();
    let log = open_alone(dir.path());
    suite::append_messages(&wrap(&log), "a", 0..10).await;
    log.commit(0, 4).await.expect("a commit");
    suite::append_messages(&wrap(&log), "a", 10..11).await;
    for from in [3, 12] {
        let mut stream = log.ingest();
        let assigned = suite::in_time(stream.recv()).await;
        let Some(IngestEvent::Assigned(mut partitions)) = assigned else {
            panic!("nothing assigned: {assigned:?}");
        };
        assert_eq!((partitions[0].first, partitions[0].end), (4, 11));
        let sought = partitions[0].reader.seek(from).await;
        sought.expect("the log is open");
        let event = suite::in_time(stream.recv()).await;
        assert!(
            matches!(event, Some(IngestEvent::Failed(_))),
            "from {from}: {event:?}"
        );
    }
    let read = suite::read(&mut suite::ingest(&wrap(&log), vec![(0, 4)]), 7).await;
    assert_eq!(suite::values_of(&read, "a"), suite::values("a", 4..11));
    log.close().await;
}

#[tokio::test]
async fn only_what_exists_can_be_committed() {
    let dir = folder();
    let log = open_alone(dir.path());
    suite::append_messages(&wrap(&log), "a", 0..2).await;
    log.commit(0, 2).await.expect("a commit");
    log.commit(0, 3).await.expect_err("beyond the end");
    log.commit(1, 0).await.expect_err("no such partition");
    log.committed(1).await.expect_err("no such partition");
    assert_eq!(log.committed(0).await.expect("an offset"), 2);
    log.close().await;
}
