//! roomcast: group chat in which an accepted message is never lost, doubled or out of order.

pub mod clock;
pub mod config;
pub mod error;
pub mod event;
pub mod ids;
pub mod message;
pub mod protocol;
pub mod store;
