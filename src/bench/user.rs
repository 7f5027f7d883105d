//! A user that some of the clients share, and its token, renewed before it runs out.

use std::{cell::RefCell, rc::Rc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;

use super::{
    rest::{Rest, RestError},
    waits::with_patience,
};
use crate::cli::endpoint::Endpoint;
use awc::http::StatusCode;

/// A token with less than this left is renewed before it is used; short lives halve it.
const MARGIN: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Token {
    text: Rc<str>,
    renew_at: Instant,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grant {
    access_token: String,
    expires_in: u64,
}

impl From<Grant> for Token {
    fn from(grant: Grant) -> Self {
        let life = Duration::from_secs(grant.expires_in);
        Self {
            text: grant.access_token.into(),
            renew_at: Instant::now() + life.saturating_sub(MARGIN).max(life / 2),
        }
    }
}

/// See the module.
pub(super) struct User {
    account: Value,
    token: RefCell<Token>,
    /// Held while one client renews the token for all.
    renewal: Mutex<()>,
}

impl User {
    /// Registers a user with a random address, and logs it in.
    pub(super) async fn register(rest: &Rest, gateway: &Endpoint) -> Result<Self, RestError> {
        let name = Uuid::new_v4().simple();
        let account = json!({
            "email": format!("bench-{name}@example.com"),
            "password": Uuid::new_v4().to_string(),
            "displayName": "bench",
        });
        let url = gateway.http("/auth/register");
        with_patience(async |_| {
            match rest.post(&url, None, &account).await {
                // The attempt before this one had no answer, and was successful.
                Err(error) if error.status() == Some(StatusCode::CONFLICT) => Ok(()),
                ended => ended.map(drop),
            }
        })
        .await?;
        let token = with_patience(async |_| log_in(rest, gateway, &account).await).await?;
        Ok(Self {
            account,
            token: RefCell::new(token),
            renewal: Mutex::new(()),
        })
    }

    /// Returns a token that is good for a while, renewed if need be.
    pub(super) async fn token(
        &self,
        rest: &Rest,
        gateway: &Endpoint,
    ) -> Result<Rc<str>, RestError> {
        let token = self.token.borrow().clone();
        if Instant::now() < token.renew_at {
            return Ok(token.text);
        }
        self.renew(rest, gateway, &token.text).await
    }

    /// Returns another token than one that was refused.
    pub(super) async fn renew(
        &self,
        rest: &Rest,
        gateway: &Endpoint,
        refused: &str,
    ) -> Result<Rc<str>, RestError> {
        let _held = self.renewal.lock().await;
        let current = self.token.borrow().text.clone();
        if &*current != refused {
            return Ok(current);
        }
        let url = gateway.http("/auth/refresh");
        let refreshed = rest.create::<Grant>(&url, Some(&current), &json!({})).await;
        let token = match refreshed {
            Ok(grant) => grant.into(),
            Err(_) => log_in(rest, gateway, &self.account).await?,
        };
        *self.token.borrow_mut() = token.clone();
        Ok(token.text)
    }
}

async fn log_in(rest: &Rest, gateway: &Endpoint, account: &Value) -> Result<Token, RestError> {
    let url = gateway.http("/auth/login");
    let body = json!({ "email": account["email"], "password": account["password"] });
    rest.create::<Grant>(&url, None, &body)
        .await
        .map(Token::from)
}
