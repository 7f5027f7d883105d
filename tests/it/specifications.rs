//! The two specifications are complete and true. That what the server says keeps to them, the
//! harness judges in every test.

use std::{collections::BTreeSet, fs, path::Path};

use reqwest::Method;
use roomcast::specifications;
use serde_json::{Value, json};

use crate::harness::{
    Cli, TestServer,
    specified::{Heard, documented_routes, judge_answer, judge_example, judge_frame},
    uuid,
};

/// Routes of other listeners than the clients', of Engine.IO, which has a specification of its own,
/// and of builds for `dev/conformance`.
const ELSEWHERE: [&str; 4] = ["/metrics", "/debug/actors", "/socket.io/", "/echo"];

fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push_str(&fs::read_to_string(&path).expect("sources are text")),
        }
    }
}

/// The paths that handlers are registered for.
fn registered() -> BTreeSet<String> {
    let mut source = String::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut source,
    );
    let named = source.split("resource(\"").skip(1);
    let paths = named.filter_map(|rest| rest.split('"').next());
    let for_clients = paths.filter(|path| !ELSEWHERE.contains(path));
    for_clients.map(ToOwned::to_owned).collect()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let described: BTreeSet<String> = documented_routes()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(described, registered());
}

#[tokio::test]
async fn every_path_has_the_methods_that_are_described() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    for (path, methods) in documented_routes() {
        let named = path
            .replace("{roomId}", &uuid())
            .replace("{userId}", &uuid())
            .replace("{token}", "x");
        let answer = alice
            .anonymous(Method::PUT, &named, None)
            .await
            .refused(405, "METHOD_NOT_ALLOWED");
        let allowed = answer.header("allow").expect("a 405 says what is allowed");
        let allowed: BTreeSet<&str> = allowed
            .split(", ")
            .filter(|method| *method != "HEAD")
            .collect();
        assert_eq!(
            allowed,
            methods.iter().map(String::as_str).collect(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_served_is_what_is_printed() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    for (path, subcommand) in [("/openapi.json", "openapi"), ("/asyncapi.json", "asyncapi")] {
        let served = alice.anonymous(Method::GET, path, None).await;
        assert_eq!(served.header("content-type"), Some("application/json"));
        let output = Cli::new().run(&[subcommand]);
        assert!(output.status.success(), "{output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
        assert_eq!(served.ok(200), printed);
    }
}

#[test]
fn every_example_keeps_to_its_schema() {
    for document in [specifications::openapi(), specifications::asyncapi()] {
        let mut judged = 0;
        judge_examples(&document, &document, &mut judged);
        assert!(judged > 20, "{judged} examples were found");
    }
}

/// Looks for schemas with examples in or beside them.
fn judge_examples(document: &Value, at: &Value, judged: &mut usize) {
    let Some(object) = at.as_object() else {
        let parts = at.as_array().into_iter().flatten();
        return parts.for_each(|part| judge_examples(document, part, judged));
    };
    let mut judge = |schema: &Value, example: &Value| {
        judge_example(document, schema, example);
        *judged += 1;
    };
    if let Some(schema) = object.get("schema") {
        object
            .get("example")
            .iter()
            .for_each(|example| judge(schema, example));
        let named = object.get("examples").and_then(Value::as_object);
        named
            .into_iter()
            .flatten()
            .for_each(|(_, example)| judge(schema, &example["value"]));
    } else if let Some(payload) = object
        .get("payload")
        .filter(|_| object.contains_key("contentType"))
    {
        let examples = object["examples"].as_array().into_iter().flatten();
        examples.for_each(|example| judge(payload, &example["payload"]));
    } else if let Some(examples) = object.get("examples").and_then(Value::as_array) {
        examples.iter().for_each(|example| judge(at, example));
    }
    object
        .values()
        .for_each(|part| judge_examples(document, part, judged));
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    let page = alice.anonymous(Method::GET, "/docs", None).await;
    let policy = page
        .header("content-security-policy")
        .expect("it has one")
        .to_owned();
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
    let page = page.ok(200);
    let page = page.as_str().expect("HTML");
    for loaded in attributes(page, "src").chain(attributes(page, "href")) {
        assert!(
            loaded.starts_with('/') && !loaded.starts_with("//"),
            "{loaded}"
        );
        alice.anonymous(Method::GET, loaded, None).await.ok(200);
    }
    let scripts = page.split("<script").skip(1);
    for script in scripts {
        assert!(
            script.contains("src=\"") && script.contains("></script>"),
            "{script}"
        );
    }
    assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick"));
}

fn attributes<'a>(page: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!(" {name}=\"");
    let values: Vec<&str> = page.split(&start).skip(1).collect();
    values.into_iter().filter_map(|rest| rest.split('"').next())
}

// ---------------------------------------------------- the judge of all tests

fn heard<'a>(method: &'a str, path: &'a str, status: u16, body: &'a str) -> Heard<'a> {
    Heard {
        method,
        path,
        status,
        header: &header,
        body,
    }
}

fn header(name: &str) -> Option<String> {
    let value = match name {
        "content-type" => "application/json",
        "X-Request-Id" => "x",
        _ => return None,
    };
    Some(value.to_owned())
}

const ACCOUNT: &str =
    r#"{"id":"67e55044-10b1-426f-9247-bb680e5fe0c8","email":"a@example.com","displayName":"A"}"#;

#[test]
fn what_is_declared_passes() {
    judge_answer(&heard("POST", "/auth/register", 201, ACCOUNT));
}

#[test]
#[should_panic(expected = "no such status")]
fn an_undeclared_status_is_noticed() {
    judge_answer(&heard("POST", "/auth/register", 200, ACCOUNT));
}

#[test]
#[should_panic(expected = "does not declare")]
fn an_undeclared_member_is_noticed() {
    let body = ACCOUNT.replace('}', r#","more":1}"#);
    judge_answer(&heard("POST", "/auth/register", 201, &body));
}

#[test]
#[should_panic(expected = "no such operation")]
fn an_undeclared_operation_is_noticed() {
    judge_answer(&heard("PUT", "/me", 200, ACCOUNT));
}

#[test]
#[should_panic(expected = "no such event")]
fn an_undeclared_event_is_noticed() {
    judge_frame(&json!({ "event": "surprise", "data": {} }));
}

#[test]
#[should_panic(expected = "does not declare")]
fn an_undeclared_member_of_a_frame_is_noticed() {
    judge_frame(&json!({ "event": "reconnect", "data": { "afterMs": 1, "more": 2 } }));
}

#[test]
#[should_panic(expected = "does not declare")]
fn a_push_with_an_id_is_noticed() {
    judge_frame(&json!({ "event": "reconnect", "data": { "afterMs": 1 }, "id": 1 }));
}
