//! How the clients of a crowd come in: the handshake, `ready`, and the room.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    task::{JoinSet, LocalSet},
    time::timeout,
};

use super::Crowd;
use crate::{
    frame::{self, Received},
    rest::User,
    world::World,
};

/// How long one client may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Who comes in, and to which room; a floor knows neither.
#[derive(Debug, Clone)]
pub(crate) enum Seat {
    Floor,
    /// A socket of a user who has joined no room.
    Idle {
        token: String,
    },
    InRoom {
        token: String,
        room: String,
    },
}

impl Seat {
    pub(crate) fn in_room(world: &World, user: usize, room: usize) -> Self {
        Self::InRoom {
            token: world.users[user].token.clone(),
            room: world.rooms[room].clone(),
        }
    }

    pub(crate) fn idle(user: &User) -> Self {
        Self::Idle {
            token: user.token.clone(),
        }
    }
}

/// A connection while it is being set up.
pub(super) struct Line {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Crowd {
    /// Connects everybody, so many at a time.
    pub(crate) async fn connect(
        addr: SocketAddr,
        seats: Vec<Seat>,
        at_once: usize,
    ) -> anyhow::Result<Self> {
        let permits = Arc::new(Semaphore::new(at_once));
        let mut connecting = JoinSet::new();
        for (place, seat) in seats.into_iter().enumerate() {
            let permits = Arc::clone(&permits);
            connecting.spawn_local(async move {
                let _permit = permits.acquire_owned().await?;
                let line = timeout(CONNECT_TIMEOUT, Line::open(addr, &seat)).await;
                anyhow::Ok((place, line.context("a handshake takes too long")??))
            });
        }
        let mut lines = Vec::new();
        while let Some(joined) = connecting.join_next().await {
            lines.push(joined??);
        }
        lines.sort_by_key(|(place, _)| *place);
        let mut crowd = Self::new();
        lines.into_iter().for_each(|(_, line)| crowd.add(line));
        Ok(crowd)
    }
}

impl Line {
    async fn open(addr: SocketAddr, seat: &Seat) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let rest = Vec::new();
        let mut line = Self { stream, rest };
        match seat {
            Seat::Floor => line.upgrade("").await?,
            Seat::Idle { token } => line.enter(token).await?,
            Seat::InRoom { token, room } => {
                line.enter(token).await?;
                line.stream.write_all(&frame::join_room(room)).await?;
                line.text("roomJoined").await?;
            }
        }
        Ok(line)
    }

    async fn enter(&mut self, token: &str) -> anyhow::Result<()> {
        self.upgrade(token).await?;
        self.text("ready").await
    }

    async fn upgrade(&mut self, token: &str) -> anyhow::Result<()> {
        let handshake = frame::handshake(token);
        self.stream.write_all(handshake.as_bytes()).await?;
        let end = loop {
            if let Some(end) = frame::head_end(&self.rest) {
                break end;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.rest[..end]);
        ensure!(head.starts_with("HTTP/1.1 101 "), "no upgrade: {head}");
        self.rest.drain(..end);
        Ok(())
    }

    /// Reads until a frame with an event has come.
    async fn text(&mut self, event: &str) -> anyhow::Result<()> {
        let start = format!(r#"{{"event":"{event}""#);
        loop {
            while let Some((received, left)) = frame::split(&self.rest) {
                let found = match received {
                    Received::Text(text) if text.starts_with(r#"{"event":"error""#) => {
                        bail!("{text}")
                    }
                    Received::Text(text) => text.starts_with(&start),
                    Received::Close => bail!("the server closes instead of `{event}`"),
                    _ => false,
                };
                let taken = self.rest.len() - left.len();
                self.rest.drain(..taken);
                if found {
                    return Ok(());
                }
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.rest).await?;
        ensure!(read > 0, "the server hangs up on a client that comes in");
        Ok(())
    }

    pub(super) fn into_parts(self) -> (OwnedReadHalf, OwnedWriteHalf, Vec<u8>) {
        let (reader, writer) = self.stream.into_split();
        // A crowd's clients hold no memory that they do not need.
        let rest = match self.rest.is_empty() {
            true => Vec::new(),
            false => self.rest,
        };
        (reader, writer, rest)
    }
}

/// Runs a load on this thread.
pub(crate) fn run<T>(load: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, load)
}
