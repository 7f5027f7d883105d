//! Changes that everybody has to hear of: committed and announced as one, whoever waits for it.
//!
//! A request's future is dropped when its client hangs up, or when its time is over; what the
//! store does goes on. So the change is a task of its own, which the request only waits for.

use std::time::Duration;

use tokio::time::timeout;

use super::Gateway;
use crate::{
    actors::kafka_bridge::BridgeHandle,
    store::{Store, StoreError},
};

/// How long a request waits for its change; less than it may take as a whole.
const PATIENCE: Duration = Duration::from_secs(9);

impl Gateway {
    /// Carries a change through: `work` commits it and announces what was committed.
    ///
    /// The store that it gets waits for a unit of work until that has ended.
    ///
    /// # Errors
    /// What `work` failed with, or that it takes too long; then it goes on nevertheless.
    pub async fn change<T, F>(
        &self,
        work: impl FnOnce(Store, BridgeHandle) -> F,
    ) -> Result<T, StoreError>
    where
        T: 'static,
        F: Future<Output = Result<T, StoreError>> + 'static,
    {
        let work = work(self.store.to_the_end(), self.bridge.clone());
        match timeout(PATIENCE, actix::spawn(work)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(StoreError::Fault(error.to_string())),
            Err(_) => Err(StoreError::Unavailable("it took too long".to_owned())),
        }
    }
}
