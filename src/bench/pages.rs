//! Pages of history: what a client missed, and at the end all of every room.

use awc::http::StatusCode;
use futures_util::{StreamExt, TryStreamExt, stream};
use ulid::Ulid;

use super::{
    frame::NewMessage,
    ledger::Row,
    rest::{Rest, RestError},
    user::User,
    waits::with_patience,
    world::World,
};
use crate::{
    cli::endpoint::Endpoint,
    ids::{MessageId, RoomId},
};

/// Messages of a page.
const PAGE: u32 = 100;

/// Rooms that are read at once.
const READERS: usize = 8;

/// Begins after a message, or at the room's beginning.
pub(super) fn after(room_id: RoomId, id: Option<MessageId>) -> Pages {
    Pages {
        room_id,
        // A cursor need not exist: no message has an id before this one.
        after: Some(id.unwrap_or(MessageId(Ulid(0)))),
    }
}

/// The pages of a room from some place on.
pub(super) struct Pages {
    room_id: RoomId,
    /// `None` when the last page was read.
    after: Option<MessageId>,
}

impl Pages {
    /// Returns the next page, oldest message first; `None` after the last.
    pub(super) async fn next(
        &mut self,
        rest: &Rest,
        user: &User,
        gateway: &Endpoint,
    ) -> Result<Option<Vec<Row>>, RestError> {
        let Some(after) = self.after else {
            return Ok(None);
        };
        let room_id = self.room_id;
        let url = gateway.http(&format!(
            "/rooms/{room_id}/messages?limit={PAGE}&after={after}"
        ));
        let token = user.token(rest, gateway).await?;
        let answer = match rest.get(&url, Some(&token)).await {
            Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) => {
                let token = user.renew(rest, gateway, &token).await?;
                rest.get(&url, Some(&token)).await?
            }
            ended => ended?,
        };
        let messages: Vec<NewMessage> = answer.read()?;
        let rows: Vec<Row> = messages.iter().map(NewMessage::row).collect();
        let last = rows.last().map(|row| row.id);
        self.after = last.filter(|_| answer.has_more);
        Ok(Some(rows))
    }
}

/// Reads all of every room, in the order of the ledger.
pub(super) async fn histories(world: &World) -> Result<Vec<Vec<Row>>, RestError> {
    let rooms = world
        .ledger
        .borrow()
        .rooms
        .iter()
        .map(|room| room.id)
        .collect::<Vec<_>>();
    let reading = rooms
        .into_iter()
        .enumerate()
        .map(|(room, id)| history(world, room, id));
    stream::iter(reading).buffered(READERS).try_collect().await
}

async fn history(world: &World, room: usize, id: RoomId) -> Result<Vec<Row>, RestError> {
    let gateways = &world.plan.gateways;
    // The client of the room's number is in it.
    let user = world.user(room % world.plan.clients);
    let mut pages = after(id, None);
    let mut history = Vec::new();
    loop {
        let page = with_patience(async |attempt| {
            let gateway = &gateways[(room + attempt) % gateways.len()];
            pages.next(&world.rest, user, gateway).await
        });
        match page.await? {
            Some(rows) => history.extend(rows),
            None => return Ok(history),
        }
    }
}
