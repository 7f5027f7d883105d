//! Taking turns at the store when many sockets come back at once.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

use crate::error::ApiError;

/// Reads of joins and replays at a time. Fewer than PostgreSQL's connections, so that a crowd that
/// comes back leaves some to everybody else; SQLite's fewer readers are lent in turn.
const AT_A_TIME: usize = 6;

/// How long a read waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those who come first are served first, however many there are; the store's own patience is
/// made for one request.
#[derive(Debug)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Turns {
    /// Reads when it is its turn, in a task of its own: a socket whose peer does not read is not
    /// polled, and must not keep a turn from others meanwhile.
    ///
    /// A read is kilobytes, and is not made before its turn: thousands may wait.
    ///
    /// # Errors
    /// `UNAVAILABLE` when too many are before it for too long.
    pub fn read<T: 'static, R: AsyncFnOnce() -> T + 'static>(
        &self,
        reading: R,
    ) -> impl Future<Output = Result<T, ApiError>> + use<T, R> {
        let turns = Arc::clone(&self.0);
        let read = actix::spawn(async move {
            let turn = timeout(PATIENCE, turns.acquire()).await;
            let _turn = turn.ok()?.ok()?;
            Some(Box::pin(reading()).await)
        });
        async move {
            // It is never closed, and ends early with the process alone.
            let read = read.await.ok().flatten();
            read.ok_or_else(|| ApiError::unavailable("too many wait for the database"))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[actix::test]
    async fn who_comes_when_all_turns_are_taken_waits_for_one_that_nobody_polls() {
        let turns = Turns::default();
        let mut ends = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..AT_A_TIME {
            let (end, ended) = oneshot::channel::<()>();
            let mut reading = Box::pin(turns.read(async || ended.await));
            // Polled once, and never again.
            assert!((&mut reading).now_or_never().is_none());
            taken.push(reading);
            ends.push(end);
        }
        let mut waiting = Box::pin(turns.read(async || 7));
        assert!((&mut waiting).now_or_never().is_none());
        drop(ends.pop());
        assert_eq!(waiting.await.expect("its turn"), 7);
    }
}
