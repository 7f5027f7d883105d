//! The WebSocket: the handshake, frames in and out, and how it ends.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderValue, StatusCode, header::AUTHORIZATION},
        protocol::CloseFrame,
    },
};

use super::{super::endpoint::unanswered, trouble::Trouble};
use crate::protocol::{HEARTBEAT_TIMEOUT, close::CloseCode};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A frame of the server.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    pub(super) event: String,
    pub(super) data: Box<RawValue>,
    #[serde(default)]
    id: Option<Value>,
}

impl Frame {
    /// Returns whether the frame answers a request of ours.
    pub(super) fn is_reply_to(&self, id: u64) -> bool {
        self.id.as_ref().and_then(Value::as_u64) == Some(id)
    }
}

/// An open socket.
pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a socket with a token on the handshake.
    pub(super) async fn open(url: &str, token: &str) -> Result<Self, Trouble> {
        let lasting = || Trouble::lasting("the token cannot be sent: it must be one line of ASCII");
        let request = url.into_client_request();
        let mut request = request.map_err(|error| Trouble::lasting(format!("{url}: {error}")))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| lasting())?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        match timeout(HANDSHAKE_TIMEOUT, connect_async(request)).await {
            Ok(Ok((socket, _))) => Ok(Self(socket)),
            Ok(Err(error)) => Err(handshake_trouble(url, &error)),
            Err(_) => Err(Trouble::passing(format!("{url} does not answer"))),
        }
    }

    /// Sends a frame.
    pub(super) async fn send(&mut self, frame: &Value) -> Result<(), Trouble> {
        let sent = self.0.send(Message::text(frame.to_string())).await;
        sent.map_err(|error| Trouble::passing(format!("the connection broke: {error}")))
    }

    /// Waits for a frame; the server pings often enough that silence means it is gone.
    pub(super) async fn next(&mut self) -> Result<Frame, Trouble> {
        loop {
            let Ok(received) = timeout(HEARTBEAT_TIMEOUT, self.0.next()).await else {
                return Err(Trouble::passing("the server is silent"));
            };
            match received {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).map_err(|error| {
                        Trouble::lasting(format!(
                            "the server sent something else than a frame: {error}"
                        ))
                    });
                }
                Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    return Err(Trouble::passing(format!("the connection broke: {error}")));
                }
                None => return Err(Trouble::passing("the connection ended")),
            }
        }
    }

    /// Says good-bye.
    pub(super) async fn close(mut self) {
        // The server may have gone first.
        let _ = self.0.close(None).await;
    }
}

fn handshake_trouble(url: &str, error: &Error) -> Trouble {
    match error {
        Error::Http(answer) if answer.status() == StatusCode::UNAUTHORIZED => Trouble::lasting(
            "the server refuses the token: it is invalid, expired, or of another server; give one of this \
             server's own with --token",
        ),
        Error::Http(answer) => {
            let why = format!("{url} answers {}", answer.status());
            let status = answer.status();
            match status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                true => Trouble::passing(why),
                false => Trouble::lasting(why),
            }
        }
        error => Trouble::passing(unanswered(url, error)),
    }
}

fn closed(frame: Option<CloseFrame>) -> Trouble {
    let Some(frame) = frame else {
        return Trouble::passing("the server closed the connection");
    };
    let code = u16::from(frame.code);
    let why = format!("the server closed the connection ({code} {})", frame.reason);
    let is_lasting = [CloseCode::ProtocolError, CloseCode::BadFrames]
        .iter()
        .any(|lasting| lasting.number() == code);
    match is_lasting {
        true => Trouble::lasting(why),
        false => Trouble::passing(why),
    }
}
