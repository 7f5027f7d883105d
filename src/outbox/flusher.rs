//! Writes what waits in the outboxes of this thread's sockets: one task that goes from socket to
//! socket, in place of a thousand that are woken for a message to a thousand.
//!
//! An outbox is listed when something is queued while its connection waits for something to write;
//! it is written when the turn of whoever queued it is over, so that all that was queued meanwhile
//! leaves in one write. What the socket does not take at once is the connection's to write.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc};

use tokio::{
    sync::{Notify, oneshot},
    task::yield_now,
};

use super::Outbox;

/// Sockets written to before others have a turn.
const TURN_SOCKETS: usize = 64;

thread_local! {
    static FLUSHER: RefCell<Option<Flusher>> = const { RefCell::new(None) };
}

struct Flusher {
    due: VecDeque<Due>,
    wake: Rc<Notify>,
}

enum Due {
    Outbox(Arc<Outbox>),
    /// Somebody waits for what was listed before.
    Mark(oneshot::Sender<()>),
}

/// Starts to write for this thread; a second start does nothing.
pub fn start() {
    FLUSHER.with_borrow_mut(|flusher| {
        flusher.get_or_insert_with(|| {
            let wake = Rc::<Notify>::default();
            actix::spawn(run(Rc::clone(&wake)));
            Flusher {
                due: VecDeque::new(),
                wake,
            }
        });
    });
}

/// Waits until all that was queued on this thread so far is written, or left to its connection.
pub async fn flushed() {
    let (mark, reached) = oneshot::channel();
    if add(|| Due::Mark(mark)) {
        // The flusher ends with its thread alone.
        let _ = reached.await;
    } else {
        yield_now().await;
    }
}

/// Lists an outbox to be written; returns whether somebody writes for this thread.
pub(super) fn list(outbox: &Arc<Outbox>) -> bool {
    add(|| Due::Outbox(Arc::clone(outbox)))
}

fn add(due: impl FnOnce() -> Due) -> bool {
    FLUSHER.with_borrow_mut(|flusher| {
        let Some(flusher) = flusher else {
            return false;
        };
        if flusher.due.is_empty() {
            flusher.wake.notify_one();
        }
        flusher.due.push_back(due());
        true
    })
}

fn next() -> Option<Due> {
    FLUSHER.with_borrow_mut(|flusher| flusher.as_mut()?.due.pop_front())
}

async fn run(wake: Rc<Notify>) {
    loop {
        wake.notified().await;
        let mut written = 0;
        while let Some(due) = next() {
            match due {
                Due::Outbox(outbox) => outbox.flush(),
                Due::Mark(mark) => drop(mark.send(())),
            }
            written += 1;
            if written % TURN_SOCKETS == 0 {
                yield_now().await;
            }
        }
    }
}
