//! What is written into log lines, and above all what is not.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Cli, ServerOptions, TestClient, TestServer, TestUser, await_until, draft, uuid,
};

/// A server that logs as much as operators are told to let it.
async fn talkative(format: &str) -> TestServer {
    let options = ServerOptions::new().env("RUST_LOG", "debug");
    options.env("LOG_FORMAT", format).start().await
}

/// The lines that are JSON: all but the banner's.
fn objects(server: &TestServer) -> Vec<Value> {
    let lines = server.log();
    let objects = lines.iter().filter(|line| line.starts_with('{'));
    objects
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

#[tokio::test]
async fn every_line_of_json_is_an_object_with_the_same_names() {
    let server = talkative("json").await;
    let ada = server.user("ada").await;
    let asked = ada
        .request(Method::GET, "/me")
        .header("X-Request-Id", "a-request.1");
    let answer = Answer::of(asked).await;
    assert_eq!(answer.header("x-request-id"), Some("a-request.1"));
    // Its lines are read beside the test.
    let objects = await_until("the line of GET /me", async || {
        let objects = objects(&server);
        let is_logged = objects.iter().any(|it| it["message"] == "GET /me");
        is_logged.then_some(objects)
    })
    .await;
    for object in &objects {
        for name in ["time", "level", "target", "message"] {
            assert!(object[name].is_string(), "{name} in {object}");
        }
    }
    let logged = |message: &str| objects.iter().find(|it| it["message"] == message);
    assert!(logged("user registered").expect("a line")["user"] == ada.id);
    let line = logged("GET /me").expect("a line");
    assert_eq!(
        (&line["request"], &line["status"]),
        (&json!("a-request.1"), &json!(200))
    );
    assert!(line["ms"].is_u64(), "{line}");
}

#[tokio::test]
async fn what_is_logged_while_a_request_is_answered_has_its_id() {
    let server = talkative("text").await;
    let ada = server.user("ada").await;
    let login = json!({ "email": ada.email, "password": ada.password });
    let asked = ada.request(Method::POST, "/auth/login").json(&login);
    let answer = Answer::of(asked.header("X-Request-Id", "of-this-login")).await;
    assert_eq!(answer.status, 200);
    let is_ours =
        |line: &String| line.contains("user logged in") && line.contains("request=of-this-login");
    await_until("a line with the id of the request", async || {
        server.log().into_iter().find(is_ours)
    })
    .await;
}

#[tokio::test]
async fn a_request_id_that_is_none_is_replaced() {
    let server = TestServer::start().await;
    let ada = server.user("ada").await;
    let answer = ada.get("/me").await;
    let made = answer.header("x-request-id").expect("an id").to_owned();
    let asked = ada
        .request(Method::GET, "/me")
        .header("X-Request-Id", "two words");
    let other = Answer::of(asked).await;
    let other = other.header("x-request-id").expect("an id");
    assert!(other != "two words" && other != made);
}

/// Strings that nobody else writes: where one is found, it has leaked.
struct Canaries {
    password: String,
    new_password: String,
    content: String,
    bad_token: String,
}

impl Canaries {
    fn new() -> Self {
        let canary = |what: &str| format!("canary-{what}-{}", uuid());
        Self {
            password: canary("password"),
            new_password: canary("new-password"),
            content: canary("content"),
            bad_token: canary("token"),
        }
    }
}

/// Has the server see every canary: accepted, refused, by REST and by WebSocket. Returns what
/// refusals said, and the tokens.
async fn release(server: &TestServer, canaries: &Canaries) -> (String, Vec<String>) {
    let email = format!("{}@example.com", uuid());
    let somebody = server.user("somebody").await;
    let mut said = String::new();
    let mut post = async |user: &TestUser, path: &str, body: Value, status: u16| {
        let answer = Answer::of(user.request(Method::POST, path).json(&body)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        if status >= 400 {
            said.push_str(&format!("{}\n", answer.body));
            for name in ["www-authenticate", "location", "x-request-id", "link"] {
                said.push_str(answer.header(name).unwrap_or_default());
            }
        }
        answer.body
    };
    let Canaries {
        password,
        new_password,
        content,
        bad_token,
    } = canaries;
    let account = json!({ "email": email, "password": password });
    post(&somebody, "/auth/register", account.clone(), 201).await;
    post(&somebody, "/auth/register", account.clone(), 409).await;
    let wrong = json!({ "email": email, "password": new_password });
    post(&somebody, "/auth/login", wrong, 401).await;
    let wrong = json!({ "email": [email], "password": { "is": password } });
    post(&somebody, "/auth/login", wrong, 400).await;
    let granted = post(&somebody, "/auth/login", account, 200).await;
    let token = granted["accessToken"].as_str().expect("a token").to_owned();
    let ada = somebody.with_token(&token);
    let room = ada.room("room").await;
    let messages = format!("/rooms/{room}/messages");
    post(&ada, &messages, draft(&room, content), 202).await;
    let wrong = json!({ "clientMsgId": uuid(), "type": "VIDEO", "content": content });
    post(&ada, &messages, wrong, 400).await;
    let change = json!({ "current": bad_token, "new": new_password });
    post(&ada, "/me/password", change, 401).await;
    let change = json!({ "current": password, "new": new_password });
    post(&ada, "/me/password", change, 204).await;
    let forged = somebody.with_token(bad_token);
    post(&forged, "/rooms", json!({ "name": content }), 401).await;

    let mut socket = ada.connect_to(&room).await;
    socket.say(&room, content).await;
    socket
        .ask("sendMessage", draft(&uuid(), content), "messageFailed")
        .await;
    socket
        .send_text(format!("{{\"event\": \"{content}\""))
        .await;
    said.push_str(&socket.expect("error").await.to_string());
    socket
        .send("authenticate", json!({ "token": bad_token }))
        .await;
    said.push_str(&socket.expect("error").await.to_string());
    let request = TestClient::request(&server.ws_url(), Some(bad_token));
    assert!(
        TestClient::open(request).await.is_err(),
        "a forged handshake"
    );
    (said, vec![token, somebody.token.clone()])
}

#[tokio::test]
async fn no_secret_and_no_content_is_in_logs_metrics_headers_or_errors() {
    for format in ["text", "json"] {
        let server = talkative(format).await;
        let canaries = Canaries::new();
        let (said, tokens) = release(&server, &canaries).await;
        let metrics = reqwest::get(server.metrics_url()).await.expect("metrics");
        let metrics = metrics.text().await.expect("text");
        let actors = server.metrics_url().replace("/metrics", "/debug/actors");
        let actors = reqwest::get(actors).await.expect("actors");
        let actors = actors.text().await.expect("text");
        let log = server.log().join("\n");
        assert!(
            log.contains("POST /auth/login"),
            "requests are logged:\n{log}"
        );
        let Canaries {
            password,
            new_password,
            content,
            bad_token,
        } = &canaries;
        let mut secrets = vec![password, new_password, content, bad_token];
        secrets.extend(&tokens);
        let signing = server.ground().secret();
        secrets.push(&signing);
        let places = [
            ("log", &log),
            ("metrics", &metrics),
            ("actors", &actors),
            ("errors", &said),
        ];
        for (place, text) in places {
            for secret in &secrets {
                assert!(
                    !text.contains(secret.as_str()),
                    "{secret} in {place}:\n{text}"
                );
            }
        }
    }
}

#[test]
fn no_password_of_a_connection_is_told_when_nobody_is_there() {
    let secret = format!("canary-{}", uuid());
    let cli = Cli::new()
        .env(
            "DATABASE_URL",
            format!("postgres://user:{secret}@127.0.0.1:1/chat"),
        )
        .env("REDIS_URL", format!("redis://user:{secret}@127.0.0.1:1/0"))
        .env("KAFKA_BROKERS", "127.0.0.1:1")
        .env("JWT_SECRET", format!("{secret}{secret}"))
        .env("START_TIMEOUT_S", 1)
        .env("RUST_LOG", "debug");
    let calls: [&[&str]; 3] = [
        &["check-config"],
        &["migrate"],
        &[
            "serve",
            "--role",
            "all",
            "--port",
            "0",
            "--metrics-addr",
            "off",
        ],
    ];
    for args in calls {
        let output = cli.run(args);
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8(text).expect("text");
            assert!(!text.contains(&secret), "{args:?}: {text}");
        }
    }
}
