//! Socket.IO 5 over Engine.IO 4, as `socket.io-client` 3 and 4 speak it, on a WebSocket alone.
//!
//! An Engine.IO packet is a digit and a payload (`2` ping, `3` pong, `4` message); a message
//! carries a Socket.IO packet, again a digit and more (`0` connect, `2` event, `3`
//! acknowledgement). Sources: the protocols of
//! [Engine.IO](https://socket.io/docs/v4/engine-io-protocol/) and
//! [Socket.IO](https://socket.io/docs/v4/socket-io-protocol/).

mod reading;
mod writing;

pub use reading::{BadPacket, Packet, read};
pub use writing::wrong_namespace;
pub(super) use writing::{ack, done, event, farewell, greeting, opening, ping};

/// The one namespace that there is.
const NAMESPACE: &str = "/";
