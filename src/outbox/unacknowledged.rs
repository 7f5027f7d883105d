//! Sends of one socket that are in the log's hands.

use crate::{
    ids::{ClientMsgId, RoomId},
    protocol::client::RequestId,
};

/// The sends.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged(Vec<Sent>);

#[derive(Debug)]
struct Sent {
    room_id: RoomId,
    client_msg_id: ClientMsgId,
    reply_to: Option<RequestId>,
}

impl Unacknowledged {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(
        &mut self,
        room_id: RoomId,
        client_msg_id: ClientMsgId,
        reply_to: Option<RequestId>,
    ) {
        self.0.push(Sent {
            room_id,
            client_msg_id,
            reply_to,
        });
    }

    /// Takes one out; returns to which request the answer is. Each is answered once.
    pub(super) fn take(
        &mut self,
        room_id: RoomId,
        client_msg_id: ClientMsgId,
    ) -> Option<Option<RequestId>> {
        let is_it = |sent: &Sent| sent.room_id == room_id && sent.client_msg_id == client_msg_id;
        let at = self.0.iter().position(is_it)?;
        Some(self.0.remove(at).reply_to)
    }
}
