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
    rooms::MembershipView,
};
use crate::{
    clock::Timestamp,
    error::{ApiError, Code},
    gateway::{Gateway, OrUnavailable},
    ids::RoomId,
    json,
    specifications::refusals::{self, BODY, ROOM, TOKEN},
    store::Joined,
};

/// Seven days.
const DEFAULT_EXPIRY_S: u64 = 7 * 24 * 3600;

/// Thirty days.
const MAX_EXPIRY_S: u64 = 30 * 24 * 3600;

pub(super) fn configure(config: &mut ServiceConfig) {
    let accepting = resource("/invites/{token}/accept").post(accept);
    config
        .service(
            resource("/rooms/{roomId}/invites")
                .post(create)
                .default_service(only("POST")),
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
#[schema(as = Invite)]
struct InviteView {
    /// Told once: the server keeps its hash alone.
    #[schema(
        pattern = "^[0-9a-f]{64}$",
        examples("3f0c9d5e8b7a4c1f92d6e0b35a7c84f11d2e6b90c3a58f47e6d1b2a09c8f7e35")
    )]
    token: String,
    room_id: RoomId,
    expires_at: Timestamp,
}

#[derive(OpenApi)]
#[openapi(paths(create, accept))]
pub(super) struct Described;

refusals::refusals! {
    CreateRefusals: TOKEN, BODY, ROOM, &[Code::Forbidden];
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
    responses((status = 201, description = "The invite.", body = InviteView), CreateRefusals),
    security(("bearer" = [])),
)]
async fn create(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
    OptionalBody(new): OptionalBody<NewInvite>,
) -> Result<HttpResponse, ApiError> {
    let expires_in = new.expires_in_seconds.unwrap_or(DEFAULT_EXPIRY_S);
    let expires_at = Timestamp::now() + Duration::from_secs(expires_in);
    // 244 random bits from the system; the store keeps only their hash.
    let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let user_id = identity.user_id;
    let created = gateway
        .store
        .create_invite(room_id, user_id, hash(&token), expires_at);
    refusal(created.await.or_unavailable()?)?;
    log::info!(room:% = room_id, user:% = user_id; "invite created");
    Ok(HttpResponse::Created().json(InviteView {
        token,
        room_id,
        expires_at,
    }))
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
