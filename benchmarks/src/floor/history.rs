//! Hand-written SQL for a page of history, and a table to read it from.

use anyhow::ensure;
use tokio_postgres::Statement;

use super::postgres::Bare;
use crate::frame::CONTENT;

/// Rooms whose messages lie between each other's in the table.
pub(crate) const ROOMS: i64 = 1_000;

/// Messages of each room that one statement makes.
const STEP: i64 = 100;

pub(crate) struct History {
    bare: Bare,
    page: Statement,
    pub(crate) rooms: Vec<String>,
    last_seq: i64,
}

impl History {
    /// Makes the rooms; the user is in each of them.
    pub(crate) fn make(url: &str, user: &str) -> anyhow::Result<Self> {
        let bare = Bare::connect(url)?;
        bare.execute(&format!(
            "CREATE TABLE floor_rooms AS SELECT n, gen_random_uuid() AS id, '{user}'::uuid AS user_id
                 FROM generate_series(0, {ROOMS} - 1) AS n;
             INSERT INTO rooms (id, name, visibility, created_at, active_at)
                 SELECT id, 'history', 'public', now(), now() FROM floor_rooms;
             INSERT INTO room_members (room_id, user_id, role, joined_at, joined_seq, generation)
                 SELECT id, user_id, 'owner', now(), 0, 0 FROM floor_rooms"
        ))?;
        let ids = bare.run(
            bare.client
                .query("SELECT id::text FROM floor_rooms ORDER BY n", &[]),
        )?;
        let page = bare.prepare(
            "SELECT id, room_id, seq, sender_id, client_msg_id, message_type, content, created_at
             FROM messages WHERE room_id = $1::text::uuid ORDER BY seq DESC LIMIT 50",
        )?;
        Ok(Self {
            rooms: ids.iter().map(|row| row.get(0)).collect(),
            bare,
            page,
            last_seq: 0,
        })
    }

    /// Gives each room messages up to a place.
    pub(crate) fn fill_to(&mut self, last_seq: i64) -> anyhow::Result<()> {
        while self.last_seq < last_seq {
            let to = last_seq.min(self.last_seq + STEP);
            self.bare.execute(&format!(
                "INSERT INTO messages (room_id, seq, id, sender_id, client_msg_id, message_type, content, event_id, created_at)
                 SELECT id, seq, {id}, user_id, gen_random_uuid(), 'TEXT', '{CONTENT}', gen_random_uuid(), now()
                 FROM generate_series({from}, {to}) AS seq CROSS JOIN floor_rooms ORDER BY seq, n",
                id = id_of("n", "seq"),
                from = self.last_seq + 1,
            ))?;
            self.last_seq = to;
        }
        self.bare.execute(&format!(
            "UPDATE rooms SET last_seq = {last_seq}, last_message_at = now(), last_message_id = {id}
             FROM floor_rooms WHERE rooms.id = floor_rooms.id",
            id = id_of("n", &last_seq.to_string()),
        ))?;
        // Where vacuum has been, an index answers alone.
        self.bare.execute("VACUUM (ANALYZE) messages")
    }

    /// Returns the id of a message.
    pub(crate) fn id(&self, room: usize, seq: i64) -> String {
        format!("01{:024X}", seq * ROOMS + room as i64)
    }

    /// Reads the newest page of a room.
    pub(crate) fn newest(&self, room: usize) -> anyhow::Result<()> {
        let room = &self.rooms[room];
        let rows = self.bare.run(self.bare.client.query(&self.page, &[room]))?;
        ensure!(rows.len() == 50, "{} rows are no page", rows.len());
        Ok(())
    }
}

/// The same id as an expression in SQL: a ULID that grows with `seq`.
fn id_of(room: &str, seq: &str) -> String {
    format!("'01' || lpad(upper(to_hex(({seq} * {ROOMS} + {room})::bigint)), 24, '0')")
}
