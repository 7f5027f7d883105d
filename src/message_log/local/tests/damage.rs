//! Flips a byte, or cuts a file, everywhere: either every accepted record is there, or the log is
//! refused and left as it was. Never fewer records, never others, never a panic.

use std::{fs::OpenOptions, os::unix::fs::FileExt};

use super::{pairs::contents, *};

/// Messages that were accepted.
const ACCEPTED: usize = 400;

/// Of these, as many were committed early on, and again at last.
const COMMITTED: [u64; 2] = [150, 180];

/// Dead letters that were accepted.
const LETTERS: usize = 20;

/// Positions that are tried in a file, beside its first bytes.
const POSITIONS: u64 = 400;

/// How many of a file's first bytes are tried one by one.
const HEAD: u64 = 112;

/// A log as a crash or a clean stop left it.
struct Snapshot {
    dir: TempDir,
    id: LogId,
}

/// Makes a folder in memory where there is one: thousands of logs are opened, and none outlives
/// the test.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder())
}

/// Makes a log with some of its records in the main file, some in the WAL, some gone.
async fn snapshot(is_clean: bool) -> Snapshot {
    let dir = scratch();
    let log = open_alone(dir.path());
    let id = log.id();
    suite::append_messages(&wrap(&log), "first", 0..ACCEPTED / 2).await;
    log.commit(0, COMMITTED[0]).await.expect("a commit");
    for n in 0..LETTERS {
        log.append(dead_letter(n))
            .await
            .expect("an accepted record");
    }
    log.close().await;
    let log = LocalLog::open(dir.path(), store(id)).expect("a good log");
    for n in ACCEPTED / 2..ACCEPTED {
        suite::append_messages(&wrap(&log), "second", n..n + 1).await;
    }
    remove(&log, COMMITTED[1]).await;
    if is_clean {
        log.close().await;
        return Snapshot { dir, id };
    }
    let crashed = scratch();
    copy(dir.path(), crashed.path());
    log.close().await;
    Snapshot { dir: crashed, id }
}

/// Commits, and waits until the records before have gone: no append takes their removal along.
async fn remove(log: &LocalLog, next: u64) {
    log.commit(0, next).await.expect("a commit");
    while suite::ingest(&wrap(log), vec![(0, next - 1)])
        .recv()
        .await
        .is_some()
    {}
}

fn store(id: LogId) -> Expected {
    Expected {
        log_id: Some(id),
        ingested: COMMITTED[1],
    }
}

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip { at: u64, mask: u8 },
    Cut { len: u64 },
}

impl Damage {
    fn apply(self, path: &Path) {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .expect("a file");
        match self {
            Self::Cut { len } => file.set_len(len).expect("a cut"),
            Self::Flip { at, mask } => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).expect("a byte");
                file.write_all_at(&[byte[0] ^ mask], at).expect("a write");
            }
        }
    }

    /// Every byte of the head, then positions over the whole file, none at a page's same place.
    fn all(len: u64) -> impl Iterator<Item = Self> {
        let stride = (len / POSITIONS).max(1) | 1;
        let places = (0..HEAD.min(len)).chain((HEAD..len).step_by(stride as usize));
        places.enumerate().flat_map(|(n, at)| {
            let flip = Self::Flip {
                at,
                mask: 1 << (n % 8),
            };
            [flip, Self::Cut { len: at }]
        })
    }
}

/// How often a damaged log was opened all the same, and how often refused.
#[derive(Debug, Default)]
struct Tally {
    opened: usize,
    refused: usize,
}

async fn try_everywhere(snapshot: &Snapshot, name: &str) -> Tally {
    let len = fs::metadata(snapshot.dir.path().join(name))
        .expect("a file")
        .len();
    let mut tally = Tally::default();
    for damage in Damage::all(len) {
        let dir = scratch();
        copy(snapshot.dir.path(), dir.path());
        damage.apply(&dir.path().join(name));
        let before = contents(dir.path());
        match LocalLog::open(dir.path(), store(snapshot.id)) {
            Ok(log) => {
                check_complete(&log, name, damage).await;
                log.close().await;
                tally.opened += 1;
            }
            Err(LogError::Refused(_)) => {
                assert!(contents(dir.path()) == before, "{name} {damage:?}: changed");
                tally.refused += 1;
            }
            // Only the header's "do not write" byte leads here.
            Err(LogError::Unavailable(reason)) => {
                assert!(reason.contains("readonly"), "{name} {damage:?}: {reason}");
                tally.refused += 1;
            }
        }
    }
    tally
}

/// Checks that everything accepted is there, and that the log can be used.
async fn check_complete(log: &LocalLog, name: &str, damage: Damage) {
    // A lost removal brings committed records back, which is no harm.
    let first = log.committed(0).await.expect("an offset");
    assert!(
        first <= COMMITTED[1],
        "{name} {damage:?}: begins at {first}"
    );
    suite::append_messages(&wrap(log), "later", ACCEPTED..ACCEPTED + 1).await;
    let count = ACCEPTED + 1 - first as usize;
    let read = suite::read(&mut suite::ingest(&wrap(log), vec![(0, first)]), count).await;
    let of = |key| suite::values_of(&read, key);
    assert_eq!(
        of("first"),
        suite::values("first", first as usize..ACCEPTED / 2),
        "{name} {damage:?}"
    );
    assert_eq!(
        of("second"),
        suite::values("second", ACCEPTED / 2..ACCEPTED),
        "{name} {damage:?}"
    );
    assert_eq!(of("later").len(), 1, "{name} {damage:?}");
    let letters = log
        .dead_letters(0, LETTERS + 1)
        .await
        .expect("dead letters");
    let values: Vec<_> = letters.iter().map(|letter| letter.value.clone()).collect();
    let expected: Vec<_> = (0..LETTERS).map(|n| dead_letter(n).value).collect();
    assert_eq!(values, expected, "{name} {damage:?}");
}

async fn check_file(is_clean: bool, name: &str) {
    let snapshot = snapshot(is_clean).await;
    let tally = try_everywhere(&snapshot, name).await;
    assert!(tally.refused > tally.opened / 20, "{name}: {tally:?}");
    println!("{name}: {tally:?}");
}

#[tokio::test]
async fn a_damaged_main_file_is_complete_or_refused_after_a_clean_stop() {
    check_file(true, "log.sqlite3").await;
}

#[tokio::test]
async fn a_damaged_main_file_is_complete_or_refused_after_a_crash() {
    check_file(false, "log.sqlite3").await;
}

#[tokio::test]
async fn a_damaged_wal_is_complete_or_refused() {
    check_file(false, "log.sqlite3-wal").await;
}

#[tokio::test]
async fn a_damaged_mark_is_complete_or_refused() {
    check_file(false, "log.mark").await;
}

#[tokio::test]
async fn a_missing_wal_of_a_crashed_log_is_refused() {
    let snapshot = snapshot(false).await;
    fs::remove_file(snapshot.dir.path().join("log.sqlite3-wal")).expect("a file");
    let reason = refusal(snapshot.dir.path(), store(snapshot.id));
    assert!(reason.contains("has lost its end"), "{reason}");
}

#[tokio::test]
async fn a_record_taken_out_of_the_middle_is_refused() {
    use diesel::connection::SimpleConnection;
    let check = async |statement: &str, saying: &str| {
        let snapshot = snapshot(true).await;
        let path = snapshot.dir.path().join("log.sqlite3");
        let mut db = files::connect(&path, "rw").expect("a database");
        db.batch_execute(statement).expect("a statement");
        drop(db);
        let reason = refusal(snapshot.dir.path(), store(snapshot.id));
        assert!(reason.contains(saying), "{reason}");
    };
    check(
        "DELETE FROM messages WHERE offset = 200",
        "record 200 of messages is missing",
    )
    .await;
    check(
        "DELETE FROM messages WHERE offset < 190",
        "record 180 of messages is missing",
    )
    .await;
    check(
        "DELETE FROM messages WHERE offset = 399",
        "has lost its end",
    )
    .await;
    check(
        "DELETE FROM dead_letters WHERE offset = 3",
        "record 3 of dead_letters",
    )
    .await;
    check(
        "DELETE FROM dead_letters WHERE offset = 19",
        "has lost its end",
    )
    .await;
    check(
        "UPDATE messages SET value = x'00' WHERE offset = 200",
        "record 200 of messages has a wrong",
    )
    .await;
    check(
        "UPDATE dead_letters SET headers = '[]' WHERE offset = 3",
        "record 3 of dead_letters has a wrong",
    )
    .await;
    check("UPDATE meta SET first = 200", "wrong checksum").await;
    check("DELETE FROM meta", "wrong checksum").await;
}
