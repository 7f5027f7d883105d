//! The Lua scripts: one for each operation, atomic, by the clock of the server.
//!
//! Many users go in one call; so that none holds Valkey up for long, in chunks, which are
//! pipelined.

use std::time::Duration;

use deadpool_redis::redis::{RedisError, Script, ScriptInvocation, aio::MultiplexedConnection};
use futures_util::future::try_join_all;

use super::fault::Fault;
use crate::{
    ids::{SessionId, UserId},
    presence::{ALIVE, Heartbeat, Life},
};

/// Users of one script call, about a millisecond of the server's time.
const CHUNK: usize = 500;

/// How long a user's key stays after its last socket ran out: a sweep finds it so.
pub(super) const LINGER: Duration = Duration::from_secs(5);

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("now.lua"), include_str!($file)))
    };
}

/// The scripts, with their hashes.
#[derive(Debug)]
pub(super) struct Scripts {
    touch: Script,
    leave: Script,
    online: Script,
    expire: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            touch: script!("touch.lua"),
            leave: script!("leave.lua"),
            online: script!("online.lua"),
            expire: script!("expire.lua"),
        }
    }

    pub(super) async fn touch(
        &self,
        connection: MultiplexedConnection,
        sockets: &[Heartbeat],
    ) -> Result<Vec<UserId>, Fault> {
        let firsts = in_chunks(&connection, &self.touch, sockets, |call, chunk| {
            call.arg(millis(ALIVE)).arg(millis(LINGER));
            for socket in chunk {
                call.key(key(socket.user_id));
                call.arg(socket.session_id.to_string());
                call.arg(millis(socket.silent_for));
            }
        });
        Ok(picked(sockets, firsts.await?, |socket| socket.user_id))
    }

    pub(super) async fn leave(
        &self,
        connection: MultiplexedConnection,
        sockets: &[(UserId, SessionId)],
    ) -> Result<Vec<UserId>, Fault> {
        let lasts = in_chunks(&connection, &self.leave, sockets, |call, chunk| {
            for (user_id, session_id) in chunk {
                call.key(key(*user_id)).arg(session_id.to_string());
            }
        });
        Ok(picked(sockets, lasts.await?, |(user_id, _)| *user_id))
    }

    pub(super) async fn online(
        &self,
        connection: MultiplexedConnection,
        users: &[UserId],
    ) -> Result<Vec<bool>, Fault> {
        let online = in_chunks(&connection, &self.online, users, add_keys).await?;
        Ok(online.concat().into_iter().map(|is| is == 1).collect())
    }

    pub(super) async fn expire(
        &self,
        connection: MultiplexedConnection,
        users: &[UserId],
    ) -> Result<Vec<Life>, Fault> {
        let left = in_chunks(&connection, &self.expire, users, add_keys).await?;
        Ok(left.concat().into_iter().map(life).collect())
    }
}

/// The key of a user's sockets.
pub(super) fn key(user_id: UserId) -> String {
    format!("presence:user:{user_id}")
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

fn add_keys(call: &mut ScriptInvocation<'_>, users: &[UserId]) {
    for user in users {
        call.key(key(*user));
    }
}

fn life(left_ms: i64) -> Life {
    match u64::try_from(left_ms) {
        Ok(0) => Life::RanOut,
        Ok(left_ms) => Life::Live {
            expires_in: Duration::from_millis(left_ms),
        },
        Err(_) => Life::Absent,
    }
}

/// Calls a script for all items at once; returns what it said of each chunk.
async fn in_chunks<T>(
    connection: &MultiplexedConnection,
    script: &Script,
    items: &[T],
    fill: impl Fn(&mut ScriptInvocation<'_>, &[T]),
) -> Result<Vec<Vec<i64>>, RedisError> {
    let calls = items.chunks(CHUNK).map(|chunk| {
        let mut call = script.prepare_invoke();
        fill(&mut call, chunk);
        // A clone writes to the same connection: nobody waits for another's answer.
        let mut connection = connection.clone();
        async move { call.invoke_async(&mut connection).await }
    });
    try_join_all(calls).await
}

/// Returns the users of the items that a script has named by their place in their chunk.
fn picked<T>(items: &[T], places: Vec<Vec<i64>>, user: impl Fn(&T) -> UserId) -> Vec<UserId> {
    let chunks = items.chunks(CHUNK).zip(places);
    let named = chunks.flat_map(|(chunk, places)| {
        let places = places.into_iter();
        places.filter_map(|place| chunk.get(usize::try_from(place).ok()?.checked_sub(1)?))
    });
    named.map(user).collect()
}
