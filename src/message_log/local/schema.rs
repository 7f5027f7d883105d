//! The tables of `log.sqlite3`.

/// Marks the file as ours in SQLite's header ("rclg").
pub(super) const APPLICATION_ID: i64 = 0x7263_6c67;

/// The format that this build reads and writes; it is the file's `user_version`.
pub(super) const FORMAT: i64 = 1;

/// Makes the tables. A record's place is its row id, so the table needs no index.
pub(super) const CREATE: &str = "
    CREATE TABLE meta (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        log_id TEXT NOT NULL,
        first INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE messages (
        offset INTEGER PRIMARY KEY,
        value BLOB NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE dead_letters (
        offset INTEGER PRIMARY KEY,
        value BLOB NOT NULL,
        headers TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT;
";

diesel::table! {
    /// One row about the log itself.
    meta (only) {
        only -> BigInt,
        log_id -> Text,
        /// Offset of the first kept message, which is what was committed when the row was written.
        first -> BigInt,
        /// Grows with each opening and each recovery from a failed write.
        fence -> BigInt,
        crc -> BigInt,
    }
}

diesel::table! {
    /// `chat.messages.v1`: what is not committed yet.
    messages (offset) {
        offset -> BigInt,
        value -> Binary,
        crc -> BigInt,
    }
}

diesel::table! {
    /// `chat.messages.dlq.v1`: kept until an operator decides.
    dead_letters (offset) {
        offset -> BigInt,
        value -> Binary,
        /// A JSON array of name and value pairs.
        headers -> Text,
        crc -> BigInt,
    }
}
