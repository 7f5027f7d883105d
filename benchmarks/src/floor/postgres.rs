//! Bare SQL: rows in one statement, one row in a commit.

use std::time::Instant;

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, Statement};

use crate::frame::CONTENT;

/// A connection, driven by whoever calls it.
pub(crate) struct Bare {
    runtime: Runtime,
    pub(crate) client: Client,
}

impl Bare {
    pub(crate) fn connect(url: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (client, connection) = runtime.block_on(tokio_postgres::connect(url, NoTls))?;
        runtime.spawn(connection);
        Ok(Self { runtime, client })
    }

    pub(crate) fn execute(&self, sql: &str) -> anyhow::Result<()> {
        Ok(self.runtime.block_on(self.client.batch_execute(sql))?)
    }

    pub(crate) fn prepare(&self, sql: &str) -> anyhow::Result<Statement> {
        Ok(self.runtime.block_on(self.client.prepare(sql))?)
    }

    pub(crate) fn run<T>(&self, query: impl Future<Output = T>) -> T {
        self.runtime.block_on(query)
    }

    /// Returns the one number that a query finds.
    pub(crate) fn number(&self, statement: &Statement) -> anyhow::Result<i64> {
        let row = self.run(self.client.query_one(statement, &[]))?;
        Ok(row.get(0))
    }
}

pub(crate) fn execute(url: &str, sql: &str) -> anyhow::Result<()> {
    Bare::connect(url)?.execute(sql)
}

/// A table of a number and a text.
pub(crate) struct Rows {
    bare: Bare,
    insert: Statement,
    next: i64,
}

impl Rows {
    pub(crate) fn connect(url: &str) -> anyhow::Result<Self> {
        let bare = Bare::connect(url)?;
        bare.execute(
            "CREATE TABLE IF NOT EXISTS floor_rows (id bigint PRIMARY KEY, content text NOT NULL);
             TRUNCATE floor_rows",
        )?;
        let insert = bare.prepare("INSERT INTO floor_rows VALUES ($1, $2)")?;
        Ok(Self {
            bare,
            insert,
            next: 0,
        })
    }

    /// Stores one row and waits for its commit.
    pub(crate) fn insert_one(&mut self, content: &str) -> anyhow::Result<()> {
        self.next += 1;
        let Self { bare, insert, next } = self;
        bare.run(bare.client.execute(&*insert, &[&*next, &content]))?;
        Ok(())
    }
}

/// Inserts rows into a table with the columns and indexes of roomcast's messages, so many in a
/// statement of its own; returns rows a second.
///
/// The table has no foreign keys, and nobody is asked whether a row is there already.
pub(crate) fn unnest_rows_per_s(url: &str, rows: usize, batch: usize) -> anyhow::Result<f64> {
    let bare = Bare::connect(url)?;
    bare.execute(
        "DROP TABLE IF EXISTS floor_messages; CREATE TABLE floor_messages (LIKE messages INCLUDING ALL)",
    )?;
    let insert = bare.prepare(
        "INSERT INTO floor_messages (room_id, seq, id, sender_id, client_msg_id, message_type, content, event_id, created_at) \
         SELECT k.room::uuid, k.seq, k.id, k.room::uuid, k.name::uuid, 'TEXT', k.content, k.name::uuid, now() \
         FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[]) AS k (room, seq, id, name, content)",
    )?;
    let rooms: Vec<String> = (0..100).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    let batches: Vec<_> = (0..rows / batch)
        .map(|n| Batch::new(&rooms, n * batch, batch))
        .collect();
    let began = Instant::now();
    for made in &batches {
        let Batch {
            rooms,
            seqs,
            ids,
            names,
        } = made;
        let contents = vec![CONTENT; batch];
        bare.run(
            bare.client
                .execute(&insert, &[rooms, seqs, ids, names, &contents]),
        )?;
    }
    let per_s = (batches.len() * batch) as f64 / began.elapsed().as_secs_f64();
    bare.execute("DROP TABLE floor_messages")?;
    Ok(per_s)
}

struct Batch<'a> {
    rooms: Vec<&'a str>,
    seqs: Vec<i64>,
    ids: Vec<String>,
    names: Vec<String>,
}

impl<'a> Batch<'a> {
    fn new(rooms: &'a [String], from: usize, rows: usize) -> Self {
        let all = from..from + rows;
        Self {
            rooms: all
                .clone()
                .map(|n| rooms[n % rooms.len()].as_str())
                .collect(),
            seqs: all.clone().map(|n| (n / rooms.len()) as i64 + 1).collect(),
            ids: all.clone().map(|n| format!("{n:026}")).collect(),
            names: all.map(|_| uuid::Uuid::new_v4().to_string()).collect(),
        }
    }
}
