//! Requests that ask for a WebSocket: the application answers them as any other; when it answers
//! `101`, the connection leaves actix-http.
//!
//! There it would keep two buffers of 8 KiB and the state of a request for as long as it lives,
//! and every byte out would be copied once more (docs/adr/0009). Here an idle connection is a task
//! that holds its stream and its body.

use std::{io, rc::Rc, time::Duration};

use actix_codec::{Encoder, Framed};
use actix_http::{
    BoxedPayloadStream, ConnectionType, Payload, Request, Response, StatusCode,
    body::{BodySize, BoxBody, MessageBody, to_bytes},
    h1::{Codec, Message},
};
use actix_service::Service;
use actix_web::{Error, rt};
use bytes::BytesMut;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    carrier::{Carrier, Incoming},
    connection::Connection,
    entrance,
    paced::PacedStream,
};
use crate::tls::TransportWriter;

/// How long a peer may take to read that its upgrade is refused.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Has a request for an upgrade answered, and carries what follows from a `101`.
///
/// # Errors
/// When the answer cannot be written.
pub(super) async fn answer<S, B>(
    app: Rc<S>,
    request: Request,
    framed: Framed<PacedStream, Codec>,
) -> Result<(), Error>
where
    S: Service<Request>,
    S::Response: Into<Response<B>>,
    S::Error: Into<Response<BoxBody>>,
    B: MessageBody + 'static,
{
    // Its head is whole: it is not idle while it waits.
    let connection = request.conn_data::<Rc<Connection>>().cloned();
    let waiting = connection.map(Connection::begin);
    entrance::turn().await;
    drop(waiting);
    let mut parts = framed.into_parts();
    let (reading, writing) = parts.io.into_split();
    let (incoming, turn) = Incoming::new(parts.read_buf.freeze(), reading);
    let payload: BoxedPayloadStream = Box::pin(incoming);
    let (request, _) = request.replace_payload(Payload::Stream { payload });
    let response = match app.call(request).await {
        Ok(answered) => answered.into().map_into_boxed_body(),
        Err(refusal) => refusal.into(),
    };
    let mut bytes = parts.write_buf;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (head, body) = response.into_parts();
        let head = Message::Item((head, body.size()));
        parts.codec.encode(head, &mut bytes)?;
        // A task of its own, so that the one that read the request ends and gives up its memory.
        rt::spawn(Carrier::new(bytes, body, writing, turn));
        return Ok(());
    }
    let refusing = refuse(response, &mut parts.codec, bytes, writing);
    let refused = timeout(WRITE_TIMEOUT, refusing).await;
    Ok(refused.map_err(io::Error::from)??)
}

/// Writes an answer that is no upgrade, and closes: what follows on the connection may be frames.
async fn refuse(
    response: Response<BoxBody>,
    codec: &mut Codec,
    mut bytes: BytesMut,
    mut stream: TransportWriter,
) -> io::Result<()> {
    let (mut head, body) = response.into_parts();
    head.head_mut().set_connection_type(ConnectionType::Close);
    let size = body.size();
    let body = to_bytes(body).await;
    let body = body.map_err(|error| io::Error::other(error.to_string()))?;
    // The codec has no chunks for a request that asks for an upgrade, whatever its head says.
    let size = match size {
        BodySize::Stream => BodySize::Sized(body.len() as u64),
        known => known,
    };
    codec.encode(Message::Item((head, size)), &mut bytes)?;
    if !body.is_empty() {
        codec.encode(Message::Chunk(Some(body)), &mut bytes)?;
    }
    codec.encode(Message::Chunk(None), &mut bytes)?;
    stream.write_all_buf(&mut bytes).await?;
    stream.shutdown().await
}
