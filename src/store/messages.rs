//! Queries on stored messages: pages of history, and places in the order.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db, rooms::page_and_one};
use crate::{
    clock::Timestamp,
    ids::{ClientMsgId, MessageId, RoomId, Seq, UserId},
    message::{MessageType, PersistedMessage},
    store::{
        MessagePage, PageCursor,
        schema::{long_contents, messages},
    },
};

pub(crate) type MessageRow = (
    RoomId,
    Seq,
    MessageId,
    UserId,
    ClientMsgId,
    MessageType,
    String,
    Timestamp,
);

pub(crate) type MessageColumns = (
    messages::room_id,
    messages::seq,
    messages::id,
    messages::sender_id,
    messages::client_msg_id,
    messages::message_type,
    messages::content,
    messages::created_at,
);

pub(crate) const MESSAGE: MessageColumns = (
    messages::room_id,
    messages::seq,
    messages::id,
    messages::sender_id,
    messages::client_msg_id,
    messages::message_type,
    messages::content,
    messages::created_at,
);

pub(crate) fn message_of(row: MessageRow) -> PersistedMessage {
    let (room_id, seq, message_id, sender_id, client_msg_id, message_type, content, created_at) =
        row;
    PersistedMessage {
        message_id,
        room_id,
        seq,
        sender_id,
        client_msg_id,
        message_type,
        content,
        created_at,
        produced_at: None,
        duplicate: false,
        replayed: false,
    }
}

/// Returns a page, oldest first.
pub(crate) async fn page(
    conn: &mut Conn,
    room_id: RoomId,
    cursor: PageCursor,
    limit: usize,
) -> QueryResult<MessagePage> {
    let query = messages::table
        .filter(messages::room_id.eq(room_id))
        .select(MESSAGE)
        .limit(page_and_one(limit))
        .into_boxed::<Db>();
    let is_forward = matches!(cursor, PageCursor::After(_) | PageCursor::AfterSeq(_));
    // By seq, which ids follow: the rows lie in this order.
    let query = match cursor {
        PageCursor::Newest => query.order(messages::seq.desc()),
        PageCursor::Before(id) => {
            let after = seq_at(conn, room_id, id, false).await?;
            query
                .filter(messages::seq.le(after))
                .order(messages::seq.desc())
        }
        PageCursor::After(id) => {
            let at = seq_at(conn, room_id, id, true).await?;
            query
                .filter(messages::seq.gt(at))
                .order(messages::seq.asc())
        }
        PageCursor::AfterSeq(seq) => query
            .filter(messages::seq.gt(seq))
            .order(messages::seq.asc()),
    };
    let mut rows = query.load::<MessageRow>(conn).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let mut messages: Vec<_> = rows.into_iter().map(message_of).collect();
    if !is_forward {
        messages.reverse();
    }
    add_long_contents(conn, room_id, &mut messages).await?;
    Ok(MessagePage { messages, has_more })
}

/// Fills in the contents that do not lie beside their messages; no message is empty.
async fn add_long_contents(
    conn: &mut Conn,
    room_id: RoomId,
    messages: &mut [PersistedMessage],
) -> QueryResult<()> {
    let missing = messages.iter().filter(|msg| msg.content.is_empty());
    let missing: Vec<Seq> = missing.map(|msg| msg.seq).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let rows = long_contents::table
        .filter(long_contents::room_id.eq(room_id))
        .filter(long_contents::seq.eq_any(missing))
        .select((long_contents::seq, long_contents::content))
        .load::<(Seq, String)>(conn)
        .await?;
    for (seq, content) in rows {
        // In the order of seq either way.
        if let Ok(index) = messages.binary_search_by_key(&seq, |msg| msg.seq) {
            messages[index].content = content;
        }
    }
    Ok(())
}

/// Returns the seq of the newest message that is not after `id`, or, if `inclusive` is false,
/// that is before it; zero when there is none.
pub(crate) async fn seq_at(
    conn: &mut Conn,
    room_id: RoomId,
    id: MessageId,
    inclusive: bool,
) -> QueryResult<Seq> {
    let mut query = messages::table
        .filter(messages::room_id.eq(room_id))
        .select(messages::seq)
        .order(messages::id.desc())
        .into_boxed::<Db>();
    query = match inclusive {
        true => query.filter(messages::id.le(id)),
        false => query.filter(messages::id.lt(id)),
    };
    let seq = query.first::<Seq>(conn).await.optional()?;
    Ok(seq.unwrap_or(Seq::ZERO))
}
