-- The same tables and columns as in migrations/postgres: a test compares them.
-- UUIDs, ULIDs and instants are text of fixed width, so that their order is the order of the text.

CREATE TABLE installation (
    id          INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch       TEXT    NOT NULL,
    log_id      TEXT,
    created_at  TEXT    NOT NULL
) STRICT;

CREATE TABLE users (
    id               TEXT    NOT NULL PRIMARY KEY,
    email            TEXT    NOT NULL UNIQUE,
    password_hash    TEXT    NOT NULL,
    display_name     TEXT    NOT NULL,
    created_at       TEXT    NOT NULL,
    token_generation INTEGER NOT NULL DEFAULT 0,
    kept_token       TEXT
) STRICT;

CREATE TABLE revoked_logins (
    login_id    TEXT NOT NULL PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at  TEXT NOT NULL
) STRICT;

CREATE TABLE rooms (
    id               TEXT    NOT NULL PRIMARY KEY,
    name             TEXT    NOT NULL,
    visibility       TEXT    NOT NULL CHECK (visibility IN ('public', 'private')),
    created_at       TEXT    NOT NULL,
    -- Of the newest message, or of the room's creation.
    active_at        TEXT    NOT NULL,
    last_seq         INTEGER NOT NULL DEFAULT 0,
    last_message_id  TEXT,
    last_message_at  TEXT,
    -- Grows with each join of anybody.
    generation       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE room_members (
    room_id               TEXT    NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    user_id               TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role                  TEXT    NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    joined_at             TEXT    NOT NULL,
    -- The room's head when the member joined: unread messages come after it.
    joined_seq            INTEGER NOT NULL,
    generation            INTEGER NOT NULL,
    last_read_seq         INTEGER NOT NULL DEFAULT 0,
    last_read_message_id  TEXT,
    PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_members_user_id ON room_members (user_id);

CREATE TABLE invites (
    token_hash  TEXT NOT NULL PRIMARY KEY,
    room_id     TEXT NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    created_by  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  TEXT NOT NULL,
    expires_at  TEXT NOT NULL
) STRICT;

-- Kept in the order of its primary key, so that a page of history is one read.
CREATE TABLE messages (
    room_id        TEXT    NOT NULL REFERENCES rooms (id),
    seq            INTEGER NOT NULL CHECK (seq > 0),
    id             TEXT    NOT NULL,
    sender_id      TEXT    NOT NULL REFERENCES users (id),
    client_msg_id  TEXT    NOT NULL,
    message_type   TEXT    NOT NULL CHECK (message_type IN ('TEXT', 'IMAGE', 'SYSTEM')),
    -- Empty when it lies in long_contents: short rows keep the rest of a page close together.
    content        TEXT    NOT NULL,
    created_at     TEXT    NOT NULL,
    -- Of the record that stored it: tells that record, read again, from a repeat.
    event_id       TEXT    NOT NULL,
    PRIMARY KEY (room_id, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX messages_room_id_id ON messages (room_id, id);
-- The backstop behind the look-up: the same message is stored once, for ever.
CREATE UNIQUE INDEX messages_dedup ON messages (room_id, sender_id, client_msg_id);

-- What does not fit beside its message.
CREATE TABLE long_contents (
    room_id  TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    content  TEXT    NOT NULL,
    PRIMARY KEY (room_id, seq),
    FOREIGN KEY (room_id, seq) REFERENCES messages (room_id, seq) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Up to where each partition of chat.messages.v1 is stored.
CREATE TABLE ingest_offsets (
    partition    INTEGER NOT NULL PRIMARY KEY,
    next_offset  INTEGER NOT NULL
) STRICT;
