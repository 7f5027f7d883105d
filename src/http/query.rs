//! What a URL carries besides its route: ids in the path, values in the query.

use std::{
    future::{Ready, ready},
    str::FromStr,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, error::QueryPayloadError, web};
use serde::de::DeserializeOwned;

use crate::{
    error::ApiError,
    ids::{RoomId, UserId},
    json,
};

/// Rows of a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;

/// Most rows of a page.
const MAX_LIMIT: usize = 100;

/// The room that a path names.
pub(super) struct InRoom(pub(super) RoomId);

/// The room and the user that a path names.
pub(super) struct OfMember(pub(super) RoomId, pub(super) UserId);

impl FromRequest for InRoom {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(segment(request, "roomId").map(Self))
    }
}

impl FromRequest for OfMember {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let room_id = segment(request, "roomId");
        let user_id = segment(request, "userId");
        ready(room_id.and_then(|room_id| Ok(Self(room_id, user_id?))))
    }
}

fn segment<T: FromStr<Err: ToString>>(request: &HttpRequest, name: &str) -> Result<T, ApiError> {
    let value = request.match_info().query(name);
    value
        .parse()
        .map_err(|error: T::Err| ApiError::field(name, error.to_string()))
}

/// The query, each value still text, so that every refusal names its parameter.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parsed = web::Query::<T>::from_query(request.query_string());
        let parsed = parsed.map(|query| Self(query.into_inner()));
        ready(parsed.map_err(|error| refusal(&error)))
    }
}

fn refusal(error: &QueryPayloadError) -> ApiError {
    let said = match error {
        QueryPayloadError::Deserialize(error) => error.to_string(),
        other => other.to_string(),
    };
    let mut field = json::explain("", &said);
    if field.path.is_empty() {
        "query".clone_into(&mut field.path);
    }
    ApiError::validation(vec![field])
}

/// Reads `limit`.
pub(super) fn limit(value: Option<&str>) -> Result<usize, ApiError> {
    let Some(value) = value else {
        return Ok(DEFAULT_LIMIT);
    };
    // `parse` would also take a sign.
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    let limit = value
        .parse()
        .ok()
        .filter(|limit| is_plain && (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| ApiError::field("limit", format!("must be a number from 1 to {MAX_LIMIT}")))
}

/// Reads a value that may be left out.
pub(super) fn optional<T>(name: &str, value: Option<&str>) -> Result<Option<T>, ApiError>
where
    T: FromStr<Err: ToString>,
{
    let parsed = value.map(str::parse).transpose();
    parsed.map_err(|error: T::Err| ApiError::field(name, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_from_one_to_a_hundred() {
        let check = |value: Option<&str>, expected: Option<usize>| {
            assert_eq!(limit(value).ok(), expected, "{value:?}");
        };
        check(None, Some(50));
        check(Some("1"), Some(1));
        check(Some("100"), Some(100));
        for bad in ["0", "101", "-1", "+5", "1e9", "abc", "", " 1"] {
            check(Some(bad), None);
        }
    }
}
