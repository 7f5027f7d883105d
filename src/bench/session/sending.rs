//! What a connection sends: joins, messages that are due, and repeats.

use tokio::time::Instant;

use super::{
    super::{
        frame,
        socket::{Broken, Socket},
        world::Phase,
    },
    Session,
};

impl Session<'_> {
    /// Joins every room of the client where its view ends.
    pub(super) async fn join_all(&mut self, socket: &mut Socket) -> Result<(), Broken> {
        let frames: Vec<String> = {
            let ledger = self.client.world.ledger.borrow();
            let seats = ledger.seats[self.client.number].iter();
            let join = seats.map(|seat| {
                let room_id = ledger.rooms[seat.room as usize].id;
                frame::join_room(room_id, seat.view.last(), seat.view.epoch())
            });
            join.collect()
        };
        self.to_join = frames.len();
        for frame in frames {
            socket.feed(frame).await?;
        }
        socket.flush().await
    }

    /// Makes the messages whose time has come, also those of a time without a connection.
    pub(super) fn make_due(&mut self, phase: Phase, now: Instant) {
        let Phase::Load { began, end } = phase else {
            return;
        };
        let client = &mut *self.client;
        if client.schedule.is_none() {
            client.schedule = client.world.plan.schedule(client.number, began);
        }
        while let Some(schedule) = &mut client.schedule {
            let due = schedule.next();
            if due > now || due >= end {
                return;
            }
            schedule.advance();
            client.make(due);
        }
    }

    /// Sends what may be sent now; without a rate there is always more.
    pub(super) async fn send_ready(
        &mut self,
        socket: &mut Socket,
        phase: Phase,
        now: Instant,
    ) -> Result<(), Broken> {
        let client = &mut *self.client;
        let makes_more = client.world.plan.rate == 0 && super::is_loading(phase, now);
        let mut has_fed = false;
        loop {
            if makes_more && client.outbox.has_room(now) {
                client.make(now);
            }
            let Some((frame, copies)) = client.next_frame(now) else {
                break;
            };
            for _ in 1..copies {
                socket.feed(frame.clone()).await?;
            }
            socket.feed(frame).await?;
            has_fed = true;
        }
        match has_fed {
            true => socket.flush().await,
            false => Ok(()),
        }
    }
}

impl super::Client {
    /// Makes a message that is due, for the next of the client's rooms.
    fn make(&mut self, due: Instant) {
        let due_us = self.world.us(due);
        let mut ledger = self.world.ledger.borrow_mut();
        let seats = &ledger.seats[self.number];
        let room = seats[self.made % seats.len()].room;
        self.made += 1;
        self.outbox.push(ledger.plan(room, due_us));
    }

    /// Takes the next message from the outbox; some of them go out twice.
    fn next_frame(&mut self, now: Instant) -> Option<(String, u8)> {
        let percent = self.world.plan.duplicate_percent;
        let copies = || 1 + u8::from(fastrand::u32(..100) < percent);
        let (no, copies) = self.outbox.next(now, copies)?;
        let mut ledger = self.world.ledger.borrow_mut();
        (0..copies).for_each(|_| ledger.sent(no));
        let (room_id, client_msg_id) = ledger.address(no);
        Some((frame::send_message(room_id, client_msg_id), copies))
    }
}
