//! The transaction of an ingest: a fixed number of statements, whatever the size of the batch, and
//! three round trips: one to look, one to write, one to commit.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use diesel::prelude::*;
use diesel_async::{RunQueryDsl, pooled_connection::deadpool::Object};
use futures_util::future::{try_join3, try_join4, try_join5};

use super::{
    Conn,
    pipelined::Transaction,
    plan::{Entry, Found, Plan, Row, Stored, replay},
    queries::messages::{MessageRow, message_of},
    statements::{FindStored, InsertLongContents, InsertMessages, MoveHeads, MoveOffset, PlanOnce},
};
use crate::{
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
    mut conn: Object<Conn>,
    slice: Slice<'_>,
    decided: &mut Option<Vec<RecordOutcome>>,
) -> QueryResult<Outcome> {
    loop {
        let transaction = Transaction::on(conn);
        let end = match store(&transaction, slice, decided).await {
            Ok(end) => end,
            Err(error) => {
                // If that fails, the connection is closed.
                drop(transaction.roll_back().await);
                return Err(error);
            }
        };
        match end {
            End::Stored => {
                drop(transaction.commit().await?);
                return Ok(Ok(Ingested::Done(decided.take().unwrap_or_default())));
            }
            End::Otherwise(outcome) => {
                drop(transaction.roll_back().await?);
                return Ok(outcome);
            }
            // What was read was read without its lock.
            End::NoOffset => {
                conn = transaction.roll_back().await?;
                make_offset(&conn, slice.partition).await?;
            }
        }
    }
}

/// How a transaction ends.
enum End {
    Stored,
    /// Nothing is stored, as the slice does not go with the store.
    Otherwise(Outcome),
    /// The partition has no offset to lock yet: its first batch makes it.
    NoOffset,
}

/// Does the work of the transaction.
async fn store(
    transaction: &Transaction,
    slice: Slice<'_>,
    decided: &mut Option<Vec<RecordOutcome>>,
) -> QueryResult<End> {
    let Some(found) = look(transaction, slice).await? else {
        return Ok(End::NoOffset);
    };
    if found.log_id != Some(slice.log_id) {
        return Ok(End::Otherwise(Err(IngestError::OtherLog)));
    }
    let Split { seen, fresh } = match split(slice.from, slice.entries.len(), found.next) {
        Ok(split) => split,
        Err(next) => return Ok(End::Otherwise(Ok(Ingested::Behind { next }))),
    };
    let (seen, fresh) = (&slice.entries[seen], &slice.entries[fresh]);
    let replayed = seen.iter().map(|entry| replay(entry, &found.stored));
    let replayed = replayed.collect();
    let mut plan = Plan::new(found, replayed);
    fresh.iter().for_each(|entry| plan.record(entry));
    if !fresh.is_empty() {
        write(transaction.conn(), slice, &mut plan).await?;
    }
    *decided = Some(plan.outcomes);
    Ok(End::Stored)
}

/// Begins, locks the partition and the rooms, and reads what there is of the slice: all at once.
///
/// The questions leave in this order, and the server answers each as of when its turn comes. That
/// holds also while they are not prepared: a connection prepares one at a time, first come first
/// served, and sends it before the next. A parameter of a type of our own (an enum) would break it:
/// such a type is looked up before.
///
/// Whoever resets the ingest has waited for the partition's lock, or is seen by the question after
/// it. Messages are only written under their room's lock: what is not found after it does not come.
async fn look(transaction: &Transaction, slice: Slice<'_>) -> QueryResult<Option<Found>> {
    let conn = transaction.conn();
    let questions = try_join5(
        lock_offset(conn, slice.partition),
        bound_log(conn),
        lock_rooms(conn, slice.entries),
        find(conn, slice.entries),
        find_senders(conn, slice.entries),
    );
    let planning = PlanOnce::default();
    let planning = planning.execute(&mut &*conn);
    let ((), _, (next, log_id, heads, stored, senders)) =
        try_join3(transaction.begin(), planning, questions).await?;
    Ok(next.map(|next| Found {
        next,
        log_id,
        heads,
        stored,
        senders,
    }))
}

async fn lock_offset(conn: &Conn, partition: u32) -> QueryResult<Option<u64>> {
    let row = ingest_offsets::table
        .find(partition.cast_signed())
        .select(ingest_offsets::next_offset);
    let next = row.for_no_key_update().first::<i64>(&mut &*conn).await;
    Ok(next.optional()?.map(i64::cast_unsigned))
}

async fn make_offset(conn: &Conn, partition: u32) -> QueryResult<()> {
    diesel::insert_into(ingest_offsets::table)
        .values((
            ingest_offsets::partition.eq(partition.cast_signed()),
            ingest_offsets::next_offset.eq(0),
        ))
        .on_conflict_do_nothing()
        .execute(&mut &*conn)
        .await?;
    Ok(())
}

async fn bound_log(conn: &Conn) -> QueryResult<Option<LogId>> {
    let bound = installation::table.select(installation::log_id);
    bound.first(&mut &*conn).await
}

/// In the order of ids, so that two batches never wait for each other.
async fn lock_rooms(conn: &Conn, entries: &[Entry<'_>]) -> QueryResult<BTreeMap<RoomId, Head>> {
    let ids: BTreeSet<RoomId> = entries.iter().flatten().map(|msg| msg.room_id).collect();
    let rows = rooms::table
        .filter(rooms::id.eq_any(Vec::from_iter(ids)))
        .select((rooms::id, rooms::last_seq, rooms::last_message_id))
        .order(rooms::id.asc())
        .for_no_key_update()
        .load::<(RoomId, Seq, Option<MessageId>)>(&mut &*conn)
        .await?;
    let head = |(id, seq, message_id)| (id, Head::of_room(seq, message_id));
    Ok(rows.into_iter().map(head).collect())
}

async fn find(conn: &Conn, entries: &[Entry<'_>]) -> QueryResult<Stored> {
    let keys = entries.iter().flatten().map(|msg| msg.dedup_key());
    let rows = FindStored::of(keys)
        .load::<(EventId, MessageRow)>(&mut &*conn)
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

async fn find_senders(conn: &Conn, entries: &[Entry<'_>]) -> QueryResult<HashSet<UserId>> {
    let ids: BTreeSet<UserId> = entries.iter().flatten().map(|msg| msg.sender_id).collect();
    let query = users::table.filter(users::id.eq_any(Vec::from_iter(ids)));
    let found = query.select(users::id).load(&mut &*conn).await?;
    Ok(found.into_iter().collect())
}

/// Inserts the new messages room by room, moves the heads of their rooms, and the offset.
async fn write(conn: &Conn, slice: Slice<'_>, plan: &mut Plan<'_>) -> QueryResult<()> {
    let offset = MoveOffset {
        partition: slice.partition.cast_signed(),
        next: (slice.from + slice.entries.len() as u64).cast_signed(),
        borrow: Default::default(),
    };
    if plan.rows.is_empty() {
        offset.execute(&mut &*conn).await?;
        return Ok(());
    }
    plan.rows
        .sort_by_key(|Row { msg, place }| (msg.room_id, place.seq));
    let messages = InsertMessages::of(&plan.rows, plan.now);
    let moved = plan.heads.iter().filter(|(_, head)| head.is_new());
    let moved: Vec<_> = moved.collect();
    let heads = MoveHeads {
        rooms: moved.iter().map(|(room_id, _)| **room_id).collect(),
        seqs: moved.iter().map(|(_, head)| head.seq).collect(),
        ids: moved.iter().map(|(_, head)| head.message_id).collect(),
        at: plan.now,
        borrow: Default::default(),
    };
    let longs = InsertLongContents::of(&plan.rows);
    try_join4(
        messages.execute(&mut &*conn),
        async {
            match longs {
                Some(longs) => longs.execute(&mut &*conn).await,
                None => Ok(0),
            }
        },
        heads.execute(&mut &*conn),
        offset.execute(&mut &*conn),
    )
    .await?;
    Ok(())
}
