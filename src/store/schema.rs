// Generated from migrations/postgres by `diesel print-schema`; diesel.toml says how.

diesel::table! {
    use crate::store::sql_types::*;

    installation (id) {
        id -> Integer,
        epoch -> Uuid,
        log_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    use crate::store::sql_types::*;

    users (id) {
        id -> Uuid,
        email -> Text,
        password_hash -> Text,
        display_name -> Text,
        created_at -> Timestamptz,
        token_generation -> BigInt,
        kept_token -> Nullable<Uuid>,
    }
}

diesel::table! {
    use crate::store::sql_types::*;

    revoked_logins (login_id) {
        login_id -> Uuid,
        user_id -> Uuid,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    use crate::store::sql_types::*;

    rooms (id) {
        id -> Uuid,
        name -> Text,
        visibility -> Text,
        created_at -> Timestamptz,
        active_at -> Timestamptz,
        last_seq -> BigInt,
        last_message_id -> Nullable<Text>,
        last_message_at -> Nullable<Timestamptz>,
        generation -> BigInt,
    }
}

diesel::table! {
    use crate::store::sql_types::*;

    room_members (room_id, user_id) {
        room_id -> Uuid,
        user_id -> Uuid,
        role -> Text,
        joined_at -> Timestamptz,
        joined_seq -> BigInt,
        generation -> BigInt,
        last_read_seq -> BigInt,
        last_read_message_id -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::store::sql_types::*;

    invites (token_hash) {
        token_hash -> Text,
        room_id -> Uuid,
        created_by -> Uuid,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    use crate::store::sql_types::*;

    messages (room_id, seq) {
        room_id -> Uuid,
        seq -> BigInt,
        id -> Text,
        sender_id -> Uuid,
        client_msg_id -> Uuid,
        message_type -> Text,
        content -> Text,
        created_at -> Timestamptz,
        event_id -> Uuid,
    }
}

diesel::table! {
    use crate::store::sql_types::*;

    long_contents (room_id, seq) {
        room_id -> Uuid,
        seq -> BigInt,
        content -> Text,
    }
}

diesel::table! {
    use crate::store::sql_types::*;

    ingest_offsets (partition) {
        partition -> Integer,
        next_offset -> BigInt,
    }
}

diesel::joinable!(room_members -> rooms (room_id));
diesel::joinable!(room_members -> users (user_id));
diesel::joinable!(messages -> rooms (room_id));

diesel::allow_tables_to_appear_in_same_query!(rooms, room_members, users, messages, invites);
