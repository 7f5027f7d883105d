//! The ingest on SQLite: one transaction a batch, row by row. With one writer no row needs a lock.

use std::collections::HashMap;

use diesel::{
    SqliteConnection,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sqlite::Sqlite,
};

use super::queries::messages::{MESSAGE, MessageRow, message_of};
use crate::{
    clock::Timestamp,
    ids::{EventId, LogId, MessageId, RoomId, Seq, UserId},
    message::{DedupKey, PersistedMessage, RecordError, SubmittedMessage},
    store::{
        IngestBatch, IngestError, Ingested, RecordOutcome,
        ingest::{Head, Split, places, split},
        schema::{ingest_offsets, installation, long_contents, messages, rooms, users},
        sql_types::*,
    },
};

/// The outer result is the connection's, the inner one the batch's.
pub(super) fn ingest(
    conn: &mut SqliteConnection,
    batch: &IngestBatch,
) -> QueryResult<Result<Ingested, IngestError>> {
    conn.immediate_transaction(|conn| {
        let bound = installation::table.select(installation::log_id);
        if bound.first::<Option<LogId>>(conn)? != Some(batch.log_id) {
            return Ok(Err(IngestError::OtherLog));
        }
        let next = read_next(conn, batch.partition)?;
        let Split { seen, fresh } = match split(batch.from, batch.records.len(), next) {
            Ok(split) => split,
            Err(next) => return Ok(Ok(Ingested::Behind { next })),
        };
        let mut outcomes = Vec::with_capacity(batch.records.len());
        for record in &batch.records[seen] {
            outcomes.push(replay(conn, record)?);
        }
        if !fresh.is_empty() {
            let mut ingest = Ingest::new(conn);
            for record in &batch.records[fresh] {
                outcomes.push(ingest.record(record)?);
            }
            ingest.finish()?;
            write_next(
                conn,
                batch.partition,
                batch.from + batch.records.len() as u64,
            )?;
        }
        Ok(Ok(Ingested::Done(outcomes)))
    })
}

type Record = Result<SubmittedMessage, RecordError>;

/// Returns what an earlier ingest made of a record.
fn replay(conn: &mut SqliteConnection, record: &Record) -> QueryResult<RecordOutcome> {
    let dead = |reason: String| RecordOutcome::Dead {
        reason,
        replayed: true,
    };
    let msg = match record {
        Ok(msg) => msg,
        Err(error) => return Ok(dead(error.to_string())),
    };
    Ok(match find(conn, msg.dedup_key())? {
        Some((event_id, stored)) => RecordOutcome::Replayed(PersistedMessage {
            replayed: event_id == msg.event_id,
            ..stored
        }),
        None => dead("it could not be stored when it was read first".to_owned()),
    })
}

/// Returns the stored message of a key, marked as a duplicate, and the record that stored it.
fn find(
    conn: &mut SqliteConnection,
    key: DedupKey,
) -> QueryResult<Option<(EventId, PersistedMessage)>> {
    let row = messages::table
        .filter(messages::room_id.eq(key.room_id))
        .filter(messages::sender_id.eq(key.sender_id))
        .filter(messages::client_msg_id.eq(key.client_msg_id))
        .select((messages::event_id, MESSAGE))
        .first::<(EventId, MessageRow)>(conn)
        .optional()?;
    let Some((event_id, row)) = row else {
        return Ok(None);
    };
    let mut stored = PersistedMessage {
        duplicate: true,
        ..message_of(row)
    };
    if stored.content.is_empty() {
        let long = long_contents::table.find((stored.room_id, stored.seq));
        let long = long.select(long_contents::content).first(conn);
        stored.content = long.optional()?.unwrap_or_default();
    }
    Ok(Some((event_id, stored)))
}

/// One batch under way.
struct Ingest<'a> {
    conn: &'a mut SqliteConnection,
    now: Timestamp,
    /// Of the rooms met so far; `None` for one that does not exist.
    heads: HashMap<RoomId, Option<Head>>,
    senders: HashMap<UserId, bool>,
}

impl<'a> Ingest<'a> {
    fn new(conn: &'a mut SqliteConnection) -> Self {
        Self {
            conn,
            now: Timestamp::now(),
            heads: HashMap::new(),
            senders: HashMap::new(),
        }
    }

    fn record(&mut self, record: &Record) -> QueryResult<RecordOutcome> {
        let dead = |reason: String| RecordOutcome::Dead {
            reason,
            replayed: false,
        };
        let msg = match record {
            Ok(msg) => msg,
            Err(error) => return Ok(dead(error.to_string())),
        };
        let Some(head) = self.head(msg.room_id)? else {
            return Ok(dead("no such room".to_owned()));
        };
        if !self.sender_exists(msg.sender_id)? {
            return Ok(dead("no such sender".to_owned()));
        }
        let next = head.next(self.now);
        if let Some(stored) = self.insert(msg, next.seq, next.message_id)? {
            self.heads.insert(msg.room_id, Some(next));
            return Ok(RecordOutcome::New(stored));
        }
        let stored = find(self.conn, msg.dedup_key())?;
        let (event_id, stored) = stored.ok_or(diesel::result::Error::NotFound)?;
        Ok(RecordOutcome::Duplicate(PersistedMessage {
            // The log is read again from its beginning.
            replayed: event_id == msg.event_id,
            ..stored
        }))
    }

    fn head(&mut self, room_id: RoomId) -> QueryResult<Option<Head>> {
        if let Some(head) = self.heads.get(&room_id) {
            return Ok(*head);
        }
        let query = rooms::table.find(room_id);
        let query = query.select((rooms::last_seq, rooms::last_message_id));
        let row = query
            .first::<(Seq, Option<MessageId>)>(self.conn)
            .optional()?;
        let head = row.map(|(seq, id)| Head::of_room(seq, id));
        self.heads.insert(room_id, head);
        Ok(head)
    }

    fn sender_exists(&mut self, sender_id: UserId) -> QueryResult<bool> {
        if let Some(exists) = self.senders.get(&sender_id) {
            return Ok(*exists);
        }
        let query = users::table.find(sender_id).select(users::id);
        let exists = query.first::<UserId>(self.conn).optional()?.is_some();
        self.senders.insert(sender_id, exists);
        Ok(exists)
    }

    /// Returns `None` when the message is stored already.
    fn insert(
        &mut self,
        msg: &SubmittedMessage,
        seq: Seq,
        message_id: MessageId,
    ) -> QueryResult<Option<PersistedMessage>> {
        let (inline, long) = places(&msg.content);
        let inserted = diesel::insert_into(messages::table)
            .values((
                messages::room_id.eq(msg.room_id),
                messages::seq.eq(seq),
                messages::id.eq(message_id),
                messages::sender_id.eq(msg.sender_id),
                messages::client_msg_id.eq(msg.client_msg_id),
                messages::message_type.eq(msg.message_type),
                messages::content.eq(inline),
                messages::created_at.eq(self.now),
                messages::event_id.eq(msg.event_id),
            ))
            .on_conflict((
                messages::room_id,
                messages::sender_id,
                messages::client_msg_id,
            ))
            .do_nothing()
            .execute(self.conn)?;
        if let Some(content) = long.filter(|_| inserted > 0) {
            diesel::insert_into(long_contents::table)
                .values((
                    long_contents::room_id.eq(msg.room_id),
                    long_contents::seq.eq(seq),
                    long_contents::content.eq(content),
                ))
                .execute(self.conn)?;
        }
        Ok((inserted > 0).then(|| msg.persisted(message_id, seq, self.now)))
    }

    /// Moves the heads of the rooms that got something.
    fn finish(self) -> QueryResult<()> {
        for (room_id, head) in self.heads {
            let Some(Head {
                seq, message_id, ..
            }) = head.filter(Head::is_new)
            else {
                continue;
            };
            let now = self.now;
            MoveHead(room_id, seq, message_id, now).execute(self.conn)?;
        }
        Ok(())
    }
}

fn read_next(conn: &mut SqliteConnection, partition: u32) -> QueryResult<u64> {
    let query = ingest_offsets::table.find(partition.cast_signed());
    let next = query.select(ingest_offsets::next_offset);
    let next = next.first::<i64>(conn).optional()?;
    Ok(next.unwrap_or(0).cast_unsigned())
}

fn write_next(conn: &mut SqliteConnection, partition: u32, next: u64) -> QueryResult<()> {
    // Not an upsert, which diesel would have SQLite parse each time.
    diesel::replace_into(ingest_offsets::table)
        .values((
            ingest_offsets::partition.eq(partition.cast_signed()),
            ingest_offsets::next_offset.eq(next.cast_signed()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Moves a room's head: an `UPDATE` of diesel's would be parsed each time.
#[derive(QueryId)]
struct MoveHead(RoomId, Seq, MessageId, Timestamp);

impl QueryFragment<Sqlite> for MoveHead {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(room_id, seq, message_id, now) = self;
        out.push_sql("UPDATE rooms SET last_seq = ");
        out.push_bind_param::<BigInt, _>(seq)?;
        out.push_sql(", last_message_id = ");
        out.push_bind_param::<Text, _>(message_id)?;
        out.push_sql(", last_message_at = ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(", active_at = ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<Uuid, _>(room_id)
    }
}

impl RunQueryDsl<SqliteConnection> for MoveHead {}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::{Arc, Mutex},
    };

    use diesel::{
        connection::{Connection, InstrumentationEvent},
        dsl::sql,
    };

    use super::*;
    use crate::store::{Store, suite};

    #[tokio::test]
    async fn every_statement_is_kept_once_it_was_parsed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.sqlite3");
        let store = Store::open_sqlite(&path).await.expect("a new file opens");
        let scene = suite::scene(&store).await;
        let mut conn = super::super::connect(&path).expect("it opens");
        let (asked, kept) = <(Arc<Mutex<Vec<String>>>, Arc<Mutex<HashSet<String>>>)>::default();
        conn.set_instrumentation({
            let (asked, kept) = (Arc::clone(&asked), Arc::clone(&kept));
            move |event: InstrumentationEvent<'_>| match event {
                InstrumentationEvent::StartQuery { query, .. } => {
                    let text = query.to_string();
                    let statement = text.split(" -- binds").next().unwrap_or_default();
                    asked.lock().expect("no panic").push(statement.to_owned());
                }
                InstrumentationEvent::CacheQuery { sql, .. } => {
                    kept.lock().expect("no panic").insert(sql.to_owned());
                }
                _ => {}
            }
        });
        // The second time something is written over in each table.
        for from in 0..2 {
            let batch = suite::batch(from, &scene.messages(1));
            let ingested = ingest(&mut conn, &batch).expect("the store is up");
            assert!(matches!(ingested, Ok(Ingested::Done(_))), "{ingested:?}");
        }
        let kept = kept.lock().expect("no panic");
        let mut asked = asked.lock().expect("no panic").clone();
        asked.retain(|statement| !kept.contains(statement));
        assert_eq!(asked, ["BEGIN IMMEDIATE", "COMMIT"].repeat(2));
    }

    #[test]
    fn a_plan_does_not_depend_on_what_is_bound() {
        let mut conn = SqliteConnection::establish(":memory:").expect("memory");
        let options = sql::<Text>("PRAGMA compile_options").load::<String>(&mut conn);
        let options = options.expect("a list");
        assert!(options.contains(&"ENABLE_QPSG".to_owned()), "{options:?}");
        assert!(!options.contains(&"ENABLE_STAT4".to_owned()), "{options:?}");
    }
}
