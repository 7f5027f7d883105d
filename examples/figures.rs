//! Prints the figures that embedded mode is held to, measured on the machine it runs on.
//!
//! `cargo build --release && cargo run --release --example figures -- target/release/roomcast`
//!
//! Each is taken from a server process of its own on a fresh folder, limits switched off: the time
//! from its start until it is ready, the resident memory of idle signed-in sockets, and messages
//! accepted and delivered a second with many senders. Wall-clock figures of a shared machine: read
//! them as an order of magnitude.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt, future::try_join_all};
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

const IDLE_SOCKETS: usize = 2_000;
const SENDERS: usize = 100;
const MESSAGES_EACH: usize = 300;

/// Messages of one sender that wait for their acknowledgement.
const WINDOW: usize = 16;

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

struct Server {
    child: Child,
    base: String,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server; returns how long it took until it was ready.
    async fn start(binary: &str) -> Result<(Self, Duration)> {
        let folder = tempfile::tempdir()?;
        let limits = [
            "SEND_BURST",
            "JOIN_BURST",
            "FRAME_BURST",
            "SOCKETS_PER_USER",
            "HANDSHAKES_PER_S",
        ];
        let began = Instant::now();
        let mut child = Command::new(binary)
            .args(["dev", "--port", "0", "--metrics-addr", "off", "--data-dir"])
            .arg(folder.path())
            .env("BCRYPT_COST", "4")
            .env("RUST_LOG", "warn")
            .envs(limits.map(|name| (format!("LIMIT_{name}"), "0")))
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = BufReader::new(child.stderr.take().context("stderr is piped")?);
        let base = stderr
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.trim_start()
                    .strip_prefix("page")?
                    .trim()
                    .strip_suffix('/')
                    .map(str::to_owned)
            })
            .context("the server did not say where it listens")?;
        let http = reqwest::Client::new();
        while !http
            .get(format!("{base}/health/ready"))
            .send()
            .await?
            .status()
            .is_success()
        {}
        let server = Self {
            child,
            base,
            http,
            _folder: folder,
        };
        Ok((server, began.elapsed()))
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> Result<Value> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(token)
            .json(&body);
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.json().await.unwrap_or(Value::Null))
    }

    async fn user(&self, name: &str) -> Result<String> {
        let account = json!({ "email": format!("{name}@example.com"), "password": "password" });
        self.post("/auth/register", "", account.clone()).await?;
        let grant = self.post("/auth/login", "", account).await?;
        Ok(grant["accessToken"].as_str().context("a token")?.to_owned())
    }

    async fn connect(&self, token: &str) -> Result<Socket> {
        let url = format!("{}/ws", self.base.replacen("http", "ws", 1));
        let (mut socket, _) = connect_async(url).await?;
        let frame = json!({ "event": "authenticate", "data": { "token": token } });
        socket.send(Message::text(frame.to_string())).await?;
        next(&mut socket, "ready").await?;
        Ok(socket)
    }

    fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .context("VmRSS")?;
        Ok(line
            .split_whitespace()
            .nth(1)
            .context("a number")?
            .parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have died by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until a frame of an event.
async fn next(socket: &mut Socket, event: &str) -> Result<Value> {
    loop {
        let message = socket.next().await.context("the socket closed")??;
        if let Message::Text(text) = message {
            let frame: Value = serde_json::from_str(&text)?;
            if frame["event"] == event {
                return Ok(frame);
            }
        }
    }
}

/// Sends messages with a window of unacknowledged ones; ends when the last is stored.
async fn chat(mut socket: Socket, room: String) -> Result<()> {
    let (mut sent, mut accepted, mut stored) = (0, 0, 0);
    while stored < MESSAGES_EACH {
        while sent < MESSAGES_EACH && sent - accepted < WINDOW {
            let data = json!({ "roomId": room, "clientMsgId": uuid::Uuid::new_v4(), "type": "TEXT", "content": "a message of an ordinary length, as people write them" });
            socket
                .feed(Message::text(
                    json!({ "event": "sendMessage", "data": data }).to_string(),
                ))
                .await?;
            sent += 1;
        }
        socket.flush().await?;
        let Message::Text(text) = socket.next().await.context("the socket closed")?? else {
            continue;
        };
        accepted += usize::from(text.contains("\"messageAccepted\""));
        stored += usize::from(text.contains("\"newMessage\""));
        anyhow::ensure!(!text.contains("\"messageFailed\""), "{text}");
    }
    Ok(())
}

async fn idle_memory(binary: &str) -> Result<f64> {
    let (server, _) = Server::start(binary).await?;
    let token = server.user("idle").await?;
    let warm_up = try_join_all((0..50).map(|_| server.connect(&token))).await?;
    let before = server.resident_kib()?;
    let mut sockets = Vec::new();
    for _ in 0..IDLE_SOCKETS / 50 {
        sockets.extend(try_join_all((0..50).map(|_| server.connect(&token))).await?);
    }
    let grown = server.resident_kib()?.saturating_sub(before);
    drop(warm_up);
    Ok(grown as f64 / sockets.len() as f64)
}

async fn throughput(binary: &str) -> Result<f64> {
    let (server, _) = Server::start(binary).await?;
    let server = Arc::new(server);
    let mut chats = Vec::new();
    for n in 0..SENDERS {
        let token = server.user(&format!("sender{n}")).await?;
        let room = server
            .post("/rooms", &token, json!({ "name": "room" }))
            .await?;
        let room = room["id"].as_str().context("an id")?.to_owned();
        let mut socket = server.connect(&token).await?;
        let join = json!({ "event": "joinRoom", "data": { "roomId": room } });
        socket.send(Message::text(join.to_string())).await?;
        next(&mut socket, "roomJoined").await?;
        chats.push((socket, room));
    }
    let began = Instant::now();
    let tasks = chats
        .into_iter()
        .map(|(socket, room)| tokio::spawn(chat(socket, room)));
    for ended in try_join_all(tasks).await? {
        ended?;
    }
    Ok((SENDERS * MESSAGES_EACH) as f64 / began.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() -> Result<()> {
    let binary = std::env::args()
        .nth(1)
        .context("usage: figures PATH_OF_ROOMCAST")?;
    let (server, ready) = Server::start(&binary).await?;
    drop(server);
    println!(
        "ready on an empty folder after     {:>8.0} ms",
        ready.as_secs_f64() * 1e3
    );
    println!(
        "resident memory per idle socket    {:>8.1} KiB ({IDLE_SOCKETS} sockets)",
        idle_memory(&binary).await?
    );
    println!(
        "accepted, stored and delivered     {:>8.0} messages a second ({SENDERS} senders, {WINDOW} under way each)",
        throughput(&binary).await?
    );
    Ok(())
}
