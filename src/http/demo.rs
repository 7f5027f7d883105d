//! The demo: two users in one room, for whoever sits at the machine. In `dev` alone.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, ServiceConfig, resource},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use utoipa::{OpenApi, ToSchema};

use super::{accounts::Grant, body::OptionalBody, only, origin, page, read};
use crate::{
    error::{ApiError, Code},
    gateway::{Gateway, OrUnavailable},
    ids::{LoginId, RoomId, UserId},
    specifications::{
        refusals::{self, BODY},
        schemas,
    },
    store::{Joined, NewUser, Store, StoreError, User, Visibility},
};

/// The demo's room.
const ROOM_NAME: &str = "Demo";

/// Headers that a proxy sets: whoever sits behind one does not sit at the machine.
const PROXY_HEADERS: [&str; 4] = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Real-IP",
];

/// The demo's users and room, made when they are asked for first.
#[derive(Debug, Default)]
pub struct Demo {
    cast: OnceCell<Cast>,
    turns: AtomicUsize,
}

#[derive(Debug)]
struct Cast {
    room_id: RoomId,
    users: [User; 2],
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DemoUser)]
enum Who {
    Alice,
    Bob,
}

/// Without a user, sessions go to the two in turn.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[schema(as = NewDemoSession)]
struct NewSession {
    #[garde(skip)]
    user: Option<Who>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DemoSession)]
struct SessionView {
    access_token: String,
    #[schema(schema_with = schemas::bearer)]
    token_type: &'static str,
    /// In seconds.
    expires_in: u64,
    user_id: UserId,
    display_name: String,
    room_id: RoomId,
}

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(
            resource("/demo")
                .route(read(show))
                .default_service(only("GET, HEAD")),
        )
        .service(
            resource("/demo/session")
                .post(begin)
                .default_service(only("POST")),
        );
}

#[derive(OpenApi)]
#[openapi(paths(show, begin))]
pub(super) struct Described;

refusals::refusals! {
    ShowRefusals: &[Code::NotFound];
    BeginRefusals: BODY, &[Code::NotFound];
}

/// The demo's page
///
/// In `dev` alone, for a loopback peer and a loopback `Host`; elsewhere it does not exist.
#[utoipa::path(
    get,
    path = "/demo",
    operation_id = "showDemo",
    tag = "Pages",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "The page that the browser has is the newest."),
        ShowRefusals,
    ),
)]
async fn show(gateway: Data<Gateway>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    find(&gateway, &request)?;
    page::file("demo.html", &request)
}

/// Become a demo user
///
/// In `dev` alone, for a loopback peer and a loopback `Host`, and not for a page of another origin;
/// elsewhere it does not exist. Without a user, sessions go to the two in turn.
#[utoipa::path(
    post,
    path = "/demo/session",
    operation_id = "beginDemoSession",
    tag = "Pages",
    request_body = Option<NewSession>,
    responses((status = 201, description = "A token.", body = SessionView), BeginRefusals),
)]
async fn begin(
    gateway: Data<Gateway>,
    request: HttpRequest,
    OptionalBody(new): OptionalBody<NewSession>,
) -> Result<HttpResponse, ApiError> {
    let demo = find(&gateway, &request)?;
    // A page of elsewhere that is open in the same browser is not who sits at the machine.
    if origin::is_foreign(&request) {
        return Err(ApiError::new(Code::NotFound));
    }
    let cast = demo.cast.get_or_try_init(|| prepare(&gateway.store)).await;
    let cast = cast.or_unavailable()?;
    let at = match new.user {
        Some(Who::Alice) => 0,
        Some(Who::Bob) => 1,
        None => demo.turns.fetch_add(1, Ordering::Relaxed) % cast.users.len(),
    };
    let user = &cast.users[at];
    let tokens = &gateway.tokens;
    let issued = tokens.issue(user, LoginId::random(), tokens.expires_in());
    let grant = Grant::from(issued);
    Ok(HttpResponse::Created().json(SessionView {
        access_token: grant.access_token,
        token_type: grant.token_type,
        expires_in: grant.expires_in,
        user_id: user.id,
        display_name: user.display_name.clone(),
        room_id: cast.room_id,
    }))
}

/// The demo is there for who sits at the machine, and for nobody else.
fn find<'a>(gateway: &'a Gateway, request: &HttpRequest) -> Result<&'a Demo, ApiError> {
    let is_near = request
        .peer_addr()
        .is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let is_forwarded = PROXY_HEADERS.iter().any(|name| headers.contains_key(*name));
    let is_local = is_near && !is_forwarded && host.is_some_and(is_loopback_host);
    let demo = gateway.demo.as_ref().filter(|_| is_local);
    demo.ok_or_else(|| ApiError::new(Code::NotFound))
}

/// A page of a foreign name that resolves to loopback must not get a session.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

async fn prepare(store: &Store) -> Result<Cast, StoreError> {
    let users = [user(store, "Alice").await?, user(store, "Bob").await?];
    let owner = users[0].id;
    let (rooms, _) = store.rooms_of(owner, 1, None).await?;
    let room_id = match rooms.into_iter().next() {
        Some(summary) => summary.room.id,
        None => {
            let room = store.create_room(ROOM_NAME.to_owned(), Visibility::Public, owner);
            room.await?.id
        }
    };
    match store.join(room_id, users[1].id).await? {
        Joined::Member(_) | Joined::AlreadyMember | Joined::NotFound => {}
    }
    Ok(Cast { room_id, users })
}

/// Neither address nor password hash can be anybody's: nobody registers or logs in as them.
async fn user(store: &Store, name: &str) -> Result<User, StoreError> {
    let email = format!("demo:{}", name.to_lowercase());
    if let Some(user) = store.user_by_email(&email).await? {
        return Ok(user);
    }
    let registered = store.register(NewUser {
        email: email.clone(),
        password_hash: "!".to_owned(),
        display_name: name.to_owned(),
    });
    match registered.await? {
        Some(user) => Ok(user),
        None => {
            let found = store.user_by_email(&email).await?;
            found.ok_or_else(|| StoreError::Fault("a demo user is and is not there".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_loopback_by_name_or_address() {
        for host in [
            "localhost",
            "LOCALHOST:3000",
            "127.0.0.1:80",
            "127.9.9.9",
            "[::1]:3000",
            "[::1]",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            "localhost.evil",
            "127.0.0.1.evil:80",
            "10.0.0.1",
            "evil:localhost",
            "[::2]:1",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
