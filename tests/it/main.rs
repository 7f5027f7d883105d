//! What clients and operators see, tested from outside: each test has a server process of its
//! own, on free ports and in a temporary folder.

#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` is between its modules"
)]

mod accounts;
mod authentication;
mod balance;
mod bench;
mod bursts;
mod cli;
mod compression;
mod config;
mod documents;
mod draining;
mod early_signals;
mod faults;
mod floods;
mod forged_tokens;
mod frames;
mod gateways;
mod handshakes;
mod hang_ups;
mod harness;
mod health;
mod history;
mod http_hostile;
mod invites;
mod limits;
mod logins;
mod logs;
mod lost_events;
mod members;
mod metrics;
mod migrate;
mod operators;
mod pipelining;
mod presence;
mod recovery;
mod refusals;
mod repeats;
mod resuming;
mod rooms;
mod sending;
mod slow_readers;
mod slow_replays;
mod socket_io;
mod specifications;
mod supervision;
mod tls;
mod tokens;
mod transcripts;
