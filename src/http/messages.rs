//! Messages of a room: pages of history, and sending without a socket.

use actix_web::{
    HttpResponse,
    web::{Data, ServiceConfig, resource},
};
use serde::{Deserialize, Serialize};

use super::{
    body::Body,
    caller::Caller,
    only,
    query::{self, InRoom, Query},
    read,
};
use crate::{
    error::ApiError,
    gateway::{Gateway, OrUnavailable},
    ids::MessageId,
    protocol::{
        client::Draft,
        server::{MessageAccepted, NewMessage},
    },
    store::PageCursor,
};

pub(super) fn configure(config: &mut ServiceConfig) {
    let messages = resource("/rooms/{roomId}/messages")
        .route(read(page))
        .post(send);
    config.service(messages.default_service(only("GET, HEAD, POST")));
}

#[derive(Deserialize)]
struct PageQuery {
    before: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

impl PageQuery {
    fn cursor(&self) -> Result<PageCursor, ApiError> {
        let before = query::optional::<MessageId>("before", self.before.as_deref())?;
        let after = query::optional::<MessageId>("after", self.after.as_deref())?;
        match (before, after) {
            (None, None) => Ok(PageCursor::Newest),
            (Some(id), None) => Ok(PageCursor::Before(id)),
            (None, Some(id)) => Ok(PageCursor::After(id)),
            (Some(_), Some(_)) => {
                let both = "before and after cannot be used together";
                Err(ApiError::field("before", both))
            }
        }
    }
}

async fn page(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
    InRoom(room_id): InRoom,
    Query(query): Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let cursor = query.cursor()?;
    let limit = query::limit(query.limit.as_deref())?;
    gateway.require_member(room_id, identity.user_id).await?;
    let page = gateway
        .store
        .messages(room_id, cursor, limit)
        .await
        .or_unavailable()?;
    let messages: Vec<_> = page.messages.iter().map(NewMessage::from).collect();
    Ok(HttpResponse::Ok()
        .insert_header(("X-Has-More", if page.has_more { "true" } else { "false" }))
        .json(messages))
}

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
    gateway.submit(room_id, user_id, draft).await?;
    Ok(accepted(&MessageAccepted::new(client_msg_id)))
}

fn accepted(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Accepted().json(body)
}
