//! What a connection gets: messages, answers to sends and joins, and the order to go.

use tokio::time::Instant;

use super::{
    super::{
        client::Client,
        frame::{Failed, Received, RoomJoined},
        ledger::Row,
        pages,
        socket::Broken,
        view::Taken,
    },
    CLOSE_TIMEOUT, Session,
};
use crate::ids::{ClientMsgId, RoomId};

impl Session<'_> {
    pub(super) async fn take(&mut self, received: Received) -> Result<(), Broken> {
        match received {
            Received::Message(room_id, row) => self.client.receive(room_id, row),
            Received::Accepted(name) => self.client.accepted(name),
            Received::Failed(failed) => self.client.failed(&failed),
            Received::Joined(joined) => self.joined(&joined).await?,
            Received::Reconnect(after) => {
                let now = Instant::now();
                self.back_at = Some(now + after);
                self.gives_up_at = Some(now + CLOSE_TIMEOUT);
            }
            // A join is all that this could answer.
            Received::Error(error) => {
                return Err(Broken::Passing {
                    why: format!("the server says {}: {}", error.code, error.message),
                    after: error.retry_after(),
                });
            }
            Received::Ready(_) | Received::Other => {}
        }
        Ok(())
    }

    async fn joined(&mut self, joined: &RoomJoined) -> Result<(), Broken> {
        let room = self
            .client
            .world
            .ledger
            .borrow()
            .room_number(joined.room_id);
        let Some(room) = room else {
            return Ok(());
        };
        self.client.set_epoch(room, joined);
        if joined.truncated {
            self.page(room, joined).await?;
        }
        self.to_join = self.to_join.saturating_sub(1);
        if self.to_join == 0 {
            self.client.joined();
            self.plan_to_leave();
        }
        Ok(())
    }

    /// Reads what was missed and is too much to be replayed; what is live waits meanwhile.
    async fn page(&mut self, room: u32, joined: &RoomJoined) -> Result<(), Broken> {
        let world = std::rc::Rc::clone(&self.client.world);
        let after = world.ledger.borrow().last_id(self.client.number, room);
        let user = world.user(self.client.number);
        let mut pages = pages::after(joined.room_id, after);
        while let Some(rows) = pages
            .next(&world.rest, user, self.gateway)
            .await
            .map_err(|error| Broken::passing(error.to_string()))?
        {
            let missed = rows.into_iter().filter(|row| row.seq <= joined.last_seq);
            missed.for_each(|row| self.client.receive(joined.room_id, row));
        }
        Ok(())
    }
}

impl Client {
    fn set_epoch(&self, room: u32, joined: &RoomJoined) {
        let mut ledger = self.world.ledger.borrow_mut();
        if let Some(seat) = ledger.seat_mut(self.number, room) {
            seat.view.set_epoch(joined.epoch);
        }
    }

    fn receive(&self, room_id: RoomId, row: Row) {
        let mut ledger = self.world.ledger.borrow_mut();
        let Some(room) = ledger.room_number(room_id) else {
            return;
        };
        let taken = ledger.received(self.number, room, row);
        let is_news = matches!(taken, Some(Taken::New | Taken::Late));
        let no = ledger.find(row.client_msg_id).filter(|_| is_news);
        if let Some(no) = no {
            let took_us = self
                .world
                .us(Instant::now())
                .saturating_sub(ledger.send(no).due_us);
            self.world.latency.borrow_mut().deliver.record(took_us);
        }
    }

    fn accepted(&mut self, name: ClientMsgId) {
        let mut ledger = self.world.ledger.borrow_mut();
        let Some(no) = ledger.find(name) else {
            return;
        };
        if ledger.accepted(no) {
            let took_us = self
                .world
                .us(Instant::now())
                .saturating_sub(ledger.send(no).due_us);
            self.world.latency.borrow_mut().accept.record(took_us);
        }
        self.outbox.accepted(no);
    }

    fn failed(&mut self, failed: &Failed) {
        let mut ledger = self.world.ledger.borrow_mut();
        let no = failed.client_msg_id.and_then(|name| ledger.find(name));
        match (failed.retryable, no) {
            (false, Some(no)) => {
                ledger.rejected(no);
                self.outbox.rejected(no);
            }
            (false, None) => {}
            (true, no) => {
                let now = Instant::now();
                self.outbox
                    .refused(no, failed.retry_after(), now, fastrand::f64());
            }
        }
    }
}
