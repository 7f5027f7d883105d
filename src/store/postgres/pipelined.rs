//! A transaction whose beginning leaves together with its first statements: a round trip less than
//! Diesel's own has.
//!
//! Diesel notes that a connection is within a transaction, and the pool does not lend it again when
//! the work was given up. Here the transaction owns its connection, and gives it back when it has
//! ended in order; else the connection is closed, and the server undoes what was done.

use diesel::QueryResult;
use diesel_async::{SimpleAsyncConnection, pooled_connection::deadpool::Object};

use super::Conn;

/// See the module.
pub(super) struct Transaction {
    /// `None` once it has ended in order.
    conn: Option<Object<Conn>>,
}

impl Transaction {
    pub(super) fn on(conn: Object<Conn>) -> Self {
        Self { conn: Some(conn) }
    }

    pub(super) fn conn(&self) -> &Conn {
        self.conn.as_ref().expect("it has not ended")
    }

    /// Begins. To be polled before the statements that are to be in it: the server takes them in the
    /// order in which they leave.
    pub(super) async fn begin(&self) -> QueryResult<()> {
        self.execute("BEGIN").await
    }

    /// Commits; with an error, that may have happened.
    pub(super) async fn commit(self) -> QueryResult<Object<Conn>> {
        self.end("COMMIT").await
    }

    pub(super) async fn roll_back(self) -> QueryResult<Object<Conn>> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &str) -> QueryResult<Object<Conn>> {
        self.execute(how).await?;
        Ok(self.conn.take().expect("it ends once"))
    }

    async fn execute(&self, sql: &str) -> QueryResult<()> {
        (&mut self.conn()).batch_execute(sql).await
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            drop(Object::take(conn));
        }
    }
}
