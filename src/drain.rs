//! Whether the process is on its way out: set once, read everywhere.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The drain switch.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<AtomicBool>);

impl Drain {
    /// Begins: readiness, new sends and new handshakes answer 503 from now on.
    pub fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns whether the process is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
