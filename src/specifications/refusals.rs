//! How an operation can be refused, as responses: one for each status, with the codes that it
//! stands for.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::openapi::{
    AllOfBuilder, ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response,
    ResponseBuilder, Schema, example::ExampleBuilder, schema::Type,
};

use crate::{
    error::{ApiError, Code},
    http::{PROBLEM_JSON, Problem},
};

/// What every request can meet.
const ALWAYS: &[Code] = &[Code::PayloadTooLarge, Code::Unavailable, Code::Internal];

/// Of who needs a token.
pub(crate) const TOKEN: &[Code] = &[Code::Unauthenticated];

/// Of who sends a body.
pub(crate) const BODY: &[Code] = &[
    Code::ValidationFailed,
    Code::InvalidJson,
    Code::RequestTimeout,
    Code::UnsupportedMediaType,
];

/// Of who names a thing by its id, or a page by its cursor.
pub(crate) const VALUE: &[Code] = &[Code::ValidationFailed];

/// Of who is not in a room.
pub(crate) const ROOM: &[Code] = &[Code::NotMember, Code::RoomNotFound];

/// Names the refusals of operations, for `responses(…)` of `utoipa::path`.
macro_rules! refusals {
    ($($name:ident: $($codes:expr),*;)+) => {$(
        enum $name {}

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                let codes: &[&[$crate::error::Code]] = &[$($codes),*];
                $crate::specifications::refusals::responses(codes)
            }
        }
    )+};
}

pub(crate) use refusals;

/// Makes the responses of some codes, and of those that every request can meet.
pub(crate) fn responses(codes: &[&[Code]]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes.iter().copied().chain([ALWAYS]).flatten() {
        let known = by_status.entry(code.status()).or_default();
        if !known.contains(code) {
            known.push(*code);
        }
    }
    let responses = by_status.into_iter();
    responses
        .map(|(status, codes)| (status.to_string(), response(&codes).into()))
        .collect()
}

fn response(codes: &[Code]) -> Response {
    let description: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.as_str(), code.meaning()))
        .collect();
    let names = codes.iter().map(|code| code.as_str());
    let narrowed = ObjectBuilder::new().property(
        "code",
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(names)),
    );
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(narrowed);
    let examples = codes.iter().map(|code| {
        let example = ExampleBuilder::new()
            .summary(code.title())
            .value(Some(example(*code)));
        (code.as_str(), example.build())
    });
    let content = ContentBuilder::new()
        .schema(Some(Schema::AllOf(schema.build())))
        .examples_from_iter(examples);
    let response = ResponseBuilder::new()
        .description(description.join(" "))
        .content(PROBLEM_JSON, content.build());
    headers(codes)
        .fold(response, |response, (name, header)| {
            response.header(name, header.build())
        })
        .build()
}

fn example(code: Code) -> serde_json::Value {
    let error = match code {
        Code::ValidationFailed => ApiError::field("limit", "must be a number from 1 to 100"),
        code => ApiError::new(code),
    };
    json!(Problem::from(&error))
}

fn headers(codes: &[Code]) -> impl Iterator<Item = (&'static str, HeaderBuilder)> {
    let waits = [Code::RateLimited, Code::Unavailable];
    let retry_after = waits.iter().any(|code| codes.contains(code)).then(|| {
        let seconds = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0));
        let header = HeaderBuilder::new().schema(Some(seconds));
        (
            "Retry-After",
            header.description(Some("Come back after so many seconds.")),
        )
    });
    let authenticate = codes.contains(&Code::Unauthenticated).then(|| {
        let scheme = ObjectBuilder::new()
            .schema_type(Type::String)
            .examples(["Bearer"]);
        let header = HeaderBuilder::new().schema(Some(scheme));
        (
            "WWW-Authenticate",
            header.description(Some("The scheme that a token is sent by.")),
        )
    });
    retry_after.into_iter().chain(authenticate)
}
