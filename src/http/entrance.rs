//! Handshakes of a thread take turns: few begin between two looks at its sockets, so that whoever
//! is connected waits for few of them, however many come at once.

use std::sync::Arc;

use actix_web::rt;
use tokio::{sync::Semaphore, task::yield_now};

/// Handshakes that begin between two looks at the thread's sockets.
const AT_ONCE: usize = 4;

thread_local! {
    static TURNS: Arc<Semaphore> = Arc::new(Semaphore::new(AT_ONCE));
}

/// Waits for the turn of a handshake; those who wait for longer come first.
///
/// A turn does not last until the handshake is done, which may have to wait for the store.
pub(super) async fn turn() {
    let turns = TURNS.with(Arc::clone);
    // They are never closed.
    let Ok(turn) = turns.acquire_owned().await else {
        return;
    };
    rt::spawn(async move {
        // Goes on when the thread has looked at its sockets.
        yield_now().await;
        drop(turn);
    });
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    #[actix_web::test]
    async fn few_begin_between_two_looks_at_the_sockets() {
        let begun = Rc::new(Cell::new(0));
        for _ in 0..5 * AT_ONCE {
            let begun = Rc::clone(&begun);
            rt::spawn(async move {
                turn().await;
                begun.set(begun.get() + 1);
            });
        }
        let mut before = 0;
        while before < 5 * AT_ONCE {
            // Comes back when the thread has looked at its sockets.
            yield_now().await;
            assert!(
                begun.get() <= before + AT_ONCE,
                "{} at once",
                begun.get() - before
            );
            before = begun.get();
        }
    }
}
