//! Rooms: create, list mine, join, leave, move my read cursor.

#![expect(unused_qualifications, reason = "what utoipa's derive writes has them")]

use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, ServiceConfig, resource},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::{
    accounts::no_nul,
    body::Body,
    caller::Caller,
    cursor,
    members::{announce_joined, announce_left, refusal},
    only,
    query::{self, InRoom, Query},
    read,
    rules::chars,
};
use crate::{
    clock::Timestamp,
    error::{ApiError, Code},
    gateway::{Gateway, OrUnavailable},
    ids::{Epoch, MessageId, RoomId, Seq, UserId},
    json,
    specifications::{
        refusals::{self, BODY, ROOM, TOKEN, VALUE},
        schemas,
    },
    store::{Joined, Member, Role, Room, RoomSummary, Visibility},
};

/// Longest name of a room, in characters.
const MAX_NAME_CHARS: usize = 100;

pub(super) fn configure(config: &mut ServiceConfig) {
    let post = || only("POST");
    config
        .service(
            resource("/rooms")
                .route(read(list))
                .post(create)
                .default_service(only("GET, HEAD, POST")),
        )
        .service(
            resource("/rooms/{roomId}/join")
                .post(join)
                .default_service(post()),
        )
        .service(
            resource("/rooms/{roomId}/leave")
                .post(leave)
                .default_service(post()),
        )
        .service(
            resource("/rooms/{roomId}/read")
                .post(mark_read)
                .default_service(post()),
        );
}

// ------------------------------------------------------------------- shapes

#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default)]
#[schema(examples(json!({ "name": "Lunch", "visibility": "public" })))]
struct NewRoom {
    /// 1 to 100 characters, no U+0000.
    #[schema(
        required = true,
        min_length = 1,
        max_length = 100,
        pattern = "^[^\\u0000]*$"
    )]
    #[garde(custom(chars(1..=MAX_NAME_CHARS)), custom(no_nul))]
    name: String,
    /// `public` unless given.
    #[serde(deserialize_with = "json::or_default")]
    #[schema(value_type = Option<Visibility>)]
    #[garde(skip)]
    visibility: Visibility,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Rooms of a page, 50 unless given.
    #[param(value_type = u8, required = false, minimum = 1, maximum = 100, default = 50)]
    limit: Option<String>,
    /// Where the page begins: from the `Link` header of the page before, as it is.
    #[param(
        pattern = "^(0|[1-9][0-9]{0,14})_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        example = "1772352000123_67e55044-10b1-426f-9247-bb680e5fe0c8"
    )]
    cursor: Option<String>,
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReadPosition {
    /// The last message that was read; an id that is not stored stands for the newest before it.
    #[garde(skip)]
    last_read_message_id: MessageId,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Room)]
struct RoomView {
    id: RoomId,
    #[schema(examples("Lunch"))]
    name: String,
    visibility: Visibility,
    created_at: Timestamp,
    /// Null while the room is empty.
    #[schema(required = true)]
    last_message_id: Option<MessageId>,
    /// Null while the room is empty.
    #[schema(required = true)]
    last_message_at: Option<Timestamp>,
    /// 0 while the room is empty.
    last_seq: Seq,
    /// Null while I have read nothing.
    #[schema(required = true)]
    last_read_message_id: Option<MessageId>,
    /// Messages of others since I joined, after my read cursor.
    unread_count: u64,
    epoch: Epoch,
}

impl RoomView {
    fn new(summary: RoomSummary, epoch: Epoch) -> Self {
        let room = summary.room;
        Self {
            id: room.id,
            name: room.name,
            visibility: room.visibility,
            created_at: room.created_at,
            last_message_id: room.last_message_id,
            last_message_at: room.last_message_at,
            last_seq: room.last_seq,
            last_read_message_id: summary.last_read_message_id,
            unread_count: summary.unread_count,
            epoch,
        }
    }

    fn of_new(room: Room, epoch: Epoch) -> Self {
        let summary = RoomSummary {
            room,
            last_read_message_id: None,
            unread_count: 0,
        };
        Self::new(summary, epoch)
    }
}

/// A membership that has just begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Membership)]
pub(super) struct MembershipView {
    room_id: RoomId,
    user_id: UserId,
    role: Role,
    joined_at: Timestamp,
}

impl From<&Member> for MembershipView {
    fn from(member: &Member) -> Self {
        Self {
            room_id: member.room_id,
            user_id: member.user_id,
            role: member.role,
            joined_at: member.joined_at,
        }
    }
}

/// A read cursor was taken.
#[derive(Serialize, ToSchema)]
struct Success {
    #[schema(schema_with = schemas::success)]
    success: bool,
}

// ----------------------------------------------------------------- handlers

#[derive(OpenApi)]
#[openapi(paths(create, list, join, leave, mark_read))]
pub(super) struct Described;

refusals::refusals! {
    CreateRefusals: TOKEN, BODY;
    ListRefusals: TOKEN, VALUE;
    JoinRefusals: TOKEN, VALUE, &[Code::RoomNotFound, Code::AlreadyMember];
    LeaveRefusals: TOKEN, VALUE, ROOM;
    ReadRefusals: TOKEN, BODY, ROOM;
}

/// Make a room
///
/// Who makes it owns it.
#[utoipa::path(
    post,
    path = "/rooms",
    operation_id = "createRoom",
    tag = "Rooms",
    request_body = NewRoom,
    responses((status = 201, description = "The room.", body = RoomView), CreateRefusals),
    security(("bearer" = [])),
)]
async fn create(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    Body(new): Body<NewRoom>,
) -> Result<HttpResponse, ApiError> {
    let created = gateway
        .store
        .create_room(new.name, new.visibility, identity.user_id);
    let room = created.await.or_unavailable()?;
    log::info!(room:% = room.id, user:% = identity.user_id; "room created");
    Ok(HttpResponse::Created().json(RoomView::of_new(room, gateway.epoch)))
}

/// List my rooms
///
/// The one with the latest activity first.
#[utoipa::path(
    get,
    path = "/rooms",
    operation_id = "listRooms",
    tag = "Rooms",
    params(ListQuery),
    responses(
        (
            status = 200,
            description = "A page of my rooms.",
            body = Vec<RoomView>,
            headers(("Link" = String, description = "The next page, where there is one: `<…>; rel=\"next\"`.")),
        ),
        ListRefusals,
    ),
    security(("bearer" = [])),
)]
async fn list(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    Query(query): Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = query::limit(query.limit.as_deref())?;
    let from = query.cursor.as_deref().map(cursor::read_room);
    let listed = gateway
        .store
        .rooms_of(identity.user_id, limit, from.transpose()?);
    let (rooms, next) = listed.await.or_unavailable()?;
    let views: Vec<_> = rooms
        .into_iter()
        .map(|summary| RoomView::new(summary, gateway.epoch))
        .collect();
    let mut answer = HttpResponse::Ok();
    if let Some(next) = next {
        let link = format!(
            "</rooms?limit={limit}&cursor={}>; rel=\"next\"",
            cursor::write_room(next)
        );
        answer.insert_header((header::LINK, link));
    }
    Ok(answer.json(views))
}

/// Join a public room
///
/// Who joins an empty room owns it.
#[utoipa::path(
    post,
    path = "/rooms/{roomId}/join",
    operation_id = "joinRoom",
    tag = "Rooms",
    params(("roomId" = RoomId, Path)),
    responses((status = 201, description = "The membership.", body = MembershipView), JoinRefusals),
    security(("bearer" = [])),
)]
async fn join(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
) -> Result<HttpResponse, ApiError> {
    let user_id = identity.user_id;
    let joined = gateway.change(async move |store, bridge| {
        let joined = store.join(room_id, user_id).await?;
        announce_joined(&bridge, &joined).await;
        Ok(joined)
    });
    match joined.await.or_unavailable()? {
        Joined::Member(member) => Ok(HttpResponse::Created().json(MembershipView::from(&member))),
        Joined::AlreadyMember => Err(ApiError::new(Code::AlreadyMember)),
        Joined::NotFound => Err(ApiError::new(Code::RoomNotFound)),
    }
}

/// Leave a room
///
/// The sockets of the user stop receiving at once, on every gateway. A leaving owner hands over to
/// the longest-standing member, admins first; an empty room stays.
#[utoipa::path(
    post,
    path = "/rooms/{roomId}/leave",
    operation_id = "leaveRoom",
    tag = "Rooms",
    params(("roomId" = RoomId, Path)),
    responses((status = 204, description = "Left."), LeaveRefusals),
    security(("bearer" = [])),
)]
async fn leave(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
) -> Result<HttpResponse, ApiError> {
    let user_id = identity.user_id;
    let left = gateway.change(async move |store, bridge| {
        let left = store.leave(room_id, user_id).await?;
        announce_left(&bridge, &left).await;
        Ok(left)
    });
    refusal(left.await.or_unavailable()?)?;
    Ok(HttpResponse::NoContent().finish())
}

/// Move my read cursor
///
/// It never moves back.
#[utoipa::path(
    post,
    path = "/rooms/{roomId}/read",
    operation_id = "markRead",
    tag = "Rooms",
    params(("roomId" = RoomId, Path)),
    request_body = ReadPosition,
    responses((status = 201, description = "Taken.", body = Success), ReadRefusals),
    security(("bearer" = [])),
)]
async fn mark_read(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
    Body(position): Body<ReadPosition>,
) -> Result<HttpResponse, ApiError> {
    let read = position.last_read_message_id;
    gateway
        .mark_read(room_id, identity.user_id, read, None)
        .await?;
    Ok(HttpResponse::Created().json(Success { success: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_tells_the_rule() {
        let said = schemas::said_of::<NewRoom>("name", "maxLength");
        assert_eq!(said, Some(MAX_NAME_CHARS as u64));
    }
}
