//! A disk that takes no more: refused or unknown, never lost, and well again by itself.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    file::{Entry, LogFile, Written},
    *,
};
use crate::message_log::AppendError;

fn entries(values: std::ops::Range<usize>) -> Vec<Entry> {
    values
        .map(|n| Entry::Message(format!("{n:04}").repeat(250).into()))
        .collect()
}

fn open_file(dir: &Path) -> LogFile {
    LogFile::open(dir, &store_of(dir)).expect("a good log")
}

/// Checks that the log holds exactly these, as it is and after it was opened again.
fn check_holds(mut file: LogFile, dir: &Path, values: &[std::ops::Range<usize>]) {
    let expected: Vec<Entry> = values.iter().cloned().flat_map(entries).collect();
    let check = |file: &mut LogFile| {
        let records = file.read(0, 10_000).expect("records");
        let held: Vec<Entry> = records
            .into_iter()
            .map(|r| Entry::Message(r.value))
            .collect();
        assert!(
            held == expected,
            "{} records, not {}",
            held.len(),
            expected.len()
        );
    };
    check(&mut file);
    let crashed = folder();
    copy(dir, crashed.path());
    drop(file);
    check(&mut open_file(crashed.path()));
}

#[test]
fn a_write_that_fails_before_its_commit_is_refused() {
    let dir = folder();
    let mut file = open_file(dir.path());
    assert_eq!(file.write(entries(0..10).iter(), 0), Written::Kept);
    limit_pages(&mut file, 1);
    let refused = file.write(entries(10..50).iter(), 0);
    assert_eq!(refused, Written::Refused("database or disk is full".into()));
    assert!(file.is_settled(), "nothing is unclear");
    limit_pages(&mut file, 1_000_000);
    assert_eq!(file.write(entries(50..60).iter(), 0), Written::Kept);
    check_holds(file, dir.path(), &[0..10, 50..60]);
}

/// Lets the database grow to that many pages, or to its present size.
fn limit_pages(file: &mut LogFile, pages: u32) {
    let (db, _) = file.parts_for_test();
    db.batch_execute(&format!("PRAGMA max_page_count = {pages}"))
        .expect("a pragma");
}

#[test]
fn a_mark_that_cannot_be_written_leaves_it_unknown_until_it_can() {
    let dir = folder();
    let mut file = open_file(dir.path());
    assert_eq!(file.write(entries(0..10).iter(), 0), Written::Kept);
    let good = file.parts_for_test().1.break_for_test();
    let unknown = file.write(entries(10..20).iter(), 0);
    assert!(matches!(unknown, Written::Unknown(_)), "{unknown:?}");
    assert_eq!(file.ends().messages, 10, "not to be read yet");
    let refused = file.write(entries(20..30).iter(), 0);
    assert!(matches!(refused, Written::Refused(_)), "{refused:?}");
    assert!(!file.settle(), "still broken");
    file.parts_for_test().1.mend_for_test(good);
    assert!(file.settle());
    assert_eq!(file.ends().messages, 20);
    assert_eq!(file.write(entries(30..40).iter(), 0), Written::Kept);
    check_holds(file, dir.path(), &[0..20, 30..40]);
}

/// Runs a test of this module in a process whose files can be kept from growing.
fn run_alone(name: &str) {
    let dir = folder();
    let name = format!("message_log::local::tests::disk::{name}");
    let output = child(&name, dir.path()).output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// Lets files grow to at most that many bytes beyond the WAL's length, or without end.
fn limit_growth(dir: &Path, bytes: Option<u64>) {
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("a limit");
    let wal = fs::metadata(dir.join("log.sqlite3-wal")).expect("a WAL");
    let soft = bytes.map_or(hard, |bytes| wal.len() + bytes);
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).expect("a limit");
}

#[test]
fn a_commit_that_fails_is_refused_once_that_is_certain() {
    let Some(dir) = child_folder() else {
        return run_alone("a_commit_that_fails_is_refused_once_that_is_certain");
    };
    let mut file = open_file(&dir);
    assert_eq!(file.write(entries(0..20).iter(), 0), Written::Kept);
    // Room for the fence, not for the records.
    limit_growth(&dir, Some(6_000));
    let refused = file.write(entries(20..30).iter(), 0);
    assert!(matches!(refused, Written::Refused(_)), "{refused:?}");
    assert!(file.is_settled());
    limit_growth(&dir, None);
    assert_eq!(file.write(entries(30..40).iter(), 0), Written::Kept);
    check_holds(file, &dir, &[0..20, 30..40]);
}

/// Waits until the records before an offset are removed.
async fn is_removed(log: &LocalLog, first: u64) {
    loop {
        let event = log.ingest().recv().await;
        let Some(IngestEvent::Assigned(assigned)) = event else {
            panic!("{event:?}");
        };
        if assigned[0].first == first {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_noticed_and_got_over() {
    let Some(dir) = child_folder() else {
        return run_alone("a_full_disk_is_noticed_and_got_over");
    };
    let log = open_alone(&dir);
    suite::append_messages(&wrap(&log), "a", 0..100).await;
    limit_growth(&dir, Some(0));
    let append = |n| suite::in_time(log.append(suite::record(Topic::Messages, "b", n)));
    let first = append(0).await;
    assert!(matches!(first, Err(AppendError::Unknown(_))), "{first:?}");
    assert!(!log.is_healthy());
    for n in 1..20 {
        let later = append(n).await;
        assert!(matches!(later, Err(AppendError::Refused(_))), "{later:?}");
    }
    let mut stream = suite::ingest(&wrap(&log), vec![(0, 0)]);
    let read = suite::read(&mut stream, 100).await;
    assert_eq!(suite::values_of(&read, "a"), suite::values("a", 0..100));

    limit_growth(&dir, None);
    let is_healthy = async {
        while !log.is_healthy() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    suite::in_time(is_healthy).await;
    // Nothing is appended meanwhile.
    log.commit(0, 100).await.expect("it is open");
    suite::in_time(is_removed(&log, 100)).await;
    let mut stream = suite::ingest(&wrap(&log), vec![(0, 100)]);
    suite::append_messages(&wrap(&log), "c", 0..100).await;
    let read = suite::read(&mut stream, 100).await;
    assert_eq!(suite::values_of(&read, "c"), suite::values("c", 0..100));
    log.close().await;
}

#[tokio::test]
async fn removed_files_are_noticed_and_nothing_more_is_accepted() {
    for name in ["log.sqlite3", "log.mark"] {
        let dir = folder();
        let log = open_alone(dir.path());
        let append = |n| suite::in_time(log.append(suite::record(Topic::Messages, "a", n)));
        append(0).await.expect("accepted");
        fs::remove_file(dir.path().join(name)).expect("ours");
        let first = append(1).await;
        assert!(first.is_err(), "{name}: {first:?}");
        assert!(!log.is_healthy());
        let later = append(2).await;
        assert!(matches!(later, Err(AppendError::Refused(_))), "{later:?}");
        log.close().await;
    }
}

#[tokio::test]
async fn removed_files_are_noticed_without_a_write() {
    let dir = folder();
    let log = open_alone(dir.path());
    fs::remove_dir_all(dir.path()).expect("ours");
    let is_noticed = async {
        while log.is_healthy() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    suite::in_time(is_noticed).await;
    log.close().await;
}
