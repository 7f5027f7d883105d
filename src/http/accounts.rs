//! Accounts: register, log in, refresh, log out, change the password, who am I.

use std::{net::IpAddr, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, ServiceConfig, resource},
};
use garde::Validate;
use serde::{Deserialize, Serialize};

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

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Registration {
    #[garde(email, custom(bytes(0..=MAX_EMAIL_BYTES)))]
    email: String,
    #[garde(custom(bytes(MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES)), custom(no_nul))]
    password: String,
    #[garde(
        rename("displayName"),
        inner(custom(chars(1..=MAX_NAME_CHARS)), custom(no_nul))
    )]
    display_name: Option<String>,
}

#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct Credentials {
    // Judged by comparison alone: a rule here would tell who has an account.
    #[garde(skip)]
    email: String,
    #[garde(skip)]
    password: String,
}

#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct PasswordChange {
    #[garde(skip)]
    current: String,
    #[garde(custom(bytes(MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES)), custom(no_nul))]
    new: String,
}

pub(super) fn no_nul(text: &str, (): &()) -> garde::Result {
    match text.contains('\0') {
        true => Err(garde::Error::new("must not contain U+0000")),
        false => Ok(()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    id: UserId,
    email: String,
    display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
}

/// A token as a client gets it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grant {
    access_token: String,
    token_type: &'static str,
    /// In seconds.
    expires_in: u64,
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
    let attempt = gateway.failures.begin(&email, addr)?;
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

async fn refresh(
    gateway: Data<Gateway>,
    Caller(identity): Caller,
) -> Result<HttpResponse, ApiError> {
    let user = account(&gateway, identity.user_id).await?;
    require_current(&user, &identity)?;
    Ok(grant(&gateway, &user, identity.login_id))
}

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
    let attempt = gateway.failures.begin(&user.email, addr)?;
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
