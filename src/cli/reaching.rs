//! Waiting for a service that is not there yet.

use std::time::{Duration, Instant};

use super::failure::{Failure, remark};
use crate::store::OpenError;

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Time between two lines that say what is waited for.
const REMARK_EVERY: Duration = Duration::from_secs(5);

/// Opens the database, again and again while it cannot be reached, for at most `patience`.
pub(super) async fn store<T>(
    patience: Duration,
    mut open: impl AsyncFnMut() -> Result<T, OpenError>,
) -> Result<T, Failure> {
    let began = Instant::now();
    let mut remarked: Option<Instant> = None;
    loop {
        let error = match open().await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        if !error.is_transient() {
            return Err(match error.is_wrong_setting() {
                true => Failure::Setting(error.to_string()),
                false => Failure::RunTime(error.into()),
            });
        }
        if began.elapsed() + PAUSE > patience {
            return Err(Failure::Unavailable(error.to_string()));
        }
        if remarked.is_none_or(|at| at.elapsed() >= REMARK_EVERY) {
            remarked = Some(Instant::now());
            remark(&format!("waiting: {error}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
