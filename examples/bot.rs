//! A bot that answers `!echo …`, each one once: it hears by WebSocket and answers by REST.
//! `ROOMCAST_TOKEN=$(roomcast token bot@example.com) cargo run --example bot -- URL ROOM_ID`
//! Its user has to be a member of the room.

use std::{convert::Infallible, env, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite as ws, tungstenite::client::IntoClientRequest};

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let (url, room) = args.next().zip(args.next()).context("bot URL ROOM_ID")?;
    let mut last = None;
    loop {
        let Err(error) = listen(url.trim_end_matches('/'), &room, &mut last).await;
        if let Some(ws::Error::Http(refusal)) = error.downcast_ref() {
            ensure!(refusal.status() != 401, "the token is refused");
        }
        eprintln!("offline: {error}");
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..2_000))).await;
    }
}

/// Runs until something fails. `last` is the seq that is dealt with; the rest comes again next time.
async fn listen(url: &str, room: &str, last: &mut Option<u64>) -> Result<Infallible> {
    let bearer = format!("Bearer {}", env::var("ROOMCAST_TOKEN")?);
    let mut request = format!("{}/ws", url.replacen("http", "ws", 1)).into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("Authorization", bearer.parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let join = json!({"event": "joinRoom", "data": {"roomId": room, "after": last}});
    socket.send(join.to_string().into()).await?;
    loop {
        let frame = socket.next().await.context("the server hung up")??;
        let frame: Value = serde_json::from_slice(&frame.into_data()).unwrap_or_default();
        let (event, data) = (frame["event"].as_str(), &frame["data"]);
        if event == Some("roomJoined") {
            *last = data["lastSeq"].as_u64();
            println!("listening");
        } else if event == Some("newMessage") && data["seq"].as_u64() > *last {
            let content = data["content"].as_str().unwrap_or_default();
            if let Some(words) = content.strip_prefix("!echo ") {
                // The same id for the same question: answered again after a loss, it is there once.
                let id = ulid::Ulid::from_string(data["id"].as_str().unwrap_or_default())?;
                let answer = json!({"clientMsgId": uuid::Uuid::from_u128(id.0), "content": words});
                let post = reqwest::Client::new().post(format!("{url}/rooms/{room}/messages"));
                let post = post.header("Authorization", &bearer).json(&answer);
                let status = post.send().await?.status().as_u16();
                ensure!(status < 429, "not answered: {status}");
            }
            *last = data["seq"].as_u64();
        } else if event == Some("error") {
            eprintln!("refused: {data}");
        }
    }
}
