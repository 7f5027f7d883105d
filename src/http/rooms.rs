//! Rooms: create, list mine, join, leave, move my read cursor.

use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, ServiceConfig, resource},
};
use garde::Validate;
use serde::{Deserialize, Serialize};

use super::{
    accounts::no_nul,
    body::Body,
    caller::Caller,
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
    store::{Joined, Member, Role, Room, RoomCursor, RoomSummary, Visibility},
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

#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct NewRoom {
    #[garde(custom(chars(1..=MAX_NAME_CHARS)), custom(no_nul))]
    name: String,
    #[garde(skip)]
    visibility: Visibility,
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct ReadPosition {
    #[garde(skip)]
    last_read_message_id: MessageId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RoomView {
    id: RoomId,
    name: String,
    visibility: Visibility,
    created_at: Timestamp,
    last_message_id: Option<MessageId>,
    last_message_at: Option<Timestamp>,
    last_seq: Seq,
    last_read_message_id: Option<MessageId>,
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
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
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

// ----------------------------------------------------------------- handlers

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

async fn list(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    Query(query): Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = query::limit(query.limit.as_deref())?;
    let cursor = query.cursor.as_deref().map(read_cursor).transpose()?;
    let listed = gateway.store.rooms_of(identity.user_id, limit, cursor);
    let (rooms, next) = listed.await.or_unavailable()?;
    let views: Vec<_> = rooms
        .into_iter()
        .map(|summary| RoomView::new(summary, gateway.epoch))
        .collect();
    let mut answer = HttpResponse::Ok();
    if let Some(next) = next {
        let link = format!(
            "</rooms?limit={limit}&cursor={}>; rel=\"next\"",
            write_cursor(next)
        );
        answer.insert_header((header::LINK, link));
    }
    Ok(answer.json(views))
}

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
    Ok(HttpResponse::Created().json(serde_json::json!({ "success": true })))
}

// ------------------------------------------------------------------ cursors

/// A cursor is a place: the milliseconds of the activity and the room's id.
fn write_cursor(cursor: RoomCursor) -> String {
    format!("{}_{}", cursor.active_at.unix_ms(), cursor.room_id)
}

fn read_cursor(text: &str) -> Result<RoomCursor, ApiError> {
    let parse = || {
        let (ms, room_id) = text.split_once('_')?;
        Some(RoomCursor {
            active_at: Timestamp::from_unix_ms(ms.parse().ok()?)?,
            room_id: room_id.parse().ok()?,
        })
    };
    // `parse` takes what was never written so: a sign, capitals.
    let cursor = parse().filter(|cursor| write_cursor(*cursor) == text);
    cursor.ok_or_else(|| ApiError::field("cursor", "must be one that a Link header gave"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = RoomCursor {
            active_at: Timestamp::now(),
            room_id: RoomId::random(),
        };
        assert_eq!(read_cursor(&write_cursor(cursor)), Ok(cursor));
        for bad in [
            "",
            "_",
            "x",
            "1_x",
            "+1_67e55044-10b1-426f-9247-bb680e5fe0c8",
            "99999999999999999_67e55044-10b1-426f-9247-bb680e5fe0c8",
        ] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
