//! Taking turns at the store when many sockets come back at once.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::error::ApiError;

/// Reads of joins and replays at a time. Fewer than a store has connections, so that a crowd that
/// comes back leaves some to everybody else.
const AT_A_TIME: usize = 6;

/// How long a read waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those who come first are served first, however many there are; the store's own patience is
/// made for one request.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_A_TIME))
    }
}

impl Turns {
    /// Waits for a turn, which lasts until the result is dropped.
    ///
    /// # Errors
    /// `UNAVAILABLE` when too many are before it for too long.
    pub async fn take(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        let turn = timeout(PATIENCE, self.0.acquire()).await;
        // It is never closed.
        turn.ok()
            .and_then(Result::ok)
            .ok_or_else(|| ApiError::unavailable("too many wait for the database"))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_comes_when_all_turns_are_taken_waits() {
        let turns = Turns::default();
        let mut taken = Vec::new();
        for _ in 0..AT_A_TIME {
            taken.push(turns.take().await.expect("a turn is free"));
        }
        let mut waiting = Box::pin(turns.take());
        assert!((&mut waiting).now_or_never().is_none());
        taken.pop();
        assert!(waiting.await.is_ok());
    }
}
