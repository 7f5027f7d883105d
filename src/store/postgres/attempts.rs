//! Which units of work are done again by themselves.

use std::time::{Duration, Instant};

use diesel::result::{
    DatabaseErrorKind::{ClosedConnection, SerializationFailure, UnableToSendCommand, Unknown},
    Error::{self, BrokenTransactionManager, DatabaseError},
};
use diesel_async::SimpleAsyncConnection;

use super::Conn;

/// Tries of one unit of work, the first one included.
const TRIES: u32 = 3;

/// After this long the caller is told; it covers a deadlock, which the server ends after a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// The tries of one unit of work.
pub(in crate::store) struct Attempts {
    is_read: bool,
    left: u32,
    began: Instant,
}

impl Attempts {
    /// Of a unit of work that may change something.
    pub(in crate::store) fn writer() -> Self {
        Self {
            is_read: false,
            left: TRIES - 1,
            began: Instant::now(),
        }
    }

    /// Of one that changes nothing.
    pub(in crate::store) fn reader() -> Self {
        Self {
            is_read: true,
            ..Self::writer()
        }
    }

    /// Returns whether to do it again after an error on this connection.
    pub(in crate::store) async fn again(&mut self, conn: &mut Conn, error: &Error) -> bool {
        if self.left == 0 || self.began.elapsed() > PATIENCE {
            return false;
        }
        self.left -= 1;
        match error {
            DatabaseError(SerializationFailure, _) => true,
            // Among others a deadlock. Diesel does not tell the server's codes apart, but one
            // whose connection lives on has undone its work, and only one that ends the
            // connection may have come after a commit.
            DatabaseError(Unknown, _) => self.is_read || conn.batch_execute("").await.is_ok(),
            DatabaseError(UnableToSendCommand | ClosedConnection, _) | BrokenTransactionManager => {
                self.is_read
            }
            _ => false,
        }
    }
}
