//! Members of a room: list, kick, change a role; and how a change is told to everybody.

use actix_web::{
    HttpResponse,
    web::{Data, Json, ServiceConfig, resource},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::{
    body::Body,
    caller::Caller,
    only,
    query::{InRoom, OfMember},
    read,
};
use crate::{
    actors::kafka_bridge::BridgeHandle,
    clock::Timestamp,
    error::{ApiError, Code},
    event::{Event, MembershipChange},
    gateway::{Gateway, OrUnavailable},
    ids::{MessageId, RoomId, UserId},
    specifications::refusals::{self, BODY, ROOM, TOKEN, VALUE},
    store::{Joined, Member, MemberChange, Role},
};

pub(super) fn configure(config: &mut ServiceConfig) {
    let one = resource("/rooms/{roomId}/members/{userId}")
        .delete(kick)
        .patch(set_role);
    config
        .service(
            resource("/rooms/{roomId}/members")
                .route(read(list))
                .default_service(only("GET, HEAD")),
        )
        .service(one.default_service(only("DELETE, PATCH")));
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Member)]
struct MemberView {
    room_id: RoomId,
    user_id: UserId,
    #[schema(examples("Alice"))]
    display_name: String,
    role: Role,
    joined_at: Timestamp,
    /// Null while nothing was read.
    #[schema(required = true)]
    last_read_message_id: Option<MessageId>,
    /// Whether the user has a live socket; null when presence is unknown.
    #[schema(required = true)]
    online: Option<bool>,
}

impl MemberView {
    fn new(member: Member, online: Option<bool>) -> Self {
        Self {
            room_id: member.room_id,
            user_id: member.user_id,
            display_name: member.display_name,
            role: member.role,
            joined_at: member.joined_at,
            last_read_message_id: member.last_read_message_id,
            online,
        }
    }
}

/// An owner is made by leaving, never by a request.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum GivenRole {
    Admin,
    Member,
}

#[derive(Deserialize, Validate, ToSchema)]
struct RoleChange {
    #[garde(skip)]
    role: GivenRole,
}

#[derive(OpenApi)]
#[openapi(paths(list, kick, set_role))]
pub(super) struct Described;

refusals::refusals! {
    ListRefusals: TOKEN, VALUE, ROOM;
    KickRefusals: TOKEN, VALUE, ROOM, &[Code::Forbidden, Code::NotFound];
    RoleRefusals: TOKEN, BODY, ROOM, &[Code::Forbidden, Code::NotFound];
}

/// List the members of a room
#[utoipa::path(
    get,
    path = "/rooms/{roomId}/members",
    operation_id = "listMembers",
    tag = "Members",
    params(("roomId" = RoomId, Path)),
    responses((status = 200, description = "All members.", body = Vec<MemberView>), ListRefusals),
    security(("bearer" = [])),
)]
async fn list(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
) -> Result<HttpResponse, ApiError> {
    gateway.require_member(room_id, identity.user_id).await?;
    let members = gateway.store.members(room_id).await.or_unavailable()?;
    let users = members.iter().map(|member| member.user_id).collect();
    let online = gateway.presence.online(users).await;
    let views: Vec<_> = members
        .into_iter()
        .enumerate()
        .map(|(at, member)| {
            let online = online.as_ref().and_then(|online| online.get(at).copied());
            MemberView::new(member, online)
        })
        .collect();
    Ok(HttpResponse::Ok().json(views))
}

/// Remove a member
///
/// For owners and admins; not oneself, and not the owner. As if the member left.
#[utoipa::path(
    delete,
    path = "/rooms/{roomId}/members/{userId}",
    operation_id = "removeMember",
    tag = "Members",
    params(("roomId" = RoomId, Path), ("userId" = UserId, Path)),
    responses((status = 204, description = "Removed."), KickRefusals),
    security(("bearer" = [])),
)]
async fn kick(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    OfMember(room_id, user_id): OfMember,
) -> Result<HttpResponse, ApiError> {
    let caller = identity.user_id;
    let kicked = gateway.change(async move |store, bridge| {
        let kicked = store.kick(room_id, caller, user_id).await?;
        announce_left(&bridge, &kicked).await;
        Ok(kicked)
    });
    refusal(kicked.await.or_unavailable()?)?;
    Ok(HttpResponse::NoContent().finish())
}

/// Change a member's role
///
/// For the owner.
#[utoipa::path(
    patch,
    path = "/rooms/{roomId}/members/{userId}",
    operation_id = "setRole",
    tag = "Members",
    params(("roomId" = RoomId, Path), ("userId" = UserId, Path)),
    request_body = RoleChange,
    responses((status = 200, description = "The member.", body = MemberView), RoleRefusals),
    security(("bearer" = [])),
)]
async fn set_role(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    OfMember(room_id, user_id): OfMember,
    Body(change): Body<RoleChange>,
) -> Result<Json<impl Serialize>, ApiError> {
    let role = match change.role {
        GivenRole::Admin => Role::Admin,
        GivenRole::Member => Role::Member,
    };
    let changed = gateway
        .store
        .set_role(room_id, identity.user_id, user_id, role);
    let member = refusal(changed.await.or_unavailable()?)?;
    let online = gateway.presence.online(vec![user_id]).await;
    let online = online.and_then(|online| online.first().copied());
    Ok(Json(MemberView::new(member, online)))
}

// --------------------------------------------------- shared by the handlers

/// Returns the changed member, or what the caller is told.
pub(super) fn refusal(change: MemberChange) -> Result<Member, ApiError> {
    Err(ApiError::new(match change {
        MemberChange::Done(member) => return Ok(member),
        MemberChange::Forbidden => Code::Forbidden,
        MemberChange::NoSuchMember => {
            let detail = "the user is not a member of the room";
            return Err(ApiError::with_detail(Code::NotFound, detail));
        }
        MemberChange::Outsider => Code::NotMember,
        MemberChange::NoRoom => Code::RoomNotFound,
    }))
}

/// Tells everybody that a membership has begun, if it has.
pub(super) async fn announce_joined(bridge: &BridgeHandle, joined: &Joined) {
    if let Joined::Member(member) = joined {
        log::info!(room:% = member.room_id, user:% = member.user_id; "member joined");
        bridge.announce(Event::MemberJoined(change(member))).await;
    }
}

/// Ends a membership here at once and tells everybody, if it was ended.
pub(super) async fn announce_left(bridge: &BridgeHandle, left: &MemberChange) {
    if let MemberChange::Done(member) = left {
        log::info!(room:% = member.room_id, user:% = member.user_id; "member left");
        bridge.announce(Event::MemberLeft(change(member))).await;
    }
}

fn change(member: &Member) -> MembershipChange {
    MembershipChange {
        room_id: member.room_id,
        user_id: member.user_id,
        display_name: member.display_name.clone(),
        role: member.role,
        generation: member.generation,
    }
}
