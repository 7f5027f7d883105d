//! The WebSocket: the handshake, frames in and out, and why it ends.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{
            HeaderMap, HeaderValue, StatusCode,
            header::{AUTHORIZATION, RETRY_AFTER},
        },
        protocol::CloseFrame,
    },
};

use super::frame::{self, Received};
use crate::protocol::{HEARTBEAT_TIMEOUT, close::CloseCode};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the server refuses the token")]
    Unauthenticated,
    #[error("{why}")]
    Passing {
        why: String,
        after: Option<Duration>,
    },
}

impl Broken {
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self::Passing {
            why: why.into(),
            after: None,
        }
    }
}

/// An open socket.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// When the server was heard last.
    heard_at: Instant,
}

impl Socket {
    /// Opens a socket with a token on the handshake.
    pub(super) async fn open(url: &str, token: &str) -> Result<Self, Broken> {
        let request = url.into_client_request();
        let mut request = request.map_err(|error| Broken::passing(format!("{url}: {error}")))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let bearer = bearer.map_err(|_| Broken::passing("the token cannot be sent"))?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        // Small frames go out at once: what is measured is the server.
        let connecting = connect_async_with_config(request, None, true);
        match timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(Ok((stream, _))) => Ok(Self {
                stream,
                heard_at: Instant::now(),
            }),
            Ok(Err(error)) => Err(handshake_failed(url, &error)),
            Err(_) => Err(Broken::passing(format!("{url} does not answer"))),
        }
    }

    /// Puts a frame into the buffer that [`Self::flush`] empties.
    pub(super) async fn feed(&mut self, frame: String) -> Result<(), Broken> {
        self.stream.feed(Message::text(frame)).await.map_err(broke)
    }

    pub(super) async fn flush(&mut self) -> Result<(), Broken> {
        self.stream.flush().await.map_err(broke)
    }

    /// Waits for a frame; the server pings often enough that silence means it is gone.
    ///
    /// It may be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Received, Broken> {
        loop {
            let silent_at = self.heard_at + HEARTBEAT_TIMEOUT;
            let Ok(received) = timeout_at(silent_at, self.stream.next()).await else {
                return Err(Broken::passing("the server is silent"));
            };
            self.heard_at = Instant::now();
            match received {
                Some(Ok(Message::Text(text))) => {
                    return frame::read(&text).map_err(|error| {
                        Broken::passing(format!("the server sent no frame: {error}"))
                    });
                }
                Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broke(error)),
                None => return Err(Broken::passing("the connection ended")),
            }
        }
    }

    /// Says good-bye.
    pub(super) async fn close(mut self) {
        // The server may have gone first.
        let _ = timeout(Duration::from_secs(1), self.stream.close(None)).await;
    }
}

fn broke(error: Error) -> Broken {
    Broken::passing(format!("the connection broke: {error}"))
}

fn handshake_failed(url: &str, error: &Error) -> Broken {
    match error {
        Error::Http(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
            Broken::Unauthenticated
        }
        Error::Http(answer) => Broken::Passing {
            why: format!("{url} answers {}", answer.status()),
            after: retry_after(answer.headers()),
        },
        error => Broken::passing(format!("{url} cannot be reached: {error}")),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn closed(frame: Option<CloseFrame>) -> Broken {
    let Some(frame) = frame else {
        return Broken::passing("the server closed the connection");
    };
    let code = u16::from(frame.code);
    if code == CloseCode::Unauthenticated.number() {
        return Broken::Unauthenticated;
    }
    // Too much of something: a moment later there is room again.
    let after = (code == CloseCode::TooMany.number()).then_some(Duration::from_secs(1));
    Broken::Passing {
        why: format!("the server closed the connection ({code} {})", frame.reason),
        after,
    }
}
