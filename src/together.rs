//! Tasks of one thread that other threads wake, run as one that is woken once for all of them.
//!
//! To wake a thread from another is a system call each time, however many of its tasks were woken a
//! moment before. Whoever is spawned here waits inside one task: the first of many answers wakes it,
//! and when it runs it finds the others.

use std::{
    cell::RefCell,
    future::poll_fn,
    mem,
    panic::AssertUnwindSafe,
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use tokio::task::coop::unconstrained;

type Task = LocalBoxFuture<'static, ()>;

/// Tasks that end before others of the thread have a turn.
const TURN_TASKS: usize = 128;

/// What the thread's task has not seen yet.
#[derive(Default)]
struct Newcomers {
    tasks: Vec<Task>,
    waker: Option<Waker>,
    /// Whether there is such a task.
    is_awaited: bool,
}

thread_local! {
    static NEWCOMERS: RefCell<Newcomers> = RefCell::default();
}

/// Runs a future on this arbiter, beside all others that were spawned so; a panic ends it alone.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    let task = AssertUnwindSafe(future).catch_unwind();
    // The panic hook has told of it.
    let task = task.map(drop).boxed_local();
    let is_awaited = NEWCOMERS.with_borrow_mut(|newcomers| {
        newcomers.tasks.push(task);
        if let Some(waker) = newcomers.waker.take() {
            waker.wake();
        }
        mem::replace(&mut newcomers.is_awaited, true)
    });
    if !is_awaited {
        // Its turns have a bound of their own: refused by tokio's, each task would be polled in vain.
        actix::spawn(unconstrained(run(Awaited)));
    }
}

/// Ends with the arbiter; what is left of it ends as well.
struct Awaited;

impl Drop for Awaited {
    fn drop(&mut self) {
        // The thread itself may end: then nothing is left.
        let left = NEWCOMERS.try_with(|newcomers| mem::take(&mut *newcomers.borrow_mut()));
        drop(left);
    }
}

async fn run(_awaited: Awaited) {
    let mut tasks = FuturesUnordered::new();
    poll_fn(|cx| -> Poll<()> {
        for _ in 0..TURN_TASKS {
            tasks.extend(newcomers(cx));
            // Not ready: it has done its turn, or none is left; it is woken for either.
            if !matches!(tasks.poll_next_unpin(cx), Poll::Ready(Some(()))) && are_all_seen() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn newcomers(cx: &Context<'_>) -> Vec<Task> {
    NEWCOMERS.with_borrow_mut(|newcomers| {
        newcomers.waker = Some(cx.waker().clone());
        mem::take(&mut newcomers.tasks)
    })
}

fn are_all_seen() -> bool {
    NEWCOMERS.with_borrow(|newcomers| newcomers.tasks.is_empty())
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc, thread, time::Duration};

    use tokio::sync::oneshot;

    use super::*;

    /// Waits for an answer; what it was is in the future's output.
    fn asked(seen: &Rc<Cell<u32>>) -> oneshot::Sender<u32> {
        let (answer, answered) = oneshot::channel();
        let seen = Rc::clone(seen);
        spawn(async move {
            let value: u32 = answered.await.expect("an answer");
            seen.set(seen.get() + value);
        });
        answer
    }

    async fn until(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        waited.expect("it comes to that");
    }

    #[actix::test]
    async fn each_task_gets_its_answer_from_another_thread() {
        let seen = Rc::new(Cell::new(0));
        let answers: Vec<_> = (0..500).map(|_| asked(&seen)).collect();
        let answering = thread::spawn(|| {
            for answer in answers {
                answer.send(1).expect("somebody waits");
            }
        });
        until(|| seen.get() == 500).await;
        answering.join().expect("no panic");
    }

    #[actix::test]
    async fn a_task_may_spawn_another_and_a_panic_ends_one_alone() {
        let seen = Rc::new(Cell::new(0));
        let answer = asked(&seen);
        spawn(async { panic!("on purpose") });
        let inner = Rc::clone(&seen);
        spawn(async move {
            let answer = asked(&inner);
            answer.send(2).expect("somebody waits");
        });
        until(|| seen.get() == 2).await;
        answer.send(5).expect("somebody waits");
        until(|| seen.get() == 7).await;
    }

    #[test]
    fn the_next_arbiter_of_a_thread_has_tasks_of_its_own() {
        for _ in 0..2 {
            let seen = Rc::new(Cell::new(0));
            actix::System::new().block_on(async {
                asked(&seen).send(1).expect("somebody waits");
                until(|| seen.get() == 1).await;
                // It is still waiting when its arbiter ends.
                mem::forget(asked(&seen));
            });
        }
    }
}
