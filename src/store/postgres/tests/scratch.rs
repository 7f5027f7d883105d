//! A database for one test, on the server that the environment names.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    thread,
};

use secrecy::SecretString;
use tokio::{runtime::Runtime, sync::OnceCell};
use tokio_postgres::{Client, Error, NoTls, error::SqlState};
use url::Url;

use crate::{real_service, store::Store};

const MIGRATIONS: &str = concat!(
    include_str!("../../../../migrations/postgres/2026-11-25-000000_initial/up.sql"),
    include_str!(
        "../../../../migrations/postgres/2026-11-26-000000_messages_without_foreign_keys/up.sql"
    ),
);

/// A database that is dropped with it.
pub(super) struct Scratch {
    pub(super) name: String,
    server: Url,
}

impl Scratch {
    /// Makes an empty database; says so and returns `None` where there is no server.
    pub(super) async fn empty() -> Option<Self> {
        Self::make("").await
    }

    /// Makes a database with a schema.
    pub(super) async fn migrated() -> Option<Self> {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let server = server()?;
        let template = TEMPLATE.get_or_init(|| template(&server)).await;
        Self::make(&format!("TEMPLATE {template}")).await
    }

    async fn make(from: &str) -> Option<Self> {
        let server = server()?;
        let name = format!("roomcast_test_{}", uuid::Uuid::new_v4().simple());
        let admin = connect(&server).await;
        let create = format!("CREATE DATABASE {name} {from}");
        alone(&admin, &create).await.expect("a database");
        Some(Self { name, server })
    }

    pub(super) fn url(&self) -> Url {
        named(&self.server, &self.name)
    }

    /// Opens the store in it.
    pub(super) async fn store(&self) -> Store {
        open(&self.url(), false).await
    }

    /// Runs statements in it, beside any store.
    pub(super) async fn execute(&self, statements: &str) {
        let conn = connect(&self.url()).await;
        conn.batch_execute(statements).await.expect("executed");
    }

    /// Returns the texts of a query with one column.
    pub(super) async fn texts(&self, query: &str) -> Vec<String> {
        let rows = connect(&self.url()).await.query(query, &[]).await;
        let rows = rows.expect("a query");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = thread::spawn(move || {
            Runtime::new().expect("a runtime").block_on(async {
                let drop = format!("DROP DATABASE {name} WITH (FORCE)");
                alone(&connect(&server).await, &drop).await
            })
        });
        let dropped = dropping.join();
        if !thread::panicking() {
            dropped.expect("no panic").expect("it was there");
        }
    }
}

pub(super) async fn open(url: &Url, migrate: bool) -> Store {
    let store = Store::open_postgres(&SecretString::from(url.as_str()).into(), migrate).await;
    store.expect("it opens")
}

pub(super) async fn connect(url: &Url) -> Client {
    let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls)
        .await
        .expect("the server is up");
    tokio::spawn(connection);
    client
}

/// Executes what wants a database that nobody is connected to. The server waits 5 s for those who go
/// to be gone, which may be too little for a small machine.
async fn alone(admin: &Client, statement: &str) -> Result<(), Error> {
    for _ in 1..5 {
        let done = admin.batch_execute(statement).await;
        let code = done.as_ref().err().and_then(Error::code);
        if code != Some(&SqlState::OBJECT_IN_USE) {
            return done;
        }
    }
    admin.batch_execute(statement).await
}

fn named(server: &Url, database: &str) -> Url {
    let mut url = server.clone();
    url.set_path(database);
    url
}

/// Returns the server of the environment; `None` says that the test was said to be skipped.
fn server() -> Option<Url> {
    let test = thread::current();
    let url = real_service::setting("DATABASE_URL", test.name().unwrap_or("a test"))?;
    Some(Url::parse(&url).expect("DATABASE_URL is a URL"))
}

/// Makes the database that others are copies of, unless an earlier run has; returns its name.
async fn template(server: &Url) -> String {
    let mut hasher = DefaultHasher::new();
    MIGRATIONS.hash(&mut hasher);
    let name = format!("roomcast_template_{:016x}", hasher.finish());
    let admin = connect(server).await;
    // Several test binaries may run at once.
    let lock = "SELECT pg_advisory_lock(hashtext('roomcast template'))";
    admin.batch_execute(lock).await.expect("a lock");
    let found = "SELECT 1 FROM pg_database WHERE datname = $1";
    let found = admin.query(found, &[&name]).await.expect("a query");
    if found.is_empty() {
        let new = format!("{name}_new");
        let create = format!("DROP DATABASE IF EXISTS {new} WITH (FORCE)");
        alone(&admin, &create).await.expect("dropped");
        let create = format!("CREATE DATABASE {new}");
        admin.batch_execute(&create).await.expect("a database");
        fill(&named(server, &new)).await;
        let rename = format!("ALTER DATABASE {new} RENAME TO {name}");
        alone(&admin, &rename).await.expect("renamed");
    }
    name
}

async fn fill(url: &Url) {
    open(url, true).await.close().await;
    let conn = connect(url).await;
    // Each copy is a life of its own, which its first opening begins.
    let forget = "DELETE FROM installation";
    conn.batch_execute(forget).await.expect("forgotten");
    // Its connections have to be gone before it is copied or renamed.
    let others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    conn.batch_execute(others).await.expect("ended");
    let gone = conn.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())");
    gone.await.expect_err("it ended itself");
}
