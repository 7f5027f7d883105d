//! Refusals as `application/problem+json` (RFC 9457), the framework's own included.

use actix_cors::CorsError;
use actix_http::ws::HandshakeError;
use actix_web::{
    Error, HttpResponse, ResponseError,
    body::BoxBody,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, Code, FieldError};

/// The media type of a refusal.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The body of a refusal (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(examples(json!(Problem::from(&ApiError::unavailable("the server restarts")))))]
pub(crate) struct Problem<'a> {
    /// Always `about:blank`: the title is all.
    #[schema(format = "uri-reference")]
    r#type: &'static str,
    /// The same words for every occurrence of the code.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong this time.
    detail: &'a str,
    #[schema(value_type = Code)]
    code: &'static str,
    /// The same text as `detail`, for existing clients.
    message: &'a str,
    /// The values that break rules, on `VALIDATION_FAILED`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<FieldError>, required = false)]
    errors: &'a [FieldError],
}

impl<'a> From<&'a ApiError> for Problem<'a> {
    fn from(error: &'a ApiError) -> Self {
        Self {
            // No page describes the codes one by one: "about:blank" says that the title is all.
            r#type: "about:blank",
            title: error.code.title(),
            status: error.code.status(),
            detail: &error.detail,
            code: error.code.as_str(),
            message: &error.detail,
            errors: &error.fields,
        }
    }
}

/// Makes the answer that a refusal is.
pub(super) fn answer(error: &ApiError) -> HttpResponse {
    let status = StatusCode::from_u16(error.code.status()).expect("the table holds valid statuses");
    let mut answer = HttpResponse::build(status);
    answer.content_type(PROBLEM_JSON);
    if let Some(wait) = error.retry_after {
        answer.insert_header((header::RETRY_AFTER, whole_seconds(wait)));
    }
    if error.code == Code::Unauthenticated {
        let scheme = HeaderValue::from_static("Bearer");
        answer.insert_header((header::WWW_AUTHENTICATE, scheme));
    }
    answer.json(Problem::from(error))
}

/// `Retry-After` counts whole seconds; who waits that long must find room.
fn whole_seconds(wait: std::time::Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).expect("the table holds valid statuses")
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        if self.code == Code::Internal {
            log::error!(error:% = self; "a request failed");
        }
        answer(self)
    }
}

/// Returns the refusal that an answer of the framework stands for, which may be of an error;
/// `None` for our own.
pub(super) fn translate(
    response: &HttpResponse<impl Sized>,
    error: Option<&Error>,
) -> Option<ApiError> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let is_ours =
        content_type.starts_with(PROBLEM_JSON) || content_type.starts_with("application/json");
    let refusal = || match Code::from_status(status.as_u16()) {
        // It names each value, where it is known.
        Code::ValidationFailed => error.and_then(broken_rule),
        _ => None,
    };
    let bare = || ApiError::new(Code::from_status(status.as_u16()));
    (is_error && !is_ours).then(|| refusal().unwrap_or_else(bare))
}

/// Returns which header breaks a rule that the framework checks.
fn broken_rule(error: &Error) -> Option<ApiError> {
    let (header, rule) = match (error.as_error(), error.as_error()) {
        (Some(handshake), _) => of_handshake(handshake)?,
        (_, Some(cors)) => of_preflight(cors)?,
        (None, None) => return None,
    };
    Some(ApiError::field(header, rule))
}

fn of_handshake(error: &HandshakeError) -> Option<(&'static str, &'static str)> {
    Some(match error {
        HandshakeError::NoWebsocketUpgrade => (
            "Upgrade",
            "must be `websocket`: this path is for WebSockets alone",
        ),
        HandshakeError::NoConnectionUpgrade => ("Connection", "must be `Upgrade`"),
        HandshakeError::NoVersionHeader | HandshakeError::UnsupportedVersion => {
            ("Sec-WebSocket-Version", "must be 13")
        }
        HandshakeError::BadWebsocketKey => (
            "Sec-WebSocket-Key",
            "must be 16 bytes in base64, given once",
        ),
        HandshakeError::GetMethodRequired => return None,
    })
}

fn of_preflight(error: &CorsError) -> Option<(&'static str, &'static str)> {
    Some(match error {
        CorsError::OriginNotAllowed => ("Origin", "is not on the list of those that are allowed"),
        CorsError::MissingOrigin => ("Origin", "is missing"),
        CorsError::MissingRequestMethod => ("Access-Control-Request-Method", "is missing"),
        CorsError::BadRequestMethod => ("Access-Control-Request-Method", "is no method"),
        CorsError::MethodNotAllowed => ("Access-Control-Request-Method", "is not allowed"),
        CorsError::BadRequestHeaders => (
            "Access-Control-Request-Headers",
            "is no list of names of headers",
        ),
        CorsError::HeadersNotAllowed => (
            "Access-Control-Request-Headers",
            "names a header that is not allowed",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1_000)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
    }

    #[test]
    fn what_the_framework_refuses_is_named() {
        let check = |error: Error, header: &str| {
            let response = HttpResponse::from_error(error);
            let refusal = translate(&response, response.error()).expect("not ours");
            assert_eq!(refusal.code, Code::ValidationFailed);
            let paths: Vec<_> = refusal.fields.iter().map(|it| it.path.as_str()).collect();
            assert_eq!(paths, [header]);
            assert!(refusal.detail.starts_with(header), "{}", refusal.detail);
        };
        check(HandshakeError::NoWebsocketUpgrade.into(), "Upgrade");
        check(HandshakeError::NoConnectionUpgrade.into(), "Connection");
        check(
            HandshakeError::UnsupportedVersion.into(),
            "Sec-WebSocket-Version",
        );
        check(HandshakeError::BadWebsocketKey.into(), "Sec-WebSocket-Key");
        check(CorsError::OriginNotAllowed.into(), "Origin");
        let method = "Access-Control-Request-Method";
        check(CorsError::MethodNotAllowed.into(), method);
        let headers = "Access-Control-Request-Headers";
        check(CorsError::HeadersNotAllowed.into(), headers);
        let other = HttpResponse::from_error(HandshakeError::GetMethodRequired);
        let refusal = translate(&other, other.error()).expect("not ours");
        assert_eq!(refusal.code, Code::MethodNotAllowed);
    }

    #[test]
    fn every_code_has_an_answer() {
        for code in Code::ALL {
            assert_eq!(
                answer(&ApiError::new(*code)).status().as_u16(),
                code.status()
            );
        }
    }
}
