//! Queries on invites: each lets one user in, once.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, lock_room, members, transaction};
use crate::{
    clock::Timestamp,
    ids::{RoomId, UserId},
    store::{Joined, MemberChange, Role, Standing, schema::invites},
};

pub(crate) async fn create(
    conn: &mut Conn,
    room_id: RoomId,
    caller: UserId,
    token_hash: String,
    expires_at: Timestamp,
) -> QueryResult<MemberChange> {
    transaction!(conn, async |conn| {
        if let Some(refusal) =
            members::require(conn, room_id, caller, &[Role::Owner, Role::Admin]).await?
        {
            return Ok(refusal);
        }
        diesel::insert_into(invites::table)
            .values((
                invites::token_hash.eq(token_hash),
                invites::room_id.eq(room_id),
                invites::created_by.eq(caller),
                invites::created_at.eq(Timestamp::now()),
                invites::expires_at.eq(expires_at),
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
        // An invite holds as long as who made it may invite.
        let refusal = members::require(conn, room_id, inviter, &[Role::Owner, Role::Admin]);
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
