//! The AsyncAPI document: laid out by hand, its schemas made from the types of the frames.

mod frames;

use serde_json::{Map, Value, json};
use utoipa::openapi::{ComponentsBuilder, RefOr, Schema};

use self::frames::{CLIENT, Data, Event, SERVER};
use super::examples;
use crate::{
    protocol::{
        AUTH_TIMEOUT, HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT, MAX_FRAGMENTS, MAX_FRAME_BYTES,
        MAX_QUEUED_BYTES, MAX_REPLAY, client::RequestId, close::CloseCode,
    },
    specifications::schemas::described,
};

/// What a reader needs to know before any event.
const ABOUT: &str = "\
Each text frame is one JSON object: `{\"event\": string, \"data\": object, \"id\"?: string|number}`. A reply carries the \
`id` of the request it answers; a request without one is answered without. Replies to different requests may come in \
any order; the sends of one socket are stored in the order in which they were sent. New members may appear in any \
payload: ignore what you do not know.

**Authentication**, one of three: `Authorization: Bearer <token>` on the handshake; the subprotocols \
`roomcast.v1, bearer.<token>`, of which the server selects the first; or a first frame `authenticate` within 5 s.

**What is promised.** In a room, `seq` is 1, 2, 3, … without a gap, the same for every observer, and in the order of \
`id`. A client that stays joined, or comes back with `after`, sees every stored message of its rooms, in order; what \
it drops by `seq <= last` it sees exactly once. The same room, sender and `clientMsgId` are stored once, for ever. \
`retryable: true` means: unknown or not stored, repeat with the same `clientMsgId`; only `false` promises that it is \
not and will not be stored.

What is asked now and then goes by REST: see `/openapi.json`.";

/// Makes the document.
///
/// # Panics
/// Never: what describes the frames is JSON.
#[must_use]
pub fn asyncapi() -> Value {
    let schemas = schemas();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "roomcast: the WebSocket",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": "{host}",
                "protocol": "ws",
                "description": "The server that this document comes from; `wss` behind a proxy that does TLS.",
                "variables": { "host": { "default": "localhost:3000" } },
                "security": [{ "$ref": "#/components/securitySchemes/bearer" }],
            },
        },
        "channels": {
            "socket": {
                "address": "/ws",
                "title": "The socket",
                "description": "One for each device. It carries any number of rooms. `ready` tells the limits that are settings.",
                "messages": references(),
                "bindings": { "ws": { "method": "GET", "headers": handshake() } },
                "x-limits": limits(),
                "x-close-codes": close_codes(),
            },
        },
        "operations": operations(),
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of `/auth/login`.",
                },
            },
            "messages": messages(&schemas),
            "schemas": schemas,
        },
    })
}

/// The schemas of the data of every event, and of their parts.
fn schemas() -> Value {
    let mut named = Vec::new();
    for event in CLIENT.iter().chain(SERVER) {
        (event.data.collect)(&mut named);
    }
    (Data::of::<RequestId>().collect)(&mut named);
    let components = named.into_iter().fold(
        ComponentsBuilder::new(),
        |components, (name, schema): (String, RefOr<Schema>)| components.schema(name, schema),
    );
    let components = serde_json::to_value(components.build());
    components.expect("keys are strings, numbers finite")["schemas"].clone()
}

fn references() -> Value {
    let keys = CLIENT.iter().chain(SERVER).map(Event::key);
    let references = keys.map(|key| {
        let reference = json!({ "$ref": format!("#/components/messages/{key}") });
        (key, reference)
    });
    Value::Object(references.collect())
}

fn messages(schemas: &Value) -> Value {
    let messages = CLIENT.iter().chain(SERVER);
    let messages = messages.map(|event| (event.key(), message(event, schemas)));
    Value::Object(messages.collect())
}

fn message(event: &Event, schemas: &Value) -> Value {
    let data = json!({ "$ref": format!("#/components/schemas/{}", (event.data.name)()) });
    let mut example = json!({ "event": event.name, "data": examples::of(&data, schemas) });
    let mut properties = json!({
        "event": { "type": "string", "const": event.name },
        "data": data,
    });
    if event.has_id {
        properties["id"] = json!({ "$ref": "#/components/schemas/RequestId" });
        example["id"] = json!(1);
    }
    let required = match event.needs_data {
        true => json!(["event", "data"]),
        false => json!(["event"]),
    };
    json!({
        "name": event.name,
        "title": event.name,
        "summary": event.summary,
        "contentType": "application/json",
        "payload": { "type": "object", "required": required, "properties": properties },
        "examples": [{ "payload": example }],
    })
}

/// What the server does: it receives what clients say, and sends what they did not ask for.
fn operations() -> Value {
    let mut operations = Map::new();
    for event in CLIENT {
        let mut operation = operation("receive", event);
        if !event.replies.is_empty() {
            let replies = SERVER
                .iter()
                .filter(|known| event.replies.contains(&known.name));
            let replies: Vec<Value> = replies.map(in_channel).collect();
            operation["reply"] = json!({ "channel": channel(), "messages": replies });
        }
        operations.insert(event.name.to_owned(), operation);
    }
    for event in SERVER.iter().filter(|event| event.is_pushed) {
        operations.insert(format!("push.{}", event.name), operation("send", event));
    }
    Value::Object(operations)
}

fn operation(action: &str, event: &Event) -> Value {
    json!({
        "action": action,
        "channel": channel(),
        "summary": event.summary,
        "messages": [in_channel(event)],
    })
}

fn channel() -> Value {
    json!({ "$ref": "#/channels/socket" })
}

fn in_channel(event: &Event) -> Value {
    json!({ "$ref": format!("#/channels/socket/messages/{}", event.key()) })
}

fn handshake() -> Value {
    json!({
        "type": "object",
        "properties": {
            "Authorization": { "type": "string", "pattern": "^Bearer .+$" },
            "Sec-WebSocket-Protocol": {
                "type": "string",
                "description": "`roomcast.v1, bearer.<token>`, which is what browsers can do.",
            },
            "Origin": { "type": "string", "description": "The server's own, or on its list." },
        },
    })
}

fn limits() -> Value {
    json!({
        "maxFrameBytes": MAX_FRAME_BYTES,
        "maxFragments": MAX_FRAGMENTS,
        "maxReplay": MAX_REPLAY,
        "maxQueuedBytes": MAX_QUEUED_BYTES,
        "authTimeoutMs": AUTH_TIMEOUT.as_millis() as u64,
        "heartbeatIntervalMs": HEARTBEAT_INTERVAL.as_millis() as u64,
        "heartbeatTimeoutMs": HEARTBEAT_TIMEOUT.as_millis() as u64,
    })
}

fn close_codes() -> Value {
    let codes = CloseCode::ALL.iter();
    let codes = codes.map(|code| (code.number().to_string(), json!(code.reason())));
    Value::Object(codes.collect())
}

/// The data of an event that says all by its name.
struct Nothing;

described!(
    Nothing,
    utoipa::openapi::ObjectBuilder::new().description(Some("An empty object."))
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{client, server::Kind};

    #[test]
    fn every_event_of_the_server_is_described() {
        // Acknowledgements are Socket.IO's own.
        let is_event = |kind: &&Kind| ![Kind::Control, Kind::Ack].contains(*kind);
        let kinds = Kind::ALL.iter().filter(is_event);
        let names: Vec<_> = kinds.map(|kind| kind.name()).collect();
        let described: Vec<_> = SERVER.iter().map(|event| event.name).collect();
        assert_eq!(described, names);
    }

    #[test]
    fn every_example_of_a_client_is_understood() {
        let document = asyncapi();
        for event in CLIENT {
            let payload =
                &document["components"]["messages"][event.key()]["examples"][0]["payload"];
            let request = client::parse(&payload.to_string());
            assert!(request.is_ok(), "{payload}: {request:?}");
        }
    }

    #[test]
    fn every_reply_is_an_event() {
        for event in CLIENT {
            for reply in event.replies {
                assert!(
                    SERVER
                        .iter()
                        .any(|known| known.name == *reply
                            && (known.has_id || *reply == "newMessage")),
                    "{reply}"
                );
            }
        }
    }
}
