//! The events of `/ws`, one row each, in the order of the protocol.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::Nothing;
use crate::protocol::{
    client::{Authenticate, FlatSendMessage, JoinRoom, LeaveRoom, MarkRead, TypingState},
    server::{
        ErrorFrame, HeartbeatAck, InRoom, MemberFrame, MessageAccepted, MessageFailed, NewMessage,
        PresenceChanged, ReadUpdated, Ready, Reconnect, RoomJoined, Typing,
    },
};

/// The schema of an event's data, and how it and its parts are found.
pub(super) struct Data {
    pub(super) name: fn() -> String,
    pub(super) collect: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Data {
    pub(super) const fn of<T: ToSchema>() -> Self {
        Self {
            name: || T::name().into_owned(),
            collect: |named| {
                named.push((T::name().into_owned(), <T as PartialSchema>::schema()));
                T::schemas(named);
            },
        }
    }
}

/// An event, in one direction.
pub(super) struct Event {
    pub(super) name: &'static str,
    /// Two events have one name: who says it tells them apart.
    pub(super) by: &'static str,
    pub(super) summary: &'static str,
    pub(super) data: Data,
    pub(super) needs_data: bool,
    /// Whether it is a request, or may be the reply to one.
    pub(super) has_id: bool,
    /// Whether it comes unasked.
    pub(super) is_pushed: bool,
    pub(super) replies: &'static [&'static str],
}

impl Event {
    /// Returns what it is called in the document.
    pub(super) fn key(&self) -> String {
        format!("{}.{}", self.by, self.name)
    }
}

const fn asked<T: ToSchema>(
    name: &'static str,
    replies: &'static [&'static str],
    summary: &'static str,
) -> Event {
    Event {
        name,
        by: "client",
        summary,
        data: Data::of::<T>(),
        needs_data: true,
        has_id: true,
        is_pushed: false,
        replies,
    }
}

const fn said<T: ToSchema>(name: &'static str, way: Way, summary: &'static str) -> Event {
    Event {
        name,
        by: "server",
        summary,
        data: Data::of::<T>(),
        needs_data: true,
        has_id: !matches!(way, Way::Pushed),
        is_pushed: !matches!(way, Way::Reply),
        replies: &[],
    }
}

/// When the server says something.
enum Way {
    Reply,
    Pushed,
    Both,
}

/// What clients say.
pub(super) const CLIENT: &[Event] = &[
    asked::<Authenticate>(
        "authenticate",
        &["ready", "error"],
        "Say who the socket belongs to; on a live socket, extend its time.",
    ),
    asked::<JoinRoom>(
        "joinRoom",
        &["newMessage", "roomJoined", "error"],
        "Listen to a room. What came after `after` is replayed first, in order; live messages start at `lastSeq + 1`.",
    ),
    asked::<LeaveRoom>(
        "leaveRoom",
        &["roomLeft", "error"],
        "Stop listening to a room; membership stays.",
    ),
    asked::<FlatSendMessage>(
        "sendMessage",
        &["messageAccepted", "messageFailed", "error"],
        "Send a message.",
    ),
    Event {
        needs_data: false,
        ..asked::<Nothing>(
            "heartbeat",
            &["heartbeatAck", "error"],
            "Say that the client is there; any other frame says so too.",
        )
    },
    asked::<TypingState>(
        "typing",
        &["error"],
        "Say whether the user types. Not answered unless it is refused.",
    ),
    asked::<MarkRead>(
        "markRead",
        &["readUpdated", "error"],
        "Move the user's read cursor.",
    ),
];

/// What the server says.
pub(super) const SERVER: &[Event] = &[
    said::<Ready>("ready", Way::Both, "The socket is authenticated."),
    said::<RoomJoined>(
        "roomJoined",
        Way::Reply,
        "What was missed has been replayed, or was too much (`truncated`); what follows is live.",
    ),
    said::<InRoom>("roomLeft", Way::Reply, "The socket listens no more."),
    said::<MessageAccepted>(
        "messageAccepted",
        Way::Reply,
        "The message is durable. `newMessage` follows when it is stored.",
    ),
    said::<MessageFailed<'static>>(
        "messageFailed",
        Way::Both,
        "The message was not accepted; or, after it was, it can never be stored (`REJECTED`).",
    ),
    said::<HeartbeatAck>("heartbeatAck", Way::Reply, "What time it is at the server."),
    said::<NewMessage<'static>>(
        "newMessage",
        Way::Pushed,
        "A message is stored: to every socket that joined the room, its sender's included.",
    ),
    said::<MemberFrame<'static>>("memberJoined", Way::Pushed, "Somebody became a member."),
    said::<MemberFrame<'static>>(
        "memberLeft",
        Way::Pushed,
        "Somebody is no member any more; the room's last frame for whom it is about.",
    ),
    said::<PresenceChanged>(
        "presenceChanged",
        Way::Pushed,
        "A user came or went: once for each user and room, never about oneself.",
    ),
    said::<Typing>("typing", Way::Pushed, "Somebody else types, or stopped."),
    said::<ReadUpdated>(
        "readUpdated",
        Way::Both,
        "A read cursor moved: the reply, and a push to the other sockets of the room.",
    ),
    said::<Reconnect>(
        "reconnect",
        Way::Pushed,
        "The server stops: come back after that time, and resume.",
    ),
    said::<ErrorFrame<'static>>(
        "error",
        Way::Both,
        "A frame was refused; with its `id`, where that could be read.",
    ),
];
