//! A process that is killed while it appends: what it was told is accepted is there.

use std::io::{BufRead, BufReader};

use super::*;

const ROUNDS: usize = 6;

/// Appends that a child has under way.
const IN_FLIGHT: u64 = 64;

/// The test, as the test binary calls it.
const NAME: &str =
    "message_log::local::tests::kill::what_was_accepted_survives_kills_at_any_moment";

/// Appends for ever, says what was accepted, and commits the first half of it.
async fn append_for_ever(dir: &Path) {
    let log = LocalLog::open(dir, store_of(dir)).expect("a good log");
    let mut next = log.figures().end;
    loop {
        let group: Vec<Appending> = (next..next + IN_FLIGHT)
            .map(|n| log.append(suite::record(Topic::Messages, "a", n as usize)))
            .collect();
        for answer in group {
            answer.await.expect("an accepted record");
            next += 1;
            println!("\naccepted {next}");
        }
        log.commit(0, next / 2).await.expect("a commit");
    }
}

/// Lets a child append, kills it after some answers, and returns how many it had heard of.
fn kill_after(answers: usize, dir: &Path) -> u64 {
    let mut child = child(NAME, dir).spawn().expect("a process");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let mut accepted = 0;
    let mut seen = 0;
    for line in output.lines() {
        let Ok(line) = line else { break };
        let Some(number) = line.strip_prefix("accepted ") else {
            continue;
        };
        // The last line may be cut by the kill, and then says less than it should.
        accepted = accepted.max(number.parse().unwrap_or(0));
        seen += 1;
        if seen == answers {
            child.kill().expect("a kill");
        }
    }
    child.wait().expect("its end");
    assert!(
        seen >= answers,
        "the child died by itself after {seen} answers"
    );
    accepted
}

#[tokio::test]
async fn what_was_accepted_survives_kills_at_any_moment() {
    if let Some(dir) = child_folder() {
        return append_for_ever(&dir).await;
    }
    let dir = folder();
    for round in 0..ROUNDS {
        let accepted = kill_after(150 + 97 * round, dir.path());
        let log = open_alone(dir.path());
        let end = log.figures().end;
        assert!(end >= accepted, "{accepted} were accepted, {end} are there");
        let first = log.committed(0).await.expect("an offset");
        let count = (end - first) as usize;
        let read = suite::read(&mut suite::ingest(&wrap(&log), vec![(0, first)]), count).await;
        let expected = suite::values("a", first as usize..end as usize);
        assert_eq!(suite::values_of(&read, "a"), expected);
        log.close().await;
    }
}
