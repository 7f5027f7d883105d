//! Invites: a token that lets one user into a room, once.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    web::{Data, Path, ServiceConfig, resource},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::{
    body::OptionalBody,
    caller::Caller,
    members::{announce_joined, refusal},
    only,
    query::InRoom,
    read,
    rooms::MembershipView,
};
use crate::{
    clock::Timestamp,
    error::{ApiError, Code},
    gateway::{Gateway, OrUnavailable},
    ids::{RoomId, UserId},
    json,
    specifications::refusals::{self, BODY, ROOM, TOKEN, VALUE},
    store::{Invite, Joined, MemberChange},
};

/// Seven days.
const DEFAULT_EXPIRY_S: u64 = 7 * 24 * 3600;

/// Thirty days.
const MAX_EXPIRY_S: u64 = 30 * 24 * 3600;

/// Most invites of a list.
const MAX_LISTED: i64 = 100;

pub(super) fn configure(config: &mut ServiceConfig) {
    let accepting = resource("/invites/{token}/accept").post(accept);
    config
        .service(
            resource("/rooms/{roomId}/invites")
                .route(read(list))
                .post(create)
                .default_service(only("GET, HEAD, POST")),
        )
        .service(
            resource("/rooms/{roomId}/invites/{inviteId}")
                .delete(revoke)
                .default_service(only("DELETE")),
        )
        .service(accepting.default_service(only("POST")));
}

#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewInvite {
    /// Seven days unless given, thirty at most.
    #[schema(minimum = 1, maximum = 2_592_000, examples(86400))]
    #[serde(default, deserialize_with = "json::optional_whole")]
    #[garde(rename("expiresInSeconds"), inner(range(min = 1, max = MAX_EXPIRY_S)))]
    expires_in_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MadeInvite)]
struct MadeInviteView {
    /// Told once: the server keeps its hash alone.
    #[schema(
        pattern = "^[0-9a-f]{64}$",
        examples("3f0c9d5e8b7a4c1f92d6e0b35a7c84f11d2e6b90c3a58f47e6d1b2a09c8f7e35")
    )]
    token: String,
    #[serde(flatten)]
    invite: InviteView,
}

/// An invite that can be accepted, without its token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Invite)]
struct InviteView {
    /// Names it, to take it back; it lets nobody in.
    #[schema(
        pattern = "^[0-9a-f]{64}$",
        examples("9b0a3c1e5d7f42860c9a1b3d5e7f90817263544f6a8b9c0d1e2f3a4b5c6d7e8f")
    )]
    id: String,
    room_id: RoomId,
    created_by: UserId,
    created_at: Timestamp,
    expires_at: Timestamp,
}

impl From<Invite> for InviteView {
    fn from(invite: Invite) -> Self {
        Self {
            id: invite.id,
            room_id: invite.room_id,
            created_by: invite.created_by,
            created_at: invite.created_at,
            expires_at: invite.expires_at,
        }
    }
}

#[derive(OpenApi)]
#[openapi(paths(create, list, revoke, accept))]
pub(super) struct Described;

refusals::refusals! {
    CreateRefusals: TOKEN, BODY, ROOM, &[Code::Forbidden];
    ListRefusals: TOKEN, VALUE, ROOM, &[Code::Forbidden];
    RevokeRefusals: TOKEN, VALUE, ROOM, &[Code::Forbidden, Code::InviteNotFound];
    AcceptRefusals: TOKEN, &[Code::InviteNotFound, Code::AlreadyMember];
}

/// Invite somebody
///
/// For owners and admins. The token lets one user in, once. The body may be left out.
#[utoipa::path(
    post,
    path = "/rooms/{roomId}/invites",
    operation_id = "createInvite",
    tag = "Invites",
    params(("roomId" = RoomId, Path)),
    request_body = Option<NewInvite>,
    responses((status = 201, description = "The invite.", body = MadeInviteView), CreateRefusals),
    security(("bearer" = [])),
)]
async fn create(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
    OptionalBody(new): OptionalBody<NewInvite>,
) -> Result<HttpResponse, ApiError> {
    let expires_in = new.expires_in_seconds.unwrap_or(DEFAULT_EXPIRY_S);
    let created_at = Timestamp::now();
    let expires_at = created_at + Duration::from_secs(expires_in);
    // 244 random bits from the system; the store keeps only their hash.
    let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let user_id = identity.user_id;
    let invite = Invite {
        id: hash(&token),
        room_id,
        created_by: user_id,
        created_at,
        expires_at,
    };
    let created = gateway.store.create_invite(invite.clone());
    refusal(created.await.or_unavailable()?)?;
    log::info!(room:% = room_id, user:% = user_id; "invite created");
    let invite = InviteView::from(invite);
    Ok(HttpResponse::Created().json(MadeInviteView { token, invite }))
}

/// List the invites of a room
///
/// For owners and admins: those that can still be accepted, the newest first, a hundred at most.
#[utoipa::path(
    get,
    path = "/rooms/{roomId}/invites",
    operation_id = "listInvites",
    tag = "Invites",
    params(("roomId" = RoomId, Path)),
    responses((status = 200, description = "Open invites.", body = Vec<InviteView>), ListRefusals),
    security(("bearer" = [])),
)]
async fn list(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
) -> Result<HttpResponse, ApiError> {
    let now = Timestamp::now();
    let listed = gateway
        .store
        .invites(room_id, identity.user_id, now, MAX_LISTED);
    let invites = allowed(listed.await.or_unavailable()?)?;
    let views: Vec<_> = invites.into_iter().map(InviteView::from).collect();
    Ok(HttpResponse::Ok().json(views))
}

/// Take an invite back
///
/// For owners and admins, whoever of them made it.
#[utoipa::path(
    delete,
    path = "/rooms/{roomId}/invites/{inviteId}",
    operation_id = "revokeInvite",
    tag = "Invites",
    params(
        ("roomId" = RoomId, Path),
        ("inviteId" = String, Path, description = "`id` of the invite."),
    ),
    responses((status = 204, description = "Taken back."), RevokeRefusals),
    security(("bearer" = [])),
)]
async fn revoke(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (_, id) = path.into_inner();
    let user_id = identity.user_id;
    let revoked = gateway
        .store
        .revoke_invite(room_id, user_id, id, Timestamp::now());
    match allowed(revoked.await.or_unavailable()?)? {
        true => {
            log::info!(room:% = room_id, user:% = user_id; "invite revoked");
            Ok(HttpResponse::NoContent().finish())
        }
        false => Err(ApiError::new(Code::InviteNotFound)),
    }
}

/// Returns what was asked for, or what a caller is told who may not.
fn allowed<T>(outcome: Result<T, MemberChange>) -> Result<T, ApiError> {
    outcome.map_err(|change| match refusal(change) {
        Err(error) => error,
        Ok(_) => ApiError::new(Code::Internal),
    })
}

/// Accept an invite
#[utoipa::path(
    post,
    path = "/invites/{token}/accept",
    operation_id = "acceptInvite",
    tag = "Invites",
    params(("token" = String, Path, description = "From the invite.")),
    responses((status = 201, description = "The membership.", body = MembershipView), AcceptRefusals),
    security(("bearer" = [])),
)]
async fn accept(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    token: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let token_hash = hash(&token);
    let user_id = identity.user_id;
    let accepted = gateway.change(async move |store, bridge| {
        let accepted = store.accept_invite(&token_hash, user_id, Timestamp::now());
        let joined = accepted.await?;
        announce_joined(&bridge, &joined).await;
        Ok(joined)
    });
    match accepted.await.or_unavailable()? {
        Joined::Member(member) => Ok(HttpResponse::Created().json(MembershipView::from(&member))),
        Joined::AlreadyMember => Err(ApiError::new(Code::AlreadyMember)),
        Joined::NotFound => Err(ApiError::new(Code::InviteNotFound)),
    }
}

fn hash(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specifications::schemas;

    #[test]
    fn the_schema_tells_the_rule() {
        let said = schemas::said_of::<NewInvite>("expiresInSeconds", "maximum");
        assert_eq!(said, Some(MAX_EXPIRY_S));
    }
}
