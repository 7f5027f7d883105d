//! Queries on how far each partition of `chat.messages.v1` is stored.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, transaction};
use crate::{
    ids::LogId,
    store::schema::{ingest_offsets, installation},
};

/// Returns for each partition up to where it is stored.
pub(crate) async fn all(conn: &mut Conn) -> QueryResult<Vec<(u32, u64)>> {
    let rows = ingest_offsets::table.load::<(i32, i64)>(conn).await?;
    let unsigned =
        |(partition, next): (i32, i64)| (partition.cast_unsigned(), next.cast_unsigned());
    Ok(rows.into_iter().map(unsigned).collect())
}

/// Sees to it that partitions 0 to `count` have an offset; returns how many had one before.
pub(crate) async fn record_partitions(conn: &mut Conn, count: u32) -> QueryResult<u32> {
    transaction!(conn, async |conn| {
        let known = all(conn).await?;
        for partition in 0..count {
            if known.iter().any(|(known, _)| *known == partition) {
                continue;
            }
            let row = (
                ingest_offsets::partition.eq(partition.cast_signed()),
                ingest_offsets::next_offset.eq(0),
            );
            // Another worker may start at the same moment.
            diesel::insert_into(ingest_offsets::table)
                .values(row)
                .on_conflict_do_nothing()
                .execute(conn)
                .await?;
        }
        Ok(u32::try_from(known.len()).unwrap_or(u32::MAX))
    })
    .await
}

/// Forgets the log and how far it was read; the messages stay.
pub(crate) async fn reset(conn: &mut Conn) -> QueryResult<()> {
    transaction!(conn, async |conn| {
        // In the order of an ingest, which locks its offset first.
        diesel::delete(ingest_offsets::table).execute(conn).await?;
        diesel::update(installation::table)
            .set(installation::log_id.eq(None::<LogId>))
            .execute(conn)
            .await?;
        Ok(())
    })
    .await
}
