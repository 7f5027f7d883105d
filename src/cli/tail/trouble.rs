//! What ends a connection: worth another attempt, or not.

use std::time::Duration;

use super::super::failure::Failure;

/// Why a room is not followed any more.
pub(super) enum Trouble {
    /// Another attempt may succeed, after the time that the server named.
    Passing {
        why: String,
        after: Option<Duration>,
    },
    /// No attempt will.
    Lasting(Failure),
}

impl Trouble {
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self::Passing {
            why: why.into(),
            after: None,
        }
    }

    pub(super) fn lasting(why: impl Into<String>) -> Self {
        Self::Lasting(anyhow::Error::msg(why.into()).into())
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Lasting(failure)
    }
}
