//! What was sent, what became of it, and what was seen: one ledger that all clients share. Pure.
//!
//! A message is kept once per room, however many clients get it; a client keeps a [`View`] only.

use rustc_hash::FxHashMap;

use super::{
    marks::{Mark, SendNo},
    view::{Taken, View},
};
use crate::ids::{ClientMsgId, MessageId, RoomId, Seq};

/// How far beyond the last known row a seq may lie; a server that makes them up costs no memory.
const FURTHEST_JUMP: u64 = 1_000_000;

/// What is known of a message that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was not sent yet.
    Waiting,
    /// It was sent, and nothing else is known.
    Unknown,
    /// The server promised to keep it.
    Accepted,
    /// The server promised that it is not, and will not be, stored.
    Rejected,
}

/// A message that was to be sent.
#[derive(Debug)]
pub(super) struct Send {
    /// When it was due, in microseconds of the run.
    pub(super) due_us: u64,
    pub(super) room: u32,
    /// How often it was sent, up to 255 times.
    pub(super) copies: u8,
    pub(super) fate: Fate,
    pub(super) was_seen: bool,
}

/// A message as a client saw it, or a page of history has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) seq: Seq,
    pub(super) id: MessageId,
    pub(super) client_msg_id: ClientMsgId,
}

/// A room, and the messages that any client saw in it.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    /// By seq, the first is 1.
    pub(super) rows: Vec<Option<Row>>,
    /// How often two clients saw different messages under one seq.
    pub(super) conflicts: u64,
}

/// What one client joined, and saw there.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) room: u32,
    pub(super) view: View,
}

/// How far things are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) accepted: u64,
    pub(super) delivered: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    mark: Mark,
    pub(super) sends: Vec<Send>,
    pub(super) rooms: Vec<Room>,
    room_numbers: FxHashMap<RoomId, u32>,
    /// By client.
    pub(super) seats: Vec<Vec<Seat>>,
    pub(super) counts: Counts,
    /// Accepted, and seen by nobody yet.
    unseen: u64,
}

impl Ledger {
    pub(super) fn new(mark: Mark, rooms: Vec<RoomId>, seats: Vec<Vec<usize>>) -> Self {
        let number = |room: usize| u32::try_from(room).expect("there are at most 100,000 rooms");
        let numbers = rooms.iter().enumerate();
        let room_numbers = numbers.map(|(room, id)| (*id, number(room))).collect();
        let seat = |room| Seat {
            room: number(room),
            view: View::default(),
        };
        Self {
            mark,
            sends: Vec::new(),
            rooms: rooms.into_iter().map(Room::new).collect(),
            room_numbers,
            seats: seats
                .into_iter()
                .map(|rooms| rooms.into_iter().map(seat).collect())
                .collect(),
            counts: Counts::default(),
            unseen: 0,
        }
    }

    /// Returns the number of a room of ours.
    pub(super) fn room_number(&self, id: RoomId) -> Option<u32> {
        self.room_numbers.get(&id).copied()
    }

    /// Notes a message that is due; returns its number.
    pub(super) fn plan(&mut self, room: u32, due_us: u64) -> SendNo {
        let no = SendNo(self.sends.len() as u64);
        self.sends.push(Send {
            due_us,
            room,
            copies: 0,
            fate: Fate::Waiting,
            was_seen: false,
        });
        no
    }

    /// Returns where a message goes, and by what name.
    pub(super) fn address(&self, no: SendNo) -> (RoomId, ClientMsgId) {
        let room = self.send(no).room as usize;
        (self.rooms[room].id, self.mark.name(no))
    }

    /// Returns the message of a name, if it is one of ours.
    pub(super) fn find(&self, name: ClientMsgId) -> Option<SendNo> {
        let no = self.mark.find(name)?;
        (no.index() < self.sends.len()).then_some(no)
    }

    pub(super) fn send(&self, no: SendNo) -> &Send {
        &self.sends[no.index()]
    }

    /// Notes that a message, or a copy of it, goes onto the wire.
    pub(super) fn sent(&mut self, no: SendNo) {
        let send = &mut self.sends[no.index()];
        send.copies = send.copies.saturating_add(1);
        if send.fate == Fate::Waiting {
            send.fate = Fate::Unknown;
            self.counts.sent += 1;
        }
    }

    /// Notes an acknowledgement; returns whether it is the message's first.
    pub(super) fn accepted(&mut self, no: SendNo) -> bool {
        let send = &mut self.sends[no.index()];
        let is_first = send.fate == Fate::Unknown;
        if is_first {
            send.fate = Fate::Accepted;
            self.counts.accepted += 1;
            self.unseen += u64::from(!send.was_seen);
        }
        is_first
    }

    /// Notes a refusal that is for ever, even after an acknowledgement.
    pub(super) fn rejected(&mut self, no: SendNo) {
        let send = &mut self.sends[no.index()];
        if send.fate == Fate::Accepted {
            self.counts.accepted -= 1;
            self.unseen -= u64::from(!send.was_seen);
        }
        send.fate = Fate::Rejected;
    }

    /// Notes a message that a client got; returns what it was to the client.
    pub(super) fn received(&mut self, client: usize, room: u32, row: Row) -> Option<Taken> {
        let taken = self.seat_mut(client, room)?.view.take(row.seq);
        self.rooms[room as usize].note(row);
        if taken != Taken::Known {
            self.counts.delivered += 1;
        }
        if let Some(no) = self.find(row.client_msg_id) {
            let send = &mut self.sends[no.index()];
            let is_first = !std::mem::replace(&mut send.was_seen, true);
            self.unseen -= u64::from(is_first && send.fate == Fate::Accepted);
        }
        Some(taken)
    }

    /// Returns a client's place in a room.
    pub(super) fn seat_mut(&mut self, client: usize, room: u32) -> Option<&mut Seat> {
        let seats = &mut self.seats[client];
        let at = seats.binary_search_by_key(&room, |seat| seat.room).ok()?;
        Some(&mut seats[at])
    }

    /// Returns the id of the last message that a client saw in a room.
    pub(super) fn last_id(&self, client: usize, room: u32) -> Option<MessageId> {
        let seats = &self.seats[client];
        let at = seats.binary_search_by_key(&room, |seat| seat.room).ok()?;
        let last = seats[at].view.last().0.checked_sub(1)?;
        let row = self.rooms[room as usize].rows.get(last as usize)?;
        row.map(|row| row.id)
    }

    /// Returns whether all that was accepted has reached every client, as far as clients can tell.
    pub(super) fn is_delivered(&self) -> bool {
        let heads = |room: u32| self.rooms[room as usize].rows.len() as u64;
        let mut seats = self.seats.iter().flatten();
        self.unseen == 0 && seats.all(|seat| seat.view.last().0 >= heads(seat.room))
    }
}

impl Room {
    fn new(id: RoomId) -> Self {
        Self {
            id,
            rows: Vec::new(),
            conflicts: 0,
        }
    }

    fn note(&mut self, row: Row) {
        let len = self.rows.len() as u64;
        let Some(index) = row.seq.0.checked_sub(1) else {
            self.conflicts += 1;
            return;
        };
        if index >= len + FURTHEST_JUMP {
            return;
        }
        let index = index as usize;
        if index >= self.rows.len() {
            self.rows.resize(index + 1, None);
        }
        match &self.rows[index] {
            None => self.rows[index] = Some(row),
            Some(known) => self.conflicts += u64::from(*known != row),
        }
    }
}
