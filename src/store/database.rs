//! The port's methods: each is one unit of work on the storage runtime, which no caller's
//! going away interrupts, and which may block where an arbiter may not.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use futures_util::TryFutureExt;
use tokio::time::timeout;

use super::{
    IngestBatch, IngestError, Ingested, Installation, Invite, Joined, Member, MemberChange,
    MessagePage, NewUser, OpenError, PageCursor, ReadMark, Role, Room, RoomCursor, RoomSummary,
    Standing, StoreError, TokenState, User, Visibility, postgres, sqlite, storage::Storage,
};
use crate::{
    clock::Timestamp,
    config::DatabaseConfig,
    ids::{Epoch, LogId, LoginId, MessageId, RoomId, Seq, TokenId, UserId},
    metrics::PoolUse,
};

/// Threads that drive PostgreSQL's queries.
const POSTGRES_THREADS: usize = 2;

/// Threads that wait for SQLite's connections, which blocking ones use.
const SQLITE_THREADS: usize = 1;

/// How long a caller waits for its unit of work; less than a request may take as a whole.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a look whether the database answers may take: who probes health is impatient.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a batch may take, which no client waits for.
const INGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a change of the schema may take.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Memberships that one statement asks for.
const MEMBERSHIPS_CHUNK: usize = 500;

/// Users that one statement asks for.
const USERS_CHUNK: usize = 500;

/// Rooms that one statement asks for.
const HEADS_CHUNK: usize = 500;

/// The port: a handle that is cheap to clone, over a closed set of adapters.
#[derive(Clone)]
pub struct Store {
    database: Database,
    storage: Arc<Storage>,
    /// How long a call waits for its unit of work.
    patience: Duration,
}

#[derive(Clone)]
enum Database {
    Postgres(postgres::Database),
    Sqlite(sqlite::Database),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.database {
            Database::Postgres(_) => "Store::Postgres",
            Database::Sqlite(_) => "Store::Sqlite",
        })
    }
}

/// Runs a function of `queries.rs` on the open database, by its writer or one of its readers.
macro_rules! query {
    ($store:ident.$access:ident => $($function:ident)::+($($argument:expr),*)) => {
        match &$store.database {
            Database::Postgres(database) => {
                let database = database.clone();
                $store.storage.run($store.patience, async move {
                    let mut attempts = postgres::Attempts::$access();
                    loop {
                        let mut conn = database.connection().await?;
                        let outcome = postgres::queries::$($function)::+(
                            &mut conn, $(Clone::clone(&$argument)),*
                        ).await;
                        match outcome {
                            Ok(outcome) => break Ok(outcome),
                            Err(error) if attempts.again(&mut conn, &error).await => {}
                            Err(error) => break Err(StoreError::from(error)),
                        }
                    }
                }).await
            }
            Database::Sqlite(database) => {
                let pool = database.$access();
                $store.storage.block($store.patience, pool, async move |mut conn| {
                    let outcome = sqlite::queries::$($function)::+(&mut conn, $($argument),*).await;
                    outcome.map_err(StoreError::from)
                }).await
            }
        }
    };
}

// ------------------------------------------------------------- opening, health

impl Store {
    /// Opens or creates a SQLite file and brings its schema up to date.
    ///
    /// # Errors
    /// When the file is damaged, or from a newer version.
    pub async fn open_sqlite(path: &Path) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let opening = async move { sqlite::Database::open(&path).await };
        let opening = opening.map_ok(Database::Sqlite);
        Self::open(SQLITE_THREADS, INGEST_TIMEOUT, opening).await
    }

    /// Opens a SQLite file as it is, also beside the process that serves it.
    ///
    /// # Errors
    /// When there is none, or it is damaged or from another version.
    pub async fn attach_sqlite(path: &Path) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let opening = async move { sqlite::Database::attach(&path).await };
        let opening = opening.map_ok(Database::Sqlite);
        Self::open(SQLITE_THREADS, INGEST_TIMEOUT, opening).await
    }

    /// Connects to PostgreSQL; with `migrate` it brings the schema up to date first.
    ///
    /// # Errors
    /// [`OpenError::is_transient`] when the server may answer later,
    /// [`OpenError::is_wrong_setting`] when it never will; or the schema is not this version's.
    pub async fn open_postgres(config: &DatabaseConfig, migrate: bool) -> Result<Self, OpenError> {
        let config = config.clone();
        let patience = match migrate {
            true => MIGRATION_TIMEOUT,
            false => INGEST_TIMEOUT,
        };
        let opening = async move { postgres::Database::open(&config, migrate).await };
        let opening = opening.map_ok(Database::Postgres);
        Self::open(POSTGRES_THREADS, patience, opening).await
    }

    async fn open(
        threads: usize,
        patience: Duration,
        opening: impl Future<Output = Result<Database, OpenError>> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let storage = Storage::start(threads);
        let storage = storage.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let database = storage.run(patience, opening).await?;
        Ok(Self {
            database,
            storage: Arc::new(storage),
            patience: CALL_TIMEOUT,
        })
    }

    /// Returns a handle whose calls wait until their unit of work has ended, however long it takes.
    #[must_use]
    pub fn to_the_end(&self) -> Self {
        Self {
            patience: Duration::MAX,
            ..self.clone()
        }
    }

    /// Returns what this database is.
    ///
    /// # Errors
    /// When the database is away, as everywhere below.
    pub async fn installation(&self) -> Result<Installation, StoreError> {
        query!(self.reader => installation::read())
    }

    /// Binds the database to the log whose offsets it will count.
    ///
    /// # Errors
    /// When it is bound to another.
    pub async fn bind_log(&self, log_id: LogId) -> Result<(), OpenError> {
        let bound = query!(self.writer => installation::bind_log(log_id))?;
        match bound == log_id {
            true => Ok(()),
            false => Err(OpenError::OtherLog { bound, log_id }),
        }
    }

    /// Begins another life of the database, after a backup was restored.
    pub async fn new_epoch(&self) -> Result<Epoch, StoreError> {
        query!(self.writer => installation::new_epoch())
    }

    /// Returns whether a read succeeds now; one that hangs does not.
    pub async fn is_healthy(&self) -> bool {
        let asked = timeout(HEALTH_TIMEOUT, self.installation()).await;
        asked.is_ok_and(|answer| answer.is_ok())
    }

    /// Returns how its connections are used.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolUse> {
        match &self.database {
            Database::Postgres(database) => vec![database.pool_use()],
            Database::Sqlite(database) => database.pool_use(),
        }
    }

    /// Ends what is under way and closes every connection; later calls fail.
    pub async fn close(&self) {
        let database = self.database.clone();
        let closing = async move {
            match database {
                Database::Postgres(database) => database.close(),
                Database::Sqlite(database) => database.close().await,
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = self.storage.run(CALL_TIMEOUT, closing).await {
            log::warn!(error:%; "the database was not closed properly: it recovers at the next start");
        }
    }
}

// ------------------------------------------------------------------- accounts

impl Store {
    /// Makes an account; `None` when the address is taken.
    pub async fn register(&self, new: NewUser) -> Result<Option<User>, StoreError> {
        query!(self.writer => accounts::register(new))
    }

    /// Returns an account and its password hash, by its address in lower case.
    pub async fn credentials(&self, email: &str) -> Result<Option<(User, String)>, StoreError> {
        let email = email.to_owned();
        query!(self.reader => accounts::credentials(email))
    }

    /// Returns an account and its password hash.
    pub async fn credentials_of(&self, id: UserId) -> Result<Option<(User, String)>, StoreError> {
        query!(self.reader => accounts::credentials_of(id))
    }

    /// Returns an account.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        query!(self.reader => accounts::user(id))
    }

    /// Returns an account by its address in lower case.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        let email = email.to_owned();
        query!(self.reader => accounts::user_by_email(email))
    }

    /// Changes a password; only the new generation's tokens and the kept one count from now on.
    ///
    /// `None` when another change came first: the user's generation is not `generation` any more.
    pub async fn change_password(
        &self,
        id: UserId,
        generation: u64,
        password_hash: String,
        kept_token: TokenId,
    ) -> Result<Option<TokenState>, StoreError> {
        query!(self.writer => accounts::change_password(id, generation, password_hash, kept_token))
    }

    /// Ends a login until its last token would have run out.
    pub async fn revoke_login(
        &self,
        user_id: UserId,
        login_id: LoginId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        query!(self.writer => accounts::revoke_login(user_id, login_id, expires_at))
    }

    /// Returns the logins that were ended and whose tokens have not run out.
    pub async fn revoked_logins(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(LoginId, Timestamp)>, StoreError> {
        query!(self.reader => accounts::revoked_logins(now))
    }

    /// Returns which tokens count of those users that exist, in any order.
    pub async fn token_states(
        &self,
        ids: Vec<UserId>,
    ) -> Result<Vec<(UserId, TokenState)>, StoreError> {
        let mut states = Vec::with_capacity(ids.len());
        for ids in ids.chunks(USERS_CHUNK) {
            let ids = ids.to_vec();
            states.extend(query!(self.reader => accounts::token_states(ids))?);
        }
        Ok(states)
    }

    /// Forgets revocations and invites whose time is over; returns how many.
    pub async fn forget_expired(&self, now: Timestamp) -> Result<usize, StoreError> {
        query!(self.writer => accounts::forget_expired(now))
    }
}

// ---------------------------------------------------------- rooms and members

impl Store {
    /// Makes a room that its creator owns.
    pub async fn create_room(
        &self,
        name: String,
        visibility: Visibility,
        owner: UserId,
    ) -> Result<Room, StoreError> {
        query!(self.writer => rooms::create(name, visibility, owner))
    }

    /// Returns a room.
    pub async fn room(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        query!(self.reader => rooms::room(id))
    }

    /// Returns a page of a user's rooms, latest activity first, and where the next one begins.
    pub async fn rooms_of(
        &self,
        user_id: UserId,
        limit: usize,
        cursor: Option<RoomCursor>,
    ) -> Result<(Vec<RoomSummary>, Option<RoomCursor>), StoreError> {
        query!(self.reader => rooms::of_user(user_id, limit, cursor))
    }

    /// Returns the heads of those rooms that exist, in any order.
    pub async fn heads(&self, ids: Vec<RoomId>) -> Result<Vec<(RoomId, Seq)>, StoreError> {
        let mut heads = Vec::with_capacity(ids.len());
        for ids in ids.chunks(HEADS_CHUNK) {
            let ids = ids.to_vec();
            heads.extend(query!(self.reader => rooms::heads(ids))?);
        }
        Ok(heads)
    }

    /// Returns for those rooms that exist the generation of the youngest membership that they
    /// ever had, in any order.
    pub async fn generations(&self, ids: Vec<RoomId>) -> Result<Vec<(RoomId, u64)>, StoreError> {
        let mut generations = Vec::with_capacity(ids.len());
        for ids in ids.chunks(HEADS_CHUNK) {
            let ids = ids.to_vec();
            generations.extend(query!(self.reader => rooms::generations(ids))?);
        }
        Ok(generations)
    }

    /// Joins a public room.
    pub async fn join(&self, room_id: RoomId, user_id: UserId) -> Result<Joined, StoreError> {
        query!(self.writer => members::join(room_id, user_id))
    }

    /// Leaves a room; an owner hands it over.
    pub async fn leave(
        &self,
        room_id: RoomId,
        user_id: UserId,
    ) -> Result<MemberChange, StoreError> {
        query!(self.writer => members::leave(room_id, user_id))
    }

    /// Removes another member, as owner or admin.
    pub async fn kick(
        &self,
        room_id: RoomId,
        caller: UserId,
        user_id: UserId,
    ) -> Result<MemberChange, StoreError> {
        query!(self.writer => members::kick(room_id, caller, user_id))
    }

    /// Changes another member's role, as owner.
    pub async fn set_role(
        &self,
        room_id: RoomId,
        caller: UserId,
        user_id: UserId,
        role: Role,
    ) -> Result<MemberChange, StoreError> {
        query!(self.writer => members::set_role(room_id, caller, user_id, role))
    }

    /// Returns what a user is to a room, and the room's head.
    pub async fn standing(
        &self,
        room_id: RoomId,
        user_id: UserId,
    ) -> Result<(Standing, Seq), StoreError> {
        query!(self.reader => members::standing(room_id, user_id))
    }

    /// Returns a room's members, longest-standing first.
    pub async fn members(&self, room_id: RoomId) -> Result<Vec<Member>, StoreError> {
        query!(self.reader => members::list(room_id))
    }

    /// Returns those of the memberships that exist, each with its generation, in any order.
    pub async fn memberships(
        &self,
        mut pairs: Vec<(RoomId, UserId)>,
    ) -> Result<Vec<(RoomId, UserId, u64)>, StoreError> {
        // Neighbours share their room, which keeps each statement's work small.
        pairs.sort_unstable();
        let mut found = Vec::with_capacity(pairs.len());
        for pairs in pairs.chunks(MEMBERSHIPS_CHUNK) {
            let pairs = pairs.to_vec();
            found.extend(query!(self.reader => members::memberships(pairs))?);
        }
        Ok(found)
    }

    /// Moves a read cursor, never back; an unknown id stands for the newest stored one before it.
    pub async fn mark_read(
        &self,
        room_id: RoomId,
        user_id: UserId,
        id: MessageId,
    ) -> Result<ReadMark, StoreError> {
        query!(self.writer => members::mark_read(room_id, user_id, id))
    }

    /// Makes an invite, as owner or admin; the member returned is the caller.
    pub async fn create_invite(&self, invite: Invite) -> Result<MemberChange, StoreError> {
        query!(self.writer => invites::create(invite))
    }

    /// Returns the newest invites of a room that can be accepted, at most `limit`, for an owner or
    /// admin; the refusal of anybody else is no `Done`.
    pub async fn invites(
        &self,
        room_id: RoomId,
        caller: UserId,
        now: Timestamp,
        limit: i64,
    ) -> Result<Result<Vec<Invite>, MemberChange>, StoreError> {
        query!(self.reader => invites::list(room_id, caller, now, limit))
    }

    /// Takes an invite back, as owner or admin; returns whether there was one.
    pub async fn revoke_invite(
        &self,
        room_id: RoomId,
        caller: UserId,
        id: String,
        now: Timestamp,
    ) -> Result<Result<bool, MemberChange>, StoreError> {
        query!(self.writer => invites::revoke(room_id, caller, id, now))
    }

    /// Uses an invite up and joins its room.
    pub async fn accept_invite(
        &self,
        token_hash: &str,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<Joined, StoreError> {
        let token_hash = token_hash.to_owned();
        query!(self.writer => invites::accept(token_hash, user_id, now))
    }
}

// ------------------------------------------------------------------- messages

impl Store {
    /// Returns a page of a room's history, oldest first.
    pub async fn messages(
        &self,
        room_id: RoomId,
        cursor: PageCursor,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        query!(self.reader => messages::page(room_id, cursor, limit))
    }

    /// Returns the seq of the newest message that is not after `id`; zero when there is none.
    pub async fn seq_at(&self, room_id: RoomId, id: MessageId) -> Result<Seq, StoreError> {
        query!(self.reader => messages::seq_at(room_id, id, true))
    }

    /// Stores a batch; the contract is the module's.
    ///
    /// # Errors
    /// [`IngestError::OtherLog`] when the database counts the offsets of another log.
    pub async fn ingest(&self, batch: IngestBatch) -> Result<Ingested, IngestError> {
        match self.database.clone() {
            Database::Postgres(database) => {
                let ingesting = async move { database.ingest(batch).await };
                self.storage.run(INGEST_TIMEOUT, ingesting).await
            }
            Database::Sqlite(database) => {
                let ingesting =
                    self.storage
                        .block(INGEST_TIMEOUT, database.writer(), async move |mut conn| {
                            sqlite::ingest(&mut conn, batch).await
                        });
                ingesting.await
            }
        }
    }

    /// Returns for each partition up to where it is stored.
    pub async fn ingest_offsets(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        query!(self.reader => offsets::all())
    }

    /// Sees to it that partitions 0 to `count` have an offset; returns how many had one before.
    pub async fn record_partitions(&self, count: u32) -> Result<u32, StoreError> {
        query!(self.writer => offsets::record_partitions(count))
    }

    /// Forgets the log and how far it was read, after the log was lost; the messages stay.
    pub async fn reset_ingest(&self) -> Result<(), StoreError> {
        query!(self.writer => offsets::reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_to_the_end_outlasts_every_patience() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open_sqlite(&folder.path().join("store.sqlite3")).await;
        let hasty = Store {
            patience: Duration::ZERO,
            ..store.expect("it opens")
        };
        let user_id = UserId::random();
        let endless = std::future::pending::<Result<(), StoreError>>();
        let gave_up = hasty.storage.run(hasty.patience, endless).await;
        assert!(matches!(gave_up, Err(StoreError::Unavailable(_))));
        assert_eq!(hasty.to_the_end().user(user_id).await.ok(), Some(None));
    }
}
