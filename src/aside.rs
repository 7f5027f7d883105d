//! Work that blocks for as long as it likes, on a thread that nobody waits for: the end of the
//! process waits for the runtime's own.

use std::{io, thread};

use tokio::sync::oneshot;

/// Runs work on a thread of its own.
///
/// # Errors
/// When there is no thread for it, or it panicked.
pub async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, outcome) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(|| {
        // Whoever asked may have gone.
        let _ = done.send(work());
    })?;
    outcome.await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_outcome_comes_back_and_a_panic_is_an_error() {
        assert_eq!(run("add", || 1 + 1).await.expect("a thread"), 2);
        let panicked = run("panic", || -> u32 { panic!("on purpose") }).await;
        assert!(panicked.is_err());
    }

    #[test]
    fn nobody_waits_for_it_at_the_end() {
        let (end, ended) = mpsc::channel::<()>();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = run("endless", move || ended.recv()) => {}
                () = std::future::ready(()) => {}
            }
        });
        drop(runtime);
        drop(end);
    }
}
