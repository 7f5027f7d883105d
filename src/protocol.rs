//! The frames of `/ws` and `/socket.io/`: what they look like, how large they may be, how a
//! socket is closed. Pure: no socket, no actor, no clock.

pub mod client;
pub mod close;
pub mod dialect;
pub mod guard;
pub mod server;
pub mod socket_io;
pub mod wire;

use std::time::Duration;

/// Largest frame, and largest message put together from fragments, in bytes.
pub const MAX_FRAME_BYTES: usize = 65_536;

/// Most fragments of one message.
pub const MAX_FRAGMENTS: usize = 64;

/// Most messages that a join replays; who missed more pages with REST.
pub const MAX_REPLAY: u64 = 500;

/// Most bytes that wait for a socket in the server's memory; beyond, it is cut.
pub const MAX_QUEUED_BYTES: usize = 256 * 1024;

/// How often the server pings.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(25);

/// How long a socket may send no frame at all.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a socket may take to authenticate.
pub const AUTH_TIMEOUT: Duration = Duration::from_secs(5);

/// The subprotocol that the server selects.
pub const SUBPROTOCOL: &str = "roomcast.v1";
