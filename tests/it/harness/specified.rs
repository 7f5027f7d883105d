//! The server's own specifications as the judge of all that the suite hears it say. Of a shape
//! that is told, nothing may be left out, and nothing that is not told may be in it: the documents
//! allow clients to be given more, and here that means that a document has been forgotten.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::{Draft, Validator};
use roomcast::specifications;
use serde_json::{Map, Value, json};

/// What OpenAPI calls the methods that it describes here.
const METHODS: [&str; 4] = ["get", "post", "patch", "delete"];

static SPECIFIED: LazyLock<Specified> = LazyLock::new(Specified::new);

struct Specified {
    rest: Value,
    socket: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// An answer of REST, whoever read it.
pub struct Heard<'a> {
    pub method: &'a str,
    /// Without a query.
    pub path: &'a str,
    pub status: u16,
    pub header: &'a dyn Fn(&str) -> Option<String>,
    pub body: &'a str,
}

/// Panics over an answer that the OpenAPI document does not declare.
#[track_caller]
pub fn judge_answer(heard: &Heard<'_>) {
    if let Err(why) = SPECIFIED.answer(heard) {
        let Heard {
            method,
            path,
            status,
            body,
            ..
        } = heard;
        panic!("/openapi.json does not declare {method} {path} -> {status}: {why}\n{body}");
    }
}

/// Panics over a frame that the AsyncAPI document does not declare.
#[track_caller]
pub fn judge_frame(frame: &Value) {
    if let Err(why) = SPECIFIED.frame(frame) {
        panic!("/asyncapi.json does not declare {frame}: {why}");
    }
}

/// Panics over an example that does not keep to its schema; `document` is where `$ref`s lead.
#[track_caller]
pub fn judge_example(document: &Value, schema: &Value, example: &Value) {
    let validator = validator(document, schema);
    let faults: Vec<String> = validator
        .iter_errors(example)
        .map(|fault| fault.to_string())
        .collect();
    assert!(
        faults.is_empty(),
        "{example} does not keep to {schema}: {faults:?}"
    );
}

impl Specified {
    fn new() -> Self {
        let closed = |mut document: Value| {
            let schemas = document["components"]["schemas"].as_object_mut();
            schemas
                .into_iter()
                .flat_map(Map::values_mut)
                .for_each(|schema| close(schema, true));
            document
        };
        Self {
            rest: closed(specifications::openapi()),
            socket: closed(specifications::asyncapi()),
            validators: Mutex::default(),
        }
    }

    fn answer(&self, heard: &Heard<'_>) -> Result<(), String> {
        // Preflights are CORS's own, Engine.IO has a specification of its own.
        if heard.method == "OPTIONS" || heard.path.starts_with("/socket.io") {
            return Ok(());
        }
        let is_head = heard.method == "HEAD";
        let method = if is_head {
            "get".to_owned()
        } else {
            heard.method.to_lowercase()
        };
        let paths = self.rest["paths"].as_object().ok_or("it has no paths")?;
        // A path of no placeholders is meant before one that fits by them.
        let mut templates: Vec<&String> = paths
            .keys()
            .filter(|template| fits(template, heard.path))
            .collect();
        templates.sort_by_key(|template| template.contains('{'));
        let Some(template) = templates.first() else {
            return self.unknown(heard, &[404, 405, 413]);
        };
        let operation = &paths[*template][&method];
        if operation.is_null() {
            return self.unknown(heard, &[405, 413]);
        }
        let response = &operation["responses"][heard.status.to_string()];
        if response.is_null() {
            return Err("no such status".into());
        }
        self.headers(response, heard)?;
        if is_head || heard.body.is_empty() {
            return Ok(());
        }
        let content = (heard.header)("content-type").unwrap_or_default();
        let essence = content.split(';').next().unwrap_or_default();
        let schema = &response["content"][essence]["schema"];
        if schema.is_null() {
            return Err(format!("no body of type {content:?}"));
        }
        if !essence.ends_with("json") {
            return Ok(());
        }
        let key = format!("{template} {method} {} {essence}", heard.status);
        self.keeps(&key, &self.rest, schema, &parse(heard.body)?)
    }

    /// What is no operation is refused, unless it is a file of the page.
    fn unknown(&self, heard: &Heard<'_>, refusals: &[u16]) -> Result<(), String> {
        let is_file = heard.path.contains('.') && matches!(heard.status, 200 | 304);
        if is_file && ["GET", "HEAD"].contains(&heard.method) {
            return Ok(());
        }
        if !refusals.contains(&heard.status) {
            return Err("no such operation".into());
        }
        if heard.method == "HEAD" {
            return Ok(());
        }
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        self.keeps("Problem", &self.rest, &schema, &parse(heard.body)?)
    }

    fn headers(&self, response: &Value, heard: &Heard<'_>) -> Result<(), String> {
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let Some(value) = (heard.header)(name) else {
                if header["required"] == true {
                    return Err(format!("no {name}"));
                }
                continue;
            };
            let value = match header["schema"]["type"].as_str() {
                Some("integer" | "boolean") => parse(&value)?,
                _ => Value::String(value),
            };
            let key = format!("header {}", header["schema"]);
            self.keeps(&key, &self.rest, &header["schema"], &value)?;
        }
        Ok(())
    }

    fn frame(&self, frame: &Value) -> Result<(), String> {
        let event = frame["event"].as_str().ok_or("no event")?;
        let key = format!("server.{event}");
        let message = &self.socket["components"]["messages"][&key];
        if message.is_null() {
            return Err("no such event".into());
        }
        self.keeps(&key, &self.socket, &message["payload"], frame)
    }

    fn keeps(
        &self,
        key: &str,
        document: &Value,
        schema: &Value,
        value: &Value,
    ) -> Result<(), String> {
        let known = self.validators.lock().expect("no panic").get(key).cloned();
        let validator = known.unwrap_or_else(|| {
            let mut schema = schema.clone();
            close(&mut schema, false);
            let made = Arc::new(validator(document, &schema));
            let mut known = self.validators.lock().expect("no panic");
            known.insert(key.to_owned(), Arc::clone(&made));
            made
        });
        let faults: Vec<String> = validator
            .iter_errors(value)
            .map(|fault| format!("{} at {:?}", fault, fault.instance_path().to_string()))
            .collect();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults.join("; ")),
        }
    }
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))
}

fn validator(document: &Value, schema: &Value) -> Validator {
    let mut whole = schema.clone();
    whole["components"] = json!({ "schemas": document["components"]["schemas"] });
    let options = jsonschema::options().with_draft(Draft::Draft202012);
    let built = options.should_validate_formats(true).build(&whole);
    built.expect("the document holds schemas")
}

/// Returns whether a path is one of a template's.
fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given))
                if wanted == given || (wanted.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}

/// Refuses members that are not told, wherever a shape is used: `$ref` and all. A named shape
/// itself stays open, for another may be made of it.
fn close(schema: &mut Value, is_open: bool) {
    match schema {
        Value::Object(object) => {
            let is_shape = ["$ref", "properties", "allOf"]
                .iter()
                .any(|key| object.contains_key(*key));
            if is_shape && !is_open {
                object.insert("unevaluatedProperties".to_owned(), json!(false));
            }
            close_parts(object);
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| close(part, is_open)),
        _ => {}
    }
}

fn close_parts(object: &mut Map<String, Value>) {
    for (key, part) in object.iter_mut() {
        match key.as_str() {
            // Names of members or of shapes, not a schema.
            "properties" => part
                .as_object_mut()
                .into_iter()
                .flat_map(Map::values_mut)
                .for_each(|part| close(part, false)),
            "items" | "additionalProperties" | "oneOf" | "anyOf" => close(part, false),
            "allOf" => close(part, true),
            _ => {}
        }
    }
}

/// The methods that the document has for each path, in capitals.
pub fn documented_routes() -> Vec<(String, Vec<String>)> {
    let paths = SPECIFIED.rest["paths"].as_object().expect("it has paths");
    let routes = paths.iter().map(|(path, operations)| {
        let methods = METHODS
            .iter()
            .filter(|method| !operations[**method].is_null());
        (
            path.clone(),
            methods.map(|method| method.to_uppercase()).collect(),
        )
    });
    routes.collect()
}
