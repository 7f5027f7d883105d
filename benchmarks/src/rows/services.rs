//! Rows 7 to 10: latency and throughput on Kafka, PostgreSQL and Valkey.

mod backlog;
mod latency;
mod throughput;

pub(super) use backlog::measure as backlog;
pub(super) use latency::{accepted, new_message};
pub(super) use throughput::measure as throughput;
