//! How sessions reach the network. The only importer of `actix-web-actors`.

pub mod socket_io;
pub mod websocket;
