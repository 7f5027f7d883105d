//! Rows into SQLite, a hundred in a transaction that is synced: what an embedded server cannot beat.

use std::time::{Duration, Instant};

use diesel::{Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_types};

use crate::frame::CONTENT;

const ROWS: usize = 100;

/// Returns how many rows a second are stored.
pub(crate) fn rows_per_s(seconds: u64) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("floor.sqlite3");
    let mut conn = SqliteConnection::establish(&path.to_string_lossy())?;
    conn.batch_execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE messages (room TEXT, seq INTEGER, content TEXT, PRIMARY KEY (room, seq)) WITHOUT ROWID",
    )?;
    let (began, mut seq) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        seq += 1;
        conn.immediate_transaction(|conn| {
            (0..ROWS).try_for_each(|room| {
                diesel::sql_query("INSERT INTO messages VALUES (?, ?, ?)")
                    .bind::<sql_types::Text, _>(format!("room {room}"))
                    .bind::<sql_types::BigInt, _>(seq)
                    .bind::<sql_types::Text, _>(CONTENT)
                    .execute(conn)
                    .map(drop)
            })
        })?;
    }
    Ok(seq as f64 * ROWS as f64 / began.elapsed().as_secs_f64())
}
