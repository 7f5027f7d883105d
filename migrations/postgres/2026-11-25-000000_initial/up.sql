-- The same tables and columns as in migrations/sqlite: a test compares them.

CREATE TABLE installation (
    id          integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch       uuid        NOT NULL,
    log_id      uuid,
    created_at  timestamptz NOT NULL
);

CREATE TABLE users (
    id               uuid        NOT NULL PRIMARY KEY,
    email            text COLLATE "C" NOT NULL UNIQUE,
    password_hash    text        NOT NULL,
    display_name     text        NOT NULL,
    created_at       timestamptz NOT NULL,
    token_generation bigint      NOT NULL DEFAULT 0,
    kept_token       uuid
);

CREATE TABLE revoked_logins (
    login_id    uuid        NOT NULL PRIMARY KEY,
    user_id     uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at  timestamptz NOT NULL
);

CREATE TABLE rooms (
    id               uuid        NOT NULL PRIMARY KEY,
    name             text        NOT NULL,
    visibility       text        NOT NULL CHECK (visibility IN ('public', 'private')),
    created_at       timestamptz NOT NULL,
    -- Of the newest message, or of the room's creation.
    active_at        timestamptz NOT NULL,
    last_seq         bigint      NOT NULL DEFAULT 0,
    last_message_id  text COLLATE "C",
    last_message_at  timestamptz,
    -- Grows with each join of anybody.
    generation       bigint      NOT NULL DEFAULT 0
);

CREATE TABLE room_members (
    room_id               uuid        NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    user_id               uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role                  text        NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    joined_at             timestamptz NOT NULL,
    -- The room's head when the member joined: unread messages come after it.
    joined_seq            bigint      NOT NULL,
    generation            bigint      NOT NULL,
    last_read_seq         bigint      NOT NULL DEFAULT 0,
    last_read_message_id  text COLLATE "C",
    PRIMARY KEY (room_id, user_id)
);
CREATE INDEX room_members_user_id ON room_members (user_id);

CREATE TABLE invites (
    token_hash  text COLLATE "C" NOT NULL PRIMARY KEY,
    room_id     uuid        NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    created_by  uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);

-- Rooms are interleaved in the table, so that each row of a page of history lies on a page of its
-- own. The key holds whatever a page of history shows: it is read in the order of the room.
CREATE TABLE messages (
    room_id        uuid        NOT NULL REFERENCES rooms (id),
    seq            bigint      NOT NULL CHECK (seq > 0),
    id             text COLLATE "C" NOT NULL,
    sender_id      uuid        NOT NULL REFERENCES users (id),
    client_msg_id  uuid        NOT NULL,
    message_type   text        NOT NULL CHECK (message_type IN ('TEXT', 'IMAGE', 'SYSTEM')),
    -- Empty when it lies in long_contents: an index takes no row of more than 2.7 kB.
    content        text        NOT NULL,
    created_at     timestamptz NOT NULL,
    -- Of the record that stored it: tells that record, read again, from a repeat.
    event_id       uuid        NOT NULL,
    PRIMARY KEY (room_id, seq)
        INCLUDE (id, sender_id, client_msg_id, message_type, content, created_at)
)
-- Only where vacuum has been does an index answer alone.
WITH (autovacuum_vacuum_insert_threshold = 10000, autovacuum_vacuum_insert_scale_factor = 0.02);
CREATE UNIQUE INDEX messages_room_id_id ON messages (room_id, id);
-- The backstop behind the look-up: the same message is stored once, for ever.
CREATE UNIQUE INDEX messages_dedup ON messages (room_id, sender_id, client_msg_id);

-- What does not fit beside its message.
CREATE TABLE long_contents (
    room_id  uuid   NOT NULL,
    seq      bigint NOT NULL,
    content  text   NOT NULL,
    PRIMARY KEY (room_id, seq),
    FOREIGN KEY (room_id, seq) REFERENCES messages (room_id, seq) ON DELETE CASCADE
);

-- Up to where each partition of chat.messages.v1 is stored.
CREATE TABLE ingest_offsets (
    partition    integer NOT NULL PRIMARY KEY,
    next_offset  bigint  NOT NULL
);
