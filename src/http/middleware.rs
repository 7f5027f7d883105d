//! What holds for every request: an id, a time limit, refusals of one shape, safe headers.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use tokio::time::timeout;

use super::{
    MAX_BODY_BYTES,
    connection::Connection,
    paced::{AnswerBody, want_body},
    problem,
};
use crate::{
    error::{ApiError, Code},
    metrics,
    trace::{REQUEST_ID, RequestId, Trace},
};

/// No answer takes longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// `style-src` needs nothing inline either: the client's styles lie in a file.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'; object-src 'none'";

/// Wraps every request, outside of all else.
///
/// # Errors
/// When nothing inside made an answer: the error carries one, as finished as any other.
pub async fn finish<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<AnswerBody>, Error> {
    let began = Instant::now();
    let trace = Trace::of(request.headers());
    // The pattern is looked for among all routes once more.
    let line = log::log_enabled!(log::Level::Debug).then(|| {
        let pattern = request.match_pattern().unwrap_or_default();
        format!("{} {pattern}", request.method())
    });
    let connection = request.request().conn_data::<Rc<Connection>>().cloned();
    let answering = connection.clone().map(Connection::begin);
    if let Some(connection) = connection
        && has_body(request.headers())
    {
        want_body(&mut request, connection);
    }
    // An error is an answer too, made without the request.
    let mut answered = match trace.around(next.call(request)).await {
        Ok(response) => Ok(in_our_shape(response)),
        Err(error) => Err(in_our_error_shape(&error)),
    };
    let (status, headers) = match &mut answered {
        Ok(response) => (response.status(), response.headers_mut()),
        Err(response) => (response.status(), response.headers_mut()),
    };
    finish_headers(headers, &trace.request_id);
    if status == StatusCode::SWITCHING_PROTOCOLS
        && let Some(answering) = &answering
    {
        answering.upgrade();
    }
    let (status, took) = (status.as_u16(), began.elapsed());
    metrics::get().http_answer(status, took);
    if let Some(line) = line {
        let ms = took.as_millis() as u64;
        log::debug!(request:% = trace.request_id, status = status, ms = ms; "{line}");
    }
    match answered {
        Ok(response) => Ok(response.map_body(|_, body| AnswerBody::new(body, answering))),
        Err(response) => Err(InternalError::from_response("unanswered", response).into()),
    }
}

/// Bounds every request's declared length and time. Inside of CORS, for a browser shows a script
/// no refusal that does not allow its origin.
///
/// # Errors
/// What happens inside, and when the time is over.
pub async fn bound<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if declared_length(request.headers()) > MAX_BODY_BYTES as u64 {
        let refusal = problem::answer(&ApiError::new(Code::PayloadTooLarge));
        return Ok(request.into_response(refusal).map_into_right_body());
    }
    // The request must not be shared until it has been routed: an error has to do without it.
    match timeout(REQUEST_TIMEOUT, next.call(request)).await {
        Ok(answered) => answered.map(ServiceResponse::map_into_left_body),
        Err(_) => Err(ApiError::unavailable("the request took too long").into()),
    }
}

/// Gives a refusal of the framework our body; what else its headers say holds.
fn in_our_shape<B: MessageBody + 'static>(response: ServiceResponse<B>) -> ServiceResponse {
    let refused = response.response();
    let Some(error) = problem::translate(refused, refused.error()) else {
        return response.map_into_boxed_body();
    };
    let (request, response) = response.into_parts();
    let mut answer = problem::answer(&error);
    keep_headers(response.headers(), &mut answer);
    ServiceResponse::new(request, answer)
}

fn in_our_error_shape(error: &Error) -> HttpResponse {
    let answer = error.error_response();
    let Some(refusal) = problem::translate(&answer, Some(error)) else {
        return answer;
    };
    let mut ours = problem::answer(&refusal);
    keep_headers(answer.headers(), &mut ours);
    ours
}

/// Takes over what an answer's headers say besides what its body is.
fn keep_headers(from: &HeaderMap, answer: &mut HttpResponse) {
    for (name, value) in from {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name) {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
}

/// A body that says it is too large is refused before a byte of it is read.
fn declared_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok());
    length.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Returns whether a body follows a request's head.
pub(super) fn has_body(headers: &HeaderMap) -> bool {
    declared_length(headers) > 0 || headers.contains_key(header::TRANSFER_ENCODING)
}

fn finish_headers(headers: &mut HeaderMap, request_id: &RequestId) {
    let fixed = HeaderValue::from_static;
    if let Ok(id) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(HeaderName::from_static(REQUEST_ID), id);
    }
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        fixed(CONTENT_SECURITY_POLICY),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, fixed("DENY"));
    headers.insert(header::REFERRER_POLICY, fixed("no-referrer"));
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(opener, fixed("same-origin"));
    // What an account sees is not for caches; the client's files say otherwise themselves.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, fixed("no-store"));
    }
}
