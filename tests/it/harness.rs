//! The ugliness that tests are spared: processes, ports, sockets, waiting.

pub mod bench;
mod breakable;
mod bystanders;
mod cli;
mod client;
mod database;
mod footprint;
mod ground;
mod health;
mod ports;
pub mod raw;
mod rest;
mod scratch;
mod server;
mod services;
mod skipping;
mod socket_io;
pub mod specified;
#[cfg(feature = "tls")]
pub mod tls;
mod witness;

pub use breakable::{BreakableStack, Service};
pub use bystanders::Bystanders;
pub use cli::Cli;
pub use client::{TestClient, draft};
pub use database::Database;
pub use ground::{Ground, Part};
pub use ports::ReservedPort;
pub use raw::RawSocket;
pub use rest::{Answer, TestUser};
pub use server::{ServerOptions, TestServer};
pub use services::Services;
pub use skipping::{is_embedded, is_on_services, runs_long, skip, with_failpoints};
pub use socket_io::SocketIoClient;
pub use witness::{Parting, Witness, assert_whole};

use std::{future::Future, time::Duration};

use chrono::Utc;
use serde_json::Value;
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

/// How long a test waits for anything before it fails: on the services twice the time after which
/// the group gives a dead worker up, and more, for a member may die while it joins.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take on the services until it is told that somebody has gone: where the question
/// whether he has was not answered in time, the minute for which a socket counts has to run out.
pub const PRESENCE_PATIENCE: Duration = Duration::from_secs(80);

/// Between two looks at what is waited for.
const PACE: Duration = Duration::from_millis(20);

/// How long a signal may take before it is taken for lost.
const SIGNAL_PATIENCE: Duration = Duration::from_millis(500);

/// How often a scene is played that has to be quick.
const TAKES: usize = 5;

/// Asks again and again until the answer is `Some`; panics with `what` after [`PATIENCE`].
pub async fn await_until<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(answer) = probe().await {
                return answer;
            }
            sleep(PACE).await;
        }
    };
    let Ok(answer) = timeout(PATIENCE, asking).await else {
        panic!("waited in vain: {what}");
    };
    answer
}

/// Looks again and again until it is the same so many times more; returns it. `None` is not yet
/// anything.
pub async fn await_steady<T: Copy + PartialEq>(
    what: &str,
    times: usize,
    look: impl AsyncFn() -> Option<T>,
) -> T {
    let looking = async {
        let (mut last, mut same) = (None, 0);
        loop {
            let now = look().await;
            same = if now == last { same + 1 } else { 0 };
            last = now;
            if let Some(now) = now
                && same >= times
            {
                return now;
            }
            sleep(PACE).await;
        }
    };
    within(what, looking).await
}

/// Plays a scene that is worth something only if it was quick; `None` says that it was not, and it
/// is played anew. How quick a machine is that does other work, no test can say.
pub async fn in_time<T>(scene: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..TAKES {
        // A scene is large: it lies on the heap.
        if let Some(outcome) = Box::pin(scene()).await {
            return outcome;
        }
    }
    panic!("{TAKES} times too slow");
}

/// Returns what comes of a signal that was sent. Between processes one may be lost, which nobody
/// hears of: when nothing comes for a while, it is sent again.
pub async fn until_seen<T>(mut seen: impl AsyncFnMut() -> T, mut again: impl AsyncFnMut()) -> T {
    let waiting = async {
        loop {
            if let Ok(found) = timeout(SIGNAL_PATIENCE, seen()).await {
                return found;
            }
            again().await;
        }
    };
    within("what comes of a signal", waiting).await
}

/// Lets a millisecond end, so that what happens next is later for who counts in them.
pub async fn next_millisecond() {
    let before = Utc::now().timestamp_millis();
    while Utc::now().timestamp_millis() == before {
        yield_now().await;
    }
}

/// Waits for something that has to happen; panics with `what` after [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(answer) = timeout(PATIENCE, future).await else {
        panic!("waited in vain: {what}");
    };
    answer
}

/// A fresh UUID as text.
pub fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The seqs of messages.
pub fn seqs(msgs: &[Value]) -> Vec<u64> {
    let seqs = msgs.iter().map(|msg| msg["seq"].as_u64());
    seqs.map(|seq| seq.expect("a message has a seq")).collect()
}

/// The contents of messages.
pub fn contents(msgs: &[Value]) -> Vec<&str> {
    let contents = msgs.iter().map(|msg| msg["content"].as_str());
    contents
        .map(|content| content.expect("a message has a content"))
        .collect()
}
