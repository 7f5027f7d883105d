//! Before the load: gateways that answer, users, rooms and who is in them.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use awc::http::StatusCode;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use super::{
    frame::Received,
    plan::Plan,
    rest::{Rest, RestError},
    socket::Socket,
    user::User,
    waits::with_patience,
};
use crate::{cli::endpoint::Endpoint, ids::RoomId};

/// Registrations at once: each costs the server a password's hash.
const REGISTRATIONS: usize = 4;

/// Other requests at once.
const REQUESTS: usize = 16;

/// What the load needs.
pub(super) struct Stage {
    pub(super) users: Vec<User>,
    pub(super) rooms: Vec<RoomId>,
}

/// Makes users and rooms, and lets every user into the rooms of its clients.
pub(super) async fn set(plan: &Plan, rest: &Rest) -> anyhow::Result<Stage> {
    for gateway in &plan.gateways {
        let url = gateway.http("/health/live");
        rest.get(&url, None)
            .await
            .context("no gateway to talk to")?;
    }
    let users = register(plan, rest).await.context("users cannot be made")?;
    let stage = Stage {
        rooms: make_rooms(plan, rest, &users)
            .await
            .context("rooms cannot be made")?,
        users,
    };
    join(plan, rest, &stage)
        .await
        .context("rooms cannot be joined")?;
    Ok(stage)
}

fn gateway(plan: &Plan, n: usize) -> &Endpoint {
    &plan.gateways[n % plan.gateways.len()]
}

async fn register(plan: &Plan, rest: &Rest) -> anyhow::Result<Vec<User>> {
    let first = User::register(rest, gateway(plan, 0)).await?;
    let number = plan.users(send_per_s(rest, &first, gateway(plan, 0)).await?);
    let others = (1..number).map(|n| User::register(rest, gateway(plan, n)));
    let others: Vec<User> = stream::iter(others)
        .buffered(REGISTRATIONS)
        .try_collect()
        .await?;
    Ok(std::iter::once(first).chain(others).collect())
}

/// Asks what a user may send; the server says so when a socket is ready.
async fn send_per_s(rest: &Rest, user: &User, gateway: &Endpoint) -> anyhow::Result<u32> {
    let token = user.token(rest, gateway).await?;
    let mut socket = Socket::open(&gateway.websocket(), &token).await?;
    let Received::Ready(limits) = socket.next().await? else {
        bail!("{gateway} does not begin with `ready`");
    };
    socket.close().await;
    Ok(limits.send_per_s)
}

async fn make_rooms(plan: &Plan, rest: &Rest, users: &[User]) -> Result<Vec<RoomId>, RestError> {
    #[derive(Deserialize)]
    struct Room {
        id: RoomId,
    }
    let make = async |n: usize| {
        let (gateway, owner) = (gateway(plan, n), &users[owner(plan, users, n)]);
        let body = json!({ "name": format!("bench {n}") });
        let url = gateway.http("/rooms");
        let room = with_patience(async |_| {
            let token = owner.token(rest, gateway).await?;
            rest.create::<Room>(&url, Some(&token), &body).await
        });
        room.await.map(|room| room.id)
    };
    let making = (0..plan.rooms).map(make);
    stream::iter(making).buffered(REQUESTS).try_collect().await
}

/// Returns the user who owns a room: that of the room's first client.
fn owner(plan: &Plan, users: &[User], room: usize) -> usize {
    room % plan.clients % users.len()
}

async fn join(plan: &Plan, rest: &Rest, stage: &Stage) -> Result<(), RestError> {
    let users = &stage.users;
    let pairs = (0..plan.clients).flat_map(|client| {
        let user = client % users.len();
        plan.rooms_of(client).map(move |room| (user, room))
    });
    let strangers: BTreeSet<_> = pairs
        .filter(|(user, room)| *user != owner(plan, users, *room))
        .collect();
    let join = async |(user, room): (usize, usize)| {
        let (gateway, user) = (gateway(plan, room), &users[user]);
        let url = gateway.http(&format!("/rooms/{}/join", stage.rooms[room]));
        with_patience(async |_| {
            let token = user.token(rest, gateway).await?;
            match rest.post(&url, Some(&token), &json!({})).await {
                // The attempt before this one had no answer, and was successful.
                Err(error) if error.status() == Some(StatusCode::CONFLICT) => Ok(()),
                ended => ended.map(drop),
            }
        })
        .await
    };
    let joining = strangers.into_iter().map(join);
    stream::iter(joining)
        .buffer_unordered(REQUESTS)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}
