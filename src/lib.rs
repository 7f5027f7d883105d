//! roomcast: group chat in which an accepted message is never lost, doubled or out of order.

pub mod actors;
pub mod aside;
pub mod auth;
pub mod backends;
mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod drain;
pub mod error;
pub mod event;
pub mod fanout;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
pub mod http;
pub mod ids;
pub mod json;
pub mod limits;
pub mod memberships;
pub mod message;
pub mod message_log;
pub mod metrics;
pub mod outbox;
pub mod presence;
pub mod protocol;
#[cfg(test)]
mod real_service;
pub mod server;
mod small_map;
pub mod specifications;
pub mod store;
pub mod tls;
mod together;
pub mod trace;
pub mod transport;
