//! Queries on invites: each lets one user in, once.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, lock_room, members, transaction};
use crate::{
    clock::Timestamp,
    ids::{RoomId, UserId},
    store::{
        Invite, Joined, MemberChange, Role, Standing,
        schema::{invites, room_members},
    },
};

/// Who may invite; an invite holds as long as who made it is one of them.
const INVITERS: [Role; 2] = [Role::Owner, Role::Admin];

pub(crate) async fn create(conn: &mut Conn, invite: Invite) -> QueryResult<MemberChange> {
    let (room_id, caller) = (invite.room_id, invite.created_by);
    transaction!(conn, async |conn| {
        if let Some(refusal) = members::require(conn, room_id, caller, &INVITERS).await? {
            return Ok(refusal);
        }
        diesel::insert_into(invites::table)
            .values((
                invites::token_hash.eq(invite.id),
                invites::room_id.eq(room_id),
                invites::created_by.eq(caller),
                invites::created_at.eq(invite.created_at),
                invites::expires_at.eq(invite.expires_at),
            ))
            .execute(conn)
            .await?;
        match members::standing(conn, room_id, caller).await?.0 {
            Standing::Member(member) => Ok(MemberChange::Done(member)),
            Standing::Outsider => Ok(MemberChange::Outsider),
            Standing::NoRoom => Ok(MemberChange::NoRoom),
        }
    })
    .await
}

pub(crate) async fn list(
    conn: &mut Conn,
    room_id: RoomId,
    caller: UserId,
    now: Timestamp,
    limit: i64,
) -> QueryResult<Result<Vec<Invite>, MemberChange>> {
    if let Some(refusal) = members::require(conn, room_id, caller, &INVITERS).await? {
        return Ok(Err(refusal));
    }
    let inviters = room_members::table
        .filter(room_members::room_id.eq(room_id))
        .filter(room_members::role.eq_any(INVITERS))
        .select(room_members::user_id);
    let rows = invites::table
        .filter(invites::room_id.eq(room_id))
        .filter(invites::expires_at.gt(now))
        .filter(invites::created_by.eq_any(inviters))
        .order((invites::created_at.desc(), invites::token_hash))
        .limit(limit)
        .select((
            invites::token_hash,
            invites::created_by,
            invites::created_at,
            invites::expires_at,
        ))
        .load::<(String, UserId, Timestamp, Timestamp)>(conn)
        .await?;
    let invite = |(id, created_by, created_at, expires_at)| Invite {
        id,
        room_id,
        created_by,
        created_at,
        expires_at,
    };
    Ok(Ok(rows.into_iter().map(invite).collect()))
}

/// Returns whether there was one that could still be accepted.
pub(crate) async fn revoke(
    conn: &mut Conn,
    room_id: RoomId,
    caller: UserId,
    id: String,
    now: Timestamp,
) -> QueryResult<Result<bool, MemberChange>> {
    transaction!(conn, async |conn| {
        if let Some(refusal) = members::require(conn, room_id, caller, &INVITERS).await? {
            return Ok(Err(refusal));
        }
        let invite = invites::table
            .find(id)
            .filter(invites::room_id.eq(room_id))
            .filter(invites::expires_at.gt(now));
        let revoked = diesel::delete(invite).execute(conn).await?;
        Ok(Ok(revoked > 0))
    })
    .await
}

/// Uses an invite up, unless its user is a member already.
pub(crate) async fn accept(
    conn: &mut Conn,
    token_hash: String,
    user_id: UserId,
    now: Timestamp,
) -> QueryResult<Joined> {
    transaction!(conn, async |conn| {
        let invite = invites::table
            .find(&token_hash)
            .filter(invites::expires_at.gt(now))
            .select((invites::room_id, invites::created_by))
            .first::<(RoomId, UserId)>(conn)
            .await
            .optional()?;
        let Some((room_id, inviter)) = invite else {
            return Ok(Joined::NotFound);
        };
        lock_room(conn, room_id).await?;
        let refusal = members::require(conn, room_id, inviter, &INVITERS);
        if refusal.await?.is_some() {
            return Ok(Joined::NotFound);
        }
        if matches!(
            members::standing(conn, room_id, user_id).await?.0,
            Standing::Member(_)
        ) {
            return Ok(Joined::AlreadyMember);
        }
        // Another user may have been faster, before the room was locked.
        let used = diesel::delete(invites::table.find(&token_hash))
            .execute(conn)
            .await?;
        match used {
            0 => Ok(Joined::NotFound),
            _ => members::enter(conn, room_id, user_id).await,
        }
    })
    .await
}
