//! Queries on rooms, and on a user's list of them.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use fail::fail_point;

use super::{Conn, Db, members, transaction};
use crate::{
    clock::Timestamp,
    ids::{MessageId, RoomId, Seq, UserId},
    store::{
        Role, Room, RoomCursor, RoomSummary, Visibility,
        schema::{messages, room_members, rooms},
    },
};

type RoomRow = (
    RoomId,
    String,
    Visibility,
    Timestamp,
    Seq,
    Option<MessageId>,
    Option<Timestamp>,
);

type RoomColumns = (
    rooms::id,
    rooms::name,
    rooms::visibility,
    rooms::created_at,
    rooms::last_seq,
    rooms::last_message_id,
    rooms::last_message_at,
);

const ROOM: RoomColumns = (
    rooms::id,
    rooms::name,
    rooms::visibility,
    rooms::created_at,
    rooms::last_seq,
    rooms::last_message_id,
    rooms::last_message_at,
);

fn room_of(row: RoomRow) -> Room {
    let (id, name, visibility, created_at, last_seq, last_message_id, last_message_at) = row;
    Room {
        id,
        name,
        visibility,
        created_at,
        last_seq,
        last_message_id,
        last_message_at,
    }
}

pub(crate) async fn create(
    conn: &mut Conn,
    name: String,
    visibility: Visibility,
    owner: UserId,
) -> QueryResult<Room> {
    transaction!(conn, async |conn| {
        let now = Timestamp::now();
        let row = diesel::insert_into(rooms::table)
            .values((
                rooms::id.eq(RoomId::random()),
                rooms::name.eq(name),
                rooms::visibility.eq(visibility),
                rooms::created_at.eq(now),
                rooms::active_at.eq(now),
            ))
            .returning(ROOM)
            .get_result::<RoomRow>(conn)
            .await?;
        let room = room_of(row);
        members::add(conn, room.id, owner, Role::Owner).await?;
        Ok(room)
    })
    .await
}

pub(crate) async fn room(conn: &mut Conn, id: RoomId) -> QueryResult<Option<Room>> {
    let query = rooms::table.find(id).select(ROOM);
    let row = query.first::<RoomRow>(conn).await.optional()?;
    Ok(row.map(room_of))
}

/// Returns a page of a user's rooms and where the next one begins.
pub(crate) async fn of_user(
    conn: &mut Conn,
    user_id: UserId,
    limit: usize,
    cursor: Option<RoomCursor>,
) -> QueryResult<(Vec<RoomSummary>, Option<RoomCursor>)> {
    let unread = messages::table
        .filter(messages::room_id.eq(rooms::id))
        .filter(messages::seq.gt(room_members::last_read_seq))
        .filter(messages::seq.gt(room_members::joined_seq))
        .filter(messages::sender_id.ne(user_id))
        .count()
        .single_value();
    let mut query = room_members::table
        .inner_join(rooms::table)
        .filter(room_members::user_id.eq(user_id))
        .select((
            ROOM,
            rooms::active_at,
            room_members::last_read_message_id,
            unread,
        ))
        .order((rooms::active_at.desc(), rooms::id.asc()))
        .limit(page_and_one(limit))
        .into_boxed::<Db>();
    if let Some(RoomCursor { active_at, room_id }) = cursor {
        let after = rooms::active_at
            .lt(active_at)
            .or(rooms::active_at.eq(active_at).and(rooms::id.gt(room_id)));
        query = query.filter(after);
    }
    let mut rows = query
        .load::<(RoomRow, Timestamp, Option<MessageId>, Option<i64>)>(conn)
        .await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more);
    let next = next.map(|(room, active_at, ..)| RoomCursor {
        active_at: *active_at,
        room_id: room.0,
    });
    let summaries = rows
        .into_iter()
        .map(|(room, _, last_read, unread)| RoomSummary {
            room: room_of(room),
            last_read_message_id: last_read,
            unread_count: unread.unwrap_or(0).cast_unsigned(),
        });
    Ok((summaries.collect(), next))
}

/// One row more than asked for tells whether there is another page.
pub(super) fn page_and_one(limit: usize) -> i64 {
    i64::try_from(limit).map_or(i64::MAX, |limit| limit.saturating_add(1))
}

/// Returns the heads of the rooms that exist.
pub(crate) async fn heads(conn: &mut Conn, ids: Vec<RoomId>) -> QueryResult<Vec<(RoomId, Seq)>> {
    fail_point!("heads");
    rooms::table
        .filter(rooms::id.eq_any(ids))
        .select((rooms::id, rooms::last_seq))
        .load(conn)
        .await
}

/// Returns the generation of the youngest membership of the rooms that exist.
pub(crate) async fn generations(
    conn: &mut Conn,
    ids: Vec<RoomId>,
) -> QueryResult<Vec<(RoomId, u64)>> {
    let rows = rooms::table
        .filter(rooms::id.eq_any(ids))
        .select((rooms::id, rooms::generation))
        .load::<(RoomId, i64)>(conn)
        .await?;
    let unsigned = |(id, generation): (_, i64)| (id, generation.cast_unsigned());
    Ok(rows.into_iter().map(unsigned).collect())
}
