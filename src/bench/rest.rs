//! Requests to the REST API, and which of their failures pass.

use std::time::Duration;

use awc::{
    Client, SendClientRequest,
    http::{Method, StatusCode, header},
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(12);

/// Longest answer: 100 messages of 5,000 characters of four bytes, and room for the names.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestError {
    #[error("{url} does not answer: {why}")]
    Unreachable { url: String, why: String },
    #[error("{url} refuses with {status}: {detail}")]
    Refused {
        url: String,
        status: StatusCode,
        detail: String,
        retry_after: Option<Duration>,
    },
    #[error("{url} answers something else than expected: {why}")]
    Strange { url: String, why: String },
}

impl RestError {
    /// Returns whether the same request may succeed later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => {
                *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            Self::Strange { .. } => false,
        }
    }

    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A successful answer.
pub(super) struct Answer {
    url: String,
    body: Bytes,
    pub(super) has_more: bool,
}

impl Answer {
    /// Reads the body, which stays in the answer.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, RestError> {
        serde_json::from_slice(&self.body).map_err(|error| RestError::Strange {
            url: self.url.clone(),
            why: error.to_string(),
        })
    }
}

/// The client; it keeps connections open.
pub(super) struct Rest(Client);

impl Rest {
    pub(super) fn new() -> Self {
        Self(
            Client::builder()
                .timeout(TIMEOUT)
                .disable_redirects()
                .finish(),
        )
    }

    pub(super) async fn get(&self, url: &str, token: Option<&str>) -> Result<Answer, RestError> {
        let request = self.request(Method::GET, url, token);
        answer(url, request.send()).await
    }

    pub(super) async fn post(
        &self,
        url: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Result<Answer, RestError> {
        let request = self.request(Method::POST, url, token);
        answer(url, request.send_json(body)).await
    }

    /// Posts, and reads what comes back.
    pub(super) async fn create<T: DeserializeOwned>(
        &self,
        url: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Result<T, RestError> {
        self.post(url, token, body).await?.read()
    }

    fn request(&self, method: Method, url: &str, token: Option<&str>) -> awc::ClientRequest {
        let request = self.0.request(method, url);
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

async fn answer(url: &str, sending: SendClientRequest) -> Result<Answer, RestError> {
    let unreachable = |why: String| RestError::Unreachable {
        url: url.to_owned(),
        why,
    };
    let mut answer = sending
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let status = answer.status();
    let retry_after = answer.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    let more = answer.headers().get("X-Has-More");
    let has_more = more.is_some_and(|value| value.as_bytes() == b"true");
    let body = answer.body().limit(MAX_ANSWER_BYTES).await;
    let body = body.map_err(|error| unreachable(error.to_string()))?;
    if !status.is_success() {
        return Err(RestError::Refused {
            url: url.to_owned(),
            status,
            detail: detail(&body),
            retry_after: retry_after.map(Duration::from_secs),
        });
    }
    Ok(Answer {
        url: url.to_owned(),
        body,
        has_more,
    })
}

fn detail(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let problem = serde_json::from_slice::<Problem>(body);
    problem.map_or_else(|_| "no reason given".to_owned(), |problem| problem.detail)
}
