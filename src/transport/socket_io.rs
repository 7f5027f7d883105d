//! The Socket.IO transport: packets in, to the session that every client has.
//!
//! It is the WebSocket transport with another dialect: the same frames, guard and outbox.

use actix::Actor;

use crate::{
    actors::session::SessionActor,
    metrics,
    protocol::{
        close::CloseCode,
        socket_io::{self, BadPacket, Packet},
    },
};

/// What a session of Socket.IO has besides.
#[derive(Debug)]
pub struct SocketIo {
    /// The token of the handshake's `Authorization`: it counts where the first packet has none.
    pub header_token: Option<String>,
}

impl SessionActor {
    pub(crate) fn packet(&mut self, text: &str, ctx: &mut <Self as Actor>::Context) {
        match (socket_io::read(text), self.is_introduced()) {
            (Ok(Packet::Connect { token }), false) => {
                metrics::get().frame_in("authenticate");
                let socket_io = self.connection.socket_io.as_mut();
                let in_header = socket_io.and_then(|known| known.header_token.take());
                self.introduce(token.or(in_header).unwrap_or_default(), ctx);
            }
            (Ok(Packet::Event(read)), true) => self.received(read, ctx),
            (Ok(Packet::Pong), _) => {
                self.control("pong");
            }
            (Ok(Packet::Ack), true) => self.idle_talk(),
            (Ok(Packet::Disconnect), _) => self.outbox.close(CloseCode::Normal),
            (Ok(Packet::Event(_) | Packet::Ack), false) => {
                self.outbox.close(CloseCode::Unauthenticated);
            }
            (Ok(Packet::Connect { .. }), true) => self.bad_packet(BadPacket::Malformed),
            (Err(bad), _) => self.bad_packet(bad),
        }
    }

    fn bad_packet(&self, bad: BadPacket) {
        metrics::get().frame_in("bad");
        match bad {
            BadPacket::Namespace(name) => {
                self.outbox.push(socket_io::wrong_namespace(name));
                self.outbox.close(CloseCode::BadFrames);
            }
            BadPacket::Binary => self.outbox.close(CloseCode::Unsupported),
            BadPacket::Malformed => self.outbox.close(CloseCode::BadFrames),
        }
    }
}
