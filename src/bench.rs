//! Load on gateways, and a verdict on what arrives: the work behind `roomcast bench`.
//!
//! One thread runs all clients. Each has a schedule of its own and keeps to it whatever the server
//! does; it repeats what has no acknowledgement, and comes back where its views end. One ledger has
//! what was sent, what became of it and what was seen; at the end it is held against history.

mod client;
mod frame;
mod latency;
mod ledger;
mod marks;
mod outbox;
mod pages;
mod plan;
mod progress;
mod report;
mod rest;
mod session;
mod setup;
mod socket;
mod stages;
mod user;
mod verify;
mod view;
mod waits;
mod world;

pub(crate) use plan::Plan;
pub(crate) use report::Report;
pub(crate) use stages::run;
