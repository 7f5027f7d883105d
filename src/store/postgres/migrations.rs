//! The schema: whether it is this version's, and bringing it there.

use std::collections::BTreeSet;

use diesel::{
    migration::{Migration, MigrationSource},
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::{
    RunQueryDsl, SimpleAsyncConnection, async_connection_wrapper::AsyncConnectionWrapper,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Conn, Db, connection::Server};
use crate::store::{OpenError, StoreError};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The advisory lock of whoever changes the schema: `roomcast`, in bytes.
const LOCK: i64 = i64::from_be_bytes(*b"roomcast");

/// Refuses a schema that is not this version's.
pub(super) async fn check(conn: &mut Conn, server: &Server) -> Result<(), OpenError> {
    check_encoding(conn, server).await?;
    match is_behind(conn, server).await? {
        false => Ok(()),
        true => Err(OpenError::Behind {
            database: server.database(),
        }),
    }
}

/// Brings the schema up to date, one process at a time; returns the connection.
pub(super) async fn run(mut conn: Conn, server: &Server) -> Result<Conn, OpenError> {
    check_encoding(&mut conn, server).await?;
    // Building an index may take longer than any statement that serves somebody.
    conn.batch_execute("SET statement_timeout = 0")
        .await
        .map_err(StoreError::from)?;
    lock(&mut conn, "pg_advisory_lock").await?;
    if !is_behind(&mut conn, server).await? {
        lock(&mut conn, "pg_advisory_unlock").await?;
        return Ok(conn);
    }
    // A failure drops the connection, and the lock with it.
    let mut conn = apply(conn).await.map_err(|reason| OpenError::NotMigrated {
        database: server.database(),
        reason,
    })?;
    lock(&mut conn, "pg_advisory_unlock").await?;
    Ok(conn)
}

async fn apply(conn: Conn) -> Result<Conn, String> {
    let applying = tokio::task::spawn_blocking(move || {
        let mut conn = AsyncConnectionWrapper::<Conn>::from(conn);
        let applied = conn.run_pending_migrations(MIGRATIONS).map(drop);
        applied.map(|()| conn.into_inner())
    });
    let applied = applying.await.map_err(|error| error.to_string())?;
    applied.map_err(|error| error.to_string())
}

async fn lock(conn: &mut Conn, function: &str) -> Result<(), OpenError> {
    diesel::sql_query(format!("SELECT {function}($1)"))
        .bind::<BigInt, _>(LOCK)
        .execute(conn)
        .await
        .map_err(StoreError::from)?;
    Ok(())
}

#[derive(diesel::QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    value: String,
}

/// Whatever clients write has to fit.
async fn check_encoding(conn: &mut Conn, server: &Server) -> Result<(), OpenError> {
    let query = diesel::sql_query("SELECT current_setting('server_encoding') AS value");
    let encoding = query.get_result::<Setting>(conn).await;
    let encoding = encoding.map_err(StoreError::from)?.value;
    match encoding.as_str() {
        "UTF8" => Ok(()),
        _ => Err(OpenError::Encoding {
            database: server.database(),
            encoding,
        }),
    }
}

/// Returns whether migrations are missing; refuses a schema with some that are unknown here.
async fn is_behind(conn: &mut Conn, server: &Server) -> Result<bool, OpenError> {
    let applied = applied(conn).await.map_err(StoreError::from)?;
    let known = known()?;
    match applied.is_subset(&known) {
        true => Ok(applied.len() < known.len()),
        false => Err(OpenError::NewerSchema {
            database: server.database(),
        }),
    }
}

fn known() -> Result<BTreeSet<String>, StoreError> {
    let known = MigrationSource::<Db>::migrations(&MIGRATIONS);
    let known = known.map_err(|error| StoreError::Fault(error.to_string()))?;
    let versions = known.iter().map(|known| known.name().version().to_string());
    Ok(versions.collect())
}

#[derive(diesel::QueryableByName)]
struct Present {
    #[diesel(sql_type = Bool)]
    present: bool,
}

/// Reads alone: a check must not need the right to make tables.
async fn applied(conn: &mut Conn) -> diesel::QueryResult<BTreeSet<String>> {
    let query = "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS present";
    let table = diesel::sql_query(query).get_result::<Present>(conn).await?;
    if !table.present {
        return Ok(BTreeSet::new());
    }
    let query = "SELECT version AS value FROM __diesel_schema_migrations";
    let versions = diesel::sql_query(query).load::<Setting>(conn).await?;
    Ok(versions.into_iter().map(|version| version.value).collect())
}
