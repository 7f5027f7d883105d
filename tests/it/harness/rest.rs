//! A user of the REST API.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use super::{
    TestClient, TestServer, await_until,
    specified::{Heard, judge_answer},
    uuid,
};

/// An answer, read as a whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Sends a request and reads the answer, which has to be one that is specified.
    pub async fn of(request: RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.expect("a request");
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let answer = client.execute(request).await;
        let answer = answer.expect("the server answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("the body is text");
        let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        judge_answer(&Heard {
            method: method.as_str(),
            path: &path,
            status,
            header: &header,
            body: &text,
        });
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self {
            status,
            headers,
            body,
        }
    }

    /// Asserts a success; returns the body.
    #[track_caller]
    pub fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// Asserts a refusal of the shape that every refusal has.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status, &self.body["code"]),
            (status, &json!(code)),
            "{:#}",
            self.body
        );
        let content_type = self.header("content-type");
        assert_eq!(content_type, Some("application/problem+json"));
        for member in ["type", "title", "detail"] {
            assert!(self.body[member].is_string(), "{member} in {:#}", self.body);
        }
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["message"], self.body["detail"]);
        self
    }

    /// Returns a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Somebody with an account and a token.
#[derive(Clone)]
pub struct TestUser {
    pub id: String,
    pub email: String,
    pub password: String,
    pub token: String,
    base: String,
    ws_url: String,
    http: Client,
}

impl TestUser {
    /// Registers and logs in; the address is unique.
    pub async fn register(server: &TestServer, name: &str) -> Self {
        // The server closes an idle connection after five seconds, maybe just as it is used again.
        let http = Client::builder().pool_idle_timeout(Duration::from_secs(2));
        let (http, base) = (http.build().expect("a client"), server.url(""));
        let email = format!("{name}-{}@example.com", uuid());
        let password = "correct horse battery".to_owned();
        let body = json!({ "email": email, "password": password, "displayName": name });
        let registering = http.post(format!("{base}/auth/register")).json(&body);
        let registered = Answer::of(registering).await.ok(201);
        let mut user = Self {
            id: registered["id"].as_str().expect("an id").to_owned(),
            email,
            password,
            token: String::new(),
            base,
            ws_url: server.ws_url(),
            http,
        };
        user.token = user.log_in().await;
        user
    }

    /// Logs in once more; returns the new token.
    pub async fn log_in(&self) -> String {
        let body = json!({ "email": self.email, "password": self.password });
        let answer = self
            .anonymous(Method::POST, "/auth/login", Some(body))
            .await
            .ok(200);
        answer["accessToken"].as_str().expect("a token").to_owned()
    }

    /// Returns the same user with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// Returns the same user on a server that was restarted elsewhere.
    pub fn at(&self, server: &TestServer) -> Self {
        Self {
            base: server.url(""),
            ws_url: server.ws_url(),
            ..self.clone()
        }
    }

    /// Returns the WebSocket's URL.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// Prepares a request with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        self.http.request(method, url).bearer_auth(&self.token)
    }

    /// Sends a request without a token.
    pub async fn anonymous(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.base));
        Answer::of(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    /// Posts without a body.
    pub async fn post_empty(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::POST, path)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// Creates a public room; returns its id.
    pub async fn room(&self, name: &str) -> String {
        let room = self.post("/rooms", json!({ "name": name })).await.ok(201);
        room["id"].as_str().expect("an id").to_owned()
    }

    /// Creates a private room; returns its id.
    pub async fn private_room(&self, name: &str) -> String {
        let body = json!({ "name": name, "visibility": "private" });
        let room = self.post("/rooms", body).await.ok(201);
        room["id"].as_str().expect("an id").to_owned()
    }

    /// Creates a public room with others in it; returns its id.
    pub async fn room_with(&self, others: &[&Self]) -> String {
        let room = self.room("room").await;
        for other in others {
            other.join(&room).await;
        }
        room
    }

    /// Becomes a member of a public room.
    pub async fn join(&self, room: &str) -> Value {
        self.post_empty(&format!("/rooms/{room}/join"))
            .await
            .ok(201)
    }

    /// Sends a message by REST; returns its client message id.
    pub async fn say(&self, room: &str, content: &str) -> String {
        let id = uuid();
        let body = json!({ "clientMsgId": id, "type": "TEXT", "content": content });
        let status = StatusCode::ACCEPTED.as_u16();
        self.post(&format!("/rooms/{room}/messages"), body)
            .await
            .ok(status);
        id
    }

    /// Reads the newest page of a room.
    pub async fn history(&self, room: &str) -> Vec<Value> {
        let page = self
            .get(&format!("/rooms/{room}/messages?limit=100"))
            .await
            .ok(200);
        page.as_array().expect("an array").clone()
    }

    /// Reads a room from its first message to its last, page by page.
    pub async fn whole_history(&self, room: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        let mut after = "00000000000000000000000000".to_owned();
        loop {
            let path = format!("/rooms/{room}/messages?limit=100&after={after}");
            let page = self.get(&path).await;
            let more = page.header("x-has-more") == Some("true");
            let page = page.ok(200);
            all.extend(page.as_array().expect("an array").iter().cloned());
            if let Some(last) = all.last() {
                after = last["id"].as_str().expect("an id").to_owned();
            }
            if !more {
                return all;
            }
        }
    }

    /// Returns whether a member of a room is online, as this user is told. It is unknown for once
    /// where presence did not answer in time.
    pub async fn sees_online(&self, room: &str, member: &Self) -> bool {
        let path = format!("/rooms/{room}/members");
        await_until("presence to be known", || async {
            let members = self.get(&path).await.ok(200);
            let mut members = members.as_array().expect("an array").iter();
            let found = members.find(|found| found["userId"] == member.id);
            match &found.expect("a member")["online"] {
                Value::Null => None,
                online => Some(online.as_bool().expect("true or false")),
            }
        })
        .await
    }

    /// Opens a WebSocket with the token on the handshake and waits for `ready`.
    pub async fn connect(&self) -> TestClient {
        TestClient::connect(&self.ws_url, &self.token).await
    }

    /// Opens a WebSocket and joins a room on it, without replay.
    pub async fn connect_to(&self, room: &str) -> TestClient {
        let mut client = self.connect().await;
        client.join(room).await;
        client
    }
}
