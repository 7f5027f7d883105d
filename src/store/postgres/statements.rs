//! Statements over arrays: one for any number of rows, so that each connection plans it once.
//!
//! Diesel's own inserts of many rows, and its updates, are planned anew at each call.

use diesel::{
    expression::Expression,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::Array,
};

use super::{plan::Row, queries::messages::MessageColumns};
use crate::{
    clock::Timestamp,
    ids::{ClientMsgId, EventId, MessageId, RoomId, Seq, UserId},
    message::{DedupKey, MessageType},
    store::{
        ingest::places,
        schema::messages,
        sql_types::{BigInt, Integer, Text, Timestamptz, Uuid},
    },
};

/// Gives a statement its text and its parameters, in order.
macro_rules! statement {
    ($name:ident: $($sql:literal $($field:ident as $sql_type:ty)?),+) => {
        impl QueryFragment<Pg> for $name<'_> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                $(
                    out.push_sql($sql);
                    $(out.push_bind_param::<$sql_type, _>(&self.$field)?;)?
                )+
                Ok(())
            }
        }

        // Its text is always the same: the connection may keep the plan under this type.
        impl QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }
    };
}

/// Without borrowed fields a lifetime only gives all statements one shape.
type Borrow<'a> = std::marker::PhantomData<&'a ()>;

/// Has the statements of a transaction planned once a connection, and not for what they are given
/// each time, which takes as long as executing them. By their indexes: a plan that is kept must not
/// read all of a table that was small when it was made.
#[derive(Default)]
pub(super) struct PlanOnce<'a>(Borrow<'a>);

// Where there is no index (`installation` has one row), a forbidden scan looks so dear that it would
// be compiled.
statement! { PlanOnce:
    "SELECT set_config('plan_cache_mode', 'force_generic_plan', true), \
     set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)"
}

/// Finds the stored messages of these keys, and the records that stored them.
pub(super) struct FindStored<'a> {
    rooms: Vec<RoomId>,
    senders: Vec<UserId>,
    client_msg_ids: Vec<ClientMsgId>,
    borrow: Borrow<'a>,
}

// One look into the index for each key: a planner that knows little of a table which has grown since
// would rather read all of it.
statement! { FindStored:
    "SELECT m.event_id, m.room_id, m.seq, m.id, m.sender_id, m.client_msg_id, m.message_type, \
     COALESCE((SELECT l.content FROM long_contents AS l WHERE l.room_id = m.room_id \
     AND l.seq = m.seq), m.content), m.created_at FROM UNNEST(" rooms as Array<Uuid>,
    ", " senders as Array<Uuid>,
    ", " client_msg_ids as Array<Uuid>,
    ") AS k (room_id, sender_id, client_msg_id) \
     CROSS JOIN LATERAL (SELECT * FROM messages AS s WHERE s.room_id = k.room_id \
     AND s.sender_id = k.sender_id AND s.client_msg_id = k.client_msg_id LIMIT 1) AS m"
}

impl Query for FindStored<'_> {
    type SqlType = (
        <messages::event_id as Expression>::SqlType,
        <MessageColumns as Expression>::SqlType,
    );
}

impl FindStored<'_> {
    pub(super) fn of(keys: impl Iterator<Item = DedupKey>) -> Self {
        let mut found = Self {
            rooms: Vec::new(),
            senders: Vec::new(),
            client_msg_ids: Vec::new(),
            borrow: Borrow::default(),
        };
        for key in keys {
            found.rooms.push(key.room_id);
            found.senders.push(key.sender_id);
            found.client_msg_ids.push(key.client_msg_id);
        }
        found
    }
}

/// Stores messages, without the contents that do not fit beside them.
pub(super) struct InsertMessages<'a> {
    rooms: Vec<RoomId>,
    seqs: Vec<Seq>,
    ids: Vec<MessageId>,
    senders: Vec<UserId>,
    client_msg_ids: Vec<ClientMsgId>,
    types: Vec<MessageType>,
    contents: Vec<&'a str>,
    events: Vec<EventId>,
    created_at: Timestamp,
}

statement! { InsertMessages:
    "INSERT INTO messages (room_id, seq, id, sender_id, client_msg_id, message_type, content, \
     event_id, created_at) SELECT k.*, " created_at as Timestamptz,
    " FROM UNNEST(" rooms as Array<Uuid>,
    ", " seqs as Array<BigInt>,
    ", " ids as Array<Text>,
    ", " senders as Array<Uuid>,
    ", " client_msg_ids as Array<Uuid>,
    ", " types as Array<Text>,
    ", " contents as Array<Text>,
    ", " events as Array<Uuid>,
    ") AS k"
}

impl<'a> InsertMessages<'a> {
    pub(super) fn of(rows: &[Row<'a>], created_at: Timestamp) -> Self {
        Self {
            rooms: rows.iter().map(|row| row.msg.room_id).collect(),
            seqs: rows.iter().map(|row| row.place.seq).collect(),
            ids: rows.iter().map(|row| row.place.message_id).collect(),
            senders: rows.iter().map(|row| row.msg.sender_id).collect(),
            client_msg_ids: rows.iter().map(|row| row.msg.client_msg_id).collect(),
            types: rows.iter().map(|row| row.msg.message_type).collect(),
            contents: rows.iter().map(|row| places(&row.msg.content).0).collect(),
            events: rows.iter().map(|row| row.msg.event_id).collect(),
            created_at,
        }
    }
}

/// Stores the contents that do not fit beside their messages, which are there.
pub(super) struct InsertLongContents<'a> {
    rooms: Vec<RoomId>,
    seqs: Vec<Seq>,
    contents: Vec<&'a str>,
}

statement! { InsertLongContents:
    "INSERT INTO long_contents (room_id, seq, content) SELECT * FROM UNNEST("
        rooms as Array<Uuid>,
    ", " seqs as Array<BigInt>,
    ", " contents as Array<Text>,
    ")"
}

impl<'a> InsertLongContents<'a> {
    /// `None` when all fit, as they do nearly always.
    pub(super) fn of(rows: &[Row<'a>]) -> Option<Self> {
        let longs = rows
            .iter()
            .filter_map(|row| Some((row, places(&row.msg.content).1?)));
        let longs: Vec<_> = longs.collect();
        (!longs.is_empty()).then(|| Self {
            rooms: longs.iter().map(|(row, _)| row.msg.room_id).collect(),
            seqs: longs.iter().map(|(row, _)| row.place.seq).collect(),
            contents: longs.iter().map(|(_, content)| *content).collect(),
        })
    }
}

/// Moves the heads of rooms. They are named twice, so that no plan reads the index of all rooms.
pub(super) struct MoveHeads<'a> {
    pub(super) rooms: Vec<RoomId>,
    pub(super) seqs: Vec<Seq>,
    pub(super) ids: Vec<MessageId>,
    pub(super) at: Timestamp,
    pub(super) borrow: Borrow<'a>,
}

statement! { MoveHeads:
    "UPDATE rooms SET last_seq = k.seq, last_message_id = k.id, last_message_at = "
        at as Timestamptz,
    ", active_at = " at as Timestamptz,
    " FROM UNNEST(" rooms as Array<Uuid>,
    ", " seqs as Array<BigInt>,
    ", " ids as Array<Text>,
    ") AS k (room_id, seq, id) WHERE rooms.id = k.room_id AND rooms.id = ANY(" rooms as Array<Uuid>,
    ")"
}

/// Moves a partition's offset.
pub(super) struct MoveOffset<'a> {
    pub(super) partition: i32,
    pub(super) next: i64,
    pub(super) borrow: Borrow<'a>,
}

statement! { MoveOffset:
    "UPDATE ingest_offsets SET next_offset = " next as BigInt,
    " WHERE partition = " partition as Integer
}

/// Finds those of the memberships that exist.
pub(super) struct FindMemberships<'a> {
    rooms: Vec<RoomId>,
    users: Vec<UserId>,
    borrow: Borrow<'a>,
}

statement! { FindMemberships:
    "SELECT m.room_id, m.user_id, m.generation FROM UNNEST(" rooms as Array<Uuid>,
    ", " users as Array<Uuid>,
    ") AS k (room_id, user_id) JOIN room_members AS m USING (room_id, user_id)"
}

impl Query for FindMemberships<'_> {
    type SqlType = (Uuid, Uuid, BigInt);
}

impl FindMemberships<'_> {
    pub(super) fn of(pairs: &[(RoomId, UserId)]) -> Self {
        let (rooms, users) = pairs.iter().copied().unzip();
        Self {
            rooms,
            users,
            borrow: Borrow::default(),
        }
    }
}
