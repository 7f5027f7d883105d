//! SQLite by the interface that PostgreSQL has: asynchronous by name, executed where it is called.

use std::{error::Error, future::ready};

use diesel::{QueryResult, SqliteConnection, connection::AnsiTransactionManager};
use diesel_async::{
    AsyncConnection, TransactionManager,
    sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper},
};
use futures_util::future::BoxFuture;

/// A connection for threads that may block: those of [`Storage::block`], and of opening a file.
///
/// [`Storage::block`]: crate::store::storage::Storage::block
pub(in crate::store) type Conn = SyncConnectionWrapper<SqliteConnection, Inline>;

/// Executes at once: a thread for each statement would be woken, and wake, each time.
pub(in crate::store) struct Inline;

impl SpawnBlocking for Inline {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        Box::pin(ready(Ok(task())))
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// Runs a transaction that holds the lock from its beginning.
pub(super) async fn immediate_transaction<R>(
    conn: &mut Conn,
    work: impl AsyncFnOnce(&mut Conn) -> QueryResult<R>,
) -> QueryResult<R> {
    type Transactions = <Conn as AsyncConnection>::TransactionManager;
    let begin = |conn: &mut SqliteConnection| {
        AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")
    };
    conn.spawn_blocking(begin).await?;
    let worked = work(&mut *conn).await;
    match worked {
        Ok(value) => {
            Transactions::commit_transaction(conn).await?;
            Ok(value)
        }
        Err(error) => {
            // Fails where SQLite has rolled back by itself; what failed first says why.
            let _ = Transactions::rollback_transaction(conn).await;
            Err(error)
        }
    }
}
