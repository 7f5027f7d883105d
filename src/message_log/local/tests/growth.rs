//! What was committed makes room: the files do not grow for ever.

use super::*;

/// Messages of each round.
const ROUND: usize = 2_000;

/// Bytes of each message.
const VALUE_LEN: usize = 1_000;

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("a folder");
    entries
        .map(|entry| {
            entry
                .and_then(|entry| entry.metadata())
                .expect("a file")
                .len()
        })
        .sum()
}

async fn append_round(log: &LocalLog) {
    let appending: Vec<Appending> = (0..ROUND)
        .map(|_| NewRecord {
            value: vec![b'x'; VALUE_LEN].into(),
            ..suite::record(Topic::Messages, "a", 0)
        })
        .map(|record| log.append(record))
        .collect();
    for answer in appending {
        suite::in_time(answer).await.expect("an accepted record");
    }
}

#[tokio::test]
async fn a_log_that_is_read_and_committed_does_not_grow() {
    let dir = folder();
    let log = open_alone(dir.path());
    let mut largest = Vec::new();
    for round in 1..=30 {
        append_round(&log).await;
        log.commit(0, (round * ROUND) as u64)
            .await
            .expect("a commit");
        largest.push(size(dir.path()));
    }
    // 60 MB went through; what remains is a few rounds, and what the WAL keeps.
    let most = largest.iter().max().expect("sizes");
    assert!(*most < 24_000_000, "grew to {most} bytes: {largest:?}");
    log.close().await;
}

#[tokio::test]
async fn a_backlog_gives_its_room_back() {
    let dir = folder();
    let log = open_alone(dir.path());
    for _ in 0..15 {
        append_round(&log).await;
    }
    let full = size(dir.path());
    assert!(full > 30_000_000, "{full} bytes");
    log.commit(0, log.figures().end).await.expect("a commit");
    let is_small = async {
        while fs::metadata(dir.path().join("log.sqlite3"))
            .expect("a file")
            .len()
            > 8_000_000
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    suite::in_time(is_small).await;
    log.close().await;
}
