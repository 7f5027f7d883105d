//! Waiting for a service that is not there yet.

use std::time::{Duration, Instant};

use super::failure::{Failure, remark};
use crate::{
    message_log::LogError,
    presence::{Presence, PresenceUnavailable},
    store::OpenError,
};

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Time between two lines that say what is waited for.
const REMARK_EVERY: Duration = Duration::from_secs(5);

/// Why a service was not opened, and what follows from it.
pub(super) trait Unopened {
    /// Returns `None` when the same try may succeed later.
    fn verdict(self) -> (String, Option<Failure>);
}

impl Unopened for OpenError {
    fn verdict(self) -> (String, Option<Failure>) {
        let why = self.to_string();
        let failure = match (self.is_transient(), self.is_wrong_setting()) {
            (true, _) => None,
            (false, true) => Some(Failure::Setting(why.clone())),
            (false, false) => Some(Failure::RunTime(self.into())),
        };
        (why, failure)
    }
}

impl Unopened for LogError {
    fn verdict(self) -> (String, Option<Failure>) {
        match self {
            Self::Unavailable(reason) => (
                format!(
                    "Kafka cannot be reached: {reason}; check KAFKA_BROKERS and \
                     KAFKA_SECURITY_PROTOCOL, and that it runs"
                ),
                None,
            ),
            Self::Refused(_) => (self.to_string(), Some(Failure::RunTime(self.into()))),
        }
    }
}

impl Unopened for PresenceUnavailable {
    fn verdict(self) -> (String, Option<Failure>) {
        (
            "Valkey cannot be reached; check REDIS_HOST and REDIS_PORT (or REDIS_URL and REDIS_SSL_CA), and that it runs"
                .into(),
            None,
        )
    }
}

/// Opens a service, again and again while it cannot be reached, for at most `patience`.
pub(super) async fn service<T, E: Unopened>(
    patience: Duration,
    mut open: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, Failure> {
    let began = Instant::now();
    let mut remarked: Option<Instant> = None;
    loop {
        let why = match open().await.map_err(E::verdict) {
            Ok(opened) => return Ok(opened),
            Err((_, Some(failure))) => return Err(failure),
            Err((why, None)) => why,
        };
        if began.elapsed() + PAUSE > patience {
            return Err(Failure::Unavailable(why));
        }
        if remarked.is_none_or(|at| at.elapsed() >= REMARK_EVERY) {
            remarked = Some(Instant::now());
            remark(&format!("waiting: {why}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until presence answers.
pub(super) async fn presence(patience: Duration, presence: &Presence) -> Result<(), Failure> {
    service(patience, async || match presence.is_healthy().await {
        true => Ok(()),
        false => Err(PresenceUnavailable),
    })
    .await
}
