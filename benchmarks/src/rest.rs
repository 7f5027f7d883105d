//! REST on one blocking connection: for what has to be there before a load.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

/// How often a request is repeated that was refused with 503 or 429.
const ATTEMPTS: usize = 100;

const RETRY_DELAY: Duration = Duration::from_millis(50);

/// A connection that is kept.
pub(crate) struct Rest {
    stream: BufReader<TcpStream>,
}

/// A user who has logged in.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Rest {
    pub(crate) fn connect(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let stream = BufReader::new(stream);
        Ok(Self { stream })
    }

    /// Sends a request and returns the status and the body of the answer.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let authorization = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<(u16, Vec<u8>)> {
        let (mut status, mut len) = (None, 0);
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line)? > 0, "the server hung up");
            let line = line.trim_end().to_ascii_lowercase();
            if status.is_none() {
                status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
                ensure!(status.is_some(), "no answer in HTTP: {line}");
            } else if let Some(value) = line.strip_prefix("content-length:") {
                len = value.trim().parse()?;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body)?;
        Ok((status.context("a status")?, body))
    }

    /// Posts, patiently where the server is busy.
    pub(crate) fn post(&mut self, path: &str, token: &str, body: &Value) -> anyhow::Result<Value> {
        let body = body.to_string();
        for _ in 0..ATTEMPTS {
            match self.call("POST", path, token, &body)? {
                (200..300, answer) => {
                    return Ok(serde_json::from_slice(&answer).unwrap_or_default());
                }
                (429 | 503, _) => std::thread::sleep(RETRY_DELAY),
                (status, answer) => {
                    bail!("{path}: {status} {}", String::from_utf8_lossy(&answer))
                }
            }
        }
        bail!("{path}: the server is busy for ever")
    }

    pub(crate) fn register(&mut self, name: &str) -> anyhow::Result<User> {
        let account = json!({ "email": format!("{name}@example.com"), "password": "password" });
        let user = self.post("/auth/register", "", &account)?;
        let grant = self.post("/auth/login", "", &account)?;
        Ok(User {
            id: text(&user, "id")?,
            token: text(&grant, "accessToken")?,
        })
    }

    pub(crate) fn make_room(&mut self, owner: &User) -> anyhow::Result<String> {
        let room = self.post("/rooms", &owner.token, &json!({ "name": "benchmark" }))?;
        text(&room, "id")
    }

    pub(crate) fn join(&mut self, user: &User, room: &str) -> anyhow::Result<()> {
        self.post(&format!("/rooms/{room}/join"), &user.token, &json!({}))?;
        Ok(())
    }
}

fn text(value: &Value, key: &str) -> anyhow::Result<String> {
    let text = value[key].as_str();
    Ok(text
        .with_context(|| format!("no {key}: {value}"))?
        .to_owned())
}
