//! What the load found, and what the database holds.

use std::{
    io::{self, Write},
    process::Output,
    time::Duration,
};

use serde_json::Value;

use crate::harness::{
    Ground,
    bench::{assert_clean, count},
};

/// A room's rows are numbered from 1 without a gap, and a message has one.
const WRONG_ROWS: &str = "
    SELECT (SELECT count(*) FROM
              (SELECT FROM messages GROUP BY room_id, sender_id, client_msg_id
               HAVING count(*) > 1) AS doubled),
           (SELECT count(*) FROM
              (SELECT FROM messages GROUP BY room_id
               HAVING min(seq) <> 1 OR max(seq) <> count(*)) AS with_gaps)";

/// See the module.
pub struct Verdict {
    report: Value,
    status: Option<i32>,
    doubled_rows: i64,
    rooms_with_gaps: i64,
}

impl Verdict {
    /// Reads what the load said at its end, and the tables.
    pub async fn new(output: &Output, ground: &Ground) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_str(&stdout);
        let database = ground.scratch().connect().await;
        let row = database.query_one(WRONG_ROWS, &[]).await;
        let row = row.expect("the tables can be read");
        Self {
            report: report.unwrap_or_else(|_| panic!("a report: {stdout}{stderr}")),
            status: output.status.code(),
            doubled_rows: row.get(0),
            rooms_with_gaps: row.get(1),
        }
    }

    /// Writes a line of the table of faults past the test runner, which would keep it.
    pub fn tell(&self, fault: &str, resumed: Duration) {
        let keys = [
            "sent",
            "accepted",
            "lost",
            "duplicated",
            "reordered",
            "gaps",
        ];
        let counts = keys.map(|key| format!("{key} {}", count(&self.report, key)));
        let resumed = resumed.as_secs_f64();
        let counts = counts.join(", ");
        print(&format!(
            "{fault}: {counts}, delivery went on after {resumed:.1} s"
        ));
    }

    #[track_caller]
    pub fn assert_kept(&self) {
        assert_clean(&self.report);
        assert_eq!(self.status, Some(0), "{}", self.report);
        assert_eq!(self.doubled_rows, 0, "messages with several rows");
        assert_eq!(self.rooms_with_gaps, 0, "rooms whose seqs have gaps");
    }
}

/// Adds a line to the table of faults.
pub fn print(line: &str) {
    // Nobody reads it: it is asserted all the same.
    let _ = writeln!(io::stderr(), "FAULT {line}");
}
