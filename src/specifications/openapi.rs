//! The OpenAPI document: what the handlers say of themselves, and what holds for all of them.

use serde_json::{Map, Value, json};
use utoipa::openapi::{
    Info, InfoBuilder, LicenseBuilder, Server, Tag,
    schema::ComponentsBuilder,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};

use super::examples;
use crate::{
    error::{Code, FieldError},
    http::{self, Problem},
};

/// What a reader needs to know before any operation.
const ABOUT: &str = "\
JSON everywhere, names in camelCase, times RFC 3339 in UTC with milliseconds. New members may appear in any payload: \
ignore what you do not know.

A refusal is `application/problem+json` (RFC 9457); a program branches on its `code`. Every answer has an \
`X-Request-Id`: the request's own, where it sent a plain one of at most 64 characters.

What answers `GET` answers `HEAD`. Another method is 405, an unknown path is 404, with or without a token. A body over \
64 KiB is 413, one that is not here in 8 s is 408, and no answer takes longer than 10 s. Who is not a member gets 404 \
for a room that is private or does not exist, 403 for a public one.

What is live comes by WebSocket: see `/asyncapi.json`.";

/// The groups of operations, in the order of a reader.
const TAGS: [(&str, &str); 9] = [
    ("Accounts", "Register, log in, log out."),
    (
        "Rooms",
        "Make, join and leave rooms, and remember what was read.",
    ),
    ("Members", "Who is in a room, and what they may do."),
    ("Invites", "Let one user into a room, once."),
    (
        "Messages",
        "Read what was said, and say something without a socket.",
    ),
    ("WebSocket", "Where what is live begins."),
    ("Health", "For probes and people who run it."),
    ("Specifications", "These documents."),
    ("Pages", "For browsers."),
];

/// Makes the document.
///
/// # Panics
/// Never: what describes the handlers is JSON.
#[must_use]
pub fn openapi() -> Value {
    let mut document = http::describe();
    document.info = info();
    document.servers = Some(vec![Server::new("/")]);
    document.tags = Some(tags());
    let components = ComponentsBuilder::from(document.components.take().unwrap_or_default());
    let components = components
        .schema_from::<Problem<'_>>()
        .schema_from::<FieldError>()
        .schema_from::<Code>()
        .security_scheme("bearer", bearer());
    document.components = Some(components.build());
    let mut document = serde_json::to_value(document).expect("keys are strings, numbers finite");
    for schema in members(&mut document["components"]["schemas"]) {
        forget_impossible_defaults(schema);
    }
    let schemas = document["components"]["schemas"].clone();
    for operation in operations(&mut document) {
        for response in members(&mut operation["responses"]) {
            let headers = &mut response["headers"];
            headers["X-Request-Id"] = request_id();
            if let Some(has_more) = headers.get_mut("X-Has-More") {
                has_more["required"] = json!(true);
            }
            add_examples(response, &schemas);
        }
        if let Some(body) = operation.get_mut("requestBody") {
            members(&mut body["content"]).for_each(forget_null);
            add_examples(body, &schemas);
        }
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            // Two that may be left out need not go together.
            if parameter["required"] == true {
                add_example(parameter, &schemas);
            }
        }
    }
    document
}

fn info() -> Info {
    let license = LicenseBuilder::new()
        .name("MIT OR Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"));
    InfoBuilder::new()
        .title("roomcast")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license.build()))
        .build()
}

fn tags() -> Vec<Tag> {
    let tags = TAGS.iter();
    tags.map(|(name, description)| {
        let tag = TagBuilder::new().name(*name);
        tag.description(Some(*description)).build()
    })
    .collect()
}

fn bearer() -> SecurityScheme {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "A token of `/auth/login`: HS256, with `sub`, `iat`, `exp`, `jti`, `iss` and `aud`.",
        ));
    SecurityScheme::Http(scheme.build())
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    members(&mut document["paths"]).flat_map(members)
}

fn members(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    let object = object.as_object_mut().into_iter();
    object.flat_map(Map::values_mut)
}

/// What is missing is read as an empty text only so that it is refused in the words of its rule.
fn forget_impossible_defaults(schema: &mut Value) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for name in required.iter().filter_map(Value::as_str) {
        if let Some(property) = schema["properties"][name].as_object_mut() {
            property.remove("default");
        }
    }
}

fn request_id() -> Value {
    json!({
        "description": "Names the request; what the log says of it carries it too.",
        "required": true,
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
    })
}

/// A body that may be left out is not `null` then.
fn forget_null(content: &mut Value) {
    let options = content["schema"]["oneOf"].as_array();
    if let Some([some, null]) = options.map(Vec::as_slice)
        && null["type"] == "null"
    {
        content["schema"] = some.clone();
    }
}

/// Gives the JSON bodies of a request or a response their examples.
fn add_examples(of: &mut Value, schemas: &Value) {
    let contents = of.get_mut("content").and_then(Value::as_object_mut);
    for (media_type, content) in contents.into_iter().flatten() {
        if media_type.ends_with("json") {
            add_example(content, schemas);
        }
    }
}

fn add_example(of: &mut Value, schemas: &Value) {
    if of.get("examples").is_none()
        && of.get("example").is_none()
        && let Some(example) = examples::of(&of["schema"], schemas)
    {
        of["example"] = example;
    }
}
