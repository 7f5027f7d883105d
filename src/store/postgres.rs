//! The adapter for PostgreSQL: a pool of connections that heals by itself.

mod attempts;
mod batch;
mod connection;
mod ingest;
mod migrations;
mod pipelined;
mod plan;
#[path = "queries.rs"]
#[expect(clippy::duplicate_mod, reason = "compiled once for each database")]
pub(super) mod queries;
mod statements;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use diesel::prelude::*;
use diesel_async::{
    AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Hook, HookError, Object, Pool, PoolError},
    },
};
use futures_util::FutureExt;
use tokio::{sync::Semaphore, time::timeout};

use super::{IngestBatch, IngestError, Ingested, OpenError, StoreError, Visibility, schema::rooms};
use crate::{
    config::DatabaseConfig,
    ids::{RoomId, UserId},
    metrics::PoolUse,
};
use connection::Server;

pub(super) use attempts::Attempts;

pub(super) type Conn = AsyncPgConnection;
pub(super) type Db = diesel::pg::Pg;

/// Connections of one process; a server takes 100 in all unless it is told otherwise.
const CONNECTIONS: usize = 10;

/// Connections of one process that are being made at a time. After an outage all are wanted at
/// once, and a password costs both sides work, which is lost on those that come too late.
const CONNECTING: usize = 3;

/// How long a call waits for a connection that others hold.
const WAIT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection counts as one that works without being tried: a trial is a round trip, and
/// a server that hangs up is noticed without one.
const PROVEN: Duration = Duration::from_secs(1);

/// How long an idle connection may take to show that it still works.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// A database on a server, and connections to it.
#[derive(Clone)]
pub(super) struct Database {
    server: Server,
    pool: Pool<Conn>,
}

impl Database {
    /// Connects, and brings the schema up to date if that is wanted; to be called on a runtime.
    pub(super) async fn open(config: &DatabaseConfig, migrate: bool) -> Result<Self, OpenError> {
        let server = Server::at(config)?;
        let mut conn = server.connect().await?;
        match migrate {
            true => conn = migrations::run(conn, &server).await?,
            false => migrations::check(&mut conn, &server).await?,
        }
        queries::installation::ensure(&mut conn)
            .await
            .map_err(StoreError::from)?;
        let pool = pool(server.clone())?;
        Ok(Self { server, pool })
    }

    /// Returns a connection that worked a moment ago.
    pub(super) async fn connection(&self) -> Result<Object<Conn>, PoolError> {
        self.pool.get().await
    }

    pub(super) async fn ingest(&self, batch: IngestBatch) -> Result<Ingested, IngestError> {
        batch::ingest(self, &batch).await
    }

    /// Returns how the connections are used.
    pub(super) fn pool_use(&self) -> PoolUse {
        PoolUse::of("postgres", self.pool.status())
    }

    /// Closes every connection once its work is done.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// Connections that have been idle are tried before they are lent: those of a server that has
/// vanished are replaced there and then, as those of one that has hung up always are.
fn pool(server: Server) -> Result<Pool<Conn>, OpenError> {
    let mut config = ManagerConfig::default();
    // Those that are closed, or left in a transaction, are not lent.
    config.recycling_method = RecyclingMethod::Fast;
    let turns = Arc::new(Semaphore::new(CONNECTING));
    config.custom_setup = Box::new(move |_| {
        let (server, turns) = (server.clone(), Arc::clone(&turns));
        async move {
            // It is never closed.
            let _turn = turns.acquire().await;
            let conn = server.connect().await;
            conn.map_err(|error| ConnectionError::BadConnection(error.to_string()))
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(String::new(), config);
    Pool::builder(manager)
        .max_size(CONNECTIONS)
        // The one that was used last has its statements planned, and its server's process in memory.
        .queue_mode(deadpool::managed::QueueMode::Lifo)
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(connection::CONNECT_TIMEOUT))
        .pre_recycle(Hook::async_fn(|conn: &mut Conn, metrics| {
            let is_proven = metrics.last_used() < PROVEN;
            Box::pin(async move {
                if is_proven {
                    Ok(())
                } else {
                    try_out(conn).await
                }
            })
        }))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map_err(|error| StoreError::Fault(error.to_string()).into())
}

/// Asks for nothing, and waits for the answer.
async fn try_out(conn: &mut Conn) -> Result<(), HookError> {
    match timeout(TRIAL_TIMEOUT, conn.batch_execute("")).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(HookError::message("it does not answer")),
    }
}

/// Runs a unit of work that writes.
macro_rules! transaction {
    ($conn:expr, $work:expr) => {
        diesel_async::AsyncConnection::transaction($conn, $work)
    };
}
use transaction;

/// Returns a room's visibility; whoever changes its members or messages waits until the
/// transaction ends.
pub(super) async fn lock_room(conn: &mut Conn, id: RoomId) -> QueryResult<Option<Visibility>> {
    let query = rooms::table.find(id).select(rooms::visibility);
    query.for_no_key_update().first(conn).await.optional()
}

/// Returns those of the memberships that exist, each with its generation.
pub(super) async fn find_memberships(
    conn: &mut Conn,
    pairs: &[(RoomId, UserId)],
) -> QueryResult<Vec<(RoomId, UserId, i64)>> {
    statements::FindMemberships::of(pairs).load(conn).await
}
