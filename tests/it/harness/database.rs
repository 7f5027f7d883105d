//! The server's database file, opened beside it.

use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, dsl::sql,
    sql_types::BigInt,
};

use super::TestServer;

/// A connection of its own.
pub struct Database(SqliteConnection);

impl Database {
    /// Opens the file of a running server.
    pub fn open(server: &TestServer) -> Self {
        let path = server.data_dir().join("roomcast.sqlite3");
        let path = path.to_str().expect("a plain path");
        let mut conn = SqliteConnection::establish(path).expect("the server made it");
        conn.batch_execute("PRAGMA busy_timeout = 5000")
            .expect("SQLite takes it");
        Self(conn)
    }

    /// Lets the server's writes wait.
    pub fn hold(&mut self) {
        self.0.batch_execute("BEGIN IMMEDIATE").expect("the lock");
    }

    /// Lets them go on.
    pub fn release(&mut self) {
        self.0.batch_execute("ROLLBACK").expect("it is held");
    }

    /// Returns how many rows a table has.
    pub fn count(&mut self, table: &str) -> i64 {
        let count = format!("(SELECT count(*) FROM {table})");
        let query = diesel::select(sql::<BigInt>(&count));
        query.get_result(&mut self.0).expect("a table")
    }
}
