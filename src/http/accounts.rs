//! Accounts: register, log in, refresh, log out, change the password, who am I.

use std::{net::IpAddr, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, ServiceConfig, resource},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::{
    body::Body,
    caller::Caller,
    client_addr, only, read,
    rules::{bytes, chars},
};
use crate::{
    auth::{Attempt, Identity, IssuedToken, MAX_EMAIL_BYTES, unauthenticated},
    clock::Timestamp,
    error::{ApiError, Code},
    event::Event,
    gateway::{Gateway, OrUnavailable},
    ids::{LoginId, UserId},
    metrics::{self, LoginOutcome},
    specifications::{
        refusals::{self, BODY, TOKEN},
        schemas,
    },
    store::{NewUser, User},
};

/// Shortest and longest password, in bytes.
const MIN_PASSWORD_BYTES: usize = 8;
const MAX_PASSWORD_BYTES: usize = crate::auth::MAX_PASSWORD_BYTES;

/// Longest display name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// How long a revocation outlives the last token that it ends.
const REVOCATION_MARGIN: Duration = Duration::from_secs(60);

pub(super) fn configure(config: &mut ServiceConfig) {
    let post = || only("POST");
    config
        .service(
            resource("/auth/register")
                .post(register)
                .default_service(post()),
        )
        .service(resource("/auth/login").post(log_in).default_service(post()))
        .service(
            resource("/auth/refresh")
                .post(refresh)
                .default_service(post()),
        )
        .service(
            resource("/auth/logout")
                .post(log_out)
                .default_service(post()),
        )
        .service(
            resource("/me/password")
                .post(change_password)
                .default_service(post()),
        )
        .service(
            resource("/me")
                .route(read(me))
                .default_service(only("GET, HEAD")),
        );
}

// ------------------------------------------------------------------- shapes

#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(examples(json!({
    "email": "alice@example.com", "password": "correct horse battery", "displayName": "Alice",
})))]
struct Registration {
    /// At most 254 bytes. Kept in lower case.
    #[schema(required = true, format = "email", max_length = 254)]
    #[garde(email, custom(bytes(0..=MAX_EMAIL_BYTES)))]
    email: String,
    /// 8 to 71 bytes of UTF-8, which are as many characters where they are ASCII. No U+0000.
    #[schema(required = true, format = Password, min_length = 8, max_length = 71, pattern = "^[^\\u0000]*$")]
    #[garde(custom(bytes(MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES)), custom(no_nul))]
    password: String,
    /// The part of the address before the @ unless given. No U+0000.
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000]*$")]
    #[garde(
        rename("displayName"),
        inner(custom(chars(1..=MAX_NAME_CHARS)), custom(no_nul))
    )]
    display_name: Option<String>,
}

#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default)]
#[schema(examples(json!({ "email": "alice@example.com", "password": "correct horse battery" })))]
struct Credentials {
    // Judged by comparison alone: a rule here would tell who has an account.
    /// Capitals and small letters are the same.
    #[schema(required = true)]
    #[garde(skip)]
    email: String,
    #[schema(required = true, format = Password)]
    #[garde(skip)]
    password: String,
}

#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default)]
#[schema(examples(json!({ "current": "correct horse battery", "new": "staple and some more" })))]
struct PasswordChange {
    #[schema(required = true, format = Password)]
    #[garde(skip)]
    current: String,
    /// 8 to 71 bytes of UTF-8, which are as many characters where they are ASCII. No U+0000.
    #[schema(required = true, format = Password, min_length = 8, max_length = 71, pattern = "^[^\\u0000]*$")]
    #[garde(custom(bytes(MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES)), custom(no_nul))]
    new: String,
}

pub(super) fn no_nul(text: &str, (): &()) -> garde::Result {
    match text.contains('\0') {
        true => Err(garde::Error::new("must not contain U+0000")),
        false => Ok(()),
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Account {
    id: UserId,
    /// In lower case.
    #[schema(examples("alice@example.com"))]
    email: String,
    #[schema(examples("Alice"))]
    display_name: String,
    /// Not in the answer to a registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
}

/// A token as a client gets it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grant {
    /// A JWT, signed with HS256.
    #[schema(examples("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI…"))]
    pub(super) access_token: String,
    #[schema(schema_with = schemas::bearer)]
    pub(super) token_type: &'static str,
    /// In seconds.
    #[schema(examples(86400))]
    pub(super) expires_in: u64,
}

impl From<IssuedToken> for Grant {
    fn from(issued: IssuedToken) -> Self {
        Self {
            access_token: issued.token,
            token_type: "Bearer",
            expires_in: issued.expires_in.as_secs(),
        }
    }
}

// ----------------------------------------------------------------- handlers

#[derive(OpenApi)]
#[openapi(paths(register, log_in, refresh, log_out, change_password, me))]
pub(super) struct Described;

refusals::refusals! {
    RegisterRefusals: BODY, &[Code::EmailTaken];
    LogInRefusals: BODY, &[Code::InvalidCredentials, Code::RateLimited];
    PasswordRefusals: TOKEN, BODY, &[Code::InvalidCredentials, Code::RateLimited];
    CallerRefusals: TOKEN;
}

/// Make an account
///
/// Of two requests that race for an address, exactly one gets 201.
#[utoipa::path(
    post,
    path = "/auth/register",
    tag = "Accounts",
    request_body = Registration,
    responses((status = 201, description = "The account.", body = Account), RegisterRefusals),
)]
async fn register(
    gateway: Data<Gateway>,
    Body(registration): Body<Registration>,
) -> Result<HttpResponse, ApiError> {
    let email = registration.email.to_lowercase();
    let display_name = registration.display_name.unwrap_or_else(|| {
        let local = email.split('@').next().unwrap_or_default();
        local.chars().take(MAX_NAME_CHARS).collect()
    });
    let password_hash = gateway.passwords.hash(registration.password).await?;
    let registered = gateway.store.register(NewUser {
        email,
        password_hash,
        display_name,
    });
    let user = registered.await.or_unavailable()?;
    let user = user.ok_or_else(|| ApiError::new(Code::EmailTaken))?;
    log::info!(user:% = user.id; "user registered");
    Ok(HttpResponse::Created().json(Account {
        id: user.id,
        email: user.email,
        display_name: user.display_name,
        created_at: None,
    }))
}

/// Log in
///
/// The answer, and the time it takes, is the same for an unknown address and a wrong password.
/// Too many failures of an account, or from an address, are 429; only failures count. Too many
/// logins at once are 503.
#[utoipa::path(
    post,
    path = "/auth/login",
    operation_id = "logIn",
    tag = "Accounts",
    request_body = Credentials,
    responses((status = 200, description = "A token.", body = Grant), LogInRefusals),
)]
async fn log_in(
    gateway: Data<Gateway>,
    request: HttpRequest,
    Body(credentials): Body<Credentials>,
) -> Result<HttpResponse, ApiError> {
    let addr = client_addr(&request, &gateway.config.http);
    let judged = judge_login(&gateway, credentials, addr).await;
    metrics::get().login(match &judged {
        Ok(_) => LoginOutcome::Succeeded,
        Err(error) => LoginOutcome::of(error.code),
    });
    let user = judged?;
    log::info!(user:% = user.id; "user logged in");
    Ok(grant(&gateway, &user, LoginId::random()))
}

async fn judge_login(
    gateway: &Gateway,
    Credentials { email, password }: Credentials,
    addr: IpAddr,
) -> Result<User, ApiError> {
    let email = email.to_lowercase();
    let attempt = gateway.failures.begin(&email, addr).await?;
    let found = match email.len() <= MAX_EMAIL_BYTES {
        true => gateway.store.credentials(&email).await.or_unavailable()?,
        false => None,
    };
    let user = match found {
        Some((user, hash)) => {
            let verified = gateway.passwords.verify(password, hash).await?;
            verified.then_some(user)
        }
        None => {
            gateway.passwords.verify_nobody(password).await?;
            None
        }
    };
    user.ok_or_else(|| wrong_credentials(attempt))
}

/// Get a newer token
///
/// The old one lives on until it expires. A login and all its refreshes are one session: a logout
/// with any of them ends it.
#[utoipa::path(
    post,
    path = "/auth/refresh",
    tag = "Accounts",
    responses((status = 200, description = "A token.", body = Grant), CallerRefusals),
    security(("bearer" = [])),
)]
async fn refresh(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
) -> Result<HttpResponse, ApiError> {
    let user = account(&gateway, identity.user_id).await?;
    require_current(&user, &identity)?;
    Ok(grant(&gateway, &user, identity.login_id))
}

/// Log out
///
/// Every token of this login is refused from then on, and the sockets that use one close with
/// 4401. Other logins of the user live on.
#[utoipa::path(
    post,
    path = "/auth/logout",
    operation_id = "logOut",
    tag = "Accounts",
    responses((status = 204, description = "Logged out."), CallerRefusals),
    security(("bearer" = [])),
)]
async fn log_out(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
) -> Result<HttpResponse, ApiError> {
    let (user_id, login_id) = (identity.user_id, identity.login_id);
    let expires_at = Timestamp::now() + gateway.tokens.expires_in() + REVOCATION_MARGIN;
    let revoked = gateway.change(async move |store, bridge| {
        store.revoke_login(user_id, login_id, expires_at).await?;
        log::info!(user:% = user_id; "user logged out");
        let event = Event::LoginRevoked {
            user_id,
            login_id,
            expires_at,
        };
        bridge.announce(event).await;
        Ok(())
    });
    revoked.await.or_unavailable()?;
    Ok(HttpResponse::NoContent().finish())
}

/// Change my password
///
/// Every other token of the user is revoked. A wrong `current` counts as a failed login.
#[utoipa::path(
    post,
    path = "/me/password",
    operation_id = "changePassword",
    tag = "Accounts",
    request_body = PasswordChange,
    responses((status = 204, description = "Changed."), PasswordRefusals),
    security(("bearer" = [])),
)]
async fn change_password(
    gateway: Data<Gateway>,
    request: HttpRequest,
    Caller(identity): Caller,
    Body(change): Body<PasswordChange>,
) -> Result<HttpResponse, ApiError> {
    let addr = client_addr(&request, &gateway.config.http);
    let found = gateway
        .store
        .credentials_of(identity.user_id)
        .await
        .or_unavailable()?;
    let (user, hash) = found.ok_or_else(unauthenticated)?;
    require_current(&user, &identity)?;
    let attempt = gateway.failures.begin(&user.email, addr).await?;
    match gateway.passwords.verify(change.current, hash).await? {
        true => drop(attempt),
        false => return Err(wrong_credentials(attempt)),
    }
    let hash = gateway.passwords.hash(change.new).await?;
    let (user_id, generation) = (user.id, user.tokens.generation);
    let kept_token = identity.token_id;
    let changed = gateway.change(async move |store, bridge| {
        let changed = store.change_password(user_id, generation, hash, kept_token);
        let Some(tokens) = changed.await? else {
            return Ok(false);
        };
        log::info!(user:% = user_id; "password changed");
        let event = Event::TokensRevoked {
            user_id,
            generation: tokens.generation,
            kept_token,
        };
        bridge.announce(event).await;
        Ok(true)
    });
    if !changed.await.or_unavailable()? {
        // Another change came first: `current` is wrong by now.
        return Err(ApiError::new(Code::InvalidCredentials));
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Who am I?
#[utoipa::path(
    get,
    path = "/me",
    tag = "Accounts",
    responses((status = 200, description = "The account.", body = Account), CallerRefusals),
    security(("bearer" = [])),
)]
async fn me(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
) -> Result<web::Json<impl Serialize>, ApiError> {
    let user = account(&gateway, identity.user_id).await?;
    Ok(web::Json(Account {
        id: user.id,
        email: user.email,
        display_name: user.display_name,
        created_at: Some(user.created_at),
    }))
}

// ---------------------------------------------------------------------------

async fn account(gateway: &Gateway, user_id: UserId) -> Result<User, ApiError> {
    let user = gateway.store.user(user_id).await.or_unavailable()?;
    user.ok_or_else(unauthenticated)
}

/// Refuses a token that a password change has revoked since it was judged: what it is given
/// would be of the new generation.
fn require_current(user: &User, caller: &Identity) -> Result<(), ApiError> {
    match user.tokens.counts(caller.generation, caller.token_id) {
        true => Ok(()),
        false => Err(unauthenticated()),
    }
}

fn grant(gateway: &Gateway, user: &User, login_id: LoginId) -> HttpResponse {
    let issued = gateway
        .tokens
        .issue(user, login_id, gateway.tokens.expires_in());
    HttpResponse::Ok().json(Grant::from(issued))
}

fn wrong_credentials(attempt: Attempt) -> ApiError {
    attempt.failed();
    metrics::get().login_failures.increment(1);
    ApiError::new(Code::InvalidCredentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_tell_the_rules() {
        let check = |said: Option<u64>, rule: usize| assert_eq!(said, Some(rule as u64));
        let registration = schemas::said_of::<Registration>;
        check(registration("email", "maxLength"), MAX_EMAIL_BYTES);
        check(registration("password", "minLength"), MIN_PASSWORD_BYTES);
        check(registration("password", "maxLength"), MAX_PASSWORD_BYTES);
        check(registration("displayName", "maxLength"), MAX_NAME_CHARS);
        let change = schemas::said_of::<PasswordChange>;
        check(change("new", "minLength"), MIN_PASSWORD_BYTES);
        check(change("new", "maxLength"), MAX_PASSWORD_BYTES);
    }
}
