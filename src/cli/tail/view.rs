//! What is known of the room: the last message that was shown, and the names. Pure.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::message::Message;
use crate::ids::{Epoch, MessageId, RoomId, Seq, UserId};

/// The last message that was shown; without an id where only its seq is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seq: Seq,
    id: Option<MessageId>,
}

/// The data of `roomJoined`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Joined {
    epoch: Epoch,
    last_seq: Seq,
    truncated: bool,
}

/// What a join leaves to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Nothing,
    /// Too much to be replayed: the pages after this message have it.
    After(MessageId),
    /// It cannot be had; the sentence says why.
    Lost(&'static str),
}

/// A room as it was seen so far.
pub(super) struct RoomView {
    room_id: RoomId,
    is_json: bool,
    names: HashMap<UserId, String>,
    /// `None` until the first message, or the room's head, is known.
    place: Option<Place>,
    epoch: Option<Epoch>,
}

impl RoomView {
    pub(super) fn new(room_id: RoomId, is_json: bool) -> Self {
        Self {
            room_id,
            is_json,
            names: HashMap::new(),
            place: None,
            epoch: None,
        }
    }

    pub(super) fn room_id(&self) -> RoomId {
        self.room_id
    }

    /// Returns whether lines have names in them.
    pub(super) fn shows_names(&self) -> bool {
        !self.is_json
    }

    pub(super) fn learn_names(&mut self, names: impl IntoIterator<Item = (UserId, String)>) {
        self.names.extend(names);
    }

    /// Returns the last message that was shown, where its id is known.
    pub(super) fn last_id(&self) -> Option<MessageId> {
        self.place?.id
    }

    /// Returns whether nothing of the room is known yet.
    pub(super) fn is_new(&self) -> bool {
        self.place.is_none()
    }

    /// Begins before the room's first message, unless something was shown already.
    pub(super) fn begin(&mut self) {
        self.place.get_or_insert(Place {
            seq: Seq::ZERO,
            id: None,
        });
    }

    /// Returns the request that joins where this view ends.
    pub(super) fn join_request(&self, id: u64) -> Value {
        let mut data = json!({ "roomId": self.room_id });
        if let Some(place) = self.place {
            data["after"] = json!(place.seq);
        }
        if let Some(epoch) = self.epoch {
            data["epoch"] = json!(epoch);
        }
        json!({ "event": "joinRoom", "id": id, "data": data })
    }

    /// Returns the line of a message; `None` for one that was shown, or is of another room.
    pub(super) fn show(&mut self, raw: &RawValue) -> serde_json::Result<Option<String>> {
        let msg = Message::read(raw)?;
        let is_known = self.place.is_some_and(|place| msg.seq <= place.seq);
        if is_known || msg.room_id != self.room_id {
            return Ok(None);
        }
        self.place = Some(Place {
            seq: msg.seq,
            id: Some(msg.id),
        });
        Ok(Some(match self.is_json {
            true => raw.get().to_owned(),
            false => msg.line(&self.names).to_string(),
        }))
    }

    /// Takes in how a join ended.
    pub(super) fn joined(&mut self, joined: &Joined) -> Missing {
        let known_epoch = self.epoch.replace(joined.epoch);
        let head = Place {
            seq: joined.last_seq,
            id: None,
        };
        let Some(place) = self.place else {
            self.place = Some(head);
            return Missing::Nothing;
        };
        if !joined.truncated {
            return Missing::Nothing;
        }
        let lost = if known_epoch.is_some_and(|epoch| epoch != joined.epoch) {
            "the server's database was restored from a backup: what was shown so far may not be there any more"
        } else if place.seq > joined.last_seq {
            "the server has fewer messages than were shown here"
        } else if let Some(id) = place.id {
            return Missing::After(id);
        } else {
            "messages were missed, too many to be sent again"
        };
        self.place = Some(head);
        Missing::Lost(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ClientMsgId;

    fn message(room_id: RoomId, seq: u64) -> Box<RawValue> {
        let json = json!({
            "id": format!("01ARZ3NDEKTSV4RRFFQ69G5F{seq:02}"), "roomId": room_id, "seq": seq,
            "senderId": UserId::random(), "clientMsgId": ClientMsgId::random(), "type": "TEXT",
            "content": "x", "createdAt": "2026-03-01T08:00:00.123Z",
        });
        RawValue::from_string(json.to_string()).expect("JSON")
    }

    fn joined(epoch: Epoch, last_seq: u64, truncated: bool) -> Joined {
        Joined {
            epoch,
            last_seq: Seq(last_seq),
            truncated,
        }
    }

    /// A view that has joined at the room's beginning and shown up to `seq`.
    fn view_at(epoch: Epoch, seq: u64) -> RoomView {
        let mut view = RoomView::new(RoomId::random(), true);
        view.begin();
        assert_eq!(view.joined(&joined(epoch, 0, false)), Missing::Nothing);
        let room_id = view.room_id();
        for seq in 1..=seq {
            let shown = view.show(&message(room_id, seq)).expect("a message");
            assert!(shown.is_some());
        }
        view
    }

    #[test]
    fn a_message_is_shown_once() {
        let mut view = view_at(Epoch::random(), 2);
        let room_id = view.room_id();
        let mut is_shown = |raw: &RawValue| view.show(raw).expect("a message").is_some();
        assert!(!is_shown(&message(room_id, 2)));
        assert!(is_shown(&message(room_id, 3)));
        assert!(!is_shown(&message(RoomId::random(), 4)), "another room's");
    }

    #[test]
    fn a_join_continues_where_the_view_ends() {
        let mut fresh = RoomView::new(RoomId::random(), true);
        assert_eq!(fresh.join_request(1)["data"].get("after"), None);
        let epoch = Epoch::random();
        fresh.joined(&joined(epoch, 5, false));
        let data = &fresh.join_request(1)["data"];
        assert_eq!((&data["after"], &data["epoch"]), (&json!(5), &json!(epoch)));
    }

    #[test]
    fn what_a_join_does_not_replay_is_paged_or_told() {
        let epoch = Epoch::random();
        let check = |joined: Joined, expected: fn(&Missing) -> bool| {
            let missing = view_at(epoch, 2).joined(&joined);
            assert!(expected(&missing), "{joined:?} left {missing:?}");
        };
        check(joined(epoch, 9, false), |missing| {
            *missing == Missing::Nothing
        });
        check(joined(epoch, 900, true), |missing| {
            matches!(missing, Missing::After(_))
        });
        check(joined(epoch, 1, true), |missing| {
            matches!(missing, Missing::Lost(_))
        });
        check(joined(Epoch::random(), 900, true), |missing| {
            matches!(missing, Missing::Lost(_))
        });
    }
}
