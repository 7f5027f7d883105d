//! Messages of a room: pages of history, and sending without a socket.

#![expect(unused_qualifications, reason = "what utoipa's derive writes has them")]

use actix_web::{
    HttpResponse,
    web::{Data, ServiceConfig, resource},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::{IntoParams, OpenApi};

use super::{
    body::Body,
    caller::Caller,
    cursor, only,
    query::{self, InRoom, Query},
    read,
};
use crate::{
    error::{ApiError, Code},
    gateway::{Gateway, OrUnavailable},
    ids::{MessageId, RoomId},
    protocol::{
        client::Draft,
        server::{MessageAccepted, NewMessage},
    },
    specifications::refusals::{self, BODY, ROOM, TOKEN, VALUE},
};

pub(super) fn configure(config: &mut ServiceConfig) {
    let messages = resource("/rooms/{roomId}/messages")
        .route(read(page))
        .post(send);
    config.service(messages.default_service(only("GET, HEAD, POST")));
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// The page just before this place; not together with `after`.
    #[param(value_type = MessageId, required = false)]
    before: Option<String>,
    /// The page just after this place; not together with `before`.
    #[param(value_type = MessageId, required = false)]
    after: Option<String>,
    /// Messages of a page, 50 unless given.
    #[param(value_type = u8, required = false, minimum = 1, maximum = 100, default = 50)]
    limit: Option<String>,
}

#[derive(OpenApi)]
#[openapi(paths(page, send))]
pub(super) struct Described;

refusals::refusals! {
    PageRefusals: TOKEN, VALUE, ROOM;
    SendRefusals: TOKEN, BODY, ROOM, &[Code::RateLimited];
}

/// Read messages
///
/// Always oldest first. Without a cursor, the newest page. A cursor need not be stored: it is a
/// place in the order.
#[utoipa::path(
    get,
    path = "/rooms/{roomId}/messages",
    operation_id = "listMessages",
    tag = "Messages",
    params(("roomId" = RoomId, Path), PageQuery),
    responses(
        (
            status = 200,
            description = "A page of messages.",
            body = Vec<NewMessage<'static>>,
            headers(("X-Has-More" = bool, description = "Whether there is more in the page's own direction.")),
        ),
        PageRefusals,
    ),
    security(("bearer" = [])),
)]
async fn page(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
    Query(query): Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let from = cursor::read_page(query.before.as_deref(), query.after.as_deref())?;
    let limit = query::limit(query.limit.as_deref())?;
    gateway.require_member(room_id, identity.user_id).await?;
    let page = gateway
        .store
        .messages(room_id, from, limit)
        .await
        .or_unavailable()?;
    let messages: Vec<_> = page.messages.iter().map(NewMessage::from).collect();
    Ok(HttpResponse::Ok()
        .insert_header(("X-Has-More", if page.has_more { "true" } else { "false" }))
        .json(messages))
}

/// Send a message
///
/// The same path and guarantee as `sendMessage` on the WebSocket: 202 comes after the log has made
/// the message durable. Repeat it with the same `clientMsgId` when the answer is lost; it is stored
/// once.
#[utoipa::path(
    post,
    path = "/rooms/{roomId}/messages",
    operation_id = "sendMessage",
    tag = "Messages",
    params(("roomId" = RoomId, Path)),
    request_body = Draft,
    responses((status = 202, description = "It is durable.", body = MessageAccepted), SendRefusals),
    security(("bearer" = [])),
)]
async fn send(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
    Body(draft): Body<Draft>,
) -> Result<HttpResponse, ApiError> {
    let user_id = identity.user_id;
    gateway.begin_send(user_id)?;
    gateway.require_member(room_id, user_id).await?;
    let client_msg_id = draft.client_msg_id;
    let (told, appended) = oneshot::channel();
    // Whoever asked may have gone.
    let tell = |appended| drop(told.send(appended));
    gateway.submit(room_id, user_id, draft, tell);
    let stops = |_| Err(ApiError::unavailable("the server stops"));
    appended.await.unwrap_or_else(stops)?;
    Ok(accepted(&MessageAccepted::new(client_msg_id)))
}

fn accepted(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Accepted().json(body)
}
