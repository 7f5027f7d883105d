//! The embedded adapter: one SQLite file, one writer, a few readers.

mod ingest;
mod inline;
#[path = "queries.rs"]
pub(super) mod queries;

use std::{collections::HashSet, path::Path, time::Duration};

use diesel::{
    Connection, ConnectionError, SqliteConnection, connection::SimpleConnection, prelude::*,
};
use diesel_async::{
    RunQueryDsl,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool::Pool,
    },
    sync_connection_wrapper::SyncConnectionWrapper,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::FutureExt;

use super::{
    IngestBatch, IngestError, Ingested, OpenError, StoreError, Visibility,
    schema::{room_members, rooms},
};
use crate::{
    aside,
    ids::{RoomId, UserId},
    metrics::PoolUse,
};

pub(super) use self::inline::Conn;

pub(super) type Db = diesel::sqlite::Sqlite;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Connections that read beside the writer. Each more costs a thread, and what its allocator keeps.
const READERS: usize = 2;

/// How long a call waits for a connection.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Every commit is on the disk when it returns: what was answered is never lost.
const SETUP: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";

/// A reader keeps less of the file in memory than SQLite would: the kernel has it too.
const READER_SETUP: &str = "PRAGMA cache_size = -512;";

/// A SQLite file that is open.
#[derive(Clone)]
pub(super) struct Database {
    /// A pool of one, so that transactions never collide.
    writer: Pool<Conn>,
    readers: Pool<Conn>,
}

impl Database {
    /// Opens or creates a file and brings its schema up to date; to be called on a runtime.
    pub(super) async fn open(path: &Path) -> Result<Self, OpenError> {
        blocking(path, |path| {
            let mut conn = connect(path)?;
            refuse_newer(&mut conn, path)?;
            conn.run_pending_migrations(MIGRATIONS)
                .map(drop)
                .map_err(|error| damaged(path, error))
        })
        .await?;
        let database = Self::pools(path)?;
        let mut conn = database.writer.get().await?;
        queries::installation::ensure(&mut conn)
            .await
            .map_err(StoreError::from)?;
        drop(conn);
        Ok(database)
    }

    /// Opens a file that another process may be using, as it is.
    pub(super) async fn attach(path: &Path) -> Result<Self, OpenError> {
        if !path.is_file() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        blocking(path, |path| {
            let mut conn = connect(path)?;
            refuse_newer(&mut conn, path)?;
            match conn.has_pending_migration(MIGRATIONS) {
                Ok(false) => Ok(()),
                Ok(true) => Err(OpenError::Older(path.to_owned())),
                Err(error) => Err(damaged(path, error)),
            }
        })
        .await?;
        Self::pools(path)
    }

    fn pools(path: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            writer: pool(path, 1, "")?,
            readers: pool(path, READERS, READER_SETUP)?,
        })
    }

    /// Returns how the connections are used.
    pub(super) fn pool_use(&self) -> Vec<PoolUse> {
        vec![
            PoolUse::of("sqlite_writer", self.writer.status()),
            PoolUse::of("sqlite_readers", self.readers.status()),
        ]
    }

    pub(super) fn writer(&self) -> &Pool<Conn> {
        &self.writer
    }

    pub(super) fn reader(&self) -> &Pool<Conn> {
        &self.readers
    }

    /// Closes every connection once its work is done; the last one tidies the file up.
    pub(super) async fn close(&self) {
        self.readers.close();
        // Whoever holds the writer gives it back first.
        let writer = self.writer.get().await;
        self.writer.close();
        drop(writer);
    }
}

/// Stores a batch in one transaction.
pub(super) async fn ingest(conn: &mut Conn, batch: IngestBatch) -> Result<Ingested, IngestError> {
    let outcome = conn.spawn_blocking(move |conn| ingest::ingest(conn, &batch));
    outcome.await.map_err(StoreError::from)?
}

/// Runs a unit of work that writes.
///
/// One that reads first and writes then would fail where another process has written between: the
/// lock is taken at the beginning, with patience.
macro_rules! transaction {
    ($conn:expr, $work:expr) => {
        $crate::store::sqlite::inline::immediate_transaction($conn, $work)
    };
}
use transaction;

/// Returns a room's visibility; with one writer there is nothing to lock.
pub(super) async fn lock_room(conn: &mut Conn, id: RoomId) -> QueryResult<Option<Visibility>> {
    let query = rooms::table.find(id).select(rooms::visibility);
    query.first(conn).await.optional()
}

/// Returns those of the memberships that exist, each with its generation.
pub(super) async fn find_memberships(
    conn: &mut Conn,
    pairs: &[(RoomId, UserId)],
) -> QueryResult<Vec<(RoomId, UserId, i64)>> {
    let wanted: HashSet<_> = pairs.iter().copied().collect();
    let (rooms, users): (HashSet<_>, HashSet<_>) = pairs.iter().copied().unzip();
    // SQLite has no arrays of pairs: what fits either half is narrowed here.
    let rows = room_members::table
        .filter(room_members::room_id.eq_any(rooms))
        .filter(room_members::user_id.eq_any(users))
        .select((
            room_members::room_id,
            room_members::user_id,
            room_members::generation,
        ))
        .load::<(RoomId, UserId, i64)>(conn)
        .await?;
    let is_wanted = |row: &(RoomId, UserId, i64)| wanted.contains(&(row.0, row.1));
    Ok(rows.into_iter().filter(is_wanted).collect())
}

fn pool(path: &Path, size: usize, setup: &'static str) -> Result<Pool<Conn>, OpenError> {
    let mut config = ManagerConfig::default();
    // The file is local: a connection that worked once works.
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |path| {
        let path = path.to_owned();
        async move {
            let opened = tokio::task::spawn_blocking(move || {
                let mut conn = establish(&path)?;
                set_up(&mut conn, setup)?;
                Ok(conn)
            });
            let opened = opened.await;
            let opened = opened.map_err(|error| ConnectionError::BadConnection(error.to_string()));
            opened?.map(SyncConnectionWrapper::new)
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(url(path)?, config);
    Pool::builder(manager)
        .max_size(size)
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(WAIT_TIMEOUT))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map_err(|error| damaged(path, error))
}

/// Runs blocking work on a file, on a thread that may block for as long as a large one takes.
async fn blocking(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<(), OpenError> + Send + 'static,
) -> Result<(), OpenError> {
    let owned = path.to_owned();
    let done = aside::run("store-opening", move || work(&owned)).await;
    done.map_err(|error| damaged(path, error))?
}

fn connect(path: &Path) -> Result<SqliteConnection, OpenError> {
    establish(&url(path)?).map_err(|error| damaged(path, error))
}

fn establish(url: &str) -> Result<SqliteConnection, ConnectionError> {
    let mut conn = SqliteConnection::establish(url)?;
    set_up(&mut conn, SETUP)?;
    Ok(conn)
}

fn set_up(conn: &mut SqliteConnection, setup: &str) -> Result<(), ConnectionError> {
    conn.batch_execute(setup)
        .map_err(ConnectionError::CouldntSetupConfiguration)
}

/// SQLite takes a name that begins with `file:` for a URI; a path with a slash is a path.
fn url(path: &Path) -> Result<String, OpenError> {
    let absolute = std::path::absolute(path).map_err(|error| damaged(path, error))?;
    let text = absolute.to_str().map(ToOwned::to_owned);
    text.ok_or_else(|| damaged(path, "its path is not UTF-8"))
}

fn refuse_newer(conn: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    use diesel::migration::{Migration, MigrationSource};
    let known =
        MigrationSource::<Db>::migrations(&MIGRATIONS).map_err(|error| damaged(path, error))?;
    let applied = conn
        .applied_migrations()
        .map_err(|error| damaged(path, error))?;
    let is_known = |version| {
        let mut versions = known.iter().map(|migration| migration.name().version());
        versions.any(|known| known == version)
    };
    match applied.into_iter().all(is_known) {
        true => Ok(()),
        false => Err(OpenError::Newer(path.to_owned())),
    }
}

fn damaged(path: &Path, reason: impl ToString) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::{
        Store,
        suite::{self, store_suite},
    };

    async fn open() -> (TempDir, Store) {
        let folder = TempDir::new().expect("a temporary folder");
        let store = Store::open_sqlite(&folder.path().join("store.sqlite3")).await;
        (folder, store.expect("a new file opens"))
    }

    store_suite!(async { Some(open().await) });

    #[tokio::test]
    async fn a_file_keeps_its_epoch_and_can_be_read_beside_its_server() {
        let (folder, store) = open().await;
        let path = folder.path().join("store.sqlite3");
        let epoch = store.installation().await.expect("up").epoch;
        let beside = Store::attach_sqlite(&path).await.expect("it is there");
        assert_eq!(beside.installation().await.expect("up").epoch, epoch);
        store.close().await;
        assert!(store.installation().await.is_err(), "closed");
        let again = Store::open_sqlite(&path).await.expect("it is there");
        assert_eq!(again.installation().await.expect("up").epoch, epoch);
    }

    #[tokio::test]
    async fn a_change_waits_for_another_process_that_writes() {
        let (folder, store) = open().await;
        let scene = suite::scene(&store).await;
        let mut beside = connect(&folder.path().join("store.sqlite3")).expect("it opens");
        let rename = "BEGIN IMMEDIATE; UPDATE rooms SET name = name || 'x';";
        for _ in 0..20 {
            beside.batch_execute(rename).expect("the lock");
            let waiting = tokio::spawn({
                let store = store.clone();
                let (room, user) = (scene.room, scene.user);
                async move { store.leave(room, user).await }
            });
            // It has the connection, and time to read what is about to change.
            let writer = || {
                store
                    .pools()
                    .into_iter()
                    .find(|it| it.name == "sqlite_writer")
            };
            while writer().is_none_or(|it| it.in_use == 0) {
                tokio::task::yield_now().await;
            }
            for _ in 0..20 {
                store.installation().await.expect("reads go on");
            }
            beside.batch_execute("COMMIT").expect("it is held");
            waiting.await.expect("no panic").expect("it waited");
            store
                .join(scene.room, scene.user)
                .await
                .expect("it is there");
        }
    }

    #[tokio::test]
    async fn a_file_that_does_not_fit_is_refused_with_a_reason() {
        let (folder, store) = open().await;
        let path = folder.path().join("store.sqlite3");
        let missing = Store::attach_sqlite(&folder.path().join("no.sqlite3")).await;
        assert!(matches!(missing, Err(OpenError::Missing(_))), "{missing:?}");
        store.close().await;
        drop(store);
        let mut conn = connect(&path).expect("it opens");
        conn.batch_execute(
            "INSERT INTO __diesel_schema_migrations VALUES ('29991231', '2999-12-31');",
        )
        .expect("a row");
        drop(conn);
        let newer = Store::open_sqlite(&path).await;
        assert!(matches!(newer, Err(OpenError::Newer(_))), "{newer:?}");
        std::fs::write(&path, "this is not a database, whatever its name says").expect("written");
        let damaged = Store::open_sqlite(&path).await;
        assert!(
            matches!(damaged, Err(OpenError::Damaged { .. })),
            "{damaged:?}"
        );
    }
}
