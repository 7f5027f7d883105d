//! How sessions reach the network. The only importer of `actix-web-actors`.

#[cfg(feature = "echo")]
pub mod echo;
pub(crate) mod frames;
pub mod socket_io;
pub mod websocket;
