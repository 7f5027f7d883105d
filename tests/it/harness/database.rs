//! The server's database, opened beside it: its file, or the one that the test has on PostgreSQL.

use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, dsl::sql, sql_query,
    sql_types::BigInt,
};
use tokio_postgres::Client;

use super::TestServer;

/// Waits for whoever writes, and lets nobody else.
const HOLD: &str = "BEGIN; LOCK TABLE users, rooms, room_members, invites, revoked_logins \
                    IN EXCLUSIVE MODE";

/// A connection of its own.
pub enum Database {
    File(SqliteConnection),
    Server(Client),
}

impl Database {
    /// Opens the database of a running server.
    pub async fn open(server: &TestServer) -> Self {
        if server.ground().is_on_services() {
            return Self::Server(server.ground().scratch().connect().await);
        }
        let path = server.data_dir().join("roomcast.sqlite3");
        let path = path.to_str().expect("a plain path");
        let mut conn = SqliteConnection::establish(path).expect("the server made it");
        conn.batch_execute("PRAGMA busy_timeout = 5000")
            .expect("SQLite takes it");
        Self::File(conn)
    }

    /// Lets the server's writes wait.
    pub async fn hold(&mut self) {
        match self {
            Self::File(conn) => conn.batch_execute("BEGIN IMMEDIATE").expect("the lock"),
            Self::Server(client) => client.batch_execute(HOLD).await.expect("the lock"),
        }
    }

    /// Lets them go on.
    pub async fn release(&mut self) {
        match self {
            Self::File(conn) => conn.batch_execute("ROLLBACK").expect("it is held"),
            Self::Server(client) => client.batch_execute("ROLLBACK").await.expect("it is held"),
        }
    }

    /// Returns how many rows a table has.
    pub async fn count(&mut self, table: &str) -> i64 {
        match self {
            Self::File(conn) => {
                let count = format!("(SELECT count(*) FROM {table})");
                let query = diesel::select(sql::<BigInt>(&count));
                query.get_result(conn).expect("a table")
            }
            Self::Server(client) => {
                let count = format!("SELECT count(*) FROM {table}");
                client.query_one(&count, &[]).await.expect("a table").get(0)
            }
        }
    }

    /// Changes one row behind the server's back.
    pub async fn change(&mut self, statement: &str) {
        let changed = match self {
            Self::File(conn) => sql_query(statement).execute(conn).expect("SQL") as u64,
            Self::Server(client) => client.execute(statement, &[]).await.expect("SQL"),
        };
        assert_eq!(changed, 1, "{statement}");
    }

    /// Changes what the server relies on.
    pub async fn alter(&mut self, statement: &str) {
        match self {
            Self::File(conn) => conn.batch_execute(statement).expect("SQL"),
            Self::Server(client) => client.batch_execute(statement).await.expect("SQL"),
        }
    }
}
