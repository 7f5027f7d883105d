//! A log and the store beside it belong together, or neither is used.

use super::*;

/// Makes a closed log with 20 messages, of which `committed` are gone; returns its id.
async fn make(dir: &Path, committed: u64) -> LogId {
    let log = LocalLog::open(dir, Expected::default()).expect("a new log");
    suite::append_messages(&wrap(&log), "a", 0..20).await;
    log.commit(0, committed).await.expect("a commit");
    log.close().await;
    log.id()
}

fn bound(log_id: LogId, ingested: u64) -> Expected {
    Expected {
        log_id: Some(log_id),
        ingested,
    }
}

/// Checks that a log is refused with a sentence that says this, and that its files stay as they were.
fn check_refused(dir: &Path, expected: Expected, saying: &str) {
    let before = contents(dir);
    let reason = refusal(dir, expected);
    assert!(reason.contains(saying), "{reason}");
    assert!(
        reason.contains("restore ")
            || reason.contains(": put back ")
            || reason.contains(": start "),
        "{reason}"
    );
    assert!(contents(dir) == before, "a refused log is left alone");
}

/// Returns names and bytes of everything that holds records.
pub(super) fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut contents: Vec<_> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("a file"))
        })
        // SQLite makes these two anew when it looks into a database.
        .filter(|(name, bytes)| {
            let is_made_anew = name.ends_with("-shm") || name.ends_with("-wal") && bytes.is_empty();
            !is_made_anew
        })
        .collect();
    contents.sort();
    contents
}

#[tokio::test]
async fn a_log_goes_with_a_store_between_its_commit_and_its_end() {
    let dir = folder();
    let id = make(dir.path(), 5).await;
    for ingested in [5, 12, 20] {
        let log = LocalLog::open(dir.path(), bound(id, ingested)).expect("a good pair");
        log.close().await;
    }
    check_refused(dir.path(), bound(id, 4), "begins at record 5");
    check_refused(dir.path(), bound(id, 21), "ends at record 20");
}

#[tokio::test]
async fn another_stores_log_is_refused() {
    let dir = folder();
    make(dir.path(), 0).await;
    check_refused(dir.path(), bound(LogId::random(), 0), "goes with log");
    check_refused(dir.path(), Expected::default(), "never gone with a log");
}

#[tokio::test]
async fn an_emptied_log_is_still_its_stores() {
    let dir = folder();
    let id = make(dir.path(), 20).await;
    check_refused(dir.path(), Expected::default(), "never gone with a log");
    let log = LocalLog::open(dir.path(), bound(id, 20)).expect("a good pair");
    assert_eq!(log.committed(0).await.expect("an offset"), 20);
    log.close().await;
}

#[tokio::test]
async fn a_missing_file_of_a_known_log_is_refused() {
    let dir = folder();
    let id = make(dir.path(), 0).await;
    let nothing = folder();
    check_refused(nothing.path(), bound(id, 0), "log.sqlite3` is missing");

    let without_mark = folder();
    copy(dir.path(), without_mark.path());
    fs::remove_file(without_mark.path().join("log.mark")).expect("a file");
    check_refused(without_mark.path(), bound(id, 0), "log.mark` is missing");

    let without_log = folder();
    copy(dir.path(), without_log.path());
    fs::remove_file(without_log.path().join("log.sqlite3")).expect("a file");
    for expected in [bound(id, 0), Expected::default()] {
        check_refused(without_log.path(), expected, "log.sqlite3` is missing");
    }
}

#[tokio::test]
async fn the_mark_of_another_log_is_refused() {
    let (one, other) = (folder(), folder());
    let id = make(one.path(), 0).await;
    make(other.path(), 0).await;
    fs::copy(other.path().join("log.mark"), one.path().join("log.mark")).expect("a copy");
    check_refused(one.path(), bound(id, 0), "goes with log");
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_goes_on() {
    // The log was made, and the store not bound to it yet.
    let dir = folder();
    let log = LocalLog::open(dir.path(), Expected::default()).expect("a new log");
    let id = log.id();
    log.close().await;
    let log = LocalLog::open(dir.path(), Expected::default()).expect("an empty log");
    assert_eq!(log.id(), id);
    log.close().await;

    // Nothing but the mark was made, and half a database.
    let dir = folder();
    let slot = mark::Mark::create(&dir.path().join("log.mark"), LogId::random()).expect("a mark");
    fs::write(dir.path().join("log.sqlite3.new"), b"half").expect("a write");
    let log = LocalLog::open(dir.path(), Expected::default()).expect("a new log");
    assert_eq!(log.id(), slot.log_id);
    suite::append_messages(&wrap(&log), "a", 0..1).await;
    log.close().await;
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = folder();
    let id = make(dir.path(), 0).await;
    let mut db = files::connect(&dir.path().join("log.sqlite3"), "rw").expect("a database");
    let newer = format!("PRAGMA user_version = {}", schema::FORMAT + 1);
    diesel::connection::SimpleConnection::batch_execute(&mut db, &newer).expect("a statement");
    drop(db);
    check_refused(
        dir.path(),
        bound(id, 0),
        "newer version of roomcast (format 2",
    );
}

#[tokio::test]
async fn what_is_not_a_log_is_refused() {
    let dir = folder();
    let id = make(dir.path(), 0).await;
    let path = dir.path().join("log.sqlite3");
    fs::write(&path, b"").expect("a write");
    check_refused(dir.path(), bound(id, 0), "is cut or damaged");
    fs::write(&path, "all work and no play ".repeat(1_000)).expect("a write");
    check_refused(
        dir.path(),
        bound(id, 0),
        "cannot be read (file is not a database)",
    );
    fs::remove_file(&path).expect("a file");
    let mut db = files::connect(&path, "rwc").expect("a database");
    diesel::connection::SimpleConnection::batch_execute(&mut db, "CREATE TABLE t (a)")
        .expect("a statement");
    drop(db);
    check_refused(dir.path(), bound(id, 0), "is not a message log");
}

#[tokio::test]
async fn one_process_at_a_time_has_the_log() {
    let dir = folder();
    let log = open_alone(dir.path());
    let second = LocalLog::open(dir.path(), Expected::default());
    let error = second.expect_err("in use");
    assert!(matches!(error, LogError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("database is locked"), "{error}");
    log.close().await;
}

#[tokio::test]
async fn a_folder_may_have_any_name() {
    let dir = folder();
    let odd = dir.path().join("a b?c#d%41é");
    fs::create_dir(&odd).expect("a folder");
    let log = open_alone(&odd);
    log.close().await;
    assert!(odd.join("log.sqlite3").exists());
}
