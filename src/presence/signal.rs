//! What gateways tell each other now or never: the messages of `roomcast:signals`, as JSON.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};

/// Something worth telling now or never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Signal {
    Typing {
        room_id: RoomId,
        user_id: UserId,
        is_typing: bool,
    },
    /// A socket of each user has joined the room. Also said of what may be known already.
    Online { present: Vec<Present> },
    /// The user's last socket has gone; the rooms are those that its gateway knows of.
    Offline { user_id: UserId, rooms: Vec<RoomId> },
    /// A gateway hears signals from now on, and knows of nothing that was said before.
    Hello,
}

/// A user who is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Present {
    pub room_id: RoomId,
    pub user_id: UserId,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn signals_are_json() {
        let (room_id, user_id) = (RoomId::random(), UserId::random());
        let present = vec![Present { room_id, user_id }];
        let rooms = vec![room_id];
        let check = |signal: Signal, expected: Value| {
            assert_eq!(serde_json::to_value(&signal).expect("JSON"), expected);
            let back: Signal = serde_json::from_value(expected).expect("a signal");
            assert_eq!(back, signal);
        };
        check(
            Signal::Typing {
                room_id,
                user_id,
                is_typing: true,
            },
            json!({"type": "typing", "roomId": room_id, "userId": user_id, "isTyping": true}),
        );
        check(
            Signal::Online { present },
            json!({"type": "online", "present": [{"roomId": room_id, "userId": user_id}]}),
        );
        check(
            Signal::Offline { user_id, rooms },
            json!({"type": "offline", "userId": user_id, "rooms": [room_id]}),
        );
        check(Signal::Hello, json!({"type": "hello"}));
    }
}
