//! Queries on what this database is: one row, made with it.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, transaction};
use crate::{
    clock::Timestamp,
    ids::{Epoch, LogId},
    store::{Installation, schema::installation},
};

/// The id of the only row.
const ROW: i32 = 1;

/// Begins the database's first life, unless it has one.
pub(crate) async fn ensure(conn: &mut Conn) -> QueryResult<()> {
    diesel::insert_into(installation::table)
        .values((
            installation::id.eq(ROW),
            installation::epoch.eq(Epoch::random()),
            installation::created_at.eq(Timestamp::now()),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn read(conn: &mut Conn) -> QueryResult<Installation> {
    let (epoch, log_id) = installation::table
        .find(ROW)
        .select((installation::epoch, installation::log_id))
        .first::<(Epoch, Option<LogId>)>(conn)
        .await?;
    Ok(Installation { epoch, log_id })
}

/// Begins another life: clients that come with the old epoch load everything anew.
pub(crate) async fn new_epoch(conn: &mut Conn) -> QueryResult<Epoch> {
    let epoch = Epoch::random();
    diesel::update(installation::table.find(ROW))
        .set(installation::epoch.eq(epoch))
        .execute(conn)
        .await?;
    Ok(epoch)
}

/// Binds the database to a log, unless it is bound; returns the log that it is bound to.
pub(crate) async fn bind_log(conn: &mut Conn, log_id: LogId) -> QueryResult<LogId> {
    transaction!(conn, async |conn| {
        let free = installation::table
            .find(ROW)
            .filter(installation::log_id.is_null());
        diesel::update(free)
            .set(installation::log_id.eq(log_id))
            .execute(conn)
            .await?;
        Ok(read(conn).await?.log_id.unwrap_or(log_id))
    })
    .await
}
