//! The storage runtime: where units of work run to their end, whoever stops waiting for them.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use deadpool::managed::Timeouts;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use futures_util::{
    FutureExt,
    future::{BoxFuture, LocalBoxFuture},
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
    time::timeout,
};

use super::{StoreError, sqlite};

type Conn = sqlite::Conn;

/// A unit of work on a connection, or on the reason for which there is none. Of one type, for the
/// runtime is made for each type of task: a megabyte of program for the queries there are.
type Unit = Box<dyn FnOnce(Result<Object<Conn>, StoreError>) -> LocalBoxFuture<'static, ()> + Send>;

/// A connection that is not idle is not waited for.
const AT_ONCE: Timeouts = Timeouts {
    wait: Some(Duration::ZERO),
    create: None,
    recycle: None,
};

/// Runs units of work beside the arbiters, which may not block.
pub(super) struct Storage(Option<Runtime>);

impl Storage {
    pub(super) fn start(threads: usize) -> std::io::Result<Self> {
        Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("storage")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    /// Runs asynchronous work.
    pub(super) async fn run<T, E>(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (done, worked) = oneshot::channel();
        let work: BoxFuture<'static, ()> = Box::pin(async move {
            // Nobody may wait for it any more.
            let _ = done.send(work.await);
        });
        self.handle().spawn(work);
        outcome(patience, worked).await
    }

    /// Runs work on a connection that executes where it is: in a thread that may block.
    pub(super) async fn block<T, E, Work>(
        &self,
        patience: Duration,
        pool: &Pool<Conn>,
        work: impl FnOnce(Object<Conn>) -> Work + Send + 'static,
    ) -> Result<T, E>
    where
        Work: Future<Output = Result<T, E>>,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (done, worked) = oneshot::channel();
        let work: Unit = Box::new(move |conn| {
            Box::pin(async move {
                let outcome = match conn {
                    Ok(conn) => work(conn).await,
                    Err(error) => Err(error.into()),
                };
                // Nobody may wait for it any more.
                let _ = done.send(outcome);
            })
        });
        self.start_on(pool, work);
        outcome(patience, worked).await
    }

    /// Starts work with a connection, or with the reason for which there is none.
    fn start_on(&self, pool: &Pool<Conn>, work: Unit) {
        let handle = self.handle();
        let work = |conn| move || Handle::current().block_on(work(conn));
        let start = || match idle(pool) {
            Some(conn) => drop(handle.spawn_blocking(work(Ok(conn)))),
            None => {
                let pool = pool.clone();
                drop(handle.spawn(async move {
                    let conn = pool.get().await.map_err(StoreError::from);
                    Handle::current().spawn_blocking(work(conn));
                }));
            }
        };
        // Without a thread, or by a connection that an earlier panic has poisoned: nobody else's end.
        // The work is dropped with its sender, which tells who waits.
        if catch_unwind(AssertUnwindSafe(start)).is_err() {
            log::error!("no work can be started on SQLite");
        }
    }

    fn handle(&self) -> &Handle {
        let runtime = self.0.as_ref().expect("it is there until the drop");
        runtime.handle()
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // Waiting for threads is forbidden where the last handle may be dropped.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns a connection that is open, and that nobody else waits for; one that is broken is closed.
fn idle(pool: &Pool<Conn>) -> Option<Object<Conn>> {
    if pool.status().available == 0 {
        return None;
    }
    pool.timeout_get(&AT_ONCE).now_or_never()?.ok()
}

async fn outcome<T, E: From<StoreError>>(
    patience: Duration,
    worked: oneshot::Receiver<Result<T, E>>,
) -> Result<T, E> {
    match timeout(patience, worked).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(StoreError::Fault("a unit of work has ended early".to_owned()).into()),
        Err(_) => Err(StoreError::Unavailable("it took too long".to_owned()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::Database;

    #[tokio::test]
    async fn a_panic_is_a_fault_and_nobody_elses_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.sqlite3");
        let storage = Storage::start(1).expect("threads");
        let opening = async move { Ok(Database::open(&path).await.expect("a new file opens")) };
        let opened = storage.run::<_, StoreError>(Duration::MAX, opening).await;
        let database = opened.expect("a new file opens");
        let ask = async |panics: bool| {
            let work = async move |mut conn: Object<Conn>| {
                let asked = conn.spawn_blocking(move |_| match panics {
                    true => panic!("on purpose"),
                    false => Ok(()),
                });
                asked.await.map_err(StoreError::from)
            };
            storage.block(Duration::MAX, database.writer(), work).await
        };
        assert!(matches!(ask(true).await, Err(StoreError::Fault(_))));
        // The connection that is left is found to be of no use.
        assert!(matches!(ask(false).await, Err(StoreError::Fault(_))));
        ask(false).await.expect("a connection of its own");
    }
}
