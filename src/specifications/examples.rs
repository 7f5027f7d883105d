//! Examples where readers look for them: beside each body, made from those of its schema's parts.

use serde_json::{Map, Value, json};

/// Makes an example of a schema of a document; `None` where none of its parts has one.
pub(super) fn of(schema: &Value, schemas: &Value) -> Option<Value> {
    if let Some(example) = schema.pointer("/examples/0").or(schema.get("example")) {
        return Some(example.clone());
    }
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        return Some(default.clone());
    }
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next()?;
        return of(schemas.get(name)?, schemas);
    }
    if let Some(first) = schema.pointer("/enum/0") {
        return Some(first.clone());
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(options) = schema[choice].as_array() {
            let is_null = |option: &&Value| option["type"] == "null";
            return of(options.iter().find(|option| !is_null(option))?, schemas);
        }
    }
    of_type(schema, schemas)
}

fn of_type(schema: &Value, schemas: &Value) -> Option<Value> {
    // A type that may be null too is a list.
    let kind = schema["type"].as_str().or(schema["type"][0].as_str())?;
    Some(match kind {
        "object" => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let parts = properties.into_iter().flatten();
            let parts = parts.filter_map(|(name, part)| Some((name.clone(), of(part, schemas)?)));
            Value::Object(parts.collect::<Map<_, _>>())
        }
        "array" => json!([of(&schema["items"], schemas)?]),
        "string" => json!("…"),
        "boolean" => json!(true),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        _ => return None,
    })
}
