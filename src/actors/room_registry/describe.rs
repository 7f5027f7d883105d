//! What a slice's registry tells operators of its sockets and rooms.

use actix::{Context, Handler, Message, MessageResult};
use serde::Serialize;

use super::RoomRegistry;
use crate::{
    actors::{
        mailbox::Mailbox,
        room::RoomActor,
        snapshot::{SliceTotals, largest},
    },
    ids::{RoomId, SessionId},
};

/// Asks for a snapshot of the slice. Sent by the inspector.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "SliceState")]
pub struct DescribeSlice;

/// A slice as operators see it.
#[derive(Debug, Default)]
pub struct SliceState {
    pub totals: SliceTotals,
    /// Rooms with the fullest mailboxes, which are to be asked for more.
    pub rooms: Vec<(RoomId, Mailbox<RoomActor>)>,
    /// Sockets for which most waits.
    pub sockets: Vec<SocketState>,
}

/// A socket as operators see it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketState {
    pub session_id: SessionId,
    pub mailbox_depth: usize,
    /// Bytes that its peer has not taken.
    pub waiting_bytes: usize,
    /// How long the oldest of them have waited.
    pub waiting_ms: u64,
    pub rooms: usize,
}

impl Handler<DescribeSlice> for RoomRegistry {
    type Result = MessageResult<DescribeSlice>;

    fn handle(&mut self, _: DescribeSlice, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.describe())
    }
}

impl RoomRegistry {
    fn describe(&self) -> SliceState {
        // Those that have ended are forgotten by the next sweep.
        let sessions = self.sessions.iter();
        let live: Vec<_> = sessions.filter(|(_, it)| !it.outbox.is_gone()).collect();
        let identified = live.iter().filter(|(_, it)| it.identity.is_some());
        let totals = SliceTotals {
            sockets: live.len(),
            authenticated: identified.count(),
            rooms: self.rooms.len(),
            draining: self.draining,
        };
        let rooms = self.rooms.iter();
        let rooms = rooms.map(|(room_id, room)| (*room_id, room.addr.clone()));
        let sockets = live.iter().map(|&(&session_id, entry)| SocketState {
            session_id,
            mailbox_depth: entry.addr.depth(),
            waiting_bytes: entry.outbox.waiting_bytes(),
            waiting_ms: entry.outbox.waited_for().as_millis() as u64,
            rooms: entry.outbox.rooms().len(),
        });
        SliceState {
            totals,
            rooms: largest(rooms.collect(), |(_, room)| room.depth()),
            sockets: largest(sockets.collect(), |it| (it.waiting_bytes, it.mailbox_depth)),
        }
    }
}
