//! The transaction of an ingest: a fixed number of statements, whatever the size of the batch.

use std::collections::BTreeSet;

use diesel::{prelude::*, upsert::excluded};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{
    Conn,
    plan::{Entry, Plan, Row, Stored, replay},
    queries::messages::{MessageRow, message_of},
    statements::{FindStored, InsertMessages, MoveHeads, MoveOffset},
};
use crate::{
    clock::Timestamp,
    ids::{EventId, LogId, MessageId, RoomId, Seq, UserId},
    message::PersistedMessage,
    store::{
        IngestError, Ingested, RecordOutcome,
        ingest::{Head, Split, split},
        schema::{ingest_offsets, installation, rooms, users},
    },
};

/// Consecutive records of one partition, the first at offset `from`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice<'a> {
    pub(super) log_id: LogId,
    pub(super) partition: u32,
    pub(super) from: u64,
    pub(super) entries: &'a [Entry<'a>],
}

/// What a transaction made of a slice; the inner error is the slice's, not the connection's.
pub(super) type Outcome = Result<Ingested, IngestError>;

/// Stores a slice. `decided` is set just before the commit: with an error it says that the commit
/// may have happened.
pub(super) async fn ingest(
    conn: &mut Conn,
    slice: Slice<'_>,
    decided: &mut Option<Vec<RecordOutcome>>,
) -> QueryResult<Outcome> {
    conn.transaction(async |conn| {
        let next = lock_offset(conn, slice.partition).await?;
        // In this order: whoever resets the ingest has waited for the lock, or is seen here.
        if bound_log(conn).await? != Some(slice.log_id) {
            return Ok(Err(IngestError::OtherLog));
        }
        let Split { seen, fresh } = match split(slice.from, slice.entries.len(), next) {
            Ok(split) => split,
            Err(next) => return Ok(Ok(Ingested::Behind { next })),
        };
        let (seen, fresh) = (&slice.entries[seen], &slice.entries[fresh]);
        // Messages are only written under their room's lock: what is not found now does not come.
        let heads = lock_rooms(conn, fresh).await?;
        let stored = find(conn, slice.entries).await?;
        let mut outcomes: Vec<_> = seen.iter().map(|entry| replay(entry, &stored)).collect();
        if !fresh.is_empty() {
            let mut plan = Plan {
                now: Timestamp::now(),
                heads: heads.into_iter().collect(),
                senders: senders(conn, fresh).await?.into_iter().collect(),
                stored,
                rows: Vec::new(),
            };
            outcomes.extend(fresh.iter().map(|entry| plan.record(entry)));
            write(conn, plan).await?;
            let next = slice.from + slice.entries.len() as u64;
            move_offset(conn, slice.partition, next).await?;
        }
        *decided = Some(outcomes.clone());
        Ok(Ok(Ingested::Done(outcomes)))
    })
    .await
}

/// Locks a partition's offset, which its first batch makes.
async fn lock_offset(conn: &mut Conn, partition: u32) -> QueryResult<u64> {
    let partition = partition.cast_signed();
    let row = ingest_offsets::table
        .find(partition)
        .select(ingest_offsets::next_offset);
    let next = row.for_no_key_update().first::<i64>(conn).await;
    let next = match next.optional()? {
        Some(next) => next,
        None => {
            diesel::insert_into(ingest_offsets::table)
                .values((
                    ingest_offsets::partition.eq(partition),
                    ingest_offsets::next_offset.eq(0),
                ))
                .on_conflict(ingest_offsets::partition)
                .do_update()
                .set(ingest_offsets::partition.eq(excluded(ingest_offsets::partition)))
                .returning(ingest_offsets::next_offset)
                .get_result::<i64>(conn)
                .await?
        }
    };
    Ok(next.cast_unsigned())
}

async fn bound_log(conn: &mut Conn) -> QueryResult<Option<LogId>> {
    let bound = installation::table.select(installation::log_id);
    bound.first(conn).await
}

/// In the order of ids, so that two batches never wait for each other.
async fn lock_rooms(conn: &mut Conn, entries: &[Entry<'_>]) -> QueryResult<Vec<(RoomId, Head)>> {
    let ids: BTreeSet<RoomId> = entries.iter().flatten().map(|msg| msg.room_id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = rooms::table
        .filter(rooms::id.eq_any(Vec::from_iter(ids)))
        .select((rooms::id, rooms::last_seq, rooms::last_message_id))
        .order(rooms::id.asc())
        .for_no_key_update()
        .load::<(RoomId, Seq, Option<MessageId>)>(conn)
        .await?;
    let head = |(id, seq, message_id)| (id, Head::of_room(seq, message_id));
    Ok(rows.into_iter().map(head).collect())
}

async fn find(conn: &mut Conn, entries: &[Entry<'_>]) -> QueryResult<Stored> {
    let keys = entries.iter().flatten().map(|msg| msg.dedup_key());
    let rows = FindStored::of(keys)
        .load::<(EventId, MessageRow)>(conn)
        .await?;
    let stored = rows.into_iter().map(|(event_id, row)| {
        let stored = PersistedMessage {
            duplicate: true,
            ..message_of(row)
        };
        (stored.dedup_key(), (event_id, stored))
    });
    Ok(stored.collect())
}

async fn senders(conn: &mut Conn, entries: &[Entry<'_>]) -> QueryResult<Vec<UserId>> {
    let ids: BTreeSet<UserId> = entries.iter().flatten().map(|msg| msg.sender_id).collect();
    let query = users::table.filter(users::id.eq_any(Vec::from_iter(ids)));
    query.select(users::id).load(conn).await
}

/// Inserts the new messages room by room, and moves the heads of their rooms.
async fn write(conn: &mut Conn, plan: Plan<'_>) -> QueryResult<()> {
    let Plan {
        now,
        heads,
        mut rows,
        ..
    } = plan;
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_by_key(|Row { msg, place }| (msg.room_id, place.seq));
    InsertMessages::of(&rows, now).execute(conn).await?;
    let moved = heads.into_iter().filter(|(_, head)| head.is_new());
    let moved: Vec<_> = moved.collect();
    let heads = MoveHeads {
        rooms: moved.iter().map(|(room_id, _)| *room_id).collect(),
        seqs: moved.iter().map(|(_, head)| head.seq).collect(),
        ids: moved.iter().map(|(_, head)| head.message_id).collect(),
        at: now,
        borrow: Default::default(),
    };
    heads.execute(conn).await?;
    Ok(())
}

async fn move_offset(conn: &mut Conn, partition: u32, next: u64) -> QueryResult<()> {
    let offset = MoveOffset {
        partition: partition.cast_signed(),
        next: next.cast_signed(),
        borrow: Default::default(),
    };
    offset.execute(conn).await?;
    Ok(())
}
