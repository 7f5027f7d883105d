//! Why a call to Valkey failed, in words that hold no address and no password.

use std::fmt;

use deadpool_redis::{
    PoolError,
    redis::{ErrorKind, RedisError, ServerErrorKind},
};

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// No answer in time.
    TimedOut,
    /// No connection.
    NoConnection(PoolError),
    /// The connection broke, or Valkey refused.
    Refused(RedisError),
}

impl Fault {
    /// Whether Valkey is up, and only did not like this one call.
    pub(super) fn is_an_answer(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        match error.kind() {
            ErrorKind::Server(kind) => !matches!(
                kind,
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::TryAgain
            ),
            ErrorKind::Extension => true,
            _ => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut | Self::NoConnection(PoolError::Timeout(_)) => {
                f.write_str("no answer in time")
            }
            Self::NoConnection(PoolError::Backend(error)) => {
                write!(f, "no connection: {}", Kind(error))
            }
            Self::NoConnection(_) => f.write_str("no connection"),
            Self::Refused(error) => Kind(error).fmt(f),
        }
    }
}

/// The kind of an error alone: its details may quote what was sent.
struct Kind<'a>(&'a RedisError);

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.category())?;
        if let Some(code) = self.0.code() {
            write!(f, " {code}")?;
        }
        Ok(())
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        Self::NoConnection(error)
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Refused(error)
    }
}
