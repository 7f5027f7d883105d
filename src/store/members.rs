//! Queries on who is in which room, and in what role.
//!
//! Whatever changes a room's members locks the room first, so that of two changes the second
//! sees what the first has done.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, find_memberships, lock_room, transaction};
use crate::{
    clock::Timestamp,
    ids::{MessageId, RoomId, Seq, UserId},
    store::{
        Joined, Member, MemberChange, ReadMark, Role, Standing, Visibility,
        schema::{messages, room_members, rooms, users},
    },
};

type MemberRow = (
    RoomId,
    UserId,
    String,
    Role,
    Timestamp,
    i64,
    Option<MessageId>,
);

type MemberColumns = (
    room_members::room_id,
    room_members::user_id,
    users::display_name,
    room_members::role,
    room_members::joined_at,
    room_members::generation,
    room_members::last_read_message_id,
);

const MEMBER: MemberColumns = (
    room_members::room_id,
    room_members::user_id,
    users::display_name,
    room_members::role,
    room_members::joined_at,
    room_members::generation,
    room_members::last_read_message_id,
);

fn member_of(row: MemberRow) -> Member {
    let (room_id, user_id, display_name, role, joined_at, generation, last_read) = row;
    Member {
        room_id,
        user_id,
        display_name,
        role,
        joined_at,
        generation: generation.cast_unsigned(),
        last_read_message_id: last_read,
    }
}

async fn member(conn: &mut Conn, room_id: RoomId, user_id: UserId) -> QueryResult<Option<Member>> {
    let row = room_members::table
        .inner_join(users::table)
        .filter(room_members::room_id.eq(room_id))
        .filter(room_members::user_id.eq(user_id))
        .select(MEMBER)
        .first::<MemberRow>(conn)
        .await
        .optional()?;
    Ok(row.map(member_of))
}

pub(crate) async fn list(conn: &mut Conn, room_id: RoomId) -> QueryResult<Vec<Member>> {
    let rows = room_members::table
        .inner_join(users::table)
        .filter(room_members::room_id.eq(room_id))
        .select(MEMBER)
        .order(room_members::generation.asc())
        .load::<MemberRow>(conn)
        .await?;
    Ok(rows.into_iter().map(member_of).collect())
}

/// Returns those of the memberships that exist, each with its generation.
pub(crate) async fn memberships(
    conn: &mut Conn,
    pairs: Vec<(RoomId, UserId)>,
) -> QueryResult<Vec<(RoomId, UserId, u64)>> {
    let rows = find_memberships(conn, &pairs).await?;
    let unsigned = |(room_id, user_id, generation): (_, _, i64)| {
        (room_id, user_id, generation.cast_unsigned())
    };
    Ok(rows.into_iter().map(unsigned).collect())
}

/// Returns what a user is to a room, and the room's head.
pub(crate) async fn standing(
    conn: &mut Conn,
    room_id: RoomId,
    user_id: UserId,
) -> QueryResult<(Standing, Seq)> {
    let room = rooms::table
        .find(room_id)
        .select((rooms::visibility, rooms::last_seq))
        .first::<(Visibility, Seq)>(conn)
        .await
        .optional()?;
    let Some((visibility, head)) = room else {
        return Ok((Standing::NoRoom, Seq::ZERO));
    };
    let standing = match (member(conn, room_id, user_id).await?, visibility) {
        (Some(member), _) => Standing::Member(member),
        (None, Visibility::Public) => Standing::Outsider,
        (None, Visibility::Private) => Standing::NoRoom,
    };
    Ok((standing, head))
}

// ------------------------------------------------------------------- joining

/// Adds a member to a room that the transaction has locked or made.
pub(crate) async fn add(
    conn: &mut Conn,
    room_id: RoomId,
    user_id: UserId,
    role: Role,
) -> QueryResult<Member> {
    let (generation, head) = diesel::update(rooms::table.find(room_id))
        .set(rooms::generation.eq(rooms::generation + 1))
        .returning((rooms::generation, rooms::last_seq))
        .get_result::<(i64, Seq)>(conn)
        .await?;
    diesel::insert_into(room_members::table)
        .values((
            room_members::room_id.eq(room_id),
            room_members::user_id.eq(user_id),
            room_members::role.eq(role),
            room_members::joined_at.eq(Timestamp::now()),
            room_members::joined_seq.eq(head),
            room_members::generation.eq(generation),
        ))
        .execute(conn)
        .await?;
    let member = member(conn, room_id, user_id).await?;
    member.ok_or(diesel::result::Error::NotFound)
}

/// Adds a member; the first one of an empty room owns it.
pub(super) async fn enter(
    conn: &mut Conn,
    room_id: RoomId,
    user_id: UserId,
) -> QueryResult<Joined> {
    if member(conn, room_id, user_id).await?.is_some() {
        return Ok(Joined::AlreadyMember);
    }
    let anybody = room_members::table.filter(room_members::room_id.eq(room_id));
    let anybody = anybody.select(room_members::user_id).limit(1);
    let role = match anybody.load::<UserId>(conn).await?.is_empty() {
        true => Role::Owner,
        false => Role::Member,
    };
    add(conn, room_id, user_id, role).await.map(Joined::Member)
}

pub(crate) async fn join(conn: &mut Conn, room_id: RoomId, user_id: UserId) -> QueryResult<Joined> {
    transaction!(conn, async |conn| match lock_room(conn, room_id).await? {
        None => Ok(Joined::NotFound),
        Some(Visibility::Public) => enter(conn, room_id, user_id).await,
        Some(Visibility::Private) => match member(conn, room_id, user_id).await? {
            Some(_) => Ok(Joined::AlreadyMember),
            None => Ok(Joined::NotFound),
        },
    })
    .await
}

// ------------------------------------------------------------------- leaving

async fn remove(conn: &mut Conn, member: &Member) -> QueryResult<()> {
    let key = (member.room_id, member.user_id);
    diesel::delete(room_members::table.find(key))
        .execute(conn)
        .await?;
    Ok(())
}

async fn give_role(conn: &mut Conn, room: RoomId, user: UserId, role: Role) -> QueryResult<()> {
    diesel::update(room_members::table.find((room, user)))
        .set(room_members::role.eq(role))
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn leave(
    conn: &mut Conn,
    room_id: RoomId,
    user_id: UserId,
) -> QueryResult<MemberChange> {
    transaction!(conn, async |conn| {
        lock_room(conn, room_id).await?;
        let member = match standing(conn, room_id, user_id).await?.0 {
            Standing::Member(member) => member,
            Standing::Outsider => return Ok(MemberChange::Outsider),
            Standing::NoRoom => return Ok(MemberChange::NoRoom),
        };
        remove(conn, &member).await?;
        if member.role == Role::Owner {
            hand_over(conn, room_id).await?;
        }
        Ok(MemberChange::Done(member))
    })
    .await
}

/// The longest-standing member owns the room from now on, admins first.
async fn hand_over(conn: &mut Conn, room_id: RoomId) -> QueryResult<()> {
    let members = list(conn, room_id).await?;
    let admin = members.iter().find(|member| member.role == Role::Admin);
    match admin.or(members.as_slice().first()) {
        Some(heir) => give_role(conn, room_id, heir.user_id, Role::Owner).await,
        None => Ok(()),
    }
}

pub(crate) async fn kick(
    conn: &mut Conn,
    room_id: RoomId,
    caller: UserId,
    user_id: UserId,
) -> QueryResult<MemberChange> {
    transaction!(conn, async |conn| {
        lock_room(conn, room_id).await?;
        if let Some(refusal) = require(conn, room_id, caller, &[Role::Owner, Role::Admin]).await? {
            return Ok(refusal);
        }
        match member(conn, room_id, user_id).await? {
            None => Ok(MemberChange::NoSuchMember),
            Some(member) if member.user_id == caller || member.role == Role::Owner => {
                Ok(MemberChange::Forbidden)
            }
            Some(member) => {
                remove(conn, &member).await?;
                Ok(MemberChange::Done(member))
            }
        }
    })
    .await
}

pub(crate) async fn set_role(
    conn: &mut Conn,
    room_id: RoomId,
    caller: UserId,
    user_id: UserId,
    role: Role,
) -> QueryResult<MemberChange> {
    transaction!(conn, async |conn| {
        lock_room(conn, room_id).await?;
        if let Some(refusal) = require(conn, room_id, caller, &[Role::Owner]).await? {
            return Ok(refusal);
        }
        match member(conn, room_id, user_id).await? {
            None => Ok(MemberChange::NoSuchMember),
            // A room is never without its owner.
            Some(member) if member.role == Role::Owner => Ok(MemberChange::Forbidden),
            Some(member) => {
                give_role(conn, room_id, user_id, role).await?;
                Ok(MemberChange::Done(Member { role, ..member }))
            }
        }
    })
    .await
}

/// Returns why a caller may not do what these roles may; `None` when it may.
pub(super) async fn require(
    conn: &mut Conn,
    room_id: RoomId,
    caller: UserId,
    roles: &[Role],
) -> QueryResult<Option<MemberChange>> {
    Ok(match standing(conn, room_id, caller).await?.0 {
        Standing::Member(member) if roles.contains(&member.role) => None,
        Standing::Member(_) => Some(MemberChange::Forbidden),
        Standing::Outsider => Some(MemberChange::Outsider),
        Standing::NoRoom => Some(MemberChange::NoRoom),
    })
}

// ------------------------------------------------------------------- reading

/// Moves a read cursor to the newest stored message that is not after `id`, never back.
pub(crate) async fn mark_read(
    conn: &mut Conn,
    room_id: RoomId,
    user_id: UserId,
    id: MessageId,
) -> QueryResult<ReadMark> {
    transaction!(conn, async |conn| {
        let place = messages::table
            .filter(messages::room_id.eq(room_id))
            .filter(messages::id.le(id))
            .order(messages::id.desc())
            .select((messages::seq, messages::id))
            .first::<(Seq, MessageId)>(conn)
            .await
            .optional()?;
        if let Some((seq, id)) = place {
            let behind = room_members::table
                .find((room_id, user_id))
                .filter(room_members::last_read_seq.lt(seq));
            let moved = diesel::update(behind)
                .set((
                    room_members::last_read_seq.eq(seq),
                    room_members::last_read_message_id.eq(id),
                ))
                .execute(conn)
                .await?;
            if moved > 0 {
                return Ok(ReadMark::Moved(id));
            }
        }
        let kept = room_members::table
            .find((room_id, user_id))
            .select(room_members::last_read_message_id)
            .first::<Option<MessageId>>(conn)
            .await
            .optional()?;
        Ok(kept.map_or(ReadMark::NotMember, ReadMark::Unmoved))
    })
    .await
}
